-- Search and context know memories: what was believed when, what is valid, what a filter asks for.
-- min_code: 7

-- What a filter is asked of, as one document; src/filter/compile.ts writes the predicate. Times are milliseconds, as answers show them.
-- What is absent has no key, an empty list is absent. These are written so that the planner takes them in: only fields are read, no content.
create function event_doc(p_event events) returns jsonb
language sql stable parallel safe
return jsonb_strip_nulls(jsonb_build_object(
  'kinds', case
    when p_event.kind like 'memory.%' then jsonb_build_array(p_event.kind, p_event.content ->> 'kind')
    when p_event.kind = 'task_update' then '["task_update", "task"]'
    else jsonb_build_array(p_event.kind) end,
  'session_id', p_event.session_id, 'user_id', p_event.user_id, 'agent_id', p_event.agent_id, 'project_id', p_event.project_id,
  'channel', p_event.channel, 'sensitivity', p_event.sensitivity, 'actor_type', p_event.actor_type, 'actor_id', p_event.actor_id,
  'tags', nullif(p_event.tags, '{}'), 'refs', nullif(p_event.refs, '{}'), 'seq', p_event.seq,
  'occurred_at', floor(extract(epoch from p_event.occurred_at) * 1000), 'created_at', floor(extract(epoch from p_event.created_at) * 1000)))
  || jsonb_build_object('metadata', p_event.metadata);

-- What an event has besides where it made or changed a memory.
create function memory_fields(p_tenant text, p_seq bigint) returns jsonb
language sql stable
begin atomic
  select coalesce((
    select jsonb_build_object('importance', m.importance, 'scope', m.scope, 'pinned', m.pinned,
      'status', case when m.status = 'active' and m.expires_at <= now() then 'expired' else m.status end)
    from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
    where v.tenant_id = p_tenant and v.seq = p_seq
    order by v.status = 'superseded'
    limit 1), '{}');
end;

-- p_filter: {"path", "vars", "memory"}, what compileFilter makes.
create function event_matches(p_event events, p_filter jsonb) returns boolean
language sql stable
return coalesce(jsonb_path_match(
  event_doc(p_event) || case when (p_filter ->> 'memory')::boolean then memory_fields(p_event.tenant_id, p_event.seq) else '{}' end,
  (p_filter ->> 'path')::jsonpath, p_filter -> 'vars', true), false);

-- A memory, with the event that holds its content.
create function memory_matches(p_memory memories, p_event events, p_filter jsonb) returns boolean
language sql stable
return coalesce(jsonb_path_match(
  jsonb_strip_nulls(jsonb_build_object(
    'kinds', jsonb_build_array(p_memory.kind),
    'session_id', p_memory.session_id, 'user_id', p_memory.user_id, 'agent_id', p_memory.agent_id, 'project_id', p_memory.project_id,
    'channel', p_memory.channel, 'sensitivity', p_memory.sensitivity, 'actor_type', p_event.actor_type, 'actor_id', p_event.actor_id,
    'tags', nullif(p_memory.tags, '{}'), 'refs', nullif(p_event.refs, '{}'), 'seq', p_memory.last_seq,
    'occurred_at', floor(extract(epoch from p_event.occurred_at) * 1000), 'created_at', floor(extract(epoch from p_memory.created_at) * 1000),
    'importance', p_memory.importance, 'scope', p_memory.scope, 'pinned', p_memory.pinned,
    'status', case when p_memory.status = 'active' and p_memory.expires_at <= now() then 'expired' else p_memory.status end))
    || jsonb_build_object('metadata', p_event.metadata),
  (p_filter ->> 'path')::jsonpath, p_filter -> 'vars', true), false);
