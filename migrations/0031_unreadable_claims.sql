-- A value that cannot be read stops neither what cites it nor a preview.
-- min_code: 7

-- Whether a time is one that answers can express.
create function is_readable_time(p_at timestamptz) returns boolean
language sql immutable parallel safe
return p_at >= '0001-01-01 00:00:00+00' and p_at <= '9999-12-31 23:59:59.999999+00';

-- In ms, with microseconds as the fraction.
create function epoch_ms(p_at timestamptz) returns numeric
language sql immutable parallel safe
return case when is_readable_time(p_at) then extract(epoch from p_at) * 1000 end;

-- As in 0024; a claim is dated by times that can be read alone, and compared to the microsecond.
create or replace function claim_of(p_tenant text, p_scope jsonb, p_memory memories, p_standing jsonb, p_at timestamptz) returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_said timestamptz;
begin
  if p_memory.kind not in ('fact', 'note', 'summary', 'preference') then
    return '{}';
  end if;
  select max(s.occurred_at) into v_said
  from jsonb_array_elements_text(p_standing -> 'refs') with ordinality r (ref, place)
  cross join lateral (
    select e.seq
    from events e
    where e.tenant_id = p_tenant and e.kind not like 'memory.%'
      and e.event_id = case when r.ref ~ '^chk_' then 'evt_' || split_part(substr(r.ref, 5), '_', 1) else r.ref end
    limit 1
  ) cited
  cross join lateral (select x.occurred_at from seen_events(p_tenant, p_scope) x where x.seq = cited.seq limit 1) s
  where r.place <= 32 and is_readable_time(s.occurred_at);
  return jsonb_strip_nulls(jsonb_build_object(
    'said_at', epoch_ms(coalesce(v_said, p_at)),
    'holds_from', coalesce(epoch_ms(p_memory.valid_from), epoch_ms(coalesce(v_said, p_at))),
    'stands', jsonb_build_array(
      p_memory.scope,
      case p_memory.scope when 'project' then p_memory.project_id when 'session' then p_memory.session_id end,
      p_memory.channel, p_memory.user_id)::text));
end $$;

-- As in 0028; the oldest and the newest of those whose time can be read.
create or replace function count_old(p_tenant text, p_job text, p_after text, p_limit int)
returns table (last_id text, kind text, events bigint, oldest timestamptz, newest timestamptz)
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  with page as materialized (
    select k.id, k.seq
    from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id > p_after
    order by k.id
    limit p_limit
  )
  select
    (select max(p.id) from page p), e.kind, count(*),
    min(e.created_at) filter (where is_readable_time(e.created_at)), max(e.created_at) filter (where is_readable_time(e.created_at))
  from page p join events e on e.tenant_id = p_tenant and e.seq = p.seq
  group by e.kind;
end $$;
