#!/bin/sh
# prometheus.sh PROMETHEUS [OPTION]…: starts Prometheus with the prometheus.yml in its directory, and with ADMIN_PORT as the daemons' port if it
# is set. Prometheus does not read the environment for its targets, so this script writes the configuration to PROMETHEUS_CONFIG.
set -eu
here=$(dirname "$0")
config=${PROMETHEUS_CONFIG:-/tmp/prometheus.yml}
port=${ADMIN_PORT:-3000}
case $port in *[!0-9]*) echo 'ADMIN_PORT: expected a number' >&2; exit 1 ;; esac
# Relative paths in a configuration are relative to its own directory.
sed -e "s|\(memory-daemon[-0-9]*\):3000|\1:$port|g" -e "s|^  - rules/|  - $here/rules/|" "$here/prometheus.yml" >"$config"
exec "$@" --config.file="$config"
