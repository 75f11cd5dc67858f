#!/usr/bin/env bash
# The command of the service postgres in docker-compose.prod.yml: runs PostgreSQL's image with WAL archiving from the first start.
set -euo pipefail
unset POSTGRES_PASSWORD_FILE # from .env.prod, where it is meant for a daemon outside of compose
secret=/run/secrets/postgres_password # /dev/null if no file is configured
[ ! -s "$secret" ] || POSTGRES_PASSWORD=$(cat "$secret")
case "${POSTGRES_PASSWORD:-}" in
  '' | '<'*) echo 'Set POSTGRES_PASSWORD in .env.prod: it is empty or still the placeholder.' >&2; exit 1 ;;
esac
[ "${PGUSER:-}" != postgres ] || { echo 'Set PGUSER in .env.prod to another name: postgres is the superuser, and the daemon must not be one.' >&2; exit 1; }
# roles.sh creates this login at the first start.
export OWNER=${PGUSER:-memory} OWNER_PASSWORD=$POSTGRES_PASSWORD
# The superuser's password is random and not stored: it connects by the socket, inside this container.
POSTGRES_PASSWORD=$(head -c 32 /dev/urandom | base64)
export POSTGRES_PASSWORD POSTGRES_USER=postgres POSTGRES_DB=${PGDATABASE:-agent_memory}
mkdir -p /archive/wal
exec docker-entrypoint.sh postgres -c config_file=/etc/postgresql/postgresql.conf -c listen_addresses='*' \
  -c archive_mode=on -c archive_timeout=60 -c archive_command='/usr/local/lib/agent-memory/archive-wal.sh %p %f /archive/wal'
