-- The wall: roles, the mechanical row-level security of every tenant table, tenants and their clocks.
-- min_code: 1

-- Roles belong to the cluster, so another database of it may have made them already, or be making them now.
do $$
declare
  v_role text;
begin
  foreach v_role in array array['agent_memory_app', 'agent_memory_searcher', 'agent_memory_overseer'] loop
    begin
      execute format('create role %I nologin nosuperuser nobypassrls', v_role);
    exception when duplicate_object or unique_violation then null;
    end;
    if not pg_has_role(current_user, v_role, 'usage') then
      execute format('grant %I to current_user', v_role);
    end if;
    execute format('grant usage on schema public to %I', v_role);
  end loop;
end $$;

-- Transaction-local settings read '' (not null) on a session that once had them, hence nullif.
create function current_tenant() returns text
language sql stable parallel safe
as $$ select nullif(current_setting('app.tenant_id', true), '') $$;

-- Binds the transaction to one tenant and to the role that cannot leave it. Every access of the service starts here.
-- By assignments: as a query it cost 25 µs, a third of a look-up by key.
create function enter_tenant(p_tenant text) returns text
language plpgsql
as $$
declare
  v_role text := set_config('role', 'agent_memory_app', true);
begin
  return set_config('app.tenant_id', p_tenant, true);
end $$;

-- Puts a table behind the wall: forced row-level security, one policy, the named rights for the serving role.
create function wall(p_table regclass, p_rights text) returns void
language plpgsql
as $$
begin
  execute format('alter table %s enable row level security', p_table);
  execute format('alter table %s force row level security', p_table);
  execute format(
    'create policy tenant_wall on %s to agent_memory_app using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()))',
    p_table);
  execute format('grant %s on %s to agent_memory_app', p_rights, p_table);
end $$;
revoke execute on function wall(regclass, text) from public;

create table tenants (
  tenant_id text not null,
  state text not null default 'active',
  language regconfig not null default 'english',
  settings jsonb not null default '{}',
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  constraint tenants_pkey primary key (tenant_id),
  constraint tenants__tenant_id check (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'),
  constraint tenants__state check (state in ('active', 'suspended', 'deleting'))
);
-- `Acme` beside `acme` would only serve to confuse.
create unique index tenants__lower_tenant_id on tenants (lower(tenant_id));
select wall('tenants', 'select, insert, update, delete');

-- One hot row a tenant: the log's counter and running sums. Space is left in its pages so that updates stay in them.
create table tenant_clocks (
  tenant_id text not null,
  last_seq bigint not null default 0,
  oldest_seq bigint not null default 1,
  event_count bigint not null default 0,
  stored_bytes bigint not null default 0,
  max_bytes bigint,
  constraint tenant_clocks_pkey primary key (tenant_id),
  constraint tenant_clocks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
) with (fillfactor = 50);
select wall('tenant_clocks', 'select, insert, update, delete');

-- The overseer sees which tenants exist and where their logs stand, and nothing of what they hold.
grant select (tenant_id, state) on tenants to agent_memory_overseer;
grant select (tenant_id, last_seq) on tenant_clocks to agent_memory_overseer;
create policy overseer_reads on tenants for select to agent_memory_overseer using (true);
create policy overseer_reads on tenant_clocks for select to agent_memory_overseer using (true);

-- Definer functions belong to a role that owns nothing else; creating in the schema is granted only while they are made. Only the
-- serving role may call them, and who migrates, as a member of the role that owns them.
grant create on schema public to agent_memory_overseer;

create function list_tenants(p_after text, p_limit int) returns table (tenant_id text, state text)
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$ select t.tenant_id, t.state from public.tenants t where t.tenant_id > p_after order by t.tenant_id limit p_limit $$;
revoke execute on function list_tenants(text, int) from public;
grant execute on function list_tenants(text, int) to agent_memory_app;
alter function list_tenants(text, int) owner to agent_memory_overseer;

-- Where the logs of the followed tenants stand, in one statement however many there are.
create function read_clocks(p_tenants text[]) returns table (tenant_id text, last_seq bigint)
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$ select c.tenant_id, c.last_seq from public.tenant_clocks c where c.tenant_id = any (p_tenants) $$;
revoke execute on function read_clocks(text[]) from public;
grant execute on function read_clocks(text[]) to agent_memory_app;
alter function read_clocks(text[]) owner to agent_memory_overseer;

revoke create on schema public from agent_memory_overseer;
