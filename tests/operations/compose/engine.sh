# shellcheck shell=bash disable=SC2154
# Starts the Docker engine of scripts/check-compose.sh, which defines skip, work and compose_command.

images() { sed -nE -e 's/^ +image: ([^$]+)$/\1/p' docker-compose.prod.yml; sed -nE 's/^FROM ([^ ]+:[^ ]+).*/\1/p' Dockerfile; }

start_engine() {
  local tool
  for tool in dockerd docker "${compose_command%% *}" openssl curl; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done
  [ "$(id -u)" = 0 ] || skip 'an engine of its own needs root'
  ! docker info >/dev/null 2>&1 || skip 'an engine is running here already, and two share their rules of the firewall; stop it first'
  export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/config
  dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" --host "$DOCKER_HOST" >"$work/dockerd.log" 2>&1 &
  engine=$!
  for _ in $(seq 60); do
    ! docker info >/dev/null 2>&1 || break
    kill -0 "$engine" 2>/dev/null || { engine=''; skip "dockerd does not start here: $(tail -n 1 "$work/dockerd.log")"; }
    sleep 1
  done
  docker info >/dev/null 2>&1 || skip "dockerd does not answer: $(tail -n 1 "$work/dockerd.log")"
  base_images
}

base_images() {
  local image stand_ins=()
  for image in $(images | sort -u); do
    if timeout 120 docker pull -q "$image" >/dev/null 2>"$work/pull"; then continue; fi
    case $image in
      node:*) stand_ins+=("$image=node") ;;
      pgvector/*) stand_ins+=("$image=postgres") ;;
      nginx:*) stand_ins+=("$image=nginx") ;;
      redis:*) stand_ins+=("$image=redis") ;;
      prom/* | prometheuscommunity/*) stand_ins+=("$image=$(basename "${image%:*}")") ;;
      *) echo "no stand-in for $image: what needs it is not run" ;;
    esac
  done
  [ ${#stand_ins[@]} = 0 ] || tests/operations/compose/stand-ins/build.sh "${stand_ins[@]}" || skip 'the stand-ins for the base images cannot be built'
}
