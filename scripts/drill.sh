#!/usr/bin/env bash
# The disaster drill of docs/backup.md: starts its own server and daemon in temporary directories, loads at least DRILL_EVENTS (1000) events, makes
# a backup, kills everything, restores, verifies, and prints the time to recovery.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/backup-set.sh"

[ $# = 0 ] || fail 'usage: drill.sh (DRILL_EVENTS sets the number of events)'
events=${DRILL_EVENTS:-1000}
find_server
need initdb pg_ctl psql pg_dump pg_restore openssl curl
[ -f "$root/dist/main.js" ] || fail "dist/main.js does not exist: run npm run build"
place=$(mktemp -d)
chmod 711 "$place"
# PostgreSQL refuses to run as root
as=()
[ "$(id -u)" != 0 ] || as=(runuser -u postgres --)
daemon=''
clean_up() {
  [ -z "$daemon" ] || kill -9 "$daemon" 2>/dev/null || true
  [ ! -f "$place/pg/data/postmaster.pid" ] || kill -9 "$(head -1 "$place/pg/data/postmaster.pid")" 2>/dev/null || true
  rm -rf "$place"
}
trap clean_up EXIT

free_port() { node -e 'const server = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(server.address().port); server.close(); })'; }
step() { printf '%(%T)T  %s\n' -1 "$*"; }

# Isolate the drill from the configuration of this machine.
unset DATABASE_URL PGPASSWORD POSTGRES_PASSWORD BACKUP_METRICS_FILE PGPASSFILE PGSERVICE PGOPTIONS
PGPORT=$(free_port)
url=http://127.0.0.1:$(free_port)
export PGHOST=127.0.0.1 PGPORT PGUSER=memory PGDATABASE=agent_memory NODE_ENV=production LOG_LEVEL=error HOST=127.0.0.1 PORT=${url##*:}
JWT_SECRET=$(openssl rand -base64 32) ENCRYPTION_KEY=$(openssl rand -base64 32)
export JWT_SECRET ENCRYPTION_KEY DATA_DIR=$place/data RATE_LIMIT_ENABLED=false
export BACKUP_DIR=$place/backups BACKUP_PASSPHRASE_FILE=$place/passphrase
openssl rand -base64 32 >"$BACKUP_PASSPHRASE_FILE"

start_server() {
  install -d -m 700 ${as:+-o postgres} "$place/pg"
  (cd "$place/pg" && "${as[@]}" initdb -D "$place/pg/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >/dev/null)
  (cd "$place/pg" && "${as[@]}" pg_ctl -w -D "$place/pg/data" -l "$place/pg/log" -o "-p $PGPORT -k $place/pg -c listen_addresses=127.0.0.1" start >/dev/null)
  psql -qX -U postgres -d postgres -c 'create role memory login createrole' -c 'create database agent_memory owner memory'
}

start_daemon() {
  node "$root/dist/main.js" >"$place/daemon.log" 2>&1 &
  daemon=$!
  for _ in {1..300}; do
    curl -sf "$url/ready" >/dev/null && return
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.2
  done
  fail "the daemon did not become ready: $(cat "$place/daemon.log")"
}

post() { curl -sf "$url$1" -H 'Content-Type: application/json' ${token:+-H "Authorization: Bearer $token"} -d "$2"; }

# Hashes all rows of all tables, as a superuser, to whom row-level security does not apply. Excludes the table that identifies the installation and
# the one in which the running daemon records its sweeps, which may change after the backup.
content_hash() {
  local table
  for table in $(psql -qXAt -U postgres -c "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' and relpersistence = 'p' and relname not in ('installation', 'sweep_walks') order by 1"); do
    echo "$table"
    psql -qXAt -U postgres -c "copy (select t::text from $table t order by t::text) to stdout"
  done | sha256sum
}

load() { # records the events in two tenants, 100 per request
  local tenant batch i
  for tenant in drill-a drill-b; do
    token=''
    token=$(post /auth/register "{\"tenant_id\": \"$tenant\", \"username\": \"alice\", \"password\": \"a-long-passphrase\"}" | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
    for ((batch = 0; batch < events; batch += 200)); do
      post /v1/events "{\"events\": [$(for i in {1..100}; do
        printf '%s{"session_id": "s%d", "channel": "team", "actor": {"type": "human", "id": "alice"}, "kind": "message", "content": {"text": "line %d of %s"}}' \
          "$([ "$i" = 1 ] || echo ,)" "$batch" "$((batch + i))" "$tenant"
      done)]}" >/dev/null
    done
  done
}

step "start a server and a daemon"
start_server
start_daemon
step "load: at least $events events"
load
step "backup"
"$root/scripts/backup.sh"
before=$(content_hash)

step "kill everything and delete the server's data"
lost=$(date +%s)
kill -9 "$daemon" "$(head -1 "$place/pg/data/postmaster.pid")"
wait "$daemon" 2>/dev/null || true
daemon=''
while pgrep -f "postgres.* -D $place|$place/pg/data" >/dev/null; do sleep 0.1; done
rm -rf "$place/pg"

step "restore the backup into a new server"
start_server
"$root/scripts/restore.sh" --no-ledger "$(find "$BACKUP_DIR" -maxdepth 1 -name 'backup_*' | sort | tail -1)"
after=$(content_hash)
[ "$before" = "$after" ] || fail "the restored data differs from the original: $before $after"
step "start the daemon"
start_daemon
post /v1/search '{"query": "line 100 of drill-b", "channel": "team"}' | grep -q 'of drill-b' || fail "the restored daemon finds nothing"
count=$(psql -qXAt -U postgres -c 'select count(*) from events')
step "passed: $count events restored with the same hash, serving again $(($(date +%s) - lost)) s after the loss"
