#!/usr/bin/env bash
# Runs docker-compose.prod.yml on a real Docker engine, from the guide's first command to a backup and its restore. Prints a line per check.
# Starts its own engine in a temporary directory. If no registry can be reached, it builds stand-ins for the base images. Needs root and Debian's
# docker.io and docker-compose. COMPOSE chooses the command: 'docker-compose' or 'docker compose'.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
passed=0 failed=0 engine='' load=''
work=$(mktemp -d /tmp/check-compose.XXXXXX)

skip() { echo "skipped: $*"; exit 77; } # .ci/run counts 77 neither as passed nor as failed
check() { # check NAME COMMAND…: runs the command in a subshell that ends at the first error; shows its output only if it fails
  local status
  set +e
  (set -e; "${@:2}") >"$work/out" 2>&1
  status=$?
  set -e
  if [ "$status" = 0 ]; then passed=$((passed + 1)); echo "ok      $1"
  else failed=$((failed + 1)); echo "FAILED  $1"; tail -n 25 "$work/out" | sed 's/^/        /'; fi
}
cleanup() {
  [ -z "$load" ] || kill "$load" 2>/dev/null || true
  if [ -n "$engine" ]; then
    (cd "$work/project" && compose --profile redis --profile monitoring down -v -t 1) >/dev/null 2>&1 || true
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT

compose_command=${COMPOSE:-$(command -v docker-compose >/dev/null && echo docker-compose || echo docker compose)}
compose() { $compose_command -f docker-compose.prod.yml "$@"; }
. tests/operations/compose/engine.sh
start_engine

# Work on a copy of the tracked files, so that an .env.prod or a certificate in this directory is not changed.
mkdir "$work/project"
git ls-files -co --exclude-standard -z | tar --null --ignore-failed-read -T - -c 2>/dev/null | tar -x -C "$work/project"
cd "$work/project"
. "$project/tests/operations/compose/checks.sh"

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
