#!/usr/bin/env bash
# shellcheck disable=SC2317  # `check` calls these functions
# Checks kubernetes/ with the schemas of the Kubernetes API and the tools that operators use. Names every check that it skips.
# `--install` builds missing tools from the Go module proxy.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=(github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0 helm.sh/helm/v3/cmd/helm@v3.22.0 github.com/zegl/kube-score/cmd/kube-score@v1.20.0)
# The oldest release that the manifests support, and the newest that schemas exist for.
versions=(1.30.0 1.37.0)
# Generated once, not committed.
schemas=coverage/kubernetes
has() { command -v "$1" >/dev/null; }
if has go; then PATH="$PATH:$(go env GOPATH)/bin"; fi

if [ "${1:-}" = --install ]; then
  has go || { echo 'Go is not installed: no tool was built.'; exit; }
  for tool in "${tools[@]}"; do
    name=${tool%@*}
    has "${name##*/}" || nice go install "$tool" || echo "$tool cannot be built"
  done
  exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 checked=0
check() { # check NAME COMMAND…: runs a command that must succeed
  checked=$((checked + 1))
  if "${@:2}" >"$work/log" 2>&1; then echo "ok       $1"; else
    failed=1
    echo "FAILED   $1"
    sed 's/^/         /' "$work/log"
  fi
}
skip() { echo "skipped  $1: $2"; }
refuses() { # refuses SED FILE COMMAND…: succeeds if the command rejects the file after the edit SED
  sed "$1" "$2" >"$work/tampered.yaml" || return 1
  if cmp -s "$2" "$work/tampered.yaml"; then echo "$1 changes nothing in $2"; return 1; fi
  if "${@:3}" "$work/tampered.yaml"; then echo "the edited file was accepted"; return 1; fi
}

conform() { # conform VERSION FILE…; the types of cert-manager are skipped, because no schemas of them are generated
  kubeconform -strict -summary -kubernetes-version "$1" \
    -skip Certificate,Issuer -schema-location "$schemas/{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json" "${@:2}"
}
score() { # Ignores advice that does not apply: a CPU limit (it would throttle the event loop), a uid above 10000 (the image uses 1000), pulling
  # an image of a fixed version each time, and an anti-affinity in addition to the topology spread.
  kube-score score --kubernetes-version v1.30 --ignore-container-cpu-limit --ignore-test container-security-context-user-group-id \
    --ignore-test container-image-pull-policy --ignore-test deployment-has-host-podantiaffinity "$@"
}
render_all_set() { # every branch of the templates
  helm template agent-memory kubernetes/helm/agent-memory --namespace elsewhere --kube-version "${versions[0]}" --set name=other,secret.create=false,secret.name=mine \
    --set image.repository=registry.example/agent-memory,image.tag=0.2.0,image.pullSecrets[0]=registry,postgresCa.secret=postgres-ca,erasureLedger.claim=ledger,erasureLedger.create=false \
    --set backup.claim=dumps,backup.passphraseSecret=passphrase,backup.image.repository=registry.example/agent-memory-backup,backup.image.tag=0.2.0 \
    --set secret.values.REDIS_URL=set,ingress.annotations.cert-manager\\.io/cluster-issuer=letsencrypt \
    --set tls.enabled=true,tls.secretName=tls,config.ADMIN_PORT=9090,env.REGION=us-west-2,monitoring.prometheus.scrape=true,monitoring.grafana.dashboard=true \
    --set monitoring.enabled=true,monitoring.surroundings=true,monitoring.labels.release=prometheus >"$work/all-set.yaml"
}
render_embedded() { # the embedded database and TLS, with the values of the AgentState guide
  helm template agentstate kubernetes/helm/agent-memory --namespace agentstate --kube-version "${versions[0]}" -f tests/operations/kubernetes/agentstate-values.yaml \
    --set config.ADMIN_PORT=9090,ingress.hostname=agentstate.example.com,monitoring.enabled=true >"$work/embedded.yaml"
}
kustomize_build() { "${kustomize[@]}" kubernetes >"$work/kustomized.yaml"; }

plain=()
for file in kubernetes/*.yaml; do
  [ "${file##*/}" = kustomization.yaml ] || plain+=("$file")
done
files=("${plain[@]}")

if ! has helm; then skip 'the chart' 'helm is not installed'; else
  check 'the manifests match the chart' scripts/render-kubernetes.sh --check
  check 'helm lint' helm lint --strict --kube-version "${versions[0]}" kubernetes/helm/agent-memory
  check 'helm template with every value set' render_all_set
  check 'helm template with the values of the AgentState guide' render_embedded
  files+=("$work/all-set.yaml" "$work/embedded.yaml")
fi
if has kustomize; then kustomize=(kustomize build); elif has kubectl; then kustomize=(kubectl kustomize); else kustomize=(); fi
if [ ${#kustomize[@]} = 0 ]; then skip 'the kustomization' 'neither kustomize nor kubectl is installed'; else
  check 'kustomize build' kustomize_build
  files+=("$work/kustomized.yaml")
fi
[ -d "$schemas/v${versions[1]}" ] || npx tsx scripts/kubernetes-schemas.ts "$schemas" "${versions[@]}" >"$work/log" 2>&1 || true
if ! has kubeconform; then skip "the API's schemas" 'kubeconform is not installed'; elif [ ! -d "$schemas/v${versions[1]}" ]; then
  skip "the API's schemas" "they cannot be obtained: $(tail -1 "$work/log")"
else
  for version in "${versions[@]}"; do
    check "Kubernetes $version accepts them" conform "$version" "${files[@]}"
    check "Kubernetes $version rejects an unknown field" refuses s/readOnlyRootFilesystem/readOnlyRootFileSystem/ kubernetes/deployment.yaml conform "$version"
    check "Kubernetes $version rejects a port that is not a number" refuses 's/- port: 53$/- port: [53]/' kubernetes/networkpolicy.yaml conform "$version"
  done
  check 'the Prometheus operator rejects an unknown field' refuses s/interval:/intervall:/ kubernetes/servicemonitor.yaml conform "${versions[0]}"
fi
if ! has kube-score; then skip 'kube-score' 'it is not installed'; else
  check 'kube-score reports nothing' score "${plain[@]}"
  check 'kube-score reports a writable root file system' refuses 's/readOnlyRootFilesystem: true/readOnlyRootFilesystem: false/' kubernetes/deployment.yaml score
fi
if has kube-linter; then check 'kube-linter' kube-linter lint "${plain[@]}"; else skip 'kube-linter' 'it is not installed (the Go module proxy does not serve it)'; fi
# Nothing was checked: neither passed nor failed.
[ "$checked" != 0 ] || exit 77
exit $failed
