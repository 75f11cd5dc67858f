#!/bin/sh
# start.sh COMMAND…: starts Grafana, whose user admin gets a password of its own at the first start. It is kept beside Grafana's database:
# docs/monitoring.md says how to read it.
set -eu
file=${GF_PATHS_DATA:-/var/lib/grafana}/admin-password
if [ ! -s "$file" ]; then
  (umask 077 && head -c 24 /dev/urandom | base64 >"$file.new")
  mv "$file.new" "$file"
fi
GF_SECURITY_ADMIN_PASSWORD=$(cat "$file")
export GF_SECURITY_ADMIN_PASSWORD
exec "$@"
