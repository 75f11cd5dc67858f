# shellcheck shell=bash
# Functions of backup.sh, restore.sh and verify-backup.sh. A backup is a directory with the dump, its manifest (both with the suffix .enc
# if encrypted) and SHA256SUMS.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Compose always mounts a file; if no passphrase is configured, it mounts /dev/null.
[ ! -c "${BACKUP_PASSPHRASE_FILE:-}" ] || unset BACKUP_PASSPHRASE_FILE

# The pattern of the time in a backup's name. A directory with another name is not a backup.
# shellcheck disable=SC2034 # used by the scripts that source this file
stamp='[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]_[0-9][0-9][0-9][0-9][0-9][0-9]'

fail() {
  echo "error: $*" >&2
  exit 1
}

need() {
  local tool
  for tool in "$@"; do command -v "$tool" >/dev/null || fail "$tool is not installed (Debian: ${packages[$tool]:-$tool})"; done
}
declare -A packages=([pg_dump]=postgresql-client [pg_restore]=postgresql-client [psql]=postgresql-client [createdb]=postgresql-client
  [pg_basebackup]=postgresql-client [pg_verifybackup]=postgresql-client [flock]=util-linux [sha256sum]=coreutils)

# Adds PostgreSQL's server programs to PATH, which Debian installs outside of it.
find_server() {
  local dir
  command -v pg_ctl >/dev/null && command -v pg_verifybackup >/dev/null && return
  for dir in /usr/lib/postgresql/*/bin; do [ ! -x "$dir/pg_ctl" ] || PATH=$dir:$PATH; done
}

# Runs a command of the service: the compiled one in an image, by tsx in a checkout.
run() {
  local name=$1
  shift
  if [ -f "$root/dist/scripts/$name.js" ]; then
    node "$root/dist/scripts/$name.js" "$@"
  else
    "$root/node_modules/.bin/tsx" "$root/scripts/$name.ts" "$@"
  fi
}

# Exports the service's connection settings (PG*, DATABASE_URL, POSTGRES_PASSWORD and their _FILE forms) for libpq's tools.
connect() {
  local variables
  variables=$(run manifest env) || exit 1
  eval "$variables"
}

# Lists the extensions that meet a condition. A plain owner can create, and so restore, only `trusted` ones. The service needs none, but an
# index that the operator added may.
list_extensions() {
  psql --no-psqlrc --no-password --quiet --tuples-only --no-align \
    --command="select distinct name from pg_available_extension_versions where $1"
}

check_passphrase() {
  [ -z "${BACKUP_PASSPHRASE_FILE:-}" ] && return
  need openssl
  [ -s "$BACKUP_PASSPHRASE_FILE" ] || fail "BACKUP_PASSPHRASE_FILE $BACKUP_PASSPHRASE_FILE is empty or cannot be read"
}

# Encrypts standard input if a passphrase is configured. No unencrypted data is written to disk.
seal() {
  if [ -n "${BACKUP_PASSPHRASE_FILE:-}" ]; then
    openssl enc -aes-256-cbc -pbkdf2 -iter 600000 -salt -pass "file:$BACKUP_PASSPHRASE_FILE"
  else
    cat
  fi
}

unseal() {
  case $1 in
    *.enc) openssl enc -d -aes-256-cbc -pbkdf2 -iter 600000 -pass "file:$BACKUP_PASSPHRASE_FILE" -in "$1" ;;
    *) cat "$1" ;;
  esac
}

# Counts the rows of each table in a dump. Reads the whole dump, so that damage is found, which its table of contents would not show.
count_rows() {
  unseal "$1" | pg_restore --data-only --file=- | run manifest count
}

# write_metrics FILE PREFIX WHAT BYTES SECONDS: writes metrics for node_exporter. Replaces the file atomically, because node_exporter may read it
# at any time. Does nothing if FILE is empty.
write_metrics() (
  [ -n "$1" ] || exit 0
  umask 022
  printf '%s\n' \
    "# HELP $2_last_success_timestamp_seconds Time when the last successful $3 finished." \
    "# TYPE $2_last_success_timestamp_seconds gauge" \
    "$2_last_success_timestamp_seconds $(date +%s)" \
    "# HELP $2_last_size_bytes Size of the last successful $3." \
    "# TYPE $2_last_size_bytes gauge" \
    "$2_last_size_bytes $4" \
    "# HELP $2_last_duration_seconds Duration of the last successful $3." \
    "# TYPE $2_last_duration_seconds gauge" \
    "$2_last_duration_seconds $5" >"$1.new"
  mv "$1.new" "$1"
)
