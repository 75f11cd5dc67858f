#!/usr/bin/env bash
# Runs backup.sh every day at BACKUP_AT (UTC in a container), for where there is neither cron nor systemd. A failed backup is tried once more.
set -euo pipefail
[ $# = 0 ] || { echo 'usage: backup-daily.sh (it takes its settings from the environment)' >&2; exit 1; }
at=${BACKUP_AT:-02:00}
date -d "$at" +%s >/dev/null 2>&1 || { echo "BACKUP_AT: got '$at', expected a time such as 02:00" >&2; exit 1; }
while true; do
  now=$(date +%s) next=$(date -d "$at" +%s)
  [ "$next" -gt "$now" ] || next=$(date -d "tomorrow $at" +%s)
  echo "next backup $(date -d "@$next")"
  sleep "$((next - now))"
  "$(dirname "$0")/backup.sh" || {
    echo "the backup failed: once more in 15 minutes" >&2
    sleep 900
    "$(dirname "$0")/backup.sh" || echo "the backup failed again" >&2
  }
done
