-- Backup: a dump that sees every row. The owner of the tables need not be a superuser and is behind the forced wall like everybody else,
-- so pg_dump runs under a role that may read all and nothing more.
-- min_code: 7

do $$
begin
  execute 'create role agent_memory_backup nologin nosuperuser nobypassrls';
exception when duplicate_object or unique_violation then null;
end $$;
do $$
begin
  if not pg_has_role(current_user, 'agent_memory_backup', 'usage') then
    execute 'grant agent_memory_backup to current_user';
  end if;
end $$;
grant usage on schema public to agent_memory_backup;

-- Without the policy a dump would be empty where the wall stands: scripts/backup.sh refuses a database with a table that lacks it.
create function let_back_up(p_table regclass) returns void
language plpgsql
as $$
begin
  execute format('grant select on %s to agent_memory_backup', p_table);
  if exists (select from pg_class c where c.oid = p_table and c.relrowsecurity) then
    -- A policy counts for all who inherit its role, so for the owner too, who is to stay behind the wall until the role is taken on.
    execute format(
      'create policy backup_reads on %s for select to agent_memory_backup using ((select current_user) = ''agent_memory_backup'')', p_table);
  end if;
end $$;
revoke execute on function let_back_up(regclass) from public;
select let_back_up(c.oid) from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p');

-- As in 0005, and every walled table is in a backup.
create or replace function wall(p_table regclass, p_rights text) returns void
language plpgsql
as $$
begin
  execute format('alter table %s enable row level security', p_table);
  execute format('alter table %s force row level security', p_table);
  execute format(
    'create policy tenant_wall on %s to agent_memory_app using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()))',
    p_table);
  execute format('grant %s on %s to agent_memory_app', p_rights, p_table);
  perform let_erase(p_table);
  perform let_back_up(p_table);
end $$;

-- What a manifest says of each table, and a restored database has to be again: the sum of its rows' hashes knows no order. Texts are
-- made under fixed settings. Extensions bring their own tables; what is unlogged is in no backup.
create function fingerprint_tables() returns table (name text, rows bigint, hash numeric)
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

-- Where each tenant stands, and what its log holds.
create function fingerprint_tenants()
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
revoke execute on function fingerprint_tables(), fingerprint_tenants() from public;
grant execute on function fingerprint_tables(), fingerprint_tenants() to agent_memory_backup;
