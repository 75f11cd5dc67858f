#!/usr/bin/env bash
# Restores a backup into a scratch database on the configured server, compares it with the manifest, and drops it (docs/backup.md).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/backup-set.sh"

[ $# = 1 ] || fail "usage: verify-backup.sh BACKUP (or 'latest' for the newest in BACKUP_DIR)"
set=$1
if [ "$set" = latest ]; then
  dir=${BACKUP_DIR:-/backups/postgres}
  set=$(find "$dir/" -maxdepth 1 -name "backup_$stamp" | sort | tail -1)
  [ -n "$set" ] || fail "$dir contains no backup"
fi
need createdb dropdb
connect
scratch=agent_memory_verify_$(date -u +%Y%m%d_%H%M%S)_$$
createdb --no-password --maintenance-db=postgres "$scratch" ||
  fail "the scratch database could not be created: a superuser must run once: alter role \"$PGUSER\" createdb;"
trap 'dropdb --no-password --maintenance-db=postgres --force "$scratch"' EXIT
PGDATABASE=$scratch "$root/scripts/restore.sh" --no-ledger "$set" || fail "$set cannot be restored"
echo "Verified: $set can be restored and matches its manifest"
