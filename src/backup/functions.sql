-- Returns the row count and a hash of each table, which a restored database must match. The hash is a sum over rows, so that their order does
-- not matter. Rows are formatted under fixed settings. Tables of extensions and unlogged tables are skipped, because backups omit them.
create or replace function fingerprint_tables() returns table (name text, rows bigint, hash numeric)
language plpgsql stable
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set bytea_output = 'hex'
set extra_float_digits = 1
as $$
declare
  v_table record;
begin
  for v_table in
    select n.nspname as schema, c.relname as relation
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    order by 1, 2
  loop
    name := format('%I.%I', v_table.schema, v_table.relation);
    execute format('select count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from %s t', name) into rows, hash;
    return next;
  end loop;
end $$;
revoke execute on function fingerprint_tables() from public;
grant execute on function fingerprint_tables() to agent_memory_backup;

-- Returns the clocks of each tenant, and the hash of its log.
create or replace function fingerprint_tenants()
returns table (tenant_id text, last_seq bigint, oldest_seq bigint, events bigint, events_hash numeric, audit_seq bigint, audit_mac text)
language sql stable
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
set extra_float_digits = 1
as $$
  select t.tenant_id, c.last_seq, c.oldest_seq, coalesce(e.rows, 0), coalesce(e.hash, 0), coalesce(a.last_seq, 0), coalesce(encode(a.last_mac, 'hex'), '')
  from public.tenants t
  left join public.tenant_clocks c using (tenant_id)
  left join public.audit_clocks a using (tenant_id)
  left join (
    select l.tenant_id, count(*) as rows, sum(hashtextextended(l::text, 0)) as hash from public.events l group by l.tenant_id
  ) e using (tenant_id)
  order by t.tenant_id
$$;
revoke execute on function fingerprint_tenants() from public;
grant execute on function fingerprint_tenants() to agent_memory_backup;
