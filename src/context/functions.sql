-- Returns true if a memory applies to this request. p_request: {"session_id", "users": the subjects whose preferences apply or null, "project_id"}.
-- Rules and preferences apply within their scope. For a request for a project, memories of other kinds apply if they belong to the project or have the scope policy.
create or replace function applies_to(p_memory memories, p_scope jsonb, p_request jsonb) returns boolean
language sql stable
as $$ select case
  when p_memory.kind in ('rule', 'preference') then case p_memory.scope
    when 'project' then p_memory.project_id = p_request ->> 'project_id'
    when 'user' then p_request -> 'users' ? p_memory.user_id
    when 'session' then p_memory.session_id = p_request ->> 'session_id'
    else true end
  else not p_scope ? 'project_id' or p_memory.project_id = p_scope ->> 'project_id'
    or (p_memory.scope = 'policy' and p_memory.project_id is null) end $$;

-- Returns true if a memory is valid at that time.
create or replace function is_valid_at(p_memory memories, p_at timestamptz) returns boolean
language sql stable
as $$ select (p_memory.valid_from is null or p_memory.valid_from <= p_at) and (p_memory.valid_to is null or p_memory.valid_to > p_at) $$;

-- Returns the newest memories of each kind that have not changed since p_last and have not expired.
create or replace function memories_unchanged_since(
  p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint, p_kinds text[], p_limits int[], p_status text)
returns setof memories
language sql stable
as $$
  select k.*
  from unnest(p_kinds, p_limits) kind (name, most)
  cross join lateral (
    select m.*
    from memories m
    where m.tenant_id = p_tenant and m.kind = kind.name and m.status = p_status and m.last_seq <= p_last
      and (m.kind <> 'task' or m.task_status <> 'done')
      and (p_status <> 'active' or m.expires_at is null or m.expires_at > now())
      and applies_to(m, p_scope, p_request)
      and exists (select from seen_events(p_tenant, p_scope) e where e.seq = m.content_seq)
    order by m.content_seq desc
    limit kind.most
  ) k
$$;

create or replace function current_memories(p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint, p_kinds text[], p_limits int[], p_status text)
returns table (memory memories, content_seq bigint)
language plpgsql stable
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  return query
  select u, u.content_seq
  from memories_unchanged_since(p_tenant, p_scope, p_request, p_last, p_kinds, p_limits, p_status) u
  where is_valid_at(u, now());
end $$;

-- Like current_memories, but returns the version at p_last of each memory that has changed since. Considers the newest 20,000 changes.
create or replace function memories_as_of(p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint, p_kinds text[], p_limits int[], p_status text)
returns table (memory memories, content_seq bigint)
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  v_as_of timestamptz := p_scope ->> 'as_of';
begin
  return query
  with changed as (
    select distinct on (v.memory_id) v.memory_id, v.content_seq, v.status
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq <= p_last
      and v.memory_id in (
        select w.memory_id
        from memory_versions w
        where w.tenant_id = p_tenant and (v_as_of is not null or w.seq > p_last)
        order by w.seq desc
        limit 20000)
      and (v_as_of is null or exists (
        select from events e where e.tenant_id = p_tenant and e.seq = v.seq and e.occurred_at <= v_as_of))
    order by v.memory_id, v.version desc
  ),
  past as (
    select m, c.content_seq as seq
    from changed c join memories m on m.tenant_id = p_tenant and m.memory_id = c.memory_id
    where c.status = p_status and m.kind = any (p_kinds)
      and (m.status <> 'deleted' or (p_scope ->> 'deleted')::boolean)
      and (p_status <> 'active' or m.expires_at is null or m.expires_at > coalesce(v_as_of, now()))
      and applies_to(m, p_scope, p_request)
      and exists (
        select from seen_events(p_tenant, p_scope) e
        where e.seq = c.content_seq and (m.kind <> 'task' or coalesce(e.content #>> '{body,status}', e.content ->> 'status') <> 'done'))
  ),
  held as (
    select u as m, u.content_seq as seq
    from memories_unchanged_since(p_tenant, p_scope, p_request, p_last, p_kinds, p_limits, p_status) u
    where v_as_of is null
    union all
    select p.m, p.seq from past p
  )
  select distinct on ((h.m).memory_id) h.m, h.seq from held h where is_valid_at(h.m, coalesce(v_as_of, now()));
end $$;

-- Returns memories of the kinds p_kinds with the status p_status, newest first, at most p_limits of each kind, as of p_last and the scope's `as_of`.
-- Without `as_of` the result is exact: for a memory that has changed since p_last, it contains the version of that time.
create or replace function select_memories(
  p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint, p_kinds text[], p_limits int[], p_status text)
returns table (memory memories, content_seq bigint)
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_scope ? 'as_of' or exists (select from memory_versions v where v.tenant_id = p_tenant and v.seq > p_last) then
    return query select h.* from memories_as_of(p_tenant, p_scope, p_request, p_last, p_kinds, p_limits, p_status) h;
  else
    return query select h.* from current_memories(p_tenant, p_scope, p_request, p_last, p_kinds, p_limits, p_status) h;
  end if;
end $$;

create or replace function tool_events(p_seqs bigint[], p_last bigint)
returns table (seq bigint, kind text, session_id text, call_id text, audience text, tool text)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
  with near as (
    select distinct n.seq
    from unnest(p_seqs) s (seq)
    cross join lateral (
      select g.seq, g.session_id, left(g.content ->> 'call_id', 255) as call_id
      from events g
      where g.tenant_id = (select current_tenant()) and g.seq = s.seq and g.kind in ('tool_call', 'tool_result')
        and g.content ->> 'call_id' is not null
      limit 1
    ) g
    cross join lateral (
      (select e.seq
       from events e
       where e.tenant_id = (select current_tenant()) and e.session_id = g.session_id and left(e.content ->> 'call_id', 255) = g.call_id
         and e.kind in ('tool_call', 'tool_result') and e.content ->> 'call_id' is not null and e.seq <= least(g.seq, p_last)
       order by e.seq desc
       limit 9)
      union all
      (select e.seq
       from events e
       where e.tenant_id = (select current_tenant()) and e.session_id = g.session_id and left(e.content ->> 'call_id', 255) = g.call_id
         and e.kind in ('tool_call', 'tool_result') and e.content ->> 'call_id' is not null and e.seq > g.seq and e.seq <= p_last
       order by e.seq
       limit 8)
    ) n
  )
  select
    e.seq, e.kind, e.session_id, left(e.content ->> 'call_id', 255),
    e.channel || case e.channel when 'private' then '/' || e.user_id else '' end, left(e.content ->> 'tool', 255)
  from near n
  cross join lateral (select x.* from events x where x.tenant_id = (select current_tenant()) and x.seq = n.seq limit 1) e;
end $$;
revoke execute on function tool_events(bigint[], bigint) from public;
grant execute on function tool_events(bigint[], bigint) to agent_memory_app;
alter function tool_events(bigint[], bigint) owner to agent_memory_searcher;

-- Pairs each tool result with its call, and adds the calls and results that belong to a pair and are not in p_seqs. A result belongs to the nearest
-- preceding call of the same audience, else to the nearest following one, else to the nearest of another audience. Events that the caller may
-- not see are left out. Returns [{"seq", "call_seq": null if the caller may not see the call, "tool", "call_id", "requested": true if in p_seqs}].
create or replace function pair_tool_events(p_tenant text, p_scope jsonb, p_last bigint, p_seqs bigint[]) returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    with related as materialized (
      select t.*, exists (
        select
        from seen_events(p_tenant, p_scope) s
        where s.seq = t.seq
          and (p_scope -> 'filter' is null or event_matches(s, p_scope -> 'filter', false, p_scope ->> 'channel'))) as seen
      from tool_events(p_seqs, p_last) t
    ),
    paired as materialized (
      select r.*, c.seq as call_seq, r.seq = any (p_seqs) as requested
      from related r
      left join lateral (
        select c.seq, c.seen
        from related c
        where c.kind = 'tool_call' and c.session_id = r.session_id and c.call_id = r.call_id
          and (r.kind = 'tool_result' or c.seq = r.seq)
        order by c.audience = r.audience desc, c.seq < r.seq desc, abs(c.seq - r.seq)
        limit 1
      ) c on c.seen
      where r.seen
    ),
    named as (
      select p.*, row_number() over (partition by p.call_seq, p.kind order by p.seq) as position
      from paired p
      where p.requested or (
        p.call_seq in (select g.call_seq from paired g where g.requested)
        and (p.kind = 'tool_call' or not exists (
          select from paired g where g.requested and g.kind = 'tool_result' and g.call_seq = p.call_seq)))
    )
    select coalesce(jsonb_agg(jsonb_build_object(
      'seq', n.seq, 'call_seq', n.call_seq, 'tool', n.tool, 'call_id', n.call_id, 'requested', n.requested) order by n.seq), '[]')
    from named n
    where n.requested or n.position <= 3);
end $$;

-- Returns the beginning of a call or result that was added to a pair, from its first two passages: {"text", "cut"}.
create or replace function event_excerpt(p_tenant text, p_scope jsonb, p_event events) returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select jsonb_build_object('text', string_agg(coalesce(k.text, event_text(p_event.content)), '' order by k.ordinal), 'cut', p_event.chunk_count > 2)
    from chunks k
    where k.tenant_id = p_tenant and k.seq = p_event.seq and k.ordinal < 2
      and is_shown_in(k.blocked_in, p_scope ->> 'channel'));
end $$;

-- Returns the last events of a session that a context shows, newest first, at most `l1_size` of p_request. Excludes events that a trim kept before the beginning of the log,
-- because no list shows them, and events that a handoff has already summarized.
create or replace function recent_session_events(p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint) returns table (seq bigint)
language sql stable
as $$
  select s.seq
  from seen_events(p_tenant, p_scope) s
  where s.session_key = session_key(p_tenant, p_request ->> 'session_id') and s.session_id = p_request ->> 'session_id' and s.seq <= p_last
    and s.kind in ('message', 'tool_call', 'tool_result', 'decision', 'task_update', 'artifact')
    and s.carried_at is null
    and (p_scope -> 'filter' is null or event_matches(s, p_scope -> 'filter', false, p_scope ->> 'channel'))
    and (not p_request ? 'handoff_seq' or s.seq > (p_request ->> 'handoff_seq')::bigint or s.agent_id = p_request ->> 'agent_id')
  order by s.seq desc
  limit coalesce((p_request ->> 'l1_size')::int, 60)
$$;

-- Returns the memories with these ids, and the active decisions whose text has one of these hashes.
create or replace function cited_memories(p_tenant text, p_ids text[], p_hashes bytea[]) returns table (memory_id text)
language sql stable
begin atomic
  select m.memory_id
  from unnest(p_ids) n (id) join memories m on m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, n.id)
  union
  select m.memory_id
  from memories m
  where m.tenant_id = p_tenant and m.kind = 'decision' and m.status = 'active' and m.text_hash = any (p_hashes);
end;

-- Returns the memories of a context, each with its part and the seq of its content: open tasks, decisions, rules and recently superseded memories;
-- the decisions that the search found (p_decisions: their seqs); the memories that a handoff cites (p_cited: their ids).
create or replace function context_memories(
  p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint, p_decisions bigint[], p_cited text[])
returns table (part text, seq bigint, memory memories)
language sql stable
as $$
  select case (h.memory).kind when 'task' then 'task' when 'decision' then 'decision' else 'rule' end, h.content_seq, h.memory
  from select_memories(p_tenant, p_scope, p_request, p_last, array['task', 'decision', 'rule', 'preference'], array[50, 40, 200, 200], 'active') h
  union all
  select 'superseded', h.content_seq, h.memory
  from select_memories(
    p_tenant, p_scope, p_request, p_last, array['decision', 'fact', 'preference', 'rule', 'note', 'summary'], array[40, 10, 10, 10, 10, 10],
    'superseded') h
  union all
  select 'decision', v.seq, m
  from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
  where v.tenant_id = p_tenant and v.seq = any (p_decisions) and v.status <> 'superseded' and m.kind = 'decision'
  union all
  select case when m.kind = 'decision' then 'decision' else 'cited' end, m.content_seq, m
  from memories m
  where m.tenant_id = p_tenant and m.memory_id = any (p_cited) and m.status = 'active' and m.last_seq <= p_last
$$;

-- Returns one event of a context as the request may see it now, with the metadata of its memory; no row if the request may not see it.
create or replace function context_event(
  p_tenant text, p_scope jsonb, p_last bigint, p_language regconfig, p_part text, p_seq bigint, p_memory memories)
returns table (
  seq bigint, event_id text, kind text, actor_id text, content jsonb, artifact_id text, superseded boolean, occurred_at timestamptz, lexemes text[],
  memory jsonb)
language sql stable
as $$
  select
    s.seq, s.event_id, s.kind, s.actor_id,
    case when p_part = 'paired' then event_excerpt(p_tenant, p_scope, s) else s.content end,
    s.artifact_id,
    p_part = 'superseded' or coalesce(
      p_part in ('decision', 'recent') and s.kind <> 'task_update' and k.until_seq <= p_last
        and (not p_scope ? 'as_of' or k.until_at <= (p_scope ->> 'as_of')::timestamptz), false),
    s.occurred_at,
    k.lexemes,
    case when p_memory.memory_id is not null then t.details || claim_fields(p_tenant, p_scope, p_memory, t.details, s.occurred_at) end
  from (
    select o.*
    from seen_events(p_tenant, p_scope) o
    where o.seq = p_seq
      and (p_scope -> 'filter' is null or p_part = 'rule' or p_memory.memory_id is null or memory_matches(p_memory, o, p_scope -> 'filter'))
    limit 1
  ) s
  left join lateral (
    select k.until_seq, k.until_at, k.blocked_in, tsvector_to_array(text_lexemes(p_language, coalesce(k.text, event_text(s.content)))) as lexemes
    from chunks k
    where k.tenant_id = p_tenant and k.seq = s.seq and k.ordinal = 0
    limit 1
  ) k on true
  left join lateral (
    select memory_details(
      p_tenant, p_memory, s.seq, case when s.kind like 'memory.%' then s.content end, s.actor_type, s.actor_id, p_last,
      (p_scope ->> 'as_of')::timestamptz) as details
    where p_memory.memory_id is not null
    -- evaluated once
    offset 0
  ) t on true
  where is_shown_in(k.blocked_in, p_scope ->> 'channel');
$$;

-- Returns everything in a context that does not come from search, in one round trip. The first row (part `log`) has the last seq and, in its
-- content, the pairs of calls and results. Then follow the memories, the last events of the session, the events that a handoff cites, and the calls
-- and results that belong to these (part `paired`). Scans are bounded: a scope that sees very little of a long log gets fewer rows.
-- p_request: as for applies_to, with "decision_seqs" and "tool_seqs" that the search found, and the "cited_ids" and "cited_hashes" of a handoff.
create or replace function read_context_events(p_tenant text, p_scope jsonb, p_request jsonb)
returns table (
  part text, as_of_seq bigint, partial_index boolean, seq bigint, event_id text, kind text, actor_id text, content jsonb, artifact_id text,
  superseded boolean, occurred_at timestamptz, lexemes text[], memory jsonb)
language plpgsql stable
-- always look-ups by key
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_last bigint;
  v_language regconfig;
  v_cited_ids text[] := array(select jsonb_array_elements_text(coalesce(p_request -> 'cited_ids', '[]')));
  v_cited_hashes bytea[] := array(select decode(h, 'hex') from jsonb_array_elements_text(coalesce(p_request -> 'cited_hashes', '[]')) h);
  v_decision_seqs bigint[] := array(select d::bigint from jsonb_array_elements_text(coalesce(p_request -> 'decision_seqs', '[]')) d);
  v_tool_seqs bigint[] := array(select t::bigint from jsonb_array_elements_text(coalesce(p_request -> 'tool_seqs', '[]')) t);
  v_memories text[] := '{}';
  v_cited bigint[] := '{}';
  v_recent bigint[];
  v_pairs jsonb := '[]';
begin
  perform enter_tenant(p_tenant);
  select t.language into v_language from tenants t where t.tenant_id = p_tenant;
  select least(k.last_seq, coalesce((p_scope ->> 'as_of_seq')::bigint, k.last_seq)) into v_last from tenant_clocks k where k.tenant_id = p_tenant;
  v_recent := array(select s.seq from recent_session_events(p_tenant, p_scope, p_request, v_last) s);
  if cardinality(v_cited_ids) + cardinality(v_cited_hashes) > 0 then
    v_memories := array(select m.memory_id from cited_memories(p_tenant, v_cited_ids, v_cited_hashes) m);
    v_cited := array(
      select e.seq
      from events e
      where e.tenant_id = p_tenant and e.kind not like 'memory.%' and e.event_id = any (array(select event_of(id) from unnest(v_cited_ids) id)));
  end if;
  v_tool_seqs := v_tool_seqs || array(
    select e.seq
    from unnest(v_recent || v_cited) t (seq)
    cross join lateral (
      select e.seq from events e where e.tenant_id = p_tenant and e.seq = t.seq and e.kind in ('tool_call', 'tool_result') limit 1
    ) e);
  if cardinality(v_tool_seqs) > 0 then
    v_pairs := pair_tool_events(p_tenant, p_scope, v_last, v_tool_seqs);
  end if;
  return query
  select
    'log', v_last, exists (select from chunk_rebuilds r where r.tenant_id = p_tenant), null::bigint, null, null, null,
    jsonb_build_object('pairs', v_pairs), null, null::boolean, null::timestamptz, null::text[], null::jsonb
  union all
  select c.part, null, null, e.*
  from (
    select m.* from context_memories(p_tenant, p_scope, p_request, v_last, v_decision_seqs, v_memories) m
    union all
    select 'cited', c, null from unnest(v_cited) c
    union all
    select 'recent', r, null from unnest(v_recent) r
    union all
    select 'paired', (p ->> 'seq')::bigint, null from jsonb_array_elements(v_pairs) p where not (p ->> 'requested')::boolean
  ) c
  cross join lateral context_event(p_tenant, p_scope, v_last, v_language, c.part, c.seq, c.memory) e;
end $$;

-- Returns the newest active handoff to an agent, among the newest 200 handoffs.
create or replace function find_handoff(p_tenant text, p_scope jsonb, p_request jsonb)
returns table (seq bigint, event_id text, session_id text, content jsonb, occurred_at timestamptz, memory jsonb)
language plpgsql stable
as $$
declare
  v_last bigint := coalesce((p_scope ->> 'as_of_seq')::bigint, 9223372036854775807);
begin
  perform enter_tenant(p_tenant);
  return query
  select e.seq, e.event_id, e.session_id, e.content, e.occurred_at,
    memory_details(p_tenant, h.memory, e.seq, e.content, e.actor_type, e.actor_id, v_last,
      (p_scope ->> 'as_of')::timestamptz)
  from select_memories(p_tenant, p_scope, p_request, v_last, array['handoff'], array[200], 'active') h
  cross join lateral (select s.* from seen_events(p_tenant, p_scope) s where s.seq = h.content_seq limit 1) e
  where e.content #>> '{body,to_agent}' = p_request ->> 'agent_id'
  order by e.seq desc
  limit 1;
end $$;

-- Returns the newest active memories that p_scope sees, of each kind for each key: a subject,
-- project or agent (p_by), or of each kind that are shared (p_by 'shared', with one key that is ignored). At most p_limit of each.
create or replace function newest_visible_memories(p_tenant text, p_scope jsonb, p_by text, p_keys text[], p_kinds text[], p_limit int)
returns setof memories
language sql stable
as $$
  select m.*
  from (
    select
      array(select jsonb_array_elements_text(p_scope -> 'channels')) as channels,
      case when p_scope -> 'subjects' = 'null' then null else array(select jsonb_array_elements_text(p_scope -> 'subjects')) end as subjects,
      array(select jsonb_array_elements_text(p_scope -> 'sensitivities')) as sensitivities
  ) s
  cross join unnest(p_keys) keys (key) cross join unnest(p_kinds) kinds (kind)
  cross join lateral (
    (select m.* from memories m
     where p_by = 'subject' and m.tenant_id = p_tenant and m.user_id = key and m.kind = kinds.kind and m.status = 'active'
       and visible(m.channel, m.user_id, m.sensitivity, s.channels, s.subjects, s.sensitivities)
     order by m.content_seq desc limit p_limit)
    union all
    (select m.* from memories m
     where p_by = 'project' and m.tenant_id = p_tenant and m.project_id = key and m.kind = kinds.kind and m.status = 'active'
       and visible(m.channel, m.user_id, m.sensitivity, s.channels, s.subjects, s.sensitivities)
     order by m.content_seq desc limit p_limit)
    union all
    (select m.* from memories m
     where p_by = 'agent' and m.tenant_id = p_tenant and m.agent_id = key and m.kind = kinds.kind and m.status = 'active'
       and visible(m.channel, m.user_id, m.sensitivity, s.channels, s.subjects, s.sensitivities)
     order by m.content_seq desc limit p_limit)
    union all
    (select m.* from memories m
     where p_by = 'shared' and m.tenant_id = p_tenant and m.kind = kinds.kind and m.status = 'active' and m.channel <> 'private'
       and visible(m.channel, m.user_id, m.sensitivity, s.channels, s.subjects, s.sensitivities)
     order by m.content_seq desc limit p_limit)
  ) m
$$;

-- Returns whom the profile is about: {"by", "keys"}. A request that names a subject, project or agent is about it, otherwise about the
-- subjects on whose behalf it is made.
create or replace function profile_topic(p_scope jsonb) returns jsonb
language sql immutable parallel safe
return case
  when p_scope ? 'user_id' then jsonb_build_object('by', 'subject', 'named', true, 'keys', jsonb_build_array(p_scope -> 'user_id'))
  when p_scope ? 'project_id' then jsonb_build_object('by', 'project', 'named', true, 'keys', jsonb_build_array(p_scope -> 'project_id'))
  when p_scope ? 'agent_id' then jsonb_build_object('by', 'agent', 'named', true, 'keys', jsonb_build_array(p_scope -> 'agent_id'))
  else jsonb_build_object('by', 'subject', 'named', false, 'keys', coalesce(nullif(p_scope -> 'subjects', 'null'), '[]')) end;

-- Returns the facts, notes and summaries of a profile as of p_last, the newest 60. Considers the newest 200 of each kind for whom the profile is
-- about and, unless the request names whom, the newest 200 that are shared.
create or replace function profile_claims(p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint)
returns table (memory memories, content_seq bigint)
language plpgsql stable
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_kinds constant text[] := array['fact', 'note', 'summary'];
  v_topic jsonb := profile_topic(p_scope);
  v_keys text[] := array(select jsonb_array_elements_text(v_topic -> 'keys'));
  v_as_of timestamptz := p_scope ->> 'as_of';
  v_past boolean := v_as_of is not null or exists (select from memory_versions v where v.tenant_id = p_tenant and v.seq > p_last);
begin
  return query
  with found as (
    select n as m, n.content_seq as at from newest_visible_memories(p_tenant, p_scope, v_topic ->> 'by', v_keys, v_kinds, 200) n
    union
    select n, n.content_seq from newest_visible_memories(p_tenant, p_scope, 'shared', '{-}', v_kinds, 200) n
    where not (v_topic ->> 'named')::boolean
  ),
  held as (
    select f.m, f.at
    from found f
    where v_as_of is null and (f.m).last_seq <= p_last and ((f.m).expires_at is null or (f.m).expires_at > now())
    union
    select h.memory, h.content_seq
    from memories_as_of(p_tenant, p_scope, p_request, p_last, case when v_past then v_kinds else '{}' end, array[200, 200, 200], 'active') h
    where v_past
  )
  select h.m, h.at
  from held h
  -- `limit 1` keeps this a look-up per memory: as a semi-join it read every event of the tenant
  cross join lateral (select from seen_events(p_tenant, p_scope) e where e.seq = h.at limit 1) seen
  where is_valid_at(h.m, coalesce(v_as_of, now()))
    and (not p_scope ? 'user_id' or (h.m).user_id = p_scope ->> 'user_id')
    and (not p_scope ? 'project_id' or (h.m).project_id = p_scope ->> 'project_id')
    and (not p_scope ? 'agent_id' or (h.m).agent_id = p_scope ->> 'agent_id')
  order by h.at desc
  limit 60;
end $$;

-- Returns the newest p_most passages that a profile's topics come from: the first of each message of whom the profile is about.
-- Looks at the newest 1,000 events of the log, then by the index at sections of 16,384 seqs, back to 1.3 million seqs before p_scope's `as_of_seq`.
-- p_except: a session that is left out. `+ 0` keeps the planner from using the primary key, by which it read a whole tenant.
create or replace function recent_passages(p_scope jsonb, p_topic jsonb, p_except text, p_most int) returns table (seq bigint)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set plan_cache_mode = force_custom_plan set jit = off set enable_seqscan = off
as $$
declare
  v_last constant bigint := (p_scope ->> 'as_of_seq')::bigint;
  v_keys constant uuid[] := array(
    select place_key(current_tenant(), case p_topic ->> 'by' when 'subject' then 'user' else p_topic ->> 'by' end, k)
    from jsonb_array_elements_text(p_topic -> 'keys') k);
  v_condition constant text := chunk_condition(p_scope)
    || $q$ and c.ordinal + 0 = 0 and c.kind = 'message' and c.session_id is distinct from $3$q$;
  v_places constant text := 'chunk_places(c.tenant_id, c.seq, c.session_id, c.channel, c.user_id, c.agent_id, c.project_id)';
  v_found bigint[];
  v_epoch bigint := v_last / 16384;
  v_width int := 1;
begin
  execute format($q$
    select array(
      select c.seq
      from (
        select k.* from chunks k
        where k.tenant_id = (select current_tenant()) and k.seq > $2 - 1000 and k.seq <= $2 and k.ordinal = 0
        -- not flattened, because the condition below hides the columns of the primary key
        offset 0
      ) c
      where %s and (%s && $4 or ($6 and (c.user_id is null or cardinality($4) = 0)))
      order by c.seq desc
      limit $5)$q$, v_condition, v_places)
  into v_found using p_scope, v_last, p_except, v_keys, p_most, not (p_topic ->> 'named')::boolean;
  -- 1, 4, 16 and 64 sections, because each statement is planned
  while v_epoch >= 0 and v_width <= 64 and cardinality(v_found) < p_most and cardinality(v_keys) > 0 loop
    execute format($q$
      select $2 || array(
        select c.seq
        from chunks c
        where %1$s && %4$L::uuid[] and %1$s && %2$L::uuid[] and %3$s and c.seq <> all ($2)
        order by c.seq desc
        limit $4)$q$, v_places, v_keys, v_condition, array(
          select place_key(current_tenant(), 'epoch', e::text) from generate_series(greatest(0, v_epoch - v_width + 1), v_epoch) e))
    into v_found using p_scope, v_found, p_except, p_most - cardinality(v_found);
    v_epoch := v_epoch - v_width;
    v_width := v_width * 4;
  end loop;
  return query select f from unnest(v_found) f;
end $$;
revoke execute on function recent_passages(jsonb, jsonb, text, int) from public;
grant execute on function recent_passages(jsonb, jsonb, text, int) to agent_memory_app;
alter function recent_passages(jsonb, jsonb, text, int) owner to agent_memory_searcher;

-- Returns what only a profile reads, in one round trip: its claims (part `claim`), and the recent passages from which its topics and people come (part
-- `said`), with the tags, the actor and the subject in their content. p_scope has an `as_of_seq`.
create or replace function read_profile(p_tenant text, p_scope jsonb, p_request jsonb)
returns table (
  part text, seq bigint, event_id text, kind text, actor_id text, content jsonb, artifact_id text, superseded boolean, occurred_at timestamptz,
  lexemes text[], memory jsonb)
language plpgsql stable
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_last bigint := (p_scope ->> 'as_of_seq')::bigint;
  v_language regconfig;
begin
  perform enter_tenant(p_tenant);
  select t.language into v_language from tenants t where t.tenant_id = p_tenant;
  return query
  select 'claim', e.*
  from profile_claims(p_tenant, p_scope, p_request, v_last) c
  cross join lateral context_event(p_tenant, p_scope, v_last, v_language, 'claim', c.content_seq, c.memory) e
  union all
  select
    'said', s.seq, s.event_id, s.kind, s.actor_id,
    jsonb_build_object('text', x.text, 'tags', s.tags, 'actor_type', s.actor_type, 'user_id', s.user_id),
    null, false, s.occurred_at, tsvector_to_array(text_lexemes(v_language, x.text)), null
  from recent_passages(p_scope, profile_topic(p_scope), p_request ->> 'session_id', (p_request ->> 'passages')::int) r
  cross join lateral (select o.* from seen_events(p_tenant, p_scope) o where o.seq = r.seq limit 1) s
  left join lateral (select k.text from chunks k where k.tenant_id = p_tenant and k.seq = s.seq and k.ordinal = 0 limit 1) k on true
  -- evaluated once
  cross join lateral (select left(coalesce(k.text, event_text(s.content), ''), 400) as text offset 0) x;
end $$;
