-- Calls and results are kept together, and claims are compared by what they state.
-- min_code: 7

-- A result finds its call by this. Older releases took a `call_id` of any length.
create index events__call on events (tenant_id, session_id, left(content ->> 'call_id', 255), seq)
where kind in ('tool_call', 'tool_result') and content ->> 'call_id' is not null;

-- As in 0009, and a call or result keeps its `call_id`: a content that says p_text and keeps of the old one only what is no prose: names, states and places.
create or replace function edited_content(p_kind text, p_content jsonb, p_text text) returns jsonb
language sql immutable parallel safe
return (
  select coalesce(jsonb_object_agg(k.key, case when k.key = 'body' then (
    select coalesce(jsonb_object_agg(b.key, b.value) filter (where b.key = any (array['task_id', 'status', 'subject', 'unit', 'contradicts', 'priority', 'to_agent', 'refs'])), '{}')
    from jsonb_each(k.value) b) || case when k.value ? 'to_agent' then jsonb_build_object('problem', p_text) else '{}' end
    else k.value end), '{}')
  from jsonb_each(p_content) k
  where case when p_kind like 'memory.%' then k.key <> 'text' and (k.key <> 'body' or jsonb_typeof(k.value) = 'object')
    else k.key = any (array['tool', 'path', 'line_range', 'scope', 'supersedes', 'task_id', 'call_id', 'status']) end
) || jsonb_build_object(
  case p_kind when 'tool_result' then 'excerpt_text' when 'decision' then 'decision' when 'task_update' then 'title' else 'text' end, p_text);

-- Tool events with the ids of given calls and results in their sessions: of each the nearest eight before and after. Behind the wall the
-- index could not be used: `->>` is not leakproof.
grant create on schema public to agent_memory_searcher;
create function tool_events(p_seqs bigint[], p_last bigint)
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
revoke create on schema public from agent_memory_searcher;

-- Which of these calls and results belong together, and what belongs to them beside: a result to the nearest call before it of the same
-- audience, else the nearest after it, else to the nearest of another audience. Of what may not be seen nothing is said.
-- [{"seq", "call_seq": null where its call may not be seen, "tool", "call_id", "given"}]
create function tool_pairs(p_tenant text, p_scope jsonb, p_last bigint, p_seqs bigint[]) returns jsonb
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
      select r.*, c.seq as call_seq, r.seq = any (p_seqs) as given
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
      select p.*, row_number() over (partition by p.call_seq, p.kind order by p.seq) as place
      from paired p
      where p.given or (
        p.call_seq in (select g.call_seq from paired g where g.given)
        and (p.kind = 'tool_call' or not exists (
          select from paired g where g.given and g.kind = 'tool_result' and g.call_seq = p.call_seq)))
    )
    select coalesce(jsonb_agg(jsonb_build_object(
      'seq', n.seq, 'call_seq', n.call_seq, 'tool', n.tool, 'call_id', n.call_id, 'given', n.given) order by n.seq), '[]')
    from named n
    where n.given or n.place <= 3);
end $$;

-- The beginning of a call or result that was not asked for itself, from its passages: {"text", "cut"}.
create function beginning_of(p_tenant text, p_scope jsonb, p_event events) returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select jsonb_build_object('text', string_agg(k.text, '' order by k.ordinal), 'cut', p_event.chunk_count > 2)
    from chunks k
    where k.tenant_id = p_tenant and k.seq = p_event.seq and k.ordinal < 2
      and (k.blocked_in is null or not k.blocked_in @> array[p_scope ->> 'channel']));
end $$;

-- What a claim is compared by, and when it was said: when the newest event that it cites occurred, of those that may be seen, or else its
-- own. `stands`: the scope and audience within which a subject has one value. Nothing for what states no fact or preference.
create function claim_of(p_tenant text, p_scope jsonb, p_memory memories, p_standing jsonb, p_at timestamptz) returns jsonb
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
  where r.place <= 32;
  return jsonb_build_object(
    'said_at', (extract(epoch from coalesce(v_said, p_at)) * 1000)::bigint,
    'holds_from', (extract(epoch from coalesce(p_memory.valid_from, v_said, p_at)) * 1000)::bigint,
    'stands', jsonb_build_array(
      p_memory.scope,
      case p_memory.scope when 'project' then p_memory.project_id when 'session' then p_memory.session_id end,
      p_memory.channel, p_memory.user_id)::text);
end $$;

-- As in 0020, with what a claim is compared by.
create or replace function read_passages(p_tenant text, p_scope jsonb, p_seqs bigint[], p_ordinals int[])
returns table (
  seq bigint, ordinal int, event_id text, kind text, session_id text, text text, actor_id text, tags text[], artifact_id text,
  chunk_count int, occurred_at timestamptz, words text[], superseded boolean, memory jsonb)
language plpgsql
-- look-ups of single rows whatever the values: planned anew it took a third of its time
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  v_last bigint := coalesce((p_scope ->> 'as_of_seq')::bigint, 9223372036854775807);
  v_as_of timestamptz := p_scope ->> 'as_of';
begin
  perform enter_tenant(p_tenant);
  return query
  select
    c.seq, c.ordinal::int, c.event_id, c.kind, c.session_id, c.text, e.actor_id, e.tags, e.artifact_id,
    e.chunk_count::int, c.occurred_at, tsvector_to_array(ts_filter(c.tsv, '{a}')),
    coalesce(c.until_seq <= v_last and (v_as_of is null or c.until_at <= v_as_of), false),
    case when c.kind in ('decision', 'task_update') or c.kind like 'memory.%' then (
      select s.standing || claim_of(p_tenant, p_scope, m, s.standing, c.occurred_at)
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      cross join lateral (
        select memory_standing(p_tenant, m, c.seq, e.content, e.actor_type, e.actor_id, v_last, v_as_of) as standing
        -- worked out once
        offset 0
      ) s
      where v.tenant_id = p_tenant and v.seq = c.seq and v.status <> 'superseded'
      limit 1) end
  from unnest(p_seqs, p_ordinals) with ordinality as wanted (seq, ordinal, place)
  cross join lateral (
    select k.* from chunks k where k.tenant_id = p_tenant and k.seq = wanted.seq and k.ordinal = wanted.ordinal limit 1
  ) c
  cross join lateral (
    select s.actor_type, s.actor_id, s.tags, s.artifact_id, s.chunk_count, case when s.kind like 'memory.%' then s.content end as content
    from seen_events(p_tenant, p_scope) s
    where s.seq = wanted.seq
    limit 1
  ) e
  order by wanted.place;
end $$;

-- As in 0008, where nothing has changed since p_last and no other time is asked for, which is nearly always: a plan for all of those. The
-- one of 0008 took 10 ms of planning at each context.
create function held_now(p_tenant text, p_scope jsonb, p_ask jsonb, p_last bigint, p_kinds text[], p_limits int[], p_status text)
returns table (memory memories, content_seq bigint)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
  return query
  select k.m, (k.m).content_seq
  from unnest(p_kinds, p_limits) kind (name, most)
  cross join lateral (
    select m
    from memories m
    where m.tenant_id = p_tenant and m.kind = kind.name and m.status = p_status and m.last_seq <= p_last
      and (m.kind <> 'task' or m.task_status <> 'done')
      and (p_status <> 'active' or m.expires_at is null or m.expires_at > now())
      and concerns(m, p_scope, p_ask)
      and exists (select from seen_events(p_tenant, p_scope) e where e.seq = m.content_seq)
    order by m.content_seq desc
    limit kind.most
  ) k
  where ((k.m).valid_from is null or (k.m).valid_from <= now()) and ((k.m).valid_to is null or (k.m).valid_to > now());
end $$;

-- As in 0008. Memories of some kinds with the standing p_status, newest first, p_limits of each; as of p_last and of the scope's `as_of`. Exact where
-- only p_last is asked: of what has changed since, the version of then is taken.
create function held_then(p_tenant text, p_scope jsonb, p_ask jsonb, p_last bigint, p_kinds text[], p_limits int[], p_status text)
returns table (memory memories, content_seq bigint)
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  v_as_of timestamptz := p_scope ->> 'as_of';
begin
  return query
  with unchanged as (
    select k.m, (k.m).content_seq as seq
    from unnest(p_kinds, p_limits) kind (name, most)
    cross join lateral (
      select m
      from memories m
      where v_as_of is null and m.tenant_id = p_tenant and m.kind = kind.name and m.status = p_status and m.last_seq <= p_last
        and (m.kind <> 'task' or m.task_status <> 'done')
        and (p_status <> 'active' or m.expires_at is null or m.expires_at > now())
        and concerns(m, p_scope, p_ask)
        and exists (select from seen_events(p_tenant, p_scope) e where e.seq = m.content_seq)
      order by m.content_seq desc
      limit kind.most
    ) k
  ),
  changed as (
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
      and concerns(m, p_scope, p_ask)
      and exists (
        select from seen_events(p_tenant, p_scope) e
        where e.seq = c.content_seq and (m.kind <> 'task' or coalesce(e.content #>> '{body,status}', e.content ->> 'status') <> 'done'))
  )
  select distinct on ((h.m).memory_id) h.m, h.seq
  from (select * from unchanged union all select * from past) h
  where ((h.m).valid_from is null or (h.m).valid_from <= coalesce(v_as_of, now()))
    and ((h.m).valid_to is null or (h.m).valid_to > coalesce(v_as_of, now()));
end $$;

create or replace function held_memories(
  p_tenant text, p_scope jsonb, p_ask jsonb, p_last bigint, p_kinds text[], p_limits int[], p_status text)
returns table (memory memories, content_seq bigint)
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_scope ? 'as_of' or exists (select from memory_versions v where v.tenant_id = p_tenant and v.seq > p_last) then
    return query select h.* from held_then(p_tenant, p_scope, p_ask, p_last, p_kinds, p_limits, p_status) h;
  else
    return query select h.* from held_now(p_tenant, p_scope, p_ask, p_last, p_kinds, p_limits, p_status) h;
  end if;
end $$;

-- As in 0020, with the calls and results that belong to what is given (part `paired`; the clock's content says which belong together) and
-- what a claim is compared by. p_ask has `tools` too: seqs of calls and results that a search found.
create or replace function read_ledger(p_tenant text, p_scope jsonb, p_ask jsonb)
returns table (
  part text, as_of_seq bigint, partial_index boolean, seq bigint, event_id text, kind text, actor_id text, content jsonb, artifact_id text,
  superseded boolean, occurred_at timestamptz, words text[], memory jsonb)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  v_last bigint;
  v_filter jsonb := p_scope -> 'filter';
  v_named text[] := array(select jsonb_array_elements_text(coalesce(p_ask -> 'named', '[]')));
  v_hashes bytea[] := array(select decode(h, 'hex') from jsonb_array_elements_text(coalesce(p_ask -> 'hashes', '[]')) h);
  v_decisions bigint[] := array(select d::bigint from jsonb_array_elements_text(coalesce(p_ask -> 'decisions', '[]')) d);
  v_tools bigint[] := array(select t::bigint from jsonb_array_elements_text(coalesce(p_ask -> 'tools', '[]')) t);
  v_memories text[] := '{}';
  v_cited bigint[] := '{}';
  v_recent bigint[];
  v_pairs jsonb := '[]';
begin
  perform enter_tenant(p_tenant);
  select least(k.last_seq, coalesce((p_scope ->> 'as_of_seq')::bigint, k.last_seq)) into v_last
  from tenant_clocks k
  where k.tenant_id = p_tenant;
  v_recent := array(
    select s.seq
    from seen_events(p_tenant, p_scope) s
    where s.session_id = p_ask ->> 'session_id' and s.seq <= v_last
      and s.kind in ('message', 'tool_call', 'tool_result', 'decision', 'task_update', 'artifact')
      and (v_filter is null or event_matches(s, v_filter, false, p_scope ->> 'channel'))
      -- what was handed over is not told again
      and (not p_ask ? 'handoff_seq' or s.seq > (p_ask ->> 'handoff_seq')::bigint or s.agent_id = p_ask ->> 'agent_id')
    order by s.seq desc
    limit 60);
  if cardinality(v_named) + cardinality(v_hashes) > 0 then
    v_memories := array(
      select m.memory_id
      from unnest(v_named) n (id) join memories m on m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, n.id)
      union
      select m.memory_id
      from memories m
      where m.tenant_id = p_tenant and m.kind = 'decision' and m.status = 'active' and m.text_hash = any (v_hashes));
    v_cited := array(
      select e.seq
      from events e
      where e.tenant_id = p_tenant and e.kind not like 'memory.%'
        and e.event_id = any (array(
          select case when id ~ '^chk_' then 'evt_' || split_part(substr(id, 5), '_', 1) else id end from unnest(v_named) id)));
  end if;
  v_tools := v_tools || array(
    select e.seq
    from unnest(v_recent || v_cited) t (seq)
    cross join lateral (
      select e.seq from events e where e.tenant_id = p_tenant and e.seq = t.seq and e.kind in ('tool_call', 'tool_result') limit 1
    ) e);
  if cardinality(v_tools) > 0 then
    v_pairs := tool_pairs(p_tenant, p_scope, v_last, v_tools);
  end if;
  return query
  with chosen as (
    select
      case (h.memory).kind when 'task' then 'task' when 'decision' then 'decision' else 'rule' end as part, h.content_seq as seq, h.memory
    from held_memories(
      p_tenant, p_scope, p_ask, v_last, array['task', 'decision', 'rule', 'preference'], array[50, 40, 200, 200], 'active') h
    union all
    select 'superseded', h.content_seq, h.memory
    from held_memories(
      p_tenant, p_scope, p_ask, v_last, array['decision', 'fact', 'preference', 'rule', 'note', 'summary'], array[40, 10, 10, 10, 10, 10],
      'superseded') h
    union all
    select 'decision', v.seq, m
    from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
    where v.tenant_id = p_tenant and v.seq = any (v_decisions)
      and v.status <> 'superseded' and m.kind = 'decision'
    union all
    select case when m.kind = 'decision' then 'decision' else 'cited' end, m.content_seq, m
    from memories m
    where m.tenant_id = p_tenant and m.memory_id = any (v_memories) and m.status = 'active' and m.last_seq <= v_last
    union all
    select 'cited', c, null from unnest(v_cited) c
    union all
    select 'recent', r, null from unnest(v_recent) r
    union all
    select 'paired', (p ->> 'seq')::bigint, null from jsonb_array_elements(v_pairs) p where not (p ->> 'given')::boolean
  )
  select
    'clock', v_last, exists (select from chunk_rebuilds r where r.tenant_id = p_tenant), null::bigint, null, null, null,
    jsonb_build_object('pairs', v_pairs), null, null::boolean, null::timestamptz, null::text[], null::jsonb
  union all
  select
    c.part, null, null, s.seq, s.event_id, s.kind, s.actor_id,
    case when c.part = 'paired' then beginning_of(p_tenant, p_scope, s) else s.content end, s.artifact_id,
    c.part = 'superseded' or coalesce(
      c.part in ('decision', 'recent') and s.kind <> 'task_update' and k.until_seq <= v_last
        and (not p_scope ? 'as_of' or k.until_at <= (p_scope ->> 'as_of')::timestamptz), false),
    s.occurred_at,
    k.words,
    case when (c.memory).memory_id is not null then t.standing || claim_of(p_tenant, p_scope, c.memory, t.standing, s.occurred_at) end
  from chosen c
  cross join lateral (
    select o.*
    from seen_events(p_tenant, p_scope) o
    where o.seq = c.seq
      and (v_filter is null or c.part = 'rule' or (c.memory).memory_id is null or memory_matches(c.memory, o, v_filter))
    limit 1
  ) s
  left join lateral (
    select k.until_seq, k.until_at, k.blocked_in, tsvector_to_array(ts_filter(k.tsv, '{a}')) as words
    from chunks k
    where k.tenant_id = p_tenant and k.seq = s.seq and k.ordinal = 0
    limit 1
  ) k on true
  left join lateral (
    select memory_standing(
      p_tenant, c.memory, s.seq, case when s.kind like 'memory.%' then s.content end, s.actor_type, s.actor_id, v_last,
      (p_scope ->> 'as_of')::timestamptz) as standing
    where (c.memory).memory_id is not null
    offset 0
  ) t on true
  where (k.blocked_in is null or not k.blocked_in @> array[p_scope ->> 'channel']);
end $$;
