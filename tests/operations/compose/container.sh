# shellcheck shell=bash disable=SC2154
# The checks of a single container with the embedded database. scripts/check-compose.sh runs them after it has built the image.

container=agentstate image_under_test=agent-memory:latest
# The command of the AgentState guide, with a key and the image of this project.
guides_run() {
  docker run -d --name "$container" -p 8080:8080 -p 9090:9090 -e DATA_DIR=/data -e REGION=us-west-2 -e CAP_KEY_ACTIVE_ID=active \
    -e CAP_KEY_ACTIVE="$(cat "$work/capability-key")" -v agentstate-data:/data "$@" "$image_under_test"
}
answers() { # answers URL: waits up to two minutes
  for _ in $(seq 120); do ! curl -fs "$1" >"$work/answer" || return 0; sleep 1; done
  docker logs --tail 20 "$container"; return 1
}
in_container() { curl -sS --fail-with-body "http://localhost:8080$1" -H 'Content-Type: application/json' "${@:2}"; }
secret_files() { docker exec "$container" sh -c 'cd /data && stat -c "%n %a %u" jwt-secret encryption-key && cat jwt-secret encryption-key'; }
generated_lines() { docker logs "$container" 2>&1 | grep -c 'generated the secrets' || true; }

single_container() {
  openssl rand -base64 32 >"$work/capability-key"
  guides_run
  answers http://localhost:8080/health
  has '"status":"healthy"' <"$work/answer"
  [ "$(docker exec "$container" id -u)" = 1000 ]
  secret_files >"$work/secrets"
  grep -qx 'jwt-secret 600 1000' "$work/secrets" && grep -qx 'encryption-key 600 1000' "$work/secrets"
  [ "$(generated_lines)" = 1 ]
  in_container /auth/register -d '{"tenant_id":"acme","username":"alice","password":"correct horse 9 battery"}' | field access_token >"$work/acme"
  in_container /v1/events -H "Authorization: Bearer $(cat "$work/acme")" -d '{"text":"kept in the volume","channel":"team"}' | field event_id >"$work/event"
  for _ in $(seq 60); do [ "$(docker inspect -f '{{.State.Health.Status}}' "$container")" != healthy ] || return 0; sleep 1; done
  echo 'the health check does not succeed'; return 1
}
# The token of before is accepted, so the secret is the same.
volume_keeps_all() {
  docker stop -t 30 "$container"
  [ "$(docker inspect -f '{{.State.ExitCode}}' "$container")" = 0 ]
  docker rm "$container" && guides_run --read-only --tmpfs /tmp --cap-drop ALL
  answers http://localhost:8080/health
  in_container "/v1/events/$(cat "$work/event")" -H "Authorization: Bearer $(cat "$work/acme")" | has 'kept in the volume'
  secret_files | cmp - "$work/secrets"
  [ "$(generated_lines)" = 0 ]
}
volume_copied() { # as docs/how-to/run-one-container.md describes it
  docker stop -t 30 "$container"
  docker run --rm -v agentstate-data:/data:ro -v "$work:/backup" --user root "$image_under_test" tar -czf /backup/agentstate.tar.gz -C /data .
  tar -tzf "$work/agentstate.tar.gz" | has '^./encryption-key$'
  docker start "$container" && answers http://localhost:8080/health
}
container_admin_port() {
  curl -fsS http://localhost:8080/metrics | has '^agent_memory_total_requests'
  docker rm -f "$container" && guides_run -e ADMIN_PORT=9090 -e ADMIN_HOST=0.0.0.0
  answers http://localhost:9090/metrics
  [ "$(curl -s -o /dev/null -w '%{http_code}' http://localhost:8080/metrics)" = 404 ]
  docker rm -f "$container"
}
unwritable_volume() {
  mkdir -p "$work/of-root"
  fails_with 'The data directory cannot be created or written' docker run --rm -v "$work/of-root:/data" "$image_under_test"
  [ -z "$(ls -A "$work/of-root")" ]
}
nothing_made_in_production() {
  fails_with 'JWT_SECRET: got nothing' docker run --rm -e NODE_ENV=production -v production-data:/data "$image_under_test"
  docker run -d --name production -e NODE_ENV=production -e JWT_SECRET="$(openssl rand -base64 32)" -v production-data:/data "$image_under_test"
  for _ in $(seq 120); do ! docker logs production 2>&1 | has '"ready"' || break; sleep 1; done
  docker exec production sh -c '[ -d /data/pgdata ] && [ ! -e /data/jwt-secret ] && [ ! -e /data/encryption-key ] && [ ! -e /data/capability-key ]'
  docker rm -f production && docker volume rm production-data
}
