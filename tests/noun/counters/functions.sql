-- The effect of an event: { "counter_id", "name", "value", "expected": the required current value, absent if the event creates the counter, "expires_at" }.

-- Refuses units that expect another value of a counter. Units see the effects of earlier units of the batch.
create or replace function counters_judge(p_tenant text, p_units jsonb, p_at timestamptz) returns setof judgement
language plpgsql
as $$
declare
  v_values jsonb := counter_values(p_tenant, p_units, p_at);
  v_unit record;
  v_next jsonb;
begin
  for v_unit in select u.doc, u.ord from jsonb_array_elements(p_units) with ordinality u (doc, ord) order by u.ord loop
    v_next := counted_by(v_unit.doc, v_values);
    if v_next is null then
      return next row(v_unit.ord, '{"code": "AM412", "detail": "the counter has a different value"}', null)::judgement;
    else
      v_values := v_next;
    end if;
  end loop;
end $$;

-- Locks the counters that these units name, in the order of their keys, and returns their values by id as of p_at.
create or replace function counter_values(p_tenant text, p_units jsonb, p_at timestamptz) returns jsonb
language plpgsql
as $$
declare
  v_values jsonb := '{}';
  v_row record;
begin
  for v_row in
    select c.counter_id, c.value
    from counters c
    where c.tenant_id = p_tenant
      and c.counter_id in (select i.id #>> '{}' from jsonb_path_query(p_units, '$[*].events[*].effects.counters.counter_id') i (id))
      and (c.expires_at is null or c.expires_at > p_at)
    order by c.counter_id
    for update
  loop
    v_values := v_values || jsonb_build_object(v_row.counter_id, v_row.value);
  end loop;
  return v_values;
end $$;

-- Returns the values after a unit, or null if one of its events expected another value.
create or replace function counted_by(p_unit jsonb, p_values jsonb) returns jsonb
language plpgsql immutable
as $$
declare
  v_set jsonb;
begin
  for v_set in
    select e.doc #> '{effects,counters}'
    from jsonb_array_elements(case when jsonb_typeof(p_unit) = 'object' then p_unit -> 'events' else '[]' end) with ordinality e (doc, ord)
    where e.doc #> '{effects,counters}' is not null
    order by e.ord
  loop
    if v_set -> 'expected' is distinct from p_values -> (v_set ->> 'counter_id') then
      return null;
    end if;
    p_values := p_values || jsonb_build_object(v_set ->> 'counter_id', v_set -> 'value');
  end loop;
  return p_values;
end $$;

create or replace function counters_apply(p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
as $$
begin
  insert into counters (tenant_id, counter_id, seq, name, value, made_by, user_id, channel, sensitivity, created_at, expires_at)
  -- the last write of a batch wins
  select distinct on (d.counter_id)
    p_tenant, d.counter_id, f.seq, d.name, d.value, first_value(f.user_id) over (partition by d.counter_id order by f.seq), f.user_id, f.channel,
    f.sensitivity, p_at, d.expires_at
  from unnest(p_effects) f
  cross join lateral jsonb_to_record(f.doc) d (counter_id text, name text, value bigint, expires_at timestamptz)
  order by d.counter_id, f.seq desc
  on conflict (tenant_id, counter_id) do update set seq = excluded.seq, value = excluded.value, user_id = excluded.user_id;
  -- stored for retries, which cannot read it once another event has set the counter
  return array(
    select row('counters', f.unit, f.event, f.doc - 'expected', true)::answer
    from unnest(p_effects) f);
end $$;

-- Deletes counters whose latest event is blanked or dropped.
create or replace function counters_clear(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_count bigint := (select count(*) from counters c where c.tenant_id = p_tenant and c.seq = any (p_seqs));
begin
  if not p_dry then
    delete from counters c where c.tenant_id = p_tenant and c.seq = any (p_seqs);
  end if;
  return jsonb_build_object('counters', v_count);
end $$;

-- Removes the subject's name as the creator of counters that others set last.
create or replace function counters_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_ids text[] := array(
    select c.counter_id
    from counters c
    where c.tenant_id = p_tenant and c.counter_id > p_after and p_erasure ->> 'kind' = 'user_id' and c.made_by = p_erasure ->> 'subject'
      and not is_event_marked(p_tenant, p_job, c.seq)
    order by c.counter_id
    limit p_limit);
begin
  if not p_erasure ? 'dry_run' then
    update counters c set made_by = null where c.tenant_id = p_tenant and c.counter_id = any (v_ids);
  end if;
  last := v_ids[cardinality(v_ids)];
  counts := jsonb_build_object('counters_made', cardinality(v_ids));
  return next;
end $$;

create or replace function counters_held(p_tenant text, p_seqs bigint[]) returns table (seq bigint, live boolean, importance numeric)
language sql stable
begin atomic
  select c.seq, c.expires_at is null or c.expires_at > now(), 1::numeric
  from counters c
  where c.tenant_id = p_tenant and c.seq = any (p_seqs);
end;

-- Marks the events of active counters to be kept whole.
create or replace function counters_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_seqs bigint[] := array(select c.seq from counters c where c.tenant_id = p_tenant and c.seq > p_after order by c.seq limit p_limit);
begin
  perform mark_seqs(p_tenant, p_job, 'carry', array(select h.seq from counters_held(p_tenant, v_seqs) h where h.live), p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;

-- Checks that each counter has the value of its event.
create or replace function counters_check(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
as $$
begin
  return query
  select 'counters', count(*), count(*) filter (where w.wrong),
    sample_of(jsonb_build_object('seq', c.seq, 'counter_id', c.counter_id) order by c.seq) filter (where w.wrong), false
  from counters c
  join events e on e.tenant_id = c.tenant_id and e.seq = c.seq
  cross join lateral (select to_jsonb(c.value) is distinct from e.content -> 'value') w (wrong)
  where c.tenant_id = p_tenant and c.seq between p_from and p_to;
end $$;

create or replace function counters_repair(p_tenant text, p_from bigint, p_to bigint) returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  update counters c
  set value = member_of(e.content, 'value', 'number')::bigint
  from events e
  where c.tenant_id = p_tenant and c.seq between p_from and p_to and e.tenant_id = c.tenant_id and e.seq = c.seq
    and to_jsonb(c.value) is distinct from member_of(e.content, 'value', 'number');
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- Import: finds a counter whose event did not set it.
create or replace function counters_stray(p_tenant text, p_first bigint, p_after text, p_limit int) returns table (last text, fault text)
language plpgsql stable
as $$
begin
  return query
  select max(d.counter_id), 'The counter ' || min(d.counter_id) filter (where d.actual_id is distinct from d.counter_id) || ' was not set by the event at its seq.'
  from (
    select c.counter_id, (
      select e.content ->> 'counter_id' from events e where e.tenant_id = p_tenant and e.seq = c.seq and e.kind = 'counter.set') as actual_id
    from counters c
    where c.tenant_id = p_tenant and c.counter_id > p_after
    order by c.counter_id
    limit p_limit) d;
end $$;
