#!/bin/sh
# alertmanager.sh ALERTMANAGER [OPTION]…: starts it with one receiver, the webhook ALERT_WEBHOOK_URL. Alertmanager reads no environment, so the
# configuration is written here, to ALERTMANAGER_CONFIG. Without the setting alerts are shown and sent to nobody.
set -eu
config=${ALERTMANAGER_CONFIG:-/tmp/alertmanager.yml}
url=${ALERT_WEBHOOK_URL:-}
case $url in
  *[!-A-Za-z0-9._~:/?#@!\$\&\(\)*+,\;=%\[\]]*) echo 'ALERT_WEBHOOK_URL: expected a URL without blanks and quotes' >&2; exit 1 ;;
  '' | http://?* | https://?*) ;;
  *) echo 'ALERT_WEBHOOK_URL: expected http:// or https://' >&2; exit 1 ;;
esac
[ -n "$url" ] || echo 'ALERT_WEBHOOK_URL is not set: alerts are shown here, and sent to nobody' >&2

umask 077
cat >"$config" <<YAML
route:
  receiver: webhook
  group_by: [alertname, severity]
  group_wait: ${ALERT_GROUP_WAIT:-30s}
  group_interval: 5m
  repeat_interval: 1h
  routes:
    # for working hours: once a day is often enough
    - matchers: ['severity="ticket"']
      repeat_interval: 24h
# what is away altogether need not be told piece by piece
inhibit_rules:
  - source_matchers: ['alertname="NoDaemon"']
    target_matchers: ['alertname=~"DaemonDown|DaemonNotReady|EdgeDown"']
receivers:
  - name: webhook
YAML
[ -z "$url" ] || printf "    webhook_configs:\n      - url: '%s'\n        send_resolved: true\n" "$url" >>"$config"
exec "$@" --config.file="$config"
