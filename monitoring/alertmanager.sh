#!/bin/sh
# alertmanager.sh ALERTMANAGER [OPTION]…: starts Alertmanager with one receiver, the webhook ALERT_WEBHOOK_URL. Alertmanager does not read the
# environment, so this script writes the configuration to ALERTMANAGER_CONFIG. Without the setting, alerts are displayed but not sent.
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
    # tickets are for working hours, so once a day is enough
    - matchers: ['severity="ticket"']
      repeat_interval: 24h
# If everything is down, suppress the alerts about its parts.
inhibit_rules:
  - source_matchers: ['alertname="NoDaemon"']
    target_matchers: ['alertname=~"DaemonDown|DaemonNotReady|EdgeDown"']
receivers:
  - name: webhook
YAML
[ -z "$url" ] || printf "    webhook_configs:\n      - url: '%s'\n        send_resolved: true\n" "$url" >>"$config"
exec "$@" --config.file="$config"
