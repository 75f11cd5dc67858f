#!/usr/bin/env bash
# Restores a backup into the configured database, which must be fresh: docs/backup.md. Everything is checked before anything is written.
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

[ -d "$set" ] || fail "there is no backup $set (a directory backup_YYYYMMDD_HHMMSS)"
[ -f "$set/SHA256SUMS" ] || fail "$set has no SHA256SUMS"
enc=''
[ ! -f "$set/database.dump.enc" ] || enc=.enc
[ -z "$enc" ] || [ -n "${BACKUP_PASSPHRASE_FILE:-}" ] || fail "$set is encrypted: set BACKUP_PASSPHRASE_FILE"
# who could put another backup there cannot have encrypted it
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
    [ -f "$ledger" ] || fail "there is no ledger of erasures $ledger: name those of all daemons by --ledger, or say --no-ledger if nothing was ever erased"
  done
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unseal "$set/manifest.json$enc" >"$work/manifest.json" || fail "the manifest cannot be decrypted: is it the right passphrase?"
count_rows "$dump" >"$work/rows" || fail "the dump is damaged${enc:+, or it is not the right passphrase}"
run manifest check --target ${prepare:+"$prepare"} "$work/manifest.json" "$dump" <"$work/rows"
if [ -n "$dry_run" ]; then
  echo "$set is whole, and $PGDATABASE on $PGHOST can take it; nothing was changed"
  exit
fi

# Without the extensions that only a superuser may create, and the comments on any. The list ends before the dump does, whose reader fails.
pg_restore --list < <(unseal "$dump" 2>/dev/null) >"$work/contents" || fail "the dump has no list of its contents"
list_extensions trusted >"$work/extensions" || fail "the extensions cannot be listed"
awk 'NR == FNR { may[$1]; next } $4 == "EXTENSION" && !($6 in may) || $4 == "COMMENT" && $6 == "EXTENSION" { next } { print }' \
  "$work/extensions" "$work/contents" >"$work/list"
# all or nothing: an error leaves the database as empty as it was
# the rights that a restore needs do not outlive it, however it ends
trap 'run manifest abandon; rm -rf "$work"' EXIT
unseal "$dump" | pg_restore --use-list="$work/list" --single-transaction --exit-on-error --no-password --dbname="$PGDATABASE" ||
  fail "the restore failed and was rolled back: nothing was written"
run manifest finish --heads "$work/heads" "$work/manifest.json"
trap 'rm -rf "$work"' EXIT
# the catalogs of the cluster are a superuser's to analyze, which it would say fifty times
PGOPTIONS='-c client_min_messages=error' psql --no-psqlrc --quiet --no-password --command='analyze'

# From here on the data is there; what fails is told at the end, when the rest was done.
failed=()
run audit verify --heads "$work/heads" || failed+=('the audit is not whole')
# until this has succeeded the daemons refuse the database
if [ -n "$no_ledger" ]; then run erasures --no-ledger >/dev/null; else run erasures --ledger "${ledgers[@]}"; fi || failed+=('not everything could be erased again')
[ ${#failed[@]} = 0 ] || fail "restored, but $(IFS=';' && echo "${failed[*]}"): see above, and do not start the daemons before it is mended"
echo "Restored: $set into $PGDATABASE on $PGHOST. The daemons may be started."
