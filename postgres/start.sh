#!/usr/bin/env bash
# The command of the service postgres in docker-compose.prod.yml: PostgreSQL's image, with WAL archived from the first start on.
set -euo pipefail
unset POSTGRES_PASSWORD_FILE # of .env.prod, where it is meant for a daemon elsewhere
secret=/run/secrets/postgres_password # /dev/null where no file was named
[ ! -s "$secret" ] || POSTGRES_PASSWORD=$(cat "$secret")
case "${POSTGRES_PASSWORD:-}" in
  '' | '<'*) echo 'Set POSTGRES_PASSWORD in .env.prod: it is empty or still the placeholder.' >&2; exit 1 ;;
esac
[ "${PGUSER:-}" != postgres ] || { echo 'Set PGUSER in .env.prod to another name: postgres is the superuser, and the daemon is not.' >&2; exit 1; }
# roles.sh makes this one at the first start
export OWNER=${PGUSER:-memory} OWNER_PASSWORD=$POSTGRES_PASSWORD
# Nobody knows the superuser's password: it logs in by the socket, inside this container.
POSTGRES_PASSWORD=$(head -c 32 /dev/urandom | base64)
export POSTGRES_PASSWORD POSTGRES_USER=postgres POSTGRES_DB=${PGDATABASE:-agent_memory}
mkdir -p /archive/wal
exec docker-entrypoint.sh postgres -c config_file=/etc/postgresql/postgresql.conf -c listen_addresses='*' \
  -c archive_mode=on -c archive_timeout=60 -c archive_command='/usr/local/lib/agent-memory/archive-wal.sh %p %f /archive/wal'
