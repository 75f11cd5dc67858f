-- Times in one form wherever a session is opened, and rows with values that cannot be read in no one's way.
-- min_code: 7

-- Sessions write times as ISO in UTC. Poolers drop startup options, so the transaction says it; a session that has it already pays nothing.
create or replace function enter_tenant(p_tenant text) returns text
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

-- A text of a log as a time; null where it is none, because nothing in the database checks what JSON says.
create function time_of(p_text text) returns timestamptz
language plpgsql stable strict
as $$
begin
  return p_text::timestamptz;
exception when data_exception then
  return null;
end $$;

-- A time as a text that sorts as times do, to the microsecond; null where it is infinite.
create function sortable_time(p_at timestamptz) returns text
language sql stable parallel safe
return to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- As in 0008; times are texts, which know microseconds.
create or replace function event_doc(p_event events) returns jsonb
language sql stable parallel safe
return jsonb_strip_nulls(jsonb_build_object(
  'kinds', case
    when p_event.kind like 'memory.%' then jsonb_build_array(p_event.kind, p_event.content ->> 'kind')
    when p_event.kind = 'task_update' then '["task_update", "task"]'
    else jsonb_build_array(p_event.kind) end,
  'session_id', p_event.session_id, 'user_id', p_event.user_id, 'agent_id', p_event.agent_id, 'project_id', p_event.project_id,
  'channel', p_event.channel, 'sensitivity', p_event.sensitivity, 'actor_type', p_event.actor_type, 'actor_id', p_event.actor_id,
  'tags', nullif(p_event.tags, '{}'), 'refs', nullif(p_event.refs, '{}'), 'seq', p_event.seq,
  'occurred_at', sortable_time(p_event.occurred_at), 'created_at', sortable_time(p_event.created_at)))
  || jsonb_build_object('metadata', p_event.metadata);

-- As in 0008; times are texts.
create or replace function memory_matches(p_memory memories, p_event events, p_filter jsonb) returns boolean
language sql stable
return coalesce(jsonb_path_match(
  jsonb_strip_nulls(jsonb_build_object(
    'kinds', jsonb_build_array(p_memory.kind),
    'session_id', p_memory.session_id, 'user_id', p_memory.user_id, 'agent_id', p_memory.agent_id, 'project_id', p_memory.project_id,
    'channel', p_memory.channel, 'sensitivity', p_memory.sensitivity, 'actor_type', p_event.actor_type, 'actor_id', p_event.actor_id,
    'tags', nullif(p_event.tags, '{}'), 'refs', nullif(p_event.refs, '{}'), 'seq', p_memory.last_seq,
    'occurred_at', sortable_time(p_event.occurred_at), 'created_at', sortable_time(p_memory.created_at),
    'importance', p_memory.importance, 'scope', p_memory.scope, 'pinned', p_memory.pinned,
    'status', case when p_memory.status = 'active' and p_memory.expires_at <= now() then 'expired' else p_memory.status end))
    || jsonb_build_object('metadata', p_event.metadata),
  (p_filter ->> 'path')::jsonpath, p_filter -> 'vars', true), false);

-- As in 0002; an event at no day of the calendar has its words.
create or replace function passage_vector(p_language regconfig, p_text text, p_header text, p_at timestamptz) returns tsvector
language sql immutable parallel safe
as $$
  select setweight(to_tsvector(p_language, p_text), 'A')
    || setweight(to_tsvector(p_language, p_header || coalesce(to_char(p_at at time zone 'UTC', ' FMDay FMDD FMMonth FMYYYY'), '')), 'D')
$$;

-- As in 0007; from a memory whose times are none, or end before they begin, nothing is taken.
create or replace function validity(p_memory jsonb) returns tstzrange
language sql stable
return case
  when not p_memory ?| array['valid_from', 'valid_to', 'expires_at'] then null
  when time_of(p_memory ->> 'valid_from') > least(time_of(p_memory ->> 'valid_to'), time_of(p_memory ->> 'expires_at')) then null
  else tstzrange(time_of(p_memory ->> 'valid_from'), least(time_of(p_memory ->> 'valid_to'), time_of(p_memory ->> 'expires_at'))) end;

-- A member of a content where it is of this type; null where it is not.
create function member_of(p_content jsonb, p_name text, p_type text) returns jsonb
language sql immutable parallel safe
return case when jsonb_typeof(p_content -> p_name) = p_type then p_content -> p_name end;

-- As in 0017; what a content says in no form that a column takes is left as it stands.
create or replace function as_stated(p_memory memories) returns memories
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
  select coalesce((select jsonb_populate_record(p_memory, jsonb_build_object('channel', e.channel, 'user_id', e.user_id) || case
    when p_memory.kind = 'task' then '{}'
    when e.kind = 'decision' and e.content ? 'decision' then jsonb_build_object('text_hash', sha256(convert_to(e.content ->> 'decision', 'utf8')), 'tags', e.tags)
    when e.kind like 'memory.%' and e.content ? 'text' then jsonb_build_object(
      'text_hash', sha256(convert_to(e.content ->> 'text', 'utf8')), 'tags', e.tags,
      'importance', coalesce(member_of(e.content, 'importance', 'number'), to_jsonb(p_memory.importance)),
      'pinned', coalesce(member_of(e.content, 'pinned', 'boolean'), to_jsonb(p_memory.pinned)),
      'valid_from', time_of(e.content ->> 'valid_from'), 'valid_to', time_of(e.content ->> 'valid_to'),
      'expires_at', time_of(e.content ->> 'expires_at'))
    else '{}' end)
  from events e
  where e.tenant_id = p_memory.tenant_id and e.seq = p_memory.content_seq), p_memory));
end $$;

create function object_of(p_content jsonb) returns jsonb
language sql immutable parallel safe
return case when jsonb_typeof(p_content) = 'object' then p_content else '{}' end;

-- As in 0012; from a content that is no object nothing is taken.
create or replace function memory_content(p_memory memories, p_event events) returns jsonb
language sql stable
return jsonb_strip_nulls(jsonb_build_object(
  'memory_id', p_memory.memory_id, 'kind', p_memory.kind, 'scope', p_memory.scope, 'importance', p_memory.importance, 'pinned', p_memory.pinned,
  'valid_from', p_memory.valid_from, 'valid_to', p_memory.valid_to, 'expires_at', p_memory.expires_at,
  'origin', jsonb_build_object('type', p_event.actor_type, 'id', p_event.actor_id),
  'trust', case p_event.actor_type when 'human' then 'stated' when 'agent' then 'inferred' else 'observed' end))
  || case p_event.kind
    when 'decision' then jsonb_build_object(
      'text', p_event.content ->> 'decision', 'body', object_of(p_event.content) - array['decision', 'scope', 'supersedes'])
    when 'task_update' then jsonb_build_object('text', p_event.content ->> 'title', 'body', object_of(p_event.content) - 'title')
    else object_of(p_event.content) - 'supersedes' end;

-- As in 0020; what a content says in no form that a column takes is left as it stands.
create or replace function keep_memory(p_tenant text, p_job text, p_memory_id text, p_event_id text) returns void
language plpgsql
as $$
declare
  v_memory memories;
  v_home events;
  v_refs text[];
  v_seq bigint;
  v_wish jsonb;
begin
  select * into v_memory from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id for update;
  select * into v_home from events e where e.tenant_id = p_tenant and e.seq = home_of(v_memory, p_job);
  if v_memory.memory_id is null or v_home.seq is null then
    return;
  end if;
  v_refs := array(
    select g.ref from grounds(p_tenant, p_memory_id, v_memory.content_seq) g
    where not is_marked(p_tenant, p_job, g.ref) order by g.seq desc, g.place, g.ref limit 256);
  delete from memory_versions v using erasure_marks k
  where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.status in ('active', 'proposed')
    and k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.seq = v.seq;
  update memory_versions v set content_seq = v_home.seq
  where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.content_seq = v_memory.content_seq;
  v_wish := case when v_home.kind in ('decision', 'task_update') then memory_doc(v_home) -> 'memory' else v_home.content end;
  -- what it says of itself is said by where it stands now: the event that is gone may have been another agent's, in another session
  update memories m
  set
    content_seq = v_home.seq, marks = array(select distinct unnest(m.marks || '{evidence_erased}')),
    agent_id = v_home.agent_id, session_id = nullif(v_home.session_id, m.memory_id), project_id = v_home.project_id, tags = v_home.tags,
    doing_agent = case when m.doing_agent = v_home.agent_id then m.doing_agent end,
    importance = coalesce((member_of(v_wish, 'importance', 'number'))::real, m.importance),
    valid_from = time_of(v_wish ->> 'valid_from'), valid_to = time_of(v_wish ->> 'valid_to')
  where m.tenant_id = p_tenant and m.memory_id = p_memory_id
  returning * into v_memory;
  if not v_memory.status in ('active', 'proposed') then
    return;
  end if;
  v_seq := say(p_tenant, jsonb_strip_nulls(jsonb_build_object(
    'event_id', p_event_id, 'session_id', v_home.session_id, 'channel', v_home.channel, 'actor_type', v_home.actor_type, 'actor_id', v_home.actor_id,
    'kind', 'memory.updated', 'user_id', v_home.user_id, 'agent_id', v_home.agent_id, 'project_id', v_home.project_id,
    'sensitivity', v_home.sensitivity, 'tags', to_jsonb(v_home.tags), 'refs', to_jsonb(v_refs), 'metadata', v_home.metadata,
    'content', memory_content(v_memory, v_home),
    'chunks', coalesce((
      select jsonb_agg(jsonb_build_object('text', c.text, 'header', c.header, 'token_count', c.token_count) order by c.ordinal)
      from chunks c where c.tenant_id = p_tenant and c.seq = v_home.seq), '[]'))));
  -- edits of a passage and the time it holds for go with its text
  update chunks c set valid = o.valid, weight = o.weight, blocked_in = o.blocked_in
  from chunks o
  where o.tenant_id = p_tenant and o.seq = v_home.seq and c.tenant_id = p_tenant and c.seq = v_seq and c.ordinal = o.ordinal;
  insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
  values (p_tenant, p_memory_id, v_memory.version + 1, v_seq, v_seq, v_memory.status);
  update memories m
  set version = m.version + 1, content_seq = v_seq, last_seq = v_seq, updated_at = clock_timestamp(),
    task_status = case when m.kind = 'task' then coalesce(v_home.content ->> 'status', v_home.content -> 'body' ->> 'status', m.task_status) end
  where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
  -- of all that it said: where its text stands has just moved
  perform end_passages(p_tenant, p_memory_id, v_seq, clock_timestamp(), 0);
end $$;
