#!/usr/bin/env bash
# Restores a backup into the configured database, which must be empty (docs/backup.md). Checks everything before it writes anything.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/backup-set.sh"

usage='usage: restore.sh [--dry-run] [--ledger FILE]… [--no-ledger] BACKUP'
dry_run='' prepare=--prepare no_ledger='' ledgers=()
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry_run=1 prepare='' ;;
    --ledger) ledgers+=("${2:?$usage}") && shift ;;
    --no-ledger) no_ledger=1 ;;
    -*) fail "$usage" ;;
    *) break ;;
  esac
  shift
done
[ $# = 1 ] || fail "$usage"
set=${1%/}
need pg_restore psql sha256sum
check_passphrase
umask 077

[ -d "$set" ] || fail "the backup $set does not exist (a directory backup_YYYYMMDD_HHMMSS)"
[ -f "$set/SHA256SUMS" ] || fail "$set has no SHA256SUMS"
enc=''
[ ! -f "$set/database.dump.enc" ] || enc=.enc
[ -z "$enc" ] || [ -n "${BACKUP_PASSPHRASE_FILE:-}" ] || fail "$set is encrypted: set BACKUP_PASSPHRASE_FILE"
# Someone who can replace the backup does not have the passphrase, so an unencrypted backup may be forged.
[ -n "$enc" ] || [ -z "${BACKUP_PASSPHRASE_FILE:-}" ] || fail "$set is not encrypted, though BACKUP_PASSPHRASE_FILE is set"
dump=$set/database.dump$enc
for file in "database.dump$enc" "manifest.json$enc"; do
  [ -f "$set/$file" ] || fail "$set has no $file"
  grep -q "^[0-9a-f]\{64\}  $file\$" "$set/SHA256SUMS" || fail "SHA256SUMS of $set does not name $file"
done
(cd "$set" && sha256sum --check --strict --quiet SHA256SUMS) || fail "$set is damaged: its checksums do not match"

connect
if [ -z "$no_ledger" ]; then
  [ ${#ledgers[@]} -gt 0 ] || ledgers=("$ERASURE_LEDGER")
  for ledger in "${ledgers[@]}"; do
    [ -f "$ledger" ] || fail "the ledger of erasures $ledger does not exist: name the ledgers of all daemons with --ledger, or use --no-ledger if nothing was ever erased"
  done
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unseal "$set/manifest.json$enc" >"$work/manifest.json" || fail "the manifest cannot be decrypted: is this the right passphrase?"
count_rows "$dump" >"$work/rows" || fail "the dump is damaged${enc:+, or this is not the right passphrase}"
run manifest check --target ${prepare:+"$prepare"} "$work/manifest.json" "$dump" <"$work/rows"
if [ -n "$dry_run" ]; then
  echo "$set is complete and can be restored into $PGDATABASE on $PGHOST; nothing was changed"
  exit
fi

# Skip the extensions that only a superuser can create, and the comments on extensions. pg_restore closes the pipe after the list, so unseal fails.
pg_restore --list < <(unseal "$dump" 2>/dev/null) >"$work/contents" || fail "the dump has no list of its contents"
list_extensions trusted >"$work/extensions" || fail "the extensions cannot be listed"
awk 'NR == FNR { may[$1]; next } $4 == "EXTENSION" && !($6 in may) || $4 == "COMMENT" && $6 == "EXTENSION" { next } { print }' \
  "$work/extensions" "$work/contents" >"$work/list"
# The restore is one transaction: an error leaves the database empty. The rights that it needs are revoked however it ends.
trap 'run manifest abandon; rm -rf "$work"' EXIT
unseal "$dump" | pg_restore --use-list="$work/list" --single-transaction --exit-on-error --no-password --dbname="$PGDATABASE" ||
  fail "the restore failed and was rolled back: nothing was written"
run manifest finish --heads "$work/heads" "$work/manifest.json"
trap 'rm -rf "$work"' EXIT
# Suppress about fifty warnings that only a superuser can analyze the system catalogs.
PGOPTIONS='-c client_min_messages=error' psql --no-psqlrc --quiet --no-password --command='analyze'

# The data is restored now; later failures are collected and reported at the end.
failed=()
run audit verify --heads "$work/heads" || failed+=('the verification of the audit failed')
# The daemons refuse to start on the database until this has succeeded.
if [ -n "$no_ledger" ]; then run erasures --no-ledger >/dev/null; else run erasures --ledger "${ledgers[@]}"; fi || failed+=('not all erasures could be replayed')
[ ${#failed[@]} = 0 ] || fail "restored, but $(IFS=';' && echo "${failed[*]}"): see above, and fix this before you start the daemons"
echo "Restored: $set into $PGDATABASE on $PGHOST. You can start the daemons."
