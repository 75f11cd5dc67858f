#!/usr/bin/env bash
# Does what PostgreSQL's official image does at the first start (docker-entrypoint.sh, since version 12): runs initdb with POSTGRES_INITDB_ARGS,
# creates the database, and runs every file in /docker-entrypoint-initdb.d while the server listens only on the socket.
set -Eeo pipefail

new_cluster() {
  [ -n "$POSTGRES_PASSWORD" ] || { echo 'Error: Database is uninitialized and superuser password is not specified.' >&2; exit 1; }
  POSTGRES_USER=${POSTGRES_USER:-postgres} POSTGRES_DB=${POSTGRES_DB:-${POSTGRES_USER:-postgres}}
  # shellcheck disable=SC2154 # quotes in POSTGRES_INITDB_ARGS are interpreted as in a shell
  eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"
  sed -i "s/^#listen_addresses.*/listen_addresses = '*'/" "$PGDATA/postgresql.conf"
  printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
}

process_sql() {
  PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" "$@"
}

process_init_files() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh)
        # shellcheck disable=SC1090
        if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
      *.sql) process_sql -f "$file" ;;
      *.sql.gz) gunzip -c "$file" | process_sql ;;
      *) echo "ignoring $file" ;;
    esac
  done
}

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  new_cluster
  options=$(printf '%q ' "${@:2}" -c listen_addresses='')
  PGUSER="${PGUSER:-$POSTGRES_USER}" pg_ctl -D "$PGDATA" -o "$options" -w start
  (wanted=$POSTGRES_DB POSTGRES_DB=postgres && process_sql --set db="$wanted" <<<'create database :"db";')
  process_init_files
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
