-- Roles, and the functions that enable row-level security on tenant tables.
-- min_code: 1

-- Roles belong to the cluster, so another database may have created them already, or may be creating them now.
do $$
declare
  v_role text;
begin
  foreach v_role in array array[
    'agent_memory_app', 'agent_memory_searcher', 'agent_memory_overseer', 'agent_memory_eraser', 'agent_memory_blanker', 'agent_memory_audit_eraser', 'agent_memory_backup'] loop
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

-- nullif, because a transaction-local setting reads as '' and not null once a session has had it.
create function current_tenant() returns text
language sql stable parallel safe
as $$ select nullif(current_setting('app.tenant_id', true), '') $$;

-- Binds the transaction to a tenant and to the serving role, which cannot access other tenants. Every access of the service starts here.
-- Uses assignments, because a query cost 25 µs, a third of a look-up by key. Times must be formatted as ISO in UTC. Poolers drop startup
-- options, so they are set here, unless the session has them already.
create function enter_tenant(p_tenant text) returns text
language plpgsql
as $$
declare
  v_role text := set_config('role', 'agent_memory_app', true);
begin
  if current_setting('TimeZone') <> 'UTC' then
    perform set_config('TimeZone', 'UTC', true);
  end if;
  if current_setting('DateStyle') not like 'ISO%' then
    perform set_config('DateStyle', 'ISO', true);
  end if;
  return set_config('app.tenant_id', p_tenant, true);
end $$;

-- Lets the backup role read a table. Without the policy, a dump of a table with row-level security would be empty; scripts/backup.sh refuses a
-- database with such a table.
create function let_back_up(p_table regclass) returns void
language plpgsql
as $$
begin
  execute format('grant select on %s to agent_memory_backup', p_table);
  if exists (select from pg_class c where c.oid = p_table and c.relrowsecurity) then
    -- A policy applies to all members of its role, including the owner, who must not bypass row-level security without `set role`.
    execute format(
      'create policy backup_reads on %s for select to agent_memory_backup using ((select current_user) = ''agent_memory_backup'')', p_table);
  end if;
end $$;
revoke execute on function let_back_up(regclass) from public;
select let_back_up(c.oid) from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r';

-- Lets the eraser role delete the rows of a tenant that is being deleted. The policy of `tenants` cannot query `tenants`, so it checks the row.
create function let_erase(p_table regclass) returns void
language plpgsql
as $$
declare
  v_rule text := 'tenant_id = (select tenant_deleting())';
begin
  if p_table = 'tenants'::regclass then
    v_rule := 'tenant_id = (select current_tenant()) and state = ''deleting''';
  end if;
  execute format('create policy eraser_finds on %s for select to agent_memory_eraser using (%s)', p_table, v_rule);
  execute format('create policy eraser_deletes on %s for delete to agent_memory_eraser using (%s)', p_table, v_rule);
  execute format('grant select, delete on %s to agent_memory_eraser', p_table);
end $$;
revoke execute on function let_erase(regclass) from public;

-- Enables forced row-level security on a tenant table with one policy, and grants the serving role these privileges. Also lets the eraser
-- delete its rows with a tenant, and the backup role read them.
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
  perform let_erase(p_table);
  perform let_back_up(p_table);
end $$;
revoke execute on function wall(regclass, text) from public;

-- The nouns of the service in the order of their migrations, which is their dependency order. Erasure, trim, export, checks and repair call
-- the hooks of each noun; hooks() in src/db/functions.sql lists the signatures. No row-level security, because the table has no tenant data.
create table nouns (
  noun text not null,
  place int not null,
  -- prefix of its ids, without the underscore; null if its rows have no ids that others cite
  id_prefix text,
  -- hooks that it does not need although other nouns do; the migration gives the reason
  without text[] not null default '{}',
  constraint nouns_pkey primary key (noun),
  constraint nouns__place unique (place),
  constraint nouns__id_prefix unique (id_prefix)
);

-- for definer functions too
grant select on nouns to public;

select let_back_up('nouns');

-- Tables in exports, in the order of their migrations. A row becomes a line of the type `part`.
create table portable_tables (
  part text not null,
  place int not null,
  relation text not null,
  -- columns of the keyset pagination
  keys text[] not null,
  -- Predicate over `t`: the rows that belong to a log that ends at $3. Null: rows change, so all of them are read in one snapshot.
  bound text,
  -- expression over `t`: the size of a row, if rows may be large
  weight text,
  constraint portable_tables_pkey primary key (part),
  constraint portable_tables__place unique (place),
  constraint portable_tables__relation unique (relation)
);

grant select on portable_tables to public;

select let_back_up('portable_tables');

-- Lets the eraser role delete the rows of a failed import, only while the tenant is marked as importing.
create function let_undo(p_table regclass) returns void
language plpgsql
as $$
declare
  v_rule constant text := 'tenant_id = (select current_tenant()) and (select is_importing())';
begin
  execute format('create policy undo_finds on %s for select to agent_memory_eraser using (%s)', p_table, v_rule);
  execute format('create policy undo_deletes on %s for delete to agent_memory_eraser using (%s)', p_table, v_rule);
end $$;
revoke execute on function let_undo(regclass) from public;

-- Includes a tenant table in exports.
create function portable(p_table regclass, part text, keys text[], bound text default null, weight text default null) returns void
language plpgsql
as $$
begin
  perform let_undo(p_table);
  insert into portable_tables (part, place, relation, keys, bound, weight)
  values (
    portable.part, (select coalesce(max(t.place), 0) + 1 from portable_tables t), p_table::text, portable.keys, portable.bound, portable.weight);
end $$;
revoke execute on function portable(regclass, text, text[], text, text) from public;

-- Registers a noun. With `part` and `keys`, the table of the same name is included in exports; `portable` includes other tables.
create function noun(p_noun text, prefix text default null, part text default null, keys text[] default null, without text[] default '{}') returns void
language plpgsql
as $$
begin
  insert into nouns (noun, place, id_prefix, without)
  values (p_noun, (select coalesce(max(n.place), 0) + 1 from nouns n), noun.prefix, noun.without);
  if part is not null then
    perform portable(p_noun::regclass, noun.part, noun.keys);
  end if;
end $$;
revoke execute on function noun(text, text, text, text[], text[]) from public;
