-- For the deployment guide's `\i /docker-entrypoint-initdb.d/schema.sql`. There is nothing to run, because the service `migrate` creates the schema.
select to_regclass('schema_migrations') is not null as migrated \gset
\if :migrated
  \echo 'The service `migrate` has created the schema:'
  select name, applied_at from schema_migrations order by version;
\else
  \echo 'The service `migrate` will create the schema before the daemons start.'
\endif
