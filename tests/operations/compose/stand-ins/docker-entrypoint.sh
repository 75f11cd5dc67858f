#!/usr/bin/env bash
# What postgres's own image does at a first start, as far as docker-compose.prod.yml relies on it.
set -euo pipefail
if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  pg_ctl -w -o "-c listen_addresses=''" start >/dev/null
  psql=(psql -v ON_ERROR_STOP=1 --no-password --username "$POSTGRES_USER")
  "${psql[@]}" -d postgres -c "create database \"$POSTGRES_DB\""
  for file in /docker-entrypoint-initdb.d/*.sql; do "${psql[@]}" -d "$POSTGRES_DB" -f "$file"; done
  pg_ctl -m fast -w stop >/dev/null
fi
exec "$@"
