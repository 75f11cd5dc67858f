#!/usr/bin/env bash
# Copies the running server of PG*, for point-in-time recovery with the archived WAL: docs/backup.md. Runs where PostgreSQL's own tools are.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/backup-set.sh"

dir=${BASE_BACKUP_DIR:-/backups/base}
wal=${WAL_ARCHIVE:-/backups/wal}
keep=${BASE_BACKUP_KEEP:-2}
[[ $keep =~ ^[1-9][0-9]*$ ]] || fail "BASE_BACKUP_KEEP is '$keep', expected a number from 1"
find_server
need pg_basebackup pg_verifybackup pg_archivecleanup psql flock
[ -d "$wal" ] || fail "there is no archive $wal (WAL_ARCHIVE)"
umask 077
mkdir -p "$dir"
exec 9>"$dir/.lock"
flock --nonblock 9 || fail "another base backup into $dir is running"
archiving=$(psql --no-psqlrc --no-password --tuples-only --no-align --command="select current_setting('archive_mode')" postgres)
[ "$archiving" != off ] || fail "archive_mode is off: without the WAL this is no point-in-time recovery"

rm -rf "$dir"/.partial_*
part=$dir/.partial_$$
trap 'rm -rf "$part"' EXIT
pg_basebackup --pgdata="$part" --wal-method=stream --checkpoint=fast --manifest-checksums=SHA256 --no-password
pg_verifybackup --quiet "$part"
# by its end: any later moment can be recovered from it
name=base_$(date -u +%Y%m%d_%H%M%S)
mv --no-target-directory "$part" "$dir/$name"
sync -f "$dir"

mapfile -t bases < <(find "$dir" -maxdepth 1 -name 'base_????????_??????' | sort)
while [ ${#bases[@]} -gt "$keep" ]; do
  rm -rf "${bases[0]}" && echo "removed ${bases[0]}"
  bases=("${bases[@]:1}")
done
# what no base needs any more
first=$(sed -n 's/^START WAL LOCATION: .* (file \([0-9A-F]*\))$/\1/p' "${bases[0]}/backup_label")
[ -n "$first" ] || fail "${bases[0]}/backup_label does not say where its WAL begins"
pg_archivecleanup -x .gz "$wal" "$first"
echo "Base backup completed: $dir/$name"
