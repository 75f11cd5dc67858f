#!/bin/sh
# Deploy hook of certbot (docs/tls.md): copies a renewed certificate to nginx's directory, where reload-on-change.sh notices it.
#   certbot renew --deploy-hook /path/to/nginx/deploy-hook.sh
# certbot sets RENEWED_LINEAGE, for example /etc/letsencrypt/live/memory-api.example.com.
set -eu
from=${RENEWED_LINEAGE:?"is set by certbot; by hand: RENEWED_LINEAGE=/etc/letsencrypt/live/NAME $0"}
ssl=${SSL_DIR:-$(dirname "$0")/ssl}

mkdir -p "$ssl"
umask 077
cp -L "$from/privkey.pem" "$ssl/key.pem.new"
cp -L "$from/fullchain.pem" "$ssl/cert.pem.new"
chmod 644 "$ssl/cert.pem.new"
# renamed, not overwritten, because nginx may be reading the files
mv "$ssl/key.pem.new" "$ssl/key.pem"
mv "$ssl/cert.pem.new" "$ssl/cert.pem"
