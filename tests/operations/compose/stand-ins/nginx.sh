#!/bin/sh
# This nginx was built to look for everything where it is started.
exec /usr/local/lib/nginx -p /var/cache/nginx/ -c /etc/nginx/nginx.conf "$@"
