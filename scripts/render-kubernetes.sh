#!/usr/bin/env bash
# Renders kubernetes/*.yaml from the Helm chart with its default values, for users of plain kubectl, after `npm run monitoring` has copied the
# rules and dashboards into the chart. With `--check` it writes nothing, and fails if a file does not match the chart.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v helm >/dev/null || { echo 'error: helm is not installed (go install helm.sh/helm/v3/cmd/helm@latest)' >&2; exit 1; }
npm run --silent monitoring -- "$@"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

helm template agent-memory kubernetes/helm/agent-memory --namespace agent-memory --kube-version 1.30.0 --set monitoring.enabled=true --output-dir "$made/out" >/dev/null
mkdir "$made/plain"
for file in "$made"/out/agent-memory/templates/*.yaml; do
  {
    echo '# Generated from helm/agent-memory by scripts/render-kubernetes.sh.'
    grep -v '^# Source: ' "$file"
  } >"$made/plain/${file##*/}"
done

if [ "${1:-}" != --check ]; then
  cp "$made"/plain/*.yaml kubernetes
  exit
fi
stale=0
for file in "$made"/plain/*.yaml; do
  diff -u "kubernetes/${file##*/}" "$file" || stale=1
done
[ $stale = 0 ] || { echo 'error: kubernetes/ does not match the chart. Run scripts/render-kubernetes.sh and commit its output.' >&2; exit 1; }
