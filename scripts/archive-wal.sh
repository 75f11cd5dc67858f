#!/bin/sh
# PostgreSQL's archive_command: '/path/to/archive-wal.sh %p %f /path/to/archive'. Needs nothing but a shell and gzip: docs/backup.md.
set -eu
segment=$1 name=$2 archive=$3
to=$archive/$name.gz
if [ -f "$to" ]; then
  # after a crash PostgreSQL sends a segment again; another one of the same name comes from another server
  gzip -dc "$to" | cmp -s - "$segment" && exit 0
  echo "archive-wal.sh: $to is there already and differs: does another server archive into this directory?" >&2
  exit 1
fi
# never half a segment under its name, and on the disk before PostgreSQL forgets it
gzip -1 -n -c "$segment" >"$to.part"
sync "$to.part"
mv "$to.part" "$to"
sync "$archive"
