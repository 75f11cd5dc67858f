#!/usr/bin/env bash
# Runs a load test: ./run-load-test.sh smoke|basic|concurrent|stress|spike|soak|breakpoint [option of k6…]
# BASE_URL (http://localhost:3000), K6_INSECURE=true (for a self-signed certificate), DURATION_SCALE and USERS_SCALE (1), RESULTS_DIR (results), K6 (k6).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

suites='smoke basic concurrent stress spike soak breakpoint'
suite=${1:-}
if [[ -z $suite || " $suites " != *" $suite "* ]]; then
  echo "Say which: $0 ${suites// /|}" >&2
  exit 2
fi
shift

k6=${K6:-$(command -v k6 || echo "${XDG_CACHE_HOME:-$HOME/.cache}/agent-memory/k6")}
if ! "$k6" version >/dev/null 2>&1; then
  echo "k6 is not installed: run $PWD/install-k6.sh (needs Go 1.25), or see https://grafana.com/docs/k6/latest/set-up/install-k6/, or name it with K6=/path/to/k6." >&2
  exit 127
fi

results=${RESULTS_DIR:-results}
mkdir -p "$results"
# `exec` preserves k6's exit code (99: a threshold failed, 108: setup() aborted with a message).
exec "$k6" run --quiet --no-usage-report \
  -e "SUITE=$suite" \
  -e "BASE_URL=${BASE_URL:-http://localhost:3000}" \
  -e "K6_INSECURE=${K6_INSECURE:-}" \
  -e "DURATION_SCALE=${DURATION_SCALE:-1}" \
  -e "USERS_SCALE=${USERS_SCALE:-1}" \
  -e "RESULTS_DIR=$results" \
  -e "RESULT=$suite-$(date -u +%Y%m%dT%H%M%SZ)" \
  "$@" main.ts
