#!/usr/bin/env bash
# Runs docker-compose.prod.yml on a real engine, from the guide's first command to a backup and back; prints a line a check.
# The engine is one of its own, in a temporary directory, with stand-ins for the base images where no registry is reached (needs root,
# Debian's docker.io and docker-compose). COMPOSE chooses the spelling: 'docker-compose' or 'docker compose'.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
passed=0 failed=0 engine='' load=''
work=$(mktemp -d /tmp/check-compose.XXXXXX)

skip() { echo "skipped: $*"; exit 77; } # neither passed nor failed: .ci/run
check() { # check NAME COMMAND…: in a subshell that ends at the first error; its output is shown only when it fails
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

# a copy of what a clone holds: an .env.prod or a certificate of this directory stays what it is
mkdir "$work/project"
git ls-files -co --exclude-standard -z | tar --null --ignore-failed-read -T - -c 2>/dev/null | tar -x -C "$work/project"
cd "$work/project"
. "$project/tests/operations/compose/checks.sh"

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
