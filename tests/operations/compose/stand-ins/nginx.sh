#!/bin/sh
# This nginx was built to look for its files relative to the working directory.
exec /usr/local/lib/nginx -p /var/cache/nginx/ -c /etc/nginx/nginx.conf "$@"
