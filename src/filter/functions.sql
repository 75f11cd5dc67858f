-- Returns the document that filters are applied to; src/filter/compile.ts compiles the predicate. Times are texts, to keep microseconds. Absent
-- values and empty lists have no key. The function is written so that the planner inlines it: it reads only fields, no content.
create or replace function event_doc(p_event events) returns jsonb
language sql stable parallel safe
as $$ select jsonb_strip_nulls(jsonb_build_object(
  'kinds', case
    when p_event.kind like 'memory.%' then jsonb_build_array(p_event.kind, p_event.content ->> 'kind')
    when p_event.kind = 'task_update' then '["task_update", "task"]'
    else jsonb_build_array(p_event.kind) end,
  'session_id', p_event.session_id, 'user_id', p_event.user_id, 'agent_id', p_event.agent_id, 'project_id', p_event.project_id,
  'channel', p_event.channel, 'sensitivity', p_event.sensitivity, 'actor_type', p_event.actor_type, 'actor_id', p_event.actor_id,
  'tags', nullif(p_event.tags, '{}'), 'refs', nullif(p_event.refs, '{}'), 'seq', p_event.seq,
  'occurred_at', sortable_time(p_event.occurred_at), 'created_at', sortable_time(p_event.created_at)))
  || jsonb_build_object('metadata', p_event.metadata) $$;

-- Returns the document of an event that is withheld from a request. It has only what the answer shows, or a filter would reveal the rest.
create or replace function withheld_doc(p_event events) returns jsonb
language sql stable parallel safe
as $$ select (event_doc(p_event) - array['tags', 'refs']) || jsonb_build_object(
  'kinds', case p_event.kind when 'task_update' then '["task_update", "task"]' else jsonb_build_array(p_event.kind) end, 'metadata', '{}'::jsonb) $$;

-- Returns the additional fields of an event that made or changed a memory. If the text of the memory is withheld from the channel of the
-- request, only fields that do not depend on the text.
create or replace function memory_fields(p_tenant text, p_seq bigint, p_channel text) returns jsonb
language sql stable
begin atomic
  select coalesce((
    select jsonb_build_object('scope', m.scope,
      'status', case when m.status = 'active' and m.expires_at <= now() then 'expired' else m.status end)
      || case
        when exists (select from overlays o where o.tenant_id = p_tenant and o.seq = m.content_seq and o.blocked_in @> array[p_channel]) then '{}'
        else jsonb_build_object('importance', m.importance, 'pinned', m.pinned) end
    from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
    where v.tenant_id = p_tenant and v.seq = p_seq
    order by v.status = 'superseded'
    limit 1), '{}');
end;

-- Returns true if an event matches. p_filter: {"path", "vars", "memory"} of compileFilter. p_withheld: the event is withheld from requests in
-- p_channel. It is referenced once, so that it may be a subquery.
create or replace function event_matches(p_event events, p_filter jsonb, p_withheld boolean, p_channel text) returns boolean
language sql stable
as $$ select coalesce(jsonb_path_match(
  case when p_withheld then withheld_doc(p_event) else event_doc(p_event)
    || case when (p_filter ->> 'memory')::boolean then memory_fields(p_event.tenant_id, p_event.seq, p_channel) else '{}' end end,
  (p_filter ->> 'path')::jsonpath, p_filter -> 'vars', true), false) $$;

-- Returns true if a memory matches. p_event is the event with its content, which is not withheld. Times are texts.
create or replace function memory_matches(p_memory memories, p_event events, p_filter jsonb) returns boolean
language sql stable
as $$ select coalesce(jsonb_path_match(
  jsonb_strip_nulls(jsonb_build_object(
    'kinds', jsonb_build_array(p_memory.kind),
    'session_id', p_memory.session_id, 'user_id', p_memory.user_id, 'agent_id', p_memory.agent_id, 'project_id', p_memory.project_id,
    'channel', p_memory.channel, 'sensitivity', p_memory.sensitivity, 'actor_type', p_event.actor_type, 'actor_id', p_event.actor_id,
    'tags', nullif(p_event.tags, '{}'), 'refs', nullif(p_event.refs, '{}'), 'seq', p_memory.last_seq,
    'occurred_at', sortable_time(p_event.occurred_at), 'created_at', sortable_time(p_memory.created_at),
    'importance', p_memory.importance, 'scope', p_memory.scope, 'pinned', p_memory.pinned,
    'status', case when p_memory.status = 'active' and p_memory.expires_at <= now() then 'expired' else p_memory.status end))
    || jsonb_build_object('metadata', p_event.metadata),
  (p_filter ->> 'path')::jsonpath, p_filter -> 'vars', true), false) $$;
