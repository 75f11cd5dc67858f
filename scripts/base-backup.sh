#!/usr/bin/env bash
# base-backup.sh [DIR]: copies the running server of PG* into DIR (by default BASE_BACKUP_DIR), for point-in-time recovery with the archived
# WAL (docs/backup.md). Needs PostgreSQL's server programs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/backup-set.sh"

[ $# -le 1 ] || fail "usage: base-backup.sh [DIR]"
dir=${1:-${BASE_BACKUP_DIR:-/backups/base}}
dir=${dir%/}
wal=${WAL_ARCHIVE:-/backups/wal}
keep=${BASE_BACKUP_KEEP:-2}
[[ $keep =~ ^[1-9][0-9]*$ ]] || fail "BASE_BACKUP_KEEP is '$keep', expected a number from 1"
wait_s=${WAL_ARCHIVE_WAIT_S:-60}
[[ $wait_s =~ ^[1-9][0-9]*$ ]] || fail "WAL_ARCHIVE_WAIT_S is '$wait_s', expected a number of seconds from 1"
find_server
need pg_basebackup pg_verifybackup pg_archivecleanup psql flock
[ -d "$wal" ] || fail "the archive $wal (WAL_ARCHIVE) does not exist"
umask 077
mkdir -p "$dir"
exec 9>"$dir/.lock"
flock --nonblock 9 || fail "another base backup into $dir is running"
ask() { psql --no-psqlrc --no-password --tuples-only --no-align --command="$1" postgres; }
archiving=$(ask 'show archive_mode')
[ "$archiving" != off ] || fail "archive_mode is off: point-in-time recovery needs the archived WAL"

rm -rf "$dir"/.partial_*
started=$SECONDS
part=$dir/.partial_$$
trap 'rm -rf "$part"' EXIT
pg_basebackup --pgdata="$part" --wal-method=stream --checkpoint=fast --manifest-checksums=SHA256 --no-password
pg_verifybackup --quiet "$part"
# Named by the time of its end, because every later time can be recovered from it.
name=base_$(date -u +%Y%m%d_%H%M%S)
# Archiving can fail unnoticed for days, so remove older bases only when the segment with this base's end is archived. Check both the file and
# the server's statistics, because a file of that name may be from another server.
switched=$SECONDS
segment=$(ask 'select pg_walfile_name(pg_switch_wal() - 1)') || fail "the WAL could not be switched"
archived="select count(*) from pg_stat_archiver where last_archived_wal collate \"C\" >= '$segment'"
until [ -f "$wal/$segment.gz" ] && [ "$(ask "$archived")" = 1 ]; do
  [ "$SECONDS" -lt "$((switched + wait_s))" ] ||
    fail "the segment $segment is not in $wal after $wait_s s: archiving fails (see the server's log) or is slow (raise WAL_ARCHIVE_WAIT_S). Nothing was removed"
  sleep 0.5
done
mv --no-target-directory "$part" "$dir/$name"
sync -f "$dir"

# shellcheck disable=SC2206 # a pattern
bases=("$dir"/base_$stamp)
while [ ${#bases[@]} -gt "$keep" ]; do
  rm -rf "${bases[0]}" && echo "removed ${bases[0]}"
  bases=("${bases[@]:1}")
done
# Remove the WAL that no base needs. After a recovery, an older base of the previous timeline can begin at a later position than a newer one, so
# find the lowest start of all bases, without the timeline (the first eight digits).
first=''
for base in "${bases[@]}"; do
  segment=$(sed -n 's/^START WAL LOCATION: .* (file \([0-9A-F]\{24\}\))$/\1/p' "$base/backup_label")
  [ -n "$segment" ] || fail "$base/backup_label has no START WAL LOCATION"
  [[ -n $first && ${segment:8} > ${first:8} ]] || first=$segment
done
pg_archivecleanup -x .gz "$wal" "$first"
size=$(du -sb "$dir/$name" | cut -f1)
write_metrics "${BASE_BACKUP_METRICS_FILE:-}" agent_memory_base_backup 'base backup' "$size" $((SECONDS - started))
echo "Base backup completed: $dir/$name"
