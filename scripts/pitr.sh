#!/usr/bin/env bash
# Prepares a data directory that recovers to a point in time when PostgreSQL is started on it (docs/backup.md). Run it as the user that runs
# PostgreSQL.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/backup-set.sh"

usage="usage: pitr.sh (--to '2026-11-21 14:03:05.123+00' | --to-lsn LSN | --to-end) [--base DIRECTORY] NEW_DATA_DIRECTORY"
dir=${BASE_BACKUP_DIR:-/backups/base}
dir=${dir%/}
wal=${WAL_ARCHIVE:-/backups/wal}
time='' lsn='' end='' base=''
while [ $# -gt 1 ]; do
  case $1 in
    --to) time=$2 && shift ;;
    --to-lsn) lsn=$2 && shift ;;
    --to-end) end=1 ;;
    --base) base=$2 && shift ;;
    *) fail "$usage" ;;
  esac
  shift
done
data=${1:?$usage}
[ "${time:+1}${lsn:+1}${end:+1}" = 1 ] || fail "$usage"
[[ $lsn =~ ^([0-9A-F]+/[0-9A-F]+)?$ ]] || fail "$lsn is not an LSN such as 0/3000148"
[ -d "$wal" ] || fail "the archive $wal (WAL_ARCHIVE) does not exist"
wal=$(cd "$wal" && pwd)
[[ $wal != *[\'%\\]* ]] || fail "WAL_ARCHIVE must not contain ', % or \\"
config=${PITR_CONFIG_FILE:+$(realpath "$PITR_CONFIG_FILE")}
[ -z "$config" ] || [ -f "$config" ] || fail "the configuration $config (PITR_CONFIG_FILE) does not exist"
[[ $config$data != *[\'\\]* ]] || fail "neither PITR_CONFIG_FILE nor the new directory may contain ' or \\"
[ ! -e "$data" ] || [ -z "$(ls -A "$data")" ] || fail "$data is not empty; nothing was overwritten"

newest=base_99999999_999999
if [ -n "$time" ]; then
  at=$(date -u -d "$time" '+%Y-%m-%d %H:%M:%S.%6N+00') || fail "$time is not a valid time"
  # The name of a base has whole seconds, rounded down, so a base that ended in the same second may be too late.
  newest=base_$(date -u -d "$at 1 second ago" +%Y%m%d_%H%M%S)
fi
if [ -z "$base" ]; then
  base=$(find "$dir/" -maxdepth 1 -name "base_$stamp" -printf '%f\n' | sort | awk -v newest="$newest" '$0 <= newest' | tail -1)
  [ -n "$base" ] || fail "no base backup in $dir is old enough"
  base=$dir/$base
fi
[ -f "$base/postgresql.conf" ] || [ -n "$config" ] ||
  fail "$base has no postgresql.conf (Debian keeps it in /etc/postgresql/VERSION/main): name it in PITR_CONFIG_FILE"
# Debian can have several versions installed; use that of the base.
PATH=/usr/lib/postgresql/$(cat "$base/PG_VERSION")/bin:$PATH
find_server
need pg_verifybackup pg_ctl
# Verify before the long copy, and before the old server is abandoned.
pg_verifybackup --quiet "$base"

umask 077
mkdir -p "$data"
data=$(cd "$data" && pwd)
cp -a --reflink=auto "$base/." "$data/"
chmod 700 "$data"
[ -z "$config" ] || echo "include '$config'" >"$data/postgresql.conf"
# A configuration that names the old data directory would start the old server.
if [ -n "$config" ] || grep -qi '^[[:space:]]*data_directory' "$data/postgresql.conf"; then
  echo "data_directory = '$data'" >>"$data/postgresql.conf"
fi
# Left by an earlier recovery of the server that the base was made of.
sed -i '/^\(recovery_target\|restore_command\|agent_memory\.restored\)/d' "$data/postgresql.auto.conf"
{
  # A missing segment is the end of the archive. A damaged one must not be taken for it: a status above 125 aborts the recovery.
  echo "restore_command = 'test -f \"$wal/%f.gz\" || exit 1; gzip -dc \"$wal/%f.gz\" > \"%p\" || exit 200'"
  [ -z "$time" ] || echo "recovery_target_time = '$at'"
  # Recovers everything before this LSN: the result of pg_current_wal_insert_lsn() after the last write to recover.
  [ -z "$lsn" ] || printf "recovery_target_lsn = '%s'\nrecovery_target_inclusive = off\n" "$lsn"
  [ -n "$end" ] || echo "recovery_target_action = 'promote'"
  # Daemons refuse to start on the databases until the later erasures have been replayed.
  echo "agent_memory.restored = '$(date -u +%Y%m%dT%H%M%SZ)-$RANDOM$RANDOM'"
} >>"$data/postgresql.auto.conf"
touch "$data/recovery.signal"
echo "Prepared: $data from ${base##*/}. It accepts writes once select pg_is_in_recovery() returns false. Start it:"
printf '%q -D %q -l %q start\n' "$(command -v pg_ctl)" "$data" "$data.log"
echo "Data that was erased after that time is back: the daemons refuse to start on the database until \`npm run erasures:replay\` has succeeded."
