#!/usr/bin/env bash
# Restores a backup into a scratch database beside the configured one, compares, and drops it: docs/backup.md.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/backup-set.sh"

[ $# = 1 ] || fail "usage: verify-backup.sh BACKUP (or 'latest': the newest under BACKUP_DIR)"
set=$1
if [ "$set" = latest ]; then
  dir=${BACKUP_DIR:-/backups/postgres}
  set=$(find "$dir/" -maxdepth 1 -name "backup_$stamp" | sort | tail -1)
  [ -n "$set" ] || fail "there is no backup in $dir"
fi
need createdb dropdb
connect
scratch=agent_memory_verify_$(date -u +%Y%m%d_%H%M%S)_$$
createdb --no-password --maintenance-db=postgres "$scratch" ||
  fail "no scratch database could be made: a superuser must say once: alter role \"$PGUSER\" createdb;"
trap 'dropdb --no-password --maintenance-db=postgres --force "$scratch"' EXIT
PGDATABASE=$scratch "$root/scripts/restore.sh" --no-ledger "$set" || fail "$set cannot be restored"
echo "Verified: $set can be restored, and is what was backed up"
