#!/bin/sh
# Runs beside nginx: keeps its list of daemons, and reloads it when the list or the certificate has changed. Until it has run once
# nginx answers 503.
#   UPSTREAMS         host:port of the daemons; a name may have many addresses
#   NGINX_CONF        the configuration of the nginx that is reloaded
#   SERVERS_FILE      the list, included by upstream.conf
#   SSL_DIR           where cert.pem and key.pem are
#   INTERVAL          seconds between two rounds
# A daemon joins when it says that it is ready, and leaves when it refuses to be asked or says twice, a second apart, that it is not:
# set SHUTDOWN_DELAY_MS=5000, so that one that is told to stop goes on serving until nobody asks it any more. When none is ready the
# list stays as it is.
set -eu
upstreams=${UPSTREAMS:-memory-daemon:3000 memory-daemon-2:3000}
conf=${NGINX_CONF:-/etc/nginx/nginx.conf}
file=${SERVERS_FILE:-/run/agent-memory-servers.conf}
ssl=${SSL_DIR:-/etc/nginx/ssl}
interval=${INTERVAL:-1}

say() { echo "reload-on-change: $*" >&2; }
command -v curl >/dev/null || say 'curl is not installed: every daemon that has an address is taken for ready'

addresses() {
  for upstream in $upstreams; do
    getent ahosts "${upstream%:*}" | while read -r address kind _; do
      [ "$kind" = STREAM ] || continue
      case $address in *:*) address="[$address]" ;; esac
      echo "$address:${upstream##*:}"
    done
  done
}

# curl asks again after a 503 or silence, not after a refused connection
ready() {
  for address in $(addresses | sort -u); do
    ! command -v curl >/dev/null || curl -fso /dev/null -m 2 --retry 1 --retry-delay 1 "http://$address/ready" || continue
    echo "$address"
  done
}

# With a single daemon there is nothing to turn to, so that its failures are not counted.
servers() {
  fails=0
  [ "$(echo "$1" | wc -l)" = 1 ] || fails=2
  for address in $1; do echo "server $address max_fails=$fails fail_timeout=2s;"; done
}

applied='' refused=''
while :; do
  members=$(ready)
  if [ -n "$members" ]; then
    servers "$members" >"$file.new"
    cmp -s "$file.new" "$file" || mv "$file.new" "$file"
  fi
  state=$(cat "$file" "$ssl/cert.pem" "$ssl/key.pem" 2>/dev/null | cksum)
  # a state that nginx refuses (the new certificate without its key) is not tried again; one that it could not be told is
  if [ "$state" != "$applied" ] && [ "$state" != "$refused" ]; then
    if ! nginx -q -t -c "$conf"; then
      refused=$state
      say 'nginx refuses what has changed, and goes on as it was'
    elif nginx -c "$conf" -s reload 2>/dev/null; then
      applied=$state
      say "$(grep -c . "$file" 2>/dev/null || true) daemons; reloaded"
    fi
  fi
  sleep "$interval"
done
