-- Returns the ids that name no row, as far as their nouns can tell. `gone`: the row was legitimately erased, trimmed or forgotten.
create or replace function missing_ids(p_tenant text, p_ids text[]) returns table (id text, gone boolean)
language plpgsql stable
as $$
declare
  v_begin bigint := log_begin(p_tenant);
  v_oldest_id text := (select e.event_id from events e where e.tenant_id = p_tenant and e.seq = v_begin and v_begin > 1);
  v_forgotten boolean := has_forgotten(p_tenant);
  v_noun nouns;
begin
  for v_noun in select n.* from hooks('missing') h (noun) join nouns n on n.noun = h.noun loop
    return query execute format('select id, gone from %I($1, $2, $3, $4)', v_noun.noun || '_missing')
    using p_tenant, array(select i from unnest(p_ids) i where i ~ format('^%s_[0-9a-z]{26}', v_noun.id_prefix)), v_oldest_id, v_forgotten;
  end loop;
end $$;

-- Checks that the ids cited by the events of a range exist.
create or replace function check_refs(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  v_pattern text := (
    select format('^(%s)_[0-9a-z]{26}', string_agg(n.id_prefix, '|')) from hooks('missing') h (noun) join nouns n on n.noun = h.noun);
begin
  return query
  with cited as materialized (
    select e.seq, r.ref
    from events e cross join lateral unnest(e.refs) r (ref)
    where e.tenant_id = p_tenant and e.seq between p_from and p_to and r.ref ~ v_pattern
  ),
  missing as materialized (
    select m.id, m.gone from missing_ids(p_tenant, array(select distinct c.ref from cited c)) m
  )
  select
    case when m.gone then 'refs_gone' else 'refs' end, count(*), count(*) filter (where not m.gone),
    sample_of(jsonb_build_object('seq', c.seq, 'ref', c.ref) order by c.seq) filter (where not m.gone), false
  from cited c left join missing m on m.id = c.ref
  group by 1;
end $$;

-- Checks one range of the log and the data that nouns derive from it. One row per check.
create or replace function check_log(p_tenant text, p_from bigint, p_to bigint)
returns table (noun text, name text, checked bigint, wrong bigint, sample jsonb, vital boolean)
language plpgsql
as $$
declare
  v_noun text;
begin
  perform enter_tenant(p_tenant);
  for v_noun in select * from hooks('check') loop
    return query execute format('select $4, f.* from %I($1, $2, $3) f', v_noun || '_check') using p_tenant, p_from, p_to, v_noun;
  end loop;
  return query select 'events', f.* from check_refs(p_tenant, p_from, p_to) f;
end $$;

-- Checks a page of a noun's rows. One row per check; `last` is where the next page starts.
create or replace function check_rows(p_tenant text, p_noun text, p_after text, p_limit int)
returns table (name text, checked bigint, wrong bigint, sample jsonb, vital boolean, last text)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return query execute format('select name, checked, wrong, sample, vital, last from %I($1, $2, $3)', p_noun || '_check_rows') using p_tenant, p_after, p_limit;
end $$;

create or replace function stored_outside_log(p_tenant text) returns bigint
language plpgsql stable
as $$
declare
  v_noun text;
  v_bytes bigint;
  v_sum bigint := 0;
begin
  for v_noun in select * from hooks('stored') loop
    execute format('select %I($1)', v_noun || '_stored') into v_bytes using p_tenant;
    v_sum := v_sum + v_bytes;
  end loop;
  return v_sum;
end $$;

-- Returns the clock and the actual ends of the log in one snapshot.
create or replace function read_log_state(p_tenant text)
returns table (last_seq bigint, oldest_seq bigint, event_count bigint, stored_bytes bigint, highest bigint, lowest bigint, carried_from bigint, stored_outside_log bigint, rebuilding boolean)
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select
    c.last_seq, c.oldest_seq, c.event_count, c.stored_bytes,
    (select max(e.seq) from events e where e.tenant_id = p_tenant),
    (select e.seq from events e where e.tenant_id = p_tenant and e.carried_at is null order by e.seq limit 1),
    (select min(e.seq) from events e where e.tenant_id = p_tenant and e.seq < c.oldest_seq),
    stored_outside_log(p_tenant),
    exists (select from chunk_rebuilds r where r.tenant_id = p_tenant)
  from tenant_clocks c
  where c.tenant_id = p_tenant;
end $$;

create or replace function measure_range(p_tenant text, p_from bigint, p_to bigint) returns bigint
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  return measure_log(p_tenant, p_from, p_to);
end $$;

-- Rebuilds the derived data of a range from the log, for every noun that can. Returns the number of changed rows.
create or replace function repair_log(p_tenant text, p_from bigint, p_to bigint) returns bigint
language plpgsql
as $$
declare
  v_noun text;
  v_changed bigint;
  v_sum bigint := 0;
begin
  perform enter_tenant(p_tenant);
  for v_noun in select * from hooks('repair') loop
    execute format('select %I($1, $2, $3)', v_noun || '_repair') into v_changed using p_tenant, p_from, p_to;
    v_sum := v_sum + coalesce(v_changed, 0);
  end loop;
  return v_sum;
end $$;

-- Repairs a page of a noun's rows; `last` is where the next page starts.
create or replace function repair_rows(p_tenant text, p_noun text, p_after text, p_limit int) returns table (changed bigint, last text)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return query execute format('select changed, last from %I($1, $2, $3)', p_noun || '_repair_rows') using p_tenant, p_after, p_limit;
end $$;

-- Sets the clock from the rows. p_count and p_bytes were counted up to p_upto; later events are added. last_seq never decreases, because a seq that
-- clients have seen must not be reused.
create or replace function repair_clock(p_tenant text, p_upto bigint, p_count bigint, p_bytes bigint) returns void
language plpgsql
as $$
declare
  v_clock tenant_clocks;
  v_last bigint;
  v_first bigint;
begin
  perform enter_tenant(p_tenant);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_last := (select max(e.seq) from events e where e.tenant_id = p_tenant);
  v_first := (select e.seq from events e where e.tenant_id = p_tenant and e.carried_at is null order by e.seq limit 1);
  perform set_clock(
    p_tenant,
    greatest(v_clock.last_seq, v_last),
    least(v_clock.oldest_seq, v_first),
    p_count + (select count(*) from events e where e.tenant_id = p_tenant and e.seq > p_upto),
    p_bytes + measure_log(p_tenant, p_upto + 1, greatest(v_clock.last_seq, v_last)));
end $$;
