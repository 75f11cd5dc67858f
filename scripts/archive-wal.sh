#!/bin/sh
# PostgreSQL's archive_command: '/path/to/archive-wal.sh %p %f /path/to/archive'. Needs only a shell and gzip. See docs/backup.md.
set -eu
segment=$1 name=$2 archive=$3
to=$archive/$name.gz
if [ -f "$to" ]; then
  # After a crash PostgreSQL archives a segment again. A different segment of the same name is from another server.
  gzip -dc "$to" | cmp -s - "$segment" && exit 0
  echo "archive-wal.sh: $to already exists with other contents: does another server archive into this directory?" >&2
  exit 1
fi
# The segment appears under its name only when complete, and is on disk before PostgreSQL may recycle it.
gzip -1 -n -c "$segment" >"$to.part"
sync "$to.part"
mv "$to.part" "$to"
sync "$archive"
