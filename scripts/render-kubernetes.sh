#!/usr/bin/env bash
# kubernetes/*.yaml are the Helm chart with its default values, for those who use kubectl alone. `--check`: writes nothing, and fails where a file is
# not what the chart says.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v helm >/dev/null || { echo 'error: helm is not installed (go install helm.sh/helm/v3/cmd/helm@latest)' >&2; exit 1; }
chart=kubernetes/helm/agent-memory
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# a chart cannot read what lies outside of it
cp -r "$chart" "$made/chart"
rm -rf "$made/chart/rules" "$made/chart/dashboards"
mkdir "$made/chart/rules"
cp -r monitoring/grafana/dashboards "$made/chart/dashboards"
for file in monitoring/rules/*.yml; do
  if [ -f "$file" ]; then cp "$file" "$made/chart/rules"; fi
done
helm template agent-memory "$made/chart" --namespace agent-memory --kube-version 1.30.0 --set monitoring.enabled=true --output-dir "$made/out" >/dev/null
mkdir "$made/plain"
for file in "$made"/out/agent-memory/templates/*.yaml; do
  {
    echo '# Made from helm/agent-memory by scripts/render-kubernetes.sh.'
    grep -v '^# Source: ' "$file"
  } >"$made/plain/${file##*/}"
done

if [ "${1:-}" != --check ]; then
  cp "$made"/plain/*.yaml kubernetes
  rm -rf "$chart/rules" "$chart/dashboards"
  cp -r "$made/chart/rules" "$made/chart/dashboards" "$chart"
  exit
fi
stale=0
for file in "$made"/plain/*.yaml; do
  diff -u "kubernetes/${file##*/}" "$file" || stale=1
done
for folder in rules dashboards; do diff -rN "$made/chart/$folder" "$chart/$folder" || stale=1; done
[ $stale = 0 ] || { echo 'error: kubernetes/ is not what the chart says. Run scripts/render-kubernetes.sh and commit it.' >&2; exit 1; }
