-- Reads several events by id. Leaves out events that are edited or larger than p_most_bytes, which are read alone; null reads all.
create or replace function read_events(p_tenant text, p_event_ids text[], p_channels text[], p_subjects text[], p_sensitivities text[], p_most_bytes int)
returns table (
  seq bigint, event_id text, session_id text, channel text, actor_type text, actor_id text, kind text, content jsonb, user_id text,
  agent_id text, project_id text, sensitivity text, tags text[], refs text[], metadata jsonb, artifact_id text, redactions int, chunk_count smallint,
  occurred_at timestamptz, created_at timestamptz, edit_ids text[], edited jsonb, blocked_in text[], edited_count smallint)
language plpgsql stable
as $$
declare
  -- an assignment, because `perform` would run a query
  v_tenant text := enter_tenant(p_tenant);
begin
  return query
  select
    e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id, e.project_id, e.sensitivity,
    e.tags, e.refs, e.metadata, e.artifact_id, e.redactions, e.chunk_count, e.occurred_at, e.created_at, o.edit_ids, o.content, o.blocked_in, o.chunk_count
  from unnest(p_event_ids) i (event_id)
  -- `limit` forces a look-up per id
  cross join lateral (
    select * from events x where x.tenant_id = p_tenant and x.event_id = i.event_id limit 1
  ) e
  left join lateral (
    select * from overlays x where x.tenant_id = e.tenant_id and x.seq = e.seq limit 1
  ) o on true
  where visible(e.channel, e.user_id, e.sensitivity, p_channels, p_subjects, p_sensitivities)
  and (p_most_bytes is null or (e.byte_count <= p_most_bytes and o.seq is null));
end $$;

-- Checks that the log has every seq from its beginning.
create or replace function events_check(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
begin
  return query
  select 'seq', count(*), count(*) filter (where p.missing), sample_of(to_jsonb(p.seq) order by p.seq) filter (where p.missing), true
  from (
    select e.seq, false as missing from events e where e.tenant_id = p_tenant and e.seq between p_from and p_to
    union all
    select s.seq, true
    from generate_series(greatest(p_from, log_begin(p_tenant)), p_to) s (seq)
    where not exists (select from events e where e.tenant_id = p_tenant and e.seq = s.seq)
  ) p;
end $$;

create or replace function events_missing(p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean)
returns table (id text, gone boolean)
language sql stable
as $$
  select i.id, coalesce(substr(i.id, 5, 26) < substr(p_oldest_id, 5, 26), false)
  from unnest(p_ids) i (id)
  -- `limit` forces a look-up per id
  left join lateral (
    select e.seq from events e where e.tenant_id = p_tenant and e.event_id = i.id limit 1
  ) e on true
  where e.seq is null
$$;
