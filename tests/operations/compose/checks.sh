# shellcheck shell=bash disable=SC2154
# The checks of scripts/check-compose.sh, in the order of the deployment guide. They run in a copy of the project.

. "$project/tests/operations/compose/container.sh"

fails_with() { # fails_with TEXT COMMAND…: expects the command to fail with this text
  if "${@:2}" >"$work/message" 2>&1; then echo 'it did not fail'; return 1; fi
  cat "$work/message"
  grep -q -- "$1" "$work/message"
}
# Reads to the end, so that the previous command is not killed by a closed pipe.
has() { grep -e "$1" >/dev/null; }
health_of() { docker inspect -f '{{.State.Health.Status}}' "$(compose ps -q "$1")"; }
healthy() { # healthy SERVICE…: waits up to two minutes
  local service
  for service in "$@"; do
    for _ in $(seq 120); do [ "$(health_of "$service")" != healthy ] || continue 2; sleep 1; done
    echo "$service is $(health_of "$service")"; compose logs --tail 20 "$service"; return 1
  done
}
api() { curl -sS --fail-with-body --cacert nginx/ssl/cert.pem "https://localhost$1" "${@:2}" -H 'Content-Type: application/json'; }
as_admin() { api "$1" -H "Authorization: Bearer $(cat "$work/token")" "${@:2}"; }
field() { node -p "JSON.parse(require('fs').readFileSync(0, 'utf8')).$1"; }
# as the superuser, because row-level security applies to the owner
sql() { compose exec -T postgres psql -U postgres -d agent_memory "$@"; }
value() { sql -XAtc "$1" | tr -d '\r'; }

no_env() { fails_with 'env file.*\.env\.prod' compose up -d && [ "$(wc -l <"$work/message")" = 1 ]; }
placeholder() { fails_with 'Set POSTGRES_PASSWORD in .env.prod' compose run -T --rm postgres; compose down -v; }
prepare() {
  cp .env.example .env.prod
  sed -i -e "s|^JWT_SECRET=.*|JWT_SECRET=$(openssl rand -base64 32)|" -e "s|^POSTGRES_PASSWORD=.*|POSTGRES_PASSWORD=$(openssl rand -hex 16)|" \
    -e 's|^RATE_LIMIT_MAX_REQUESTS=.*|RATE_LIMIT_MAX_REQUESTS=1000000|' .env.prod
  # On a busy machine, opening a connection may take longer than the 2 s of the guide.
  sed -i 's|^PGCONNECTION_TIMEOUT=.*|PGCONNECTION_TIMEOUT=9000|' .env.prod
  printf '%s\n' RATE_LIMIT_TENANT_MAX=1000000 "ENCRYPTION_KEY=$(openssl rand -base64 32)" >>.env.prod
  scripts/make-cert.sh localhost
}
hardened() {
  local service id
  for service in "$@"; do
    id=$(compose ps -q "$service")
    docker inspect "$id" | node -e '
      const [{ HostConfig: h, Config: c }] = JSON.parse(require("fs").readFileSync(0, "utf8"));
      const wanted = { "read-only": h.ReadonlyRootfs, "no capabilities": h.CapDrop?.includes("ALL"), "no new privileges": h.SecurityOpt?.some((o) => o.includes("no-new-privileges")),
        memory: h.Memory > 0, cpu: h.NanoCpus > 0, pids: h.PidsLimit > 0, "log size": h.LogConfig.Config["max-size"], user: c.User && !/^(0|root)\b/.test(c.User) || process.argv[1] === "nginx" };
      const lacks = Object.entries(wanted).filter(([, there]) => !there).map(([name]) => name);
      if (lacks.length) { console.log(process.argv[1], "lacks", lacks); process.exit(1); }' "$service"
  done
}
published() { [ "$(docker ps --format '{{.Names}} {{.Ports}}' | grep -- '->' | tee /dev/stderr | grep -vc nginx)" = 0 ] && compose port nginx 3000 | has '^127.0.0.1:'; }
image() {
  # shellcheck disable=SC2016 # the container's shell is meant
  compose exec -T memory-daemon sh -c '! command -v npm && ! command -v npx && [ "$(id -u)" = 1000 ] && ! touch /app/x && touch /data/x && rm /data/x'
  [ "$(docker inspect -f '{{index .Config.Labels "org.opencontainers.image.title"}}' agent-memory:latest)" = 'Agent Memory' ]
}
health() { curl -fsS http://localhost:3000/health | has '"status":"healthy"'; }
enter() {
  api /auth/register -d '{"tenant_id":"production","username":"admin","password":"SecurePass123!"}'
  api /auth/login -d '{"tenant_id":"production","username":"admin","password":"SecurePass123!"}' | field access_token >"$work/token"
}
record_and_recall() {
  as_admin /v1/events -d '{"session_id":"s1","channel":"team","actor":{"type":"agent","id":"planner"},"kind":"decision","content":{"decision":"Read files in blocks of 64 KiB","rationale":["lines are slow"]}}'
  as_admin '/v1/context?render=text' -d '{"session_id":"s2","channel":"team","query_text":"How do we read files?","max_tokens":2000}' | has '64 KiB'
}
operators_commands() {
  compose exec -T memory-daemon node dist/scripts/migrate.js status | has applied
  compose exec -T memory-daemon node dist/scripts/tenant.js list | has production
  compose exec -T memory-daemon node dist/scripts/audit.js verify | has '  valid'
  { compose exec -T memory-daemon node dist/scripts/doctor.js || true; } | tee /dev/stderr | has "^ok .*PostgreSQL"
  compose run -T --rm migrate | has '0 applied'
}
guides_psql() {
  compose exec -T postgres psql -U memory -d agent_memory -c '\d users' | has tenant_id
  compose exec -T postgres psql -U memory -d agent_memory -c '\i /docker-entrypoint-initdb.d/schema.sql' | has 0001_
  # The guide's "tune PostgreSQL" by the superuser: ALTER SYSTEM takes precedence over our file.
  sql -Atc 'show max_connections' | has 200
  sql -c "alter system set maintenance_work_mem = '65MB'" -c 'select pg_reload_conf()' >/dev/null
  sleep 1
  sql -Atc 'show maintenance_work_mem' | has 65MB
}
plain_owner() {
  [ "$(value "select rolsuper::text || rolcreaterole || rolcreatedb || rolreplication || rolbypassrls from pg_roles where rolname = 'memory'")" = falsetruetruefalsefalse ]
  [ "$(value "select string_agg(rolname, ',') from pg_roles where rolsuper")" = postgres ]
  [ "$(value "select pg_get_userbyid(datdba) from pg_database where datname = 'agent_memory'")" = memory ]
  [ "$(value "select string_agg(distinct usename, ',') from pg_stat_activity where application_name like 'agent-memory%'")" = memory ]
  # The password in .env.prod is not that of the superuser.
  fails_with 'password authentication failed' compose exec -T memory-daemon node -e '
    const { Client } = require("pg");
    new Client({ host: "postgres", user: "postgres", password: process.env.POSTGRES_PASSWORD }).connect().catch(({ message }) => { console.error(message); process.exit(1); });'
}
checksums() { [ "$(value 'show data_checksums')" = on ]; }
based() { # waits for the automatic base backup, and checks that WAL is archived
  for _ in $(seq 60); do
    ! compose exec -T base-backup sh -c 'ls /archive/base' | has '^base_' || break
    sleep 2
  done
  compose logs --tail 20 base-backup
  compose exec -T base-backup sh -c 'ls -d /archive/base/base_* /archive/wal/*.gz' | has base_
  compose exec -T base-backup cat /metrics/base_backup.prom | has '^agent_memory_base_backup_last_success_timestamp_seconds [0-9]'
  [ "$(value 'select archived_count > 0 and failed_count = 0 from pg_stat_archiver')" = t ]
}
dumped() { # waits for the automatic dump, which is retried until the schema exists
  for _ in $(seq 90); do
    ! compose exec -T backup ls /backups | has '^backup_' || break
    sleep 2
  done
  compose logs --tail 20 backup
  compose exec -T backup ls /backups | has '^backup_'
  compose exec -T backup cat /metrics/backup.prom | has '^agent_memory_backup_last_success_timestamp_seconds [0-9]'
}
compose_logs() { compose logs --tail 50 memory-daemon | has ready && compose ps | has memory-daemon; }

start_load() {
  NODE_EXTRA_CA_CERTS=$PWD/nginx/ssl/cert.pem "$project/node_modules/.bin/tsx" "$project/tests/operations/compose/load.ts" https://localhost "$(cat "$work/token")" "$work/acknowledged" >"$work/load" 2>&1 &
  load=$!
  for _ in $(seq 60); do [ ! -s "$work/acknowledged" ] || return 0; sleep 0.5; done
  cat "$work/load"; stop_load; return 1
}
stop_load() { kill "$load" || true; wait "$load" || true; load=''; }
no_request_failed() {
  tail -n 1 "$work/load"
  node -e 'const c = JSON.parse(process.argv[1]); if (c.recorded < 20 || Object.keys(c.failed).length > 0) process.exit(1)' "$(tail -n 1 "$work/load")" ||
    { compose logs --no-color | grep -E '"status":(4|5)|"level":"(warn|error|fatal)|reloaded|FATAL' | cut -c1-400; return 1; }
}
replaced() { # replaced SERVICE: recreates it under load, and checks that the container is a new one
  local before
  before=$(compose ps -q "$1")
  compose up -d --force-recreate "$1" && healthy "$1" && [ "$(compose ps -q "$1")" != "$before" ]
}
rolling() {
  local postgres
  postgres=$(compose ps -q postgres)
  replaced memory-daemon && sleep 3 && replaced memory-daemon-2 && sleep 3 && [ "$(compose ps -q postgres)" = "$postgres" ]
}
one_of_two() { compose stop memory-daemon-2 && sleep 5 && compose start memory-daemon-2 && healthy memory-daemon-2; }
nothing_lost() {
  [ "$(value 'select count(*) from events')" -ge "$(wc -l <"$work/acknowledged")" ]
  sort -u "$work/acknowledged" >"$work/wanted"
  value 'select event_id from events' | sort -u >"$work/there"
  [ -z "$(comm -23 "$work/wanted" "$work/there" | tee /dev/stderr)" ]
}
down_and_up() { compose down && compose up -d && healthy nginx && health && nothing_lost && token_is_good; }
# The password is removed from the environment of the containers.
password_file() {
  sed -n 's/^POSTGRES_PASSWORD=//p' .env.prod >"$work/password"
  chmod 444 "$work/password"
  sed -i 's/^POSTGRES_PASSWORD=.*/POSTGRES_PASSWORD=/' .env.prod
  echo "POSTGRES_PASSWORD_FILE=$work/password" >>.env
  down_and_up
  # shellcheck disable=SC2016 # the container's shell is meant
  in_backup sh -c '[ -z "$POSTGRES_PASSWORD" ] && scripts/verify-backup.sh latest'
}
token_is_good() { as_admin '/v1/events?limit=1' >/dev/null; }
with_redis() {
  echo REDIS_URL=redis://redis:6379 >>.env.prod
  compose --profile redis up -d
  healthy redis memory-daemon memory-daemon-2 nginx
  for _ in $(seq 20); do
    token_is_good
    [ "$(compose exec -T redis redis-cli dbsize | tr -dc 0-9)" = 0 ] || return 0
    sleep 1
  done
  compose exec -T redis redis-cli client list; compose logs --tail 20 memory-daemon; return 1
}
scraped() {
  compose --profile monitoring up -d prometheus node-exporter blackbox-exporter postgres-exporter alertmanager
  for _ in $(seq 40); do
    curl -fsS http://localhost:9090/api/v1/targets >"$work/targets" || true
    ! node -e '
      const { data } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
      const of = (job) => data.activeTargets.filter((target) => target.labels.job === job);
      process.exit(of("agent-memory").length === 2 && data.activeTargets.every((target) => target.health === "up") ? 0 : 1)' "$work/targets" || return 0
    sleep 3
  done
  cat "$work/targets"; return 1
}
moved_metrics() {
  curl -fsS http://localhost:3000/metrics | has '^agent_memory_total_requests'
  echo ADMIN_PORT=9464 >>.env
  compose up -d --no-deps memory-daemon memory-daemon-2 && healthy memory-daemon memory-daemon-2
  compose up -d --no-deps nginx && healthy nginx
  for _ in $(seq 30); do ! curl -fs http://localhost:3000/metrics >"$work/metrics" || break; sleep 1; done
  has '^agent_memory_total_requests' <"$work/metrics"
  compose exec -T memory-daemon node -e 'fetch("http://memory-daemon-2:3000/metrics").then(({ status }) => process.exit(status === 404 ? 0 : 1))'
  scraped && has 'memory-daemon:9464' <"$work/targets"
  sed -i /^ADMIN_PORT/d .env
  compose up -d --no-deps memory-daemon memory-daemon-2 nginx && healthy memory-daemon memory-daemon-2 nginx
}
in_backup() { compose run -T --rm backup "$@"; }
backed_up() {
  in_backup scripts/backup.sh
  in_backup scripts/verify-backup.sh latest
  in_backup ls /backups | tr -d '\r' | grep '^backup_' >"$work/backups"
}
encrypted() {
  local secret=$work/passphrase newest
  openssl rand -base64 32 >"$secret"
  chown 1000 "$secret" && chmod 400 "$secret"
  BACKUP_PASSPHRASE_FILE=$secret in_backup scripts/backup.sh
  newest=$(in_backup sh -c 'ls -d /backups/backup_* | tail -n 1' | tr -d '\r')
  in_backup sh -c "test -s $newest/database.dump.enc && test ! -e $newest/database.dump"
  BACKUP_PASSPHRASE_FILE=$secret in_backup scripts/verify-backup.sh latest
  in_backup rm -r "$newest"
}
# As in the guide, but for both daemons and without the last command.
restored() {
  local newest
  newest=$(tail -n 1 "$work/backups")
  compose stop memory-daemon memory-daemon-2
  compose exec -T postgres psql -U memory -d postgres -c 'alter database agent_memory rename to agent_memory_lost'
  compose exec -T postgres createdb -U memory agent_memory
  in_backup scripts/restore.sh --no-ledger "/backups/$newest"
  compose start memory-daemon memory-daemon-2
  healthy memory-daemon memory-daemon-2
  nothing_lost && token_is_good
}

# Events recorded before the target time exist, later ones do not; then the stack continues from there.
recovered() {
  local before after moment
  before=$(as_admin /v1/events -d '{"text": "before the moment", "channel": "team"}' | field event_id)
  sleep 2; moment=$(date -u '+%F %T+00'); sleep 2
  after=$(as_admin /v1/events -d '{"text": "after the moment", "channel": "team"}' | field event_id)
  value 'select pg_switch_wal()'
  for _ in $(seq 30); do [ "$(value "select last_archived_time > '$moment' from pg_stat_archiver")" != t ] || break; sleep 1; done
  compose stop memory-daemon memory-daemon-2 postgres
  compose run -T --rm base-backup scripts/pitr.sh --to "$moment" /recovered
  echo POSTGRES_VOLUME=recovered >>.env
  compose rm -f postgres
  compose up -d postgres && healthy postgres
  for _ in $(seq 60); do [ "$(value 'select pg_is_in_recovery()')" != f ] || break; sleep 1; done
  compose run -T --rm --no-deps memory-daemon node dist/scripts/erasures.js --no-ledger
  compose up -d && healthy memory-daemon memory-daemon-2 nginx
  as_admin "/v1/events/$before" | has 'before the moment'
  fails_with '"status":404' as_admin "/v1/events/$after"
  compose exec -T base-backup scripts/base-backup.sh
}

image_of() { # image_of WORD NAME: pushes a new image that contains a word to the registry
  mkdir -p "$work/one" && echo "$1" >"$work/one/word" && tar -C "$work/one" -c . | docker import - "$2" >/dev/null && docker push -q "$2"
}
pinned() {
  local registry=127.0.0.1:5055 files=("$work/compose.yml" "$work/Dockerfile")
  printf 'version: 0.1\nstorage: { filesystem: { rootdirectory: %s } }\nhttp: { addr: "%s" }\n' "$work/registry" "$registry" >"$work/registry.yml"
  docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
  # shellcheck disable=SC2064 # this one
  trap "kill $!" EXIT
  for _ in $(seq 50); do ! curl -fs "http://$registry/v2/" >/dev/null || break; sleep 0.2; done
  image_of old "$registry/base:1.2" && image_of old "$registry/other:3"
  # shellcheck disable=SC2016 # as docker-compose.prod.yml has it
  printf 'services:\n  a:\n    image: %s/base:1.2\n  b:\n    image: ${OWN:-own:latest}\n' "$registry" >"${files[0]}"
  printf 'FROM %s/other:3 AS build\nFROM %s/base:1.2\n' "$registry" "$registry" >"${files[1]}"
  cat "${files[@]}" >"$work/before"
  scripts/pin-images.sh "${files[@]}" | has 'other:3@sha256:'
  [ "$(grep -c '@sha256:[0-9a-f]\{64\}' "${files[@]}" | cut -d: -f2 | tr '\n' ' ')" = '1 2 ' ]
  # The tag moves; the pinned image stays the same.
  image_of new "$registry/base:1.2"
  docker image rm -f "$registry/base:1.2" >/dev/null
  docker create --name pinned "$(sed -nE 's/^ +image: ([^ $]+@.*)/\1/p' "${files[0]}")" word && docker cp pinned:/word - | tar -xO | has old
  scripts/pin-images.sh --unpin "${files[@]}" && cat "${files[@]}" | cmp - "$work/before"
  # An image that does not exist changes nothing.
  sed -i "s#base:1.2#base:9#" "${files[0]}" && cat "${files[@]}" >"$work/before"
  fails_with 'nothing was changed' scripts/pin-images.sh "${files[@]}" && cat "${files[@]}" | cmp - "$work/before"
}

# as docs/tls.md describes it; Prometheus is not restarted
overridden() { compose -f docker-compose.override.yml "$@"; }
encrypted_inside() {
  scripts/make-mtls.sh && chown 1000 nginx/mtls/daemon.key
  # shellcheck disable=SC2016 # no command is meant
  sed -n '/^x-mtls/,/^```/{/^```/!p}' docs/tls.md >docker-compose.override.yml
  overridden up -d --no-deps --force-recreate memory-daemon memory-daemon-2 nginx
  healthy memory-daemon memory-daemon-2 nginx
  for _ in $(seq 30); do ! health || break; sleep 1; done
  health && as_admin /v1/events -d '{"text": "on an encrypted way", "channel": "team"}'
  fails_with 'alert certificate required\|SSL_ERROR\|ECONNRESET\|tlsv13 alert' overridden exec -T memory-daemon node -e '
    require("https").get({ host: "memory-daemon-2", port: 3000, path: "/ready", rejectUnauthorized: false }, (res) => process.exit(res.statusCode === 200 ? 0 : 2))
      .on("error", (error) => { console.error(error); process.exit(1); });'
}

check 'a missing .env.prod gives one line of error' no_env
check 'a placeholder password is rejected before a database is created' eval 'cp .env.example .env.prod && placeholder'
check 'preparation as in the guide' prepare
check 'up -d' compose up -d
check 'all services are healthy' healthy postgres memory-daemon memory-daemon-2 nginx
check 'ps and logs' compose_logs
check 'no privileges, no capabilities, resource limits, limited logs' hardened postgres memory-daemon memory-daemon-2 nginx backup base-backup
check 'only nginx is published, port 3000 only on the loopback interface' published
check 'the image has labels and no npm, is read-only, and does not run as root' image
check 'curl http://localhost:3000/health' health
check 'the docker run of the AgentState guide starts the embedded service as an ordinary user, with its secrets in the volume' single_container
check 'another container on that volume has the same data and secrets, also with a read-only root file system' volume_keeps_all
check 'the volume of a container is copied' volume_copied
check 'ADMIN_PORT moves the metrics of the container' container_admin_port
check 'a volume that the user of the image cannot write is reported' unwritable_volume
check 'in production a container makes no secret' nothing_made_in_production
check 'register and log in over https' enter
check 'record and recall over https' record_and_recall
check 'the commands of the operator in the image' operators_commands
check 'psql as in the guide' guides_psql
check 'the daemons connect as a plain owner, and the superuser has another password' plain_owner
check 'data checksums are on' checksums
check 'a base backup and archived WAL, by default' based
check 'a dump, by default' dumped
if start_load; then
  check 'both daemons are recreated under load, one after the other; postgres is not' rolling
  stop_load
  check 'no request failed' no_request_failed
fi
if start_load; then
  check 'a daemon is stopped and started under load' one_of_two
  stop_load
  check 'no request failed' no_request_failed
fi
check 'restart nginx' eval 'compose restart nginx && healthy nginx && health'
check 'down and up lose no acknowledged write' down_and_up
check 'a backup and its verification in the service backup' backed_up
check 'the database password from a file' password_file
check 'an encrypted backup' encrypted
check 'restoring a renamed database loses nothing' restored
check 'point-in-time recovery from the base backup and the WAL' recovered
if command -v docker-registry >/dev/null; then
  check 'images are pinned to the digests of a registry, and a moved tag has no effect' pinned
else echo 'skipped: scripts/pin-images.sh (docker-registry is not installed)'; fi
check 'with --profile redis the rate limits are counted in Redis' with_redis
check 'with --profile monitoring every target of Prometheus is up' scraped
check 'ADMIN_PORT in .env moves the metrics of the daemons, and nginx and Prometheus follow' moved_metrics
check 'mutual TLS between nginx and the daemons' encrypted_inside
