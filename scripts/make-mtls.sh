#!/usr/bin/env bash
# make-mtls.sh [--force]: sets up mutual TLS between nginx and the daemons (docs/tls.md). Makes a certificate authority and both certificates in
# nginx/mtls, writes proxy.conf for nginx, and changes nginx.conf to forward requests by https.
set -euo pipefail
force=false
if [ "${1:-}" = --force ]; then force=true && shift; fi
die() { echo "make-mtls: $*" >&2; exit 1; }
[ $# = 0 ] || die 'usage: make-mtls.sh [--force]'
nginx=${NGINX_DIR:-$(cd "$(dirname "$0")/../nginx" && pwd)}
dir=$nginx/mtls
# The path of that directory as nginx sees it.
seen=${SEEN_AS:-/etc/nginx/agent-memory/mtls}
days=825
command -v openssl >/dev/null || die 'openssl is not installed; install the package openssl.'
[ ! -e "$dir/ca.pem" ] || $force || die "$dir already has certificates; --force overwrites them."

mkdir -p "$dir"
umask 077
new=$(mktemp -d "$dir/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
attempt() { "$@" 2>"$new/log" || die "openssl failed: $(tail -n 1 "$new/log")"; }
signed() { # signed NAME USAGE COMMON_NAME
  attempt openssl req -newkey rsa:2048 -nodes -subj "/CN=$3" -keyout "$new/$1.key" -out "$new/$1.csr"
  printf 'subjectAltName=DNS:%s\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n' "$3" "$2" >"$new/extensions"
  attempt openssl x509 -req -sha256 -days "$days" -in "$new/$1.csr" -CA "$new/ca.pem" -CAkey "$new/ca.key" -CAcreateserial -extfile "$new/extensions" -out "$new/$1.pem"
}
attempt openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days "$days" -subj '/CN=Agent Memory' \
  -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign' -keyout "$new/ca.key" -out "$new/ca.pem"
# All daemons share one name: nginx expects it from each, regardless of the address.
signed daemon serverAuth memory-daemon
signed nginx clientAuth nginx
cat >"$new/proxy.conf" <<CONF
# Included by nginx.conf: the certificate of nginx, and the verification of the daemons' certificates.
proxy_ssl_certificate $seen/nginx.pem;
proxy_ssl_certificate_key $seen/nginx.key;
proxy_ssl_trusted_certificate $seen/ca.pem;
proxy_ssl_verify on;
proxy_ssl_name memory-daemon;
proxy_ssl_server_name on;
proxy_ssl_protocols TLSv1.3;
CONF
chmod 644 "$new"/*.pem "$new/proxy.conf"
# The authority signs only these two certificates, so its key is not kept.
for file in ca.pem daemon.pem daemon.key nginx.pem nginx.key proxy.conf; do mv "$new/$file" "$dir/"; done
sed -i -E 's#http://(memory|metrics);#https://\1;#' "$nginx/nginx.conf"
echo "$dir: give daemon.pem, daemon.key and ca.pem to the daemons; valid until $(openssl x509 -in "$dir/nginx.pem" -noout -enddate | cut -d= -f2)"
