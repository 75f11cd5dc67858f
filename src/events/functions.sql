create or replace function carry_events(p_seqs bigint[]) returns void
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
  update public.events e set carried_at = clock_timestamp()
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs) and e.carried_at is null
$$;
revoke execute on function carry_events(bigint[]) from public;
grant execute on function carry_events(bigint[]) to agent_memory_app;
alter function carry_events(bigint[]) owner to agent_memory_blanker;

-- Events by id, several at once. `p_most_bytes` leaves out events that are larger or edited, which are read alone; null: none.
create or replace function read_events(p_tenant text, p_event_ids text[], p_channels text[], p_subjects text[], p_sensitivities text[], p_most_bytes int)
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
  where visible(e.channel, e.user_id, e.sensitivity, p_channels, p_subjects, p_sensitivities)
  and (p_most_bytes is null or (e.byte_count <= p_most_bytes and o.seq is null));
end $$;

-- An event keeps its place, its kind and its times. p_subject: names that hold it become p_name, and the session's name where the event is
-- about that user, for clients put anything into it; null: no name changes. The words of a person are theirs also where the event says of
-- nobody that it is about them.
create or replace function blank_events(p_seqs bigint[], p_content jsonb, p_subject text, p_name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count bigint;
begin
  update public.events e
  set content = p_content, metadata = '{}', tags = '{}', refs = '{}', artifact_id = null, chunk_count = 0,
    byte_count = pg_column_size(p_content), erased_at = coalesce(e.erased_at, clock_timestamp()),
    session_id = case
      when strpos(e.session_id, p_subject) > 0 or e.user_id = p_subject or (e.actor_type = 'human' and e.actor_id = p_subject) then p_name
      else e.session_id end,
    user_id = case when strpos(e.user_id, p_subject) > 0 then p_name else e.user_id end,
    agent_id = case when strpos(e.agent_id, p_subject) > 0 then p_name else e.agent_id end,
    project_id = case when strpos(e.project_id, p_subject) > 0 then p_name else e.project_id end,
    actor_id = case when strpos(e.actor_id, p_subject) > 0 or e.actor_id ~ '^usr_' then coalesce(p_name, e.actor_id) else e.actor_id end
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  if v_count <> cardinality(p_seqs) then
    raise exception '% of % events could be blanked', v_count, cardinality(p_seqs);
  end if;
  return v_count;
end $$;
revoke execute on function blank_events(bigint[], jsonb, text, text) from public;
grant execute on function blank_events(bigint[], jsonb, text, text) to agent_memory_app;
alter function blank_events(bigint[], jsonb, text, text) owner to agent_memory_blanker;

-- Other people's events that cite a name: the citation is replaced, the rest is theirs.
create or replace function rename_refs(p_seqs bigint[], p_subject text, p_name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count bigint;
begin
  update public.events e set refs = array_replace(e.refs, p_subject, p_name)
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  return v_count;
end $$;
revoke execute on function rename_refs(bigint[], text, text) from public;
grant execute on function rename_refs(bigint[], text, text) to agent_memory_app;
alter function rename_refs(bigint[], text, text) owner to agent_memory_blanker;

create or replace function drop_events(p_seqs bigint[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count bigint;
begin
  delete from public.events e where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  return v_count;
end $$;
revoke execute on function drop_events(bigint[]) from public;
grant execute on function drop_events(bigint[]) to agent_memory_app;
alter function drop_events(bigint[]) owner to agent_memory_blanker;

create or replace function rename_event(p_seq bigint, p_parts jsonb) returns void
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
  update public.events e
  set session_id = f.session_id, user_id = f.user_id, agent_id = f.agent_id, project_id = f.project_id, actor_id = f.actor_id,
    tags = f.tags, refs = f.refs, content = p_parts -> 'content', metadata = p_parts -> 'metadata',
    byte_count = pg_column_size(p_parts -> 'content') + pg_column_size(p_parts -> 'metadata')
  from jsonb_to_record(p_parts -> 'fields') as f (
    session_id text, user_id text, agent_id text, project_id text, actor_id text, tags text[], refs text[])
  where e.tenant_id = (select public.current_tenant()) and e.seq = p_seq and e.erased_at is null
$$;
revoke execute on function rename_event(bigint, jsonb) from public;
grant execute on function rename_event(bigint, jsonb) to agent_memory_app;
alter function rename_event(bigint, jsonb) owner to agent_memory_blanker;

-- Whether the log has every seq. Places are missing only where it has begun.
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
  -- `limit` keeps it a look-up of each id
  left join lateral (
    select e.seq from events e where e.tenant_id = p_tenant and e.event_id = i.id limit 1
  ) e on true
  where e.seq is null
$$;
