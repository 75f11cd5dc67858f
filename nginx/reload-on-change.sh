#!/bin/sh
# Runs next to nginx: maintains its list of ready daemons, and reloads nginx when the list or the certificate has changed. Until the first
# round, nginx responds 503.
#   UPSTREAMS         host:port of the daemons; a name may have many addresses
#   ADMIN_PORT        the port of the daemons that serves /metrics, if they have one
#   NGINX_CONF        the configuration of the nginx that is reloaded
#   NGINX_PID         the pid file of nginx
#   SERVERS_FILE      the list, included by upstream.conf
#   METRICS_FILE      the list with ADMIN_PORT, included by upstream.conf
#   REPLACED_DIR      where nginx.conf looks for the workers that a reload has replaced
#   SSL_DIR           where cert.pem and key.pem are
#   MTLS_DIR          where ca.pem, nginx.pem and nginx.key are, if the daemons require client certificates
#   INTERVAL          seconds between two rounds
# A daemon is added when it reports ready, and removed when it refuses connections, reports not ready, or does not respond for a second, so a hanging
# daemon gets no requests after two seconds. With SHUTDOWN_DELAY_MS=5000, a stopping daemon serves until nginx has stopped sending it requests. If no
# daemon is ready, the list is not changed.
set -eu
upstreams=${UPSTREAMS:-memory-daemon:3000 memory-daemon-2:3000}
conf=${NGINX_CONF:-/etc/nginx/nginx.conf}
pid_file=${NGINX_PID:-/run/nginx.pid}
file=${SERVERS_FILE:-/run/agent-memory-servers.conf}
metrics=${METRICS_FILE:-/run/agent-memory-metrics.conf}
replaced=${REPLACED_DIR:-/run/agent-memory-replaced}
ssl=${SSL_DIR:-/etc/nginx/ssl}
mtls=${MTLS_DIR:-/etc/nginx/agent-memory/mtls}
interval=${INTERVAL:-0.5}

say() { echo "reload-on-change: $*" >&2; }
command -v curl >/dev/null || say 'curl is not installed: every daemon with an address counts as ready'

addresses() {
  for upstream in $upstreams; do
    getent ahosts "${upstream%:*}" | while read -r address kind _; do
      [ "$kind" = STREAM ] || continue
      case $address in *:*) address="[$address]" ;; esac
      echo "$address:${upstream##*:}"
    done
  done
}

ask() {
  command -v curl >/dev/null || return 0
  if [ -e "$mtls/nginx.pem" ]; then
    curl -fso /dev/null -m 1 --cacert "$mtls/ca.pem" --cert "$mtls/nginx.pem" --key "$mtls/nginx.key" --connect-to "::$1" https://memory-daemon/ready
  else
    curl -fso /dev/null -m 1 "http://$1/ready"
  fi
}
# in parallel, so that a silent daemon does not delay the others
ready() {
  for address in $(addresses | sort -u); do
    { ! ask "$address" || echo "$address"; } &
  done
  wait
}

one_left() { # one_left BEFORE NOW: whether an address is missing in NOW
  for address in $1; do echo "$2" | grep -qxF "$address" || return 0; done
  return 1
}

# The workers of before a reload keep serving their connections with the old list; nginx.conf makes them forward requests.
workers() { cat "/proc/$(cat "$pid_file")/task/$(cat "$pid_file")/children" 2>/dev/null || true; }
mark_replaced() {
  mkdir -p "$replaced"
  for mark in "$replaced"/*; do [ -d "/proc/${mark##*/}" ] || rm -f "$mark"; done
  for worker in $1; do : >"$replaced/$worker"; done
}

listed='' may_join=0 applied='' refused=''
while :; do
  members=$(ready | sort)
  # Removals take effect at once. Additions are at least three seconds apart, so that a flapping daemon does not fill the memory with replaced
  # workers.
  if [ -n "$members" ] && [ "$members" != "$listed" ] && { one_left "$listed" "$members" || [ "$(date +%s)" -ge "$may_join" ]; }; then
    # nginx must not count failures itself, because it would count requests that are only slow.
    for address in $members; do echo "server ${address%:*}:${ADMIN_PORT:-${address##*:}} max_fails=0;"; done >"$metrics"
    for address in $members; do echo "server $address max_fails=0;"; done >"$file.new"
    mv "$file.new" "$file"
    listed=$members may_join=$(($(date +%s) + 3))
  fi
  state=$(cat "$file" "$metrics" "$ssl/cert.pem" "$ssl/key.pem" "$mtls/ca.pem" "$mtls/nginx.pem" "$mtls/nginx.key" 2>/dev/null | cksum)
  # A state that nginx rejects (the new certificate without its key) is not tried again; a failed reload is.
  if [ "$state" != "$applied" ] && [ "$state" != "$refused" ]; then
    before=$(workers)
    if ! nginx -q -t -c "$conf"; then
      refused=$state
      say 'nginx rejects the changed configuration and continues with the old one'
    elif nginx -c "$conf" -s reload 2>/dev/null; then
      mark_replaced "$before"
      applied=$state
      say "$(grep -c . "$file" 2>/dev/null || true) daemons; reloaded"
    fi
  fi
  sleep "$interval"
done
