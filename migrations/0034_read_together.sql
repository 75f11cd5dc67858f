-- min_code: 7
-- Events by id, several at once. `p_most_bytes` leaves out events that are larger or edited, which are read alone; null: none.
create function read_events(p_tenant text, p_event_ids text[], p_channels text[], p_subjects text[], p_sensitivities text[], p_most_bytes int)
returns table (
  seq bigint, event_id text, session_id text, channel text, actor_type text, actor_id text, kind text, content jsonb, user_id text,
  agent_id text, project_id text, sensitivity text, tags text[], refs text[], metadata jsonb, artifact_id text, redactions int, chunk_count smallint,
  occurred_at timestamptz, created_at timestamptz, edit_ids text[], edited jsonb, blocked_in text[], edited_count smallint)
language plpgsql
as $$
declare
  -- assigned, not performed, which would be a query
  v_tenant text := enter_tenant(p_tenant);
begin
  return query
  select
    e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id, e.project_id, e.sensitivity,
    e.tags, e.refs, e.metadata, e.artifact_id, e.redactions, e.chunk_count, e.occurred_at, e.created_at, o.edit_ids, o.content, o.blocked_in, o.chunk_count
  from unnest(p_event_ids) i (event_id)
  -- `limit` keeps it a look-up of each id
  cross join lateral (
    select * from events x where x.tenant_id = p_tenant and x.event_id = i.event_id limit 1
  ) e
  left join lateral (
    select * from overlays x where x.tenant_id = e.tenant_id and x.seq = e.seq limit 1
  ) o on true
  where e.channel = any (p_channels)
  and (e.channel <> 'private' or p_subjects is null or e.user_id = any (p_subjects))
  and e.sensitivity = any (p_sensitivities)
  and (p_most_bytes is null or (e.byte_count <= p_most_bytes and o.seq is null));
end $$;

-- For daemons of earlier releases.
create or replace function read_event(p_tenant text, p_event_id text, p_channels text[], p_subjects text[], p_sensitivities text[])
returns table (
  seq bigint, event_id text, session_id text, channel text, actor_type text, actor_id text, kind text, content jsonb, user_id text,
  agent_id text, project_id text, sensitivity text, tags text[], refs text[], metadata jsonb, artifact_id text, redactions int, chunk_count smallint,
  occurred_at timestamptz, created_at timestamptz, edit_ids text[], edited jsonb, blocked_in text[], edited_count smallint)
language plpgsql
as $$
begin
  return query select * from read_events(p_tenant, array[p_event_id], p_channels, p_subjects, p_sensitivities, null);
end $$;
