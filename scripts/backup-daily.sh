#!/usr/bin/env bash
# backup-daily.sh [base-backup.sh]: makes a backup every day at BACKUP_AT (UTC in a container), for machines without cron and systemd.
# Makes an overdue backup at once, at the first start or after the machine was off overnight. Retries a failed backup until it
# succeeds: first after a minute, then with growing delays of at most a quarter of an hour.
set -euo pipefail
script=${1:-backup.sh}
case "$#:$script" in
  [01]:backup.sh) dir=${BACKUP_DIR:-/backups/postgres} kind=backup ;;
  1:base-backup.sh) dir=${BASE_BACKUP_DIR:-/backups/base} kind=base ;;
  *) echo 'usage: backup-daily.sh [base-backup.sh] (the settings are in the environment)' >&2; exit 1 ;;
esac
at=${BACKUP_AT:-02:00}
date -d "$at" +%s >/dev/null 2>&1 || { echo "BACKUP_AT: got '$at', expected a time such as 02:00" >&2; exit 1; }
longest=${BACKUP_RETRY_MAX_S:-900}
[[ $longest =~ ^[1-9][0-9]{0,4}$ ]] || { echo "BACKUP_RETRY_MAX_S: got '$longest', expected a number of seconds from 1" >&2; exit 1; }

moment() { # moment DAY: prints BACKUP_AT on that day as a Unix time
  date -d "$1 $at" +%s
}
newest() { # prints the Unix time in the name of the newest backup, or 0 without one. Ignores names in the future: the clock was wrong, or it is no backup
  local name day time
  name=$(find "$dir/" -maxdepth 1 -regextype posix-extended -regex ".*/${kind}_[0-9]{8}_[0-9]{6}" -printf '%f\n' 2>/dev/null |
    sort | awk -v now="${kind}_$(date -u +%Y%m%d_%H%M%S)" '$0 <= now' | tail -1)
  [ -n "$name" ] || { echo 0; return; }
  IFS=_ read -r _ day time <<<"$name"
  date -u -d "$day ${time:0:2}:${time:2:2}:${time:4:2}" +%s || { echo "$dir/$name has no valid date in its name: remove it" >&2; return 1; }
}
# A run that exits with 0 but leaves no backup counts as failed.
make_one() { "$(dirname "$0")/$script" && last=$(newest) && [ "$last" -ge "$due" ]; }

pause=$((longest < 60 ? longest : 60))
while true; do
  now=$(date +%s) due=$(moment today) next=$(moment tomorrow)
  if [ "$due" -gt "$now" ]; then next=$due due=$(moment yesterday); fi
  last=$(newest)
  if [ "$last" -ge "$due" ]; then
    pause=$((longest < 60 ? longest : 60))
    echo "next backup $(date -d "@$next")"
    sleep "$((next - now))"
  elif ! make_one; then
    echo "the backup failed: next attempt in $pause s" >&2
    sleep "$pause"
    pause=$((pause * 2 < longest ? pause * 2 : longest))
  fi
done
