#!/usr/bin/env bash
# PostgreSQL's image runs this once, on a new database. Creates the daemon's login, which owns the database but is not a superuser, a login for base
# backups, and one for statistics. The passwords of the last two are generated here, for the only containers that mount these directories.
set -euo pipefail
new_password() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }
BASE_BACKUP_PASSWORD=$(new_password) MONITOR_PASSWORD=$(new_password)
export BASE_BACKUP_PASSWORD MONITOR_PASSWORD

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
-- Keep the passwords out of pg_stat_statements and the log.
set pg_stat_statements.track = none; set log_statement = none; set log_min_duration_statement = -1; set log_min_error_statement = panic;
\getenv owner OWNER
\getenv owner_password OWNER_PASSWORD
\getenv base_backup_password BASE_BACKUP_PASSWORD
\getenv monitor_password MONITOR_PASSWORD
\getenv database POSTGRES_DB
-- createdb, because verify-backup.sh restores into a scratch database
create role :"owner" login createrole createdb password :'owner_password';
alter database :"database" owner to :"owner";
-- The daemon uses it for searches by vectors in large logs; only a superuser can install it. Stand-ins of the image may lack it.
select exists (select from pg_available_extensions where name = 'vector') as has_vector \gset
\if :has_vector
create extension vector;
\endif
create role base_backup login replication password :'base_backup_password';
create role monitor login password :'monitor_password';
grant pg_monitor to monitor;
-- base-backup.sh connects to this database
\connect postgres
grant execute on function pg_switch_wal() to base_backup;
SQL

# `all` does not mean replication
echo 'host replication base_backup all scram-sha-256' >>"$PGDATA/pg_hba.conf"
# umask does not change an existing file, and a read-only file cannot be overwritten
rm -f /archive/.pgpass /monitor/password
(umask 077 && echo "*:*:*:base_backup:$BASE_BACKUP_PASSWORD" >/archive/.pgpass)
# postgres-exporter reads it as another user. Apart from it, only PostgreSQL and the volume setup mount the directory.
echo "$MONITOR_PASSWORD" >/monitor/password
chmod 444 /monitor/password
