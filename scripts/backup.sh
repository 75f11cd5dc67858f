#!/usr/bin/env bash
# backup.sh [DIR]: backs up the configured database into a new directory under DIR (by default BACKUP_DIR), and removes old ones:
# docs/backup.md.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/backup-set.sh"

[ $# -le 1 ] || fail "usage: backup.sh [DIR]"
dir=${1:-${BACKUP_DIR:-/backups/postgres}}
keep_days=${BACKUP_KEEP_DAYS:-7}
[[ $keep_days =~ ^[1-9][0-9]{0,3}$ ]] || fail "BACKUP_KEEP_DAYS is '$keep_days', expected a number of days from 1 to 9999"
need pg_dump pg_restore psql flock sha256sum
check_passphrase
umask 077
mkdir -p "$dir" || fail "$dir cannot be created"
exec 9>"$dir/.lock" || fail "$dir cannot be written"
flock --nonblock 9 || fail "another backup into $dir is running"
# If the passphrase setting gets lost, do not silently continue with unencrypted backups.
newest=$(find "$dir/" -maxdepth 1 -name "backup_$stamp" | sort | tail -1)
if [ -z "${BACKUP_PASSPHRASE_FILE:-}" ] && [ -e "$newest/database.dump.enc" ] && [ "${BACKUP_ALLOW_CLEAR:-}" != true ]; then
  fail "the newest backup in $dir is encrypted, and BACKUP_PASSPHRASE_FILE is not set: set it, or set BACKUP_ALLOW_CLEAR=true to write this one unencrypted"
fi
connect

started=$(date +%s)
name=backup_$(date -u +%Y%m%d_%H%M%S)
enc=${BACKUP_PASSPHRASE_FILE:+.enc}
part=$dir/.partial_$name
# Left by killed runs; the lock guarantees that no other run is active.
rm -rf "$dir"/.partial_*
mkdir "$part"
trap 'rm -rf "$part"' EXIT

# Only trusted extensions are dumped: the owner could not restore others, nor the rights granted on them.
extensions=$(list_extensions 'installed and trusted') || fail "the extensions cannot be listed"
mapfile -t extensions <<<"$extensions"

# `manifest take` sets BACKUP_SNAPSHOT to the snapshot that it reads itself. The dump uses the backup role, because row-level security applies to
# the owner.
dump() {
  local to=$1
  shift
  pg_dump --format=custom --snapshot="$BACKUP_SNAPSHOT" --role=agent_memory_backup --enable-row-security --no-unlogged-table-data \
    --lock-wait-timeout=60s --no-password "$@" | seal >"$to"
}
export -f dump seal
# shellcheck disable=SC2016 # $@ is expanded by the inner shell
run manifest take "$part/database.dump$enc" -- bash -euo pipefail -c 'dump "$@"' dump "$part/database.dump$enc" "${extensions[@]/#/--extension=}" |
  seal >"$part/manifest.json$enc" || fail "no backup was made"
# Read the whole dump again, and compare its rows with those that the manifest counted.
count_rows "$part/database.dump$enc" | run manifest check <(unseal "$part/manifest.json$enc") "$part/database.dump$enc"
(cd "$part" && sha256sum -- * >SHA256SUMS)
sync "$part"/* "$part"
mv --no-target-directory "$part" "$dir/$name"
sync "$dir"

# Old backups are removed only after a success, so that the last good one is always kept.
oldest=backup_$(date -u -d "$keep_days days ago" +%Y%m%d_%H%M%S)
for old in "$dir"/backup_$stamp; do
  if [[ ${old##*/} < $oldest ]]; then rm -rf "$old" && echo "removed $old"; fi
done

size=$(du -sb "$dir/$name" | cut -f1)
took=$(($(date +%s) - started))
write_metrics "${BACKUP_METRICS_FILE:-}" agent_memory_backup backup "$size" "$took"
echo "Backup completed: $dir/$name ($size bytes, $took s)"
