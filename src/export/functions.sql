-- Returns the exported columns of a table: all but the tenant, generated columns, and bytes stored out of line.
create or replace function portable_columns(p_relation text) returns table (name text, type text, needed boolean)
language sql stable
begin atomic
  select a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull
  from pg_attribute a
  where a.attrelid = to_regclass(p_relation) and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attname <> 'tenant_id'
    and not (a.atttypid = 'bytea'::regtype and a.attstorage = 'e')
  order by a.attnum;
end;

-- Returns the exported tables in the order of the file: mutable tables, tables with out-of-line bytes (which follow the line of their row), and
-- tables whose rows are immutable up to a given seq.
create or replace function portable_parts()
returns table (part text, place int, relation text, keys text[], bound text, weight text, has_bytes boolean)
language sql stable
begin atomic
  select
    p.part, row_number() over (order by p.bound is not null, not b.has_bytes, p.place)::int, p.relation, p.keys, p.bound, coalesce(p.weight, '0'), b.has_bytes
  from portable_tables p
  cross join lateral (
    select exists (
      select from pg_attribute a
      where a.attrelid = to_regclass(p.relation) and a.atttypid = 'bytea'::regtype and a.attstorage = 'e' and not a.attisdropped) as has_bytes
  ) b
  order by 2;
end;

-- Returns the same for the daemon, with the columns of type timestamptz, and those of them that are not null.
create or replace function list_parts() returns table (part text, keys text[], changes boolean, has_bytes boolean, times text[], needed_times text[])
language sql stable
begin atomic
  select
    p.part, p.keys, p.bound is null, p.has_bytes,
    array(select c.name from portable_columns(p.relation) c where c.type = 'timestamp with time zone'),
    array(select c.name from portable_columns(p.relation) c where c.type = 'timestamp with time zone' and c.needed)
  from portable_parts() p
  order by p.place;
end;

-- Returns a page of lines and the key of the last one. It has at most p_limit rows and about 4 MiB. One text saves the daemon the cost per row.
create or replace function export_page(p_tenant text, p_part text, p_after jsonb, p_upto bigint, p_limit int)
returns table (lines text, n int, last jsonb)
language plpgsql
set timezone = 'UTC' set plan_cache_mode = force_custom_plan
as $$
declare
  v_part record;
  v_keys text;
  v_columns text;
begin
  perform enter_tenant(p_tenant);
  select * into v_part from portable_parts() p where p.part = p_part;
  v_keys := (select string_agg(format('t.%I', k), ', ') from unnest(v_part.keys) k);
  v_columns := (select string_agg(format('t.%I', c.name), ', ') from portable_columns(v_part.relation) c);
  return query execute format($q$
    select string_agg(%1$L || substr(row_to_json(r)::text, 2), E'\n'), count(*)::int, (array_agg(k.keys))[count(*)]
    from (
      select t.*, sum(%2$s) over (order by %3$s rows unbounded preceding) - %2$s as before
      from (
        select t.*
        from %4$I t
        where t.tenant_id = $1 and ($2 is null or (%3$s) > (%5$s)) and %6$s
        order by %3$s
        limit $4
      ) t
    ) t
    cross join lateral (select %7$s) r
    cross join lateral (select jsonb_build_array(%3$s) as keys) k
    where t.before < 4194304 $q$,
    format('{"type":"%s",', p_part), format('(%s)::bigint', v_part.weight), v_keys, v_part.relation,
    (select string_agg(format('($2 ->> %s)::%s', k.ord - 1, c.type), ', ' order by k.ord)
     from unnest(v_part.keys) with ordinality k (name, ord) join portable_columns(v_part.relation) c on c.name = k.name),
    coalesce(v_part.bound, 'true'), v_columns)
  using p_tenant, p_after, p_upto, p_limit;
end $$;

-- Deletes imported rows for at most p_ms. Returns whether any are left.
create or replace function undo_rows(p_ms int) returns boolean
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_end timestamptz := clock_timestamp() + interval '1 millisecond' * p_ms;
  v_tenant text := current_tenant();
  v_part record;
  v_count bigint;
begin
  if not is_importing() then
    return false;
  end if;
  for v_part in select * from portable_parts() p order by p.place desc loop
    loop
      if clock_timestamp() > v_end then
        return true;
      end if;
      execute format('delete from public.%I where ctid = any (array(select ctid from public.%1$I where tenant_id = $1 limit $2))', v_part.relation)
      using v_tenant, case when v_part.has_bytes then 4 else 500 end;
      get diagnostics v_count = row_count;
      exit when v_count = 0;
    end loop;
  end loop;
  return false;
end $$;
revoke execute on function undo_rows(int) from public;
grant execute on function undo_rows(int) to agent_memory_app;
alter function undo_rows(int) owner to agent_memory_eraser;

-- Artifacts without an event do not count.
create or replace function is_empty_tenant(p_tenant text) returns boolean
language plpgsql stable
as $$
declare
  v_relation text;
  v_found boolean;
begin
  for v_relation in select p.relation from portable_parts() p where not p.has_bytes loop
    execute format('select exists (select from %I t where t.tenant_id = $1)', v_relation) into v_found using p_tenant;
    if v_found then
      return false;
    end if;
  end loop;
  return true;
end $$;

-- Marks an empty tenant as importing and starts the job, whose lease is p_lease_ms. Returns the bytes that the tenant may store.
create or replace function begin_import(p_tenant text, p_import text, p_by text, p_lease_ms int) returns bigint
language plpgsql
as $$
declare
  v_clock tenant_clocks;
begin
  perform enter_tenant(p_tenant);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  if not found then
    raise exception 'the tenant does not exist' using errcode = 'AM404';
  end if;
  if v_clock.importing is not null then
    raise exception 'another import into the tenant is running' using errcode = 'AM409';
  end if;
  if v_clock.last_seq > 0 or not is_empty_tenant(p_tenant) then
    raise exception 'the tenant is not empty' using errcode = 'AM409';
  end if;
  perform start_job(p_tenant, p_import, 'import', '{"receiving": true}', p_by, 1000, null, null);
  perform hold_job(p_tenant, p_import, p_lease_ms);
  perform mark_import(p_tenant, p_import);
  return v_clock.max_bytes;
end $$;

-- Locks the clock and renews the lease. Raises AM409 if the import was abandoned and another daemon took its job.
create or replace function renew_import(p_tenant text, p_import text, p_events bigint, p_total bigint, p_lease_ms int) returns void
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant and c.importing = p_import for update;
  if not found or not advance_job(p_tenant, p_import, p_events, p_total, p_lease_ms) then
    raise exception 'the import was aborted' using errcode = 'AM409';
  end if;
end $$;

-- Inserts the rows of one part. The weight of an event is measured again if it is implausible, because pages are limited by it.
create or replace function import_rows(p_tenant text, p_import text, p_part text, p_rows jsonb, p_lease_ms int) returns void
language plpgsql
set timezone = 'UTC'
as $$
declare
  v_relation text := (select p.relation from portable_parts() p where p.part = p_part);
  v_columns text;
  v_values text;
begin
  perform renew_import(p_tenant, p_import, case p_part when 'event' then jsonb_array_length(p_rows) else 0 end, null, p_lease_ms);
  select
    string_agg(format('%I', c.name), ', '),
    string_agg(case when c.name <> 'byte_count' or p_part <> 'event' then format('r.%I', c.name)
      else 'case when abs(r.byte_count - w.bytes) <= 16 then r.byte_count else w.bytes end' end, ', ')
  into v_columns, v_values
  from portable_columns(v_relation) c;
  execute format(
    'insert into %1$I (tenant_id, %2$s) select $1, %3$s from jsonb_populate_recordset(null::%1$I, $2) r %4$s',
    v_relation, v_columns, v_values,
    case when p_part = 'event' then 'cross join lateral (select pg_column_size(r.content) + pg_column_size(r.metadata) as bytes) w' else '' end)
  using p_tenant, p_rows;
end $$;

create or replace function import_artifact(p_tenant text, p_import text, p_row jsonb, p_bytes bytea, p_lease_ms int) returns void
language plpgsql
set timezone = 'UTC'
as $$
begin
  perform renew_import(p_tenant, p_import, 0, null, p_lease_ms);
  perform keep_artifact(p_tenant, p_row, p_bytes);
end $$;

-- Checks a page of imported rows of a noun. Returns the fault of the first row that does not match the log; `last` is where the next page starts.
create or replace function find_stray(p_tenant text, p_noun text, p_first bigint, p_after text, p_limit int) returns table (last text, fault text)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return query execute format('select last, fault from %I($1, $2, $3, $4)', p_noun || '_stray') using p_tenant, p_first, p_after, p_limit;
end $$;

-- Completes a verified import: the tenant is like any other from now on, except for its passages, which the job builds.
create or replace function finish_import(p_tenant text, p_import text, p_clock jsonb, p_language text, p_settings jsonb) returns void
language plpgsql
as $$
begin
  perform renew_import(p_tenant, p_import, 0, 2 * (p_clock ->> 'event_count')::bigint, 0);
  if not exists (
    select from pg_catalog.pg_ts_config f where f.cfgname = p_language and f.cfgnamespace = 'pg_catalog'::regnamespace) then
    raise exception 'the database has no text search configuration with the name of the language' using errcode = 'AM409';
  end if;
  perform configure_tenant(p_tenant, ('pg_catalog.' || p_language)::regconfig, p_settings);
  perform begin_rebuild(p_tenant);
  perform mark_import(p_tenant, null);
  perform set_clock(p_tenant, k.last_seq, k.oldest_seq, k.event_count, k.stored_bytes)
  from jsonb_to_record(p_clock) k (last_seq bigint, oldest_seq bigint, event_count bigint, stored_bytes bigint);
  perform hand_over_job(p_tenant, p_import, p_clock);
end $$;

-- Undoes a batch of an import. Returns whether more is left; after the last batch the job fails. p_import null: an import whose job has ended.
create or replace function undo_import(p_tenant text, p_import text, p_ms int, p_problem jsonb) returns boolean
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c
  where c.tenant_id = p_tenant and c.importing = coalesce(p_import, c.importing)
    and (p_import is not null
      or not exists (select from jobs j where j.tenant_id = p_tenant and j.job_id = c.importing and j.finished_at is null))
  for update;
  if not found then
    return false;
  end if;
  if undo_rows(p_ms) then
    return true;
  end if;
  perform mark_import(p_tenant, null);
  perform fail_job(p_tenant, p_import, p_problem);
  return false;
end $$;
