#!/bin/sh
# start.sh COMMAND…: starts Grafana, and generates a password for its user admin at the first start. The password is stored next to Grafana's
# database; docs/monitoring.md describes how to read it.
set -eu
file=${GF_PATHS_DATA:-/var/lib/grafana}/admin-password
if [ ! -s "$file" ]; then
  (umask 077 && head -c 24 /dev/urandom | base64 >"$file.new")
  mv "$file.new" "$file"
fi
GF_SECURITY_ADMIN_PASSWORD=$(cat "$file")
export GF_SECURITY_ADMIN_PASSWORD
exec "$@"
