# shellcheck shell=bash
# What backup.sh, restore.sh and verify-backup.sh share. A backup is a directory: the dump, its manifest (both .enc where there is a
# passphrase) and SHA256SUMS.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Compose can only mount something: where no passphrase is meant, /dev/null.
[ ! -c "${BACKUP_PASSPHRASE_FILE:-}" ] || unset BACKUP_PASSPHRASE_FILE

# The pattern of the time in a backup's name. A directory with another name is not a backup.
# shellcheck disable=SC2034 # for those who read this file
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

# Debian keeps the server's own programs out of the way.
find_server() {
  local dir
  command -v pg_ctl >/dev/null && command -v pg_verifybackup >/dev/null && return
  for dir in /usr/lib/postgresql/*/bin; do [ ! -x "$dir/pg_ctl" ] || PATH=$dir:$PATH; done
}

# A command of the service: compiled in an image, by tsx in a checkout.
run() {
  local name=$1
  shift
  if [ -f "$root/dist/scripts/$name.js" ]; then
    node "$root/dist/scripts/$name.js" "$@"
  else
    "$root/node_modules/.bin/tsx" "$root/scripts/$name.ts" "$@"
  fi
}

# The service's connection for libpq's tools, from PG*, DATABASE_URL or POSTGRES_PASSWORD, each also as a file.
connect() {
  local variables
  variables=$(run manifest env) || exit 1
  eval "$variables"
}

# By a condition. Those that are `trusted` a plain owner may create, and so restore; ours need none, an index of his own might.
list_extensions() {
  psql --no-psqlrc --no-password --quiet --tuples-only --no-align \
    --command="select distinct name from pg_available_extension_versions where $1"
}

check_passphrase() {
  [ -z "${BACKUP_PASSPHRASE_FILE:-}" ] && return
  need openssl
  [ -s "$BACKUP_PASSPHRASE_FILE" ] || fail "BACKUP_PASSPHRASE_FILE $BACKUP_PASSPHRASE_FILE is empty or cannot be read"
}

# Encrypts where there is a passphrase. Nothing is written in clear on the way.
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

# How many rows each table has in a dump, by reading all of it: what cannot be read fails here, which its list of contents would not show.
count_rows() {
  unseal "$1" | pg_restore --data-only --file=- | run manifest count
}

# tell_figures FILE PREFIX WHAT BYTES SECONDS: for node_exporter, which reads the file at any moment and must never see half of it. No FILE, no figures.
tell_figures() (
  [ -n "$1" ] || exit 0
  umask 022
  printf '%s\n' \
    "# HELP $2_last_success_timestamp_seconds When the last good $3 was finished." \
    "# TYPE $2_last_success_timestamp_seconds gauge" \
    "$2_last_success_timestamp_seconds $(date +%s)" \
    "# HELP $2_last_size_bytes Its size." \
    "# TYPE $2_last_size_bytes gauge" \
    "$2_last_size_bytes $4" \
    "# HELP $2_last_duration_seconds How long it took." \
    "# TYPE $2_last_duration_seconds gauge" \
    "$2_last_duration_seconds $5" >"$1.new"
  mv "$1.new" "$1"
)
