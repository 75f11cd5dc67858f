#!/usr/bin/env bash
# make-cert.sh [--force] [NAME]: makes a self-signed certificate for development. Writes key.pem and cert.pem to nginx/ssl (or to SSL_DIR).
# docs/tls.md describes certificates for production.
set -euo pipefail
force=false
if [ "${1:-}" = --force ]; then force=true && shift; fi
name=${1:-memory-api.example.com}
dir=${SSL_DIR:-$(dirname "$0")/../nginx/ssl}
die() { echo "make-cert: $*" >&2; exit 1; }

command -v openssl >/dev/null || die 'openssl is not installed; install the package openssl.'
[[ $name =~ ^[A-Za-z0-9.:*-]+$ ]] || die "\"$name\" is neither a host name nor an address."
if [ -e "$dir/key.pem" ] || [ -e "$dir/cert.pem" ]; then
  $force || die "$dir already has a certificate; --force overwrites it."
fi
kind=DNS
if [[ $name =~ ^[0-9.]+$ || $name == *:* ]]; then kind=IP; fi

mkdir -p "$dir"
umask 077
new=$(mktemp -d "$dir/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
# Clients check only subjectAltName, and browsers reject certificates that are valid for more than 398 days.
openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 365 -subj "/CN=$name" \
  -addext "subjectAltName=$kind:$name,DNS:localhost,IP:127.0.0.1" -addext 'basicConstraints=critical,CA:FALSE' \
  -addext 'keyUsage=critical,digitalSignature,keyEncipherment' -addext 'extendedKeyUsage=serverAuth' \
  -keyout "$new/key.pem" -out "$new/cert.pem" 2>"$new/log" || die "openssl failed: $(tail -n 1 "$new/log")"
chmod 644 "$new/cert.pem"
mv "$new/key.pem" "$new/cert.pem" "$dir/"
shown=${dir#"$(dirname "$0")/../"}
echo "$shown/cert.pem and $shown/key.pem, for $name, until $(openssl x509 -in "$dir/cert.pem" -noout -enddate | cut -d= -f2)"
