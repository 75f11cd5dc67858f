#!/bin/sh
# For certbot (docs/tls.md): puts a renewed certificate where nginx reads it; reload-on-change.sh sees it there.
#   certbot renew --deploy-hook /path/to/nginx/deploy-hook.sh
# certbot sets RENEWED_LINEAGE, such as /etc/letsencrypt/live/memory-api.example.com.
set -eu
from=${RENEWED_LINEAGE:?"is set by certbot; by hand: RENEWED_LINEAGE=/etc/letsencrypt/live/NAME $0"}
ssl=${SSL_DIR:-$(dirname "$0")/ssl}

mkdir -p "$ssl"
umask 077
cp -L "$from/privkey.pem" "$ssl/key.pem.new"
cp -L "$from/fullchain.pem" "$ssl/cert.pem.new"
chmod 644 "$ssl/cert.pem.new"
# renamed, never written over: nginx may be reading
mv "$ssl/key.pem.new" "$ssl/key.pem"
mv "$ssl/cert.pem.new" "$ssl/cert.pem"
