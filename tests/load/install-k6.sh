#!/usr/bin/env bash
# Builds k6 with Go 1.25 or newer into ~/.cache/agent-memory/k6, where run-load-test.sh finds it. The first build takes minutes.
set -euo pipefail

# `go install …@version` also asks the module proxy for the latest version, and fails if the proxy does not serve a list of versions. A build in a
# module directory does not ask.
version=v2.2.0
to=${XDG_CACHE_HOME:-$HOME/.cache}/agent-memory/k6

if [ "$("$to" version 2>/dev/null | awk '{print $2}')" = "$version" ]; then exit 0; fi
if ! command -v go >/dev/null; then
  echo 'k6 is built with Go 1.25 or newer, which is not installed.' >&2
  exit 1
fi
go mod download "go.k6.io/k6/v2@$version"
cd "$(go env GOMODCACHE)/go.k6.io/k6/v2@$version"
mkdir -p "$(dirname "$to")"
GOFLAGS=-buildvcs=false go build -o "$to.new" .
mv "$to.new" "$to"
"$to" version
