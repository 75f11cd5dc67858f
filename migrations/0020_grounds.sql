-- What a memory rests on has one definition, which every answer, search, context, capsule, erasure and retention run uses.
-- min_code: 7

-- What the events of a memory's versions cite, of the versions that have the content of the event p_content_seq, up to the seq p_last and
-- the time p_as_of (null: all). A recorded decision or task is its own source; an event that only made the memory is none, nor are its
-- passages. A memory rests on what it superseded too.
create function grounds(p_tenant text, p_memory_id text, p_content_seq bigint, p_last bigint default null, p_as_of timestamptz default null)
returns table (ref text, seq bigint, place bigint)
language plpgsql stable
-- planned for each memory it took 0.6 ms
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  -- a task may have thousands of versions before this one
  v_first int := (
    select v.version
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq = p_content_seq and v.memory_id || '' = p_memory_id and v.status <> 'superseded'
    limit 1);
begin
  return query
  with own as materialized (
    select e.seq, e.event_id, e.kind like 'memory.%' as made_it, e.refs
    from memory_versions v
    -- `offset 0` keeps it a look-up of each
    cross join lateral (select * from events e where e.tenant_id = v.tenant_id and e.seq = v.seq offset 0) e
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version >= coalesce(v_first, 1) and v.content_seq + 0 = p_content_seq
      and v.status in ('active', 'proposed') and (p_last is null or v.seq + 0 <= p_last) and (p_as_of is null or e.occurred_at <= p_as_of)
  ),
  cited as (
    select r.ref, own.seq, r.place
    from own
    cross join lateral unnest(case when own.made_it then own.refs else own.event_id || own.refs end) with ordinality as r (ref, place)
    union all
    select m.memory_id, p_content_seq, 0
    from memories m
    where m.tenant_id = p_tenant and m.superseded_by = p_memory_id
      and (p_last is null or exists (
        select from memory_versions v
        where v.tenant_id = p_tenant and v.memory_id = m.memory_id and v.status = 'superseded' and v.seq + 0 <= p_last))
  )
  select c.ref, max(c.seq), min(c.place)
  from cited c
  where c.ref <> p_memory_id and not exists (
    select from (
      select e.seq
      from events e
      where e.tenant_id = p_tenant and e.kind like 'memory.%'
        and e.event_id = case when c.ref ~ '^chk_' then 'evt_' || split_part(substr(c.ref, 5), '_', 1) else c.ref end
      offset 0) made
    join memory_versions v on v.tenant_id = p_tenant and v.seq = made.seq
    where v.memory_id = p_memory_id and v.status in ('active', 'proposed')
    offset 0)
  group by c.ref;
end $$;

-- Acts are their own source; facts, notes and summaries are claims.
create function is_act(p_kind text) returns boolean
language sql immutable parallel safe
return p_kind in ('decision', 'task', 'rule', 'preference', 'handoff');

-- Whether nothing of an event is left for answers: it was retracted, or erased. What retention emptied was recorded all the same.
create function is_gone(p_event events) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (p_event.erased_at is not null and not p_event.content ? 'retention')
    or exists (select from overlays o where o.tenant_id = p_event.tenant_id and o.seq = p_event.seq and o.content ? 'withheld');
end $$;

-- Whether a memory rests on something through these refs: an event or artifact that is there, an act, or a claim that does so itself. A
-- chain of claims is followed through three of them, and through 64 in all, so that an answer stays short whatever cites what.
-- p_job: what an erasure has marked counts as gone. p_last, p_as_of: of claims in between, what they rested on then.
drop function is_grounded(text, text, text[]);
create function is_grounded(
  p_tenant text, p_memory_id text, p_refs text[], p_last bigint default null, p_as_of timestamptz default null, p_job text default null)
returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refs text[] := p_refs;
  v_seen text[] := array[p_memory_id];
  v_claims text[];
begin
  for depth in 1 .. 4 loop
    exit when coalesce(cardinality(v_refs), 0) = 0;
    if p_job is not null then
      v_refs := array(select r.ref from unnest(v_refs) r (ref) where not is_marked(p_tenant, p_job, r.ref));
    end if;
    if exists (
      select
      from unnest(v_refs) r (ref)
      cross join lateral (
        select e
        from events e
        where e.tenant_id = p_tenant and e.kind not like 'memory.%' and e.event_id = case
          when r.ref ~ '^chk_' then 'evt_' || split_part(substr(r.ref, 5), '_', 1)
          when r.ref ~ '^art_' then (select a.event_id from artifacts a where a.tenant_id = p_tenant and a.artifact_id = r.ref)
          else r.ref end
        limit 1
      ) source
      where not is_gone(source.e)
    ) then
      return true;
    end if;
    v_claims := array(
      select m.memory_id
      from unnest(v_refs) with ordinality as r (ref, place)
      cross join lateral (select x.id from memory_of(p_tenant, r.ref) x (id) offset 0) o
      -- `offset 0` keeps each a look-up: where nothing was analyzed yet the plan joined all memories with all events, 30 ms a level
      cross join lateral (select * from memories m where m.tenant_id = p_tenant and m.memory_id = o.id offset 0) m
      cross join lateral (select e as said from events e where e.tenant_id = p_tenant and e.seq = m.content_seq offset 0) e
      where not m.memory_id = any (v_seen) and m.status <> 'deleted' and not is_gone(e.said)
        and (p_job is null or not is_marked(p_tenant, p_job, m.memory_id))
      group by m.memory_id, m.kind
      -- an act, if there is any, comes first
      order by is_act(m.kind) desc, min(r.place)
      limit greatest(1, 65 - cardinality(v_seen)));
    if exists (select from memories m where m.tenant_id = p_tenant and m.memory_id = v_claims[1] and is_act(m.kind)) then
      return true;
    end if;
    exit when depth = 4 or cardinality(v_seen) > 64;
    v_seen := v_seen || v_claims;
    v_refs := array(
      select distinct g.ref
      from unnest(v_claims) c (id)
      cross join lateral (
        select v.content_seq
        from memory_versions v
        where v.tenant_id = p_tenant and v.memory_id = c.id and (p_last is null or v.seq + 0 <= p_last)
          and (p_as_of is null or p_as_of >= (select e.occurred_at from events e where e.tenant_id = v.tenant_id and e.seq = v.seq))
        order by v.version desc
        limit 1
      ) stood
      cross join lateral (
        select o.ref from grounds(p_tenant, c.id, stood.content_seq, p_last, p_as_of) o order by o.seq desc, o.place, o.ref limit 256
      ) g);
  end loop;
  return false;
end $$;

-- Whether the tenant wants a memory of this kind to rest on something before a context states it.
create function needs_sources(p_tenant text, p_kind text) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return case (select t.settings ->> 'require_sources' from tenants t where t.tenant_id = p_tenant)
    when 'none' then false when 'all' then not is_act(p_kind) else p_kind = 'summary' end;
end $$;

-- What answers say of it: the newest p_limit refs, the count of all, whether the memory is an act or rests on something, and whether it
-- does not although the tenant wants it to.
create function grounding(
  p_tenant text, p_memory_id text, p_kind text, p_content_seq bigint, p_limit int default 256, p_last bigint default null,
  p_as_of timestamptz default null)
returns table (refs text[], ref_count int, grounded boolean, unsourced boolean)
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  refs := array(
    select g.ref from grounds(p_tenant, p_memory_id, p_content_seq, p_last, p_as_of) g order by g.seq desc, g.place, g.ref);
  ref_count := cardinality(refs);
  grounded := is_act(p_kind) or is_grounded(p_tenant, p_memory_id, refs, p_last, p_as_of);
  unsourced := not grounded and needs_sources(p_tenant, p_kind);
  refs := refs[1:p_limit];
  return next;
end $$;

-- As in 0015, for daemons of the release before.
create or replace function citations(p_tenant text, p_memory_id text, p_from bigint, p_to bigint, p_limit int)
returns table (refs text[], ref_count int)
language sql stable
begin atomic
  select g.refs, g.ref_count from grounding(p_tenant, p_memory_id, 'decision', p_from, p_limit, p_to) g;
end;

-- What answers say of a memory beside its words, as it stood at p_last and p_as_of. p_seq is an event that says it; the words, and whose
-- they are, are those of the event of its content, whose event that may only repeat.
drop function memory_standing(text, memories, bigint, jsonb, text, text, bigint);
create function memory_standing(
  p_tenant text, p_memory memories, p_seq bigint, p_content jsonb, p_actor_type text, p_actor_id text, p_last bigint,
  p_as_of timestamptz default null)
returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_content_seq bigint := coalesce((
    select v.content_seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq = p_seq and v.memory_id || '' = p_memory.memory_id and v.status <> 'superseded'
    limit 1), p_seq);
  v_grounding record;
begin
  if v_content_seq <> p_seq then
    select case when e.kind like 'memory.%' then coalesce(o.content, e.content) end, e.actor_type, e.actor_id
    into p_content, p_actor_type, p_actor_id
    from events e left join overlays o on o.tenant_id = p_tenant and o.seq = e.seq
    where e.tenant_id = p_tenant and e.seq = v_content_seq;
  end if;
  select * into v_grounding from grounding(p_tenant, p_memory.memory_id, p_memory.kind, v_content_seq, 256, p_last, p_as_of);
  return jsonb_build_object(
    'memory_id', p_memory.memory_id, 'kind', p_memory.kind, 'scope', p_memory.scope,
    'refs', to_jsonb(v_grounding.refs),
    'grounded', v_grounding.grounded,
    'unsourced', v_grounding.unsourced,
    'trust', coalesce(p_content ->> 'trust', case p_actor_type when 'human' then 'stated' when 'agent' then 'inferred' else 'observed' end),
    'origin', coalesce(p_content -> 'origin', jsonb_build_object('type', p_actor_type, 'id', p_actor_id)),
    'body', coalesce(p_content -> 'body', '{}'));
end $$;

-- As in 0008, with the time of what is asked.
create or replace function read_passages(p_tenant text, p_scope jsonb, p_seqs bigint[], p_ordinals int[])
returns table (
  seq bigint, ordinal int, event_id text, kind text, session_id text, text text, actor_id text, tags text[], artifact_id text,
  chunk_count int, occurred_at timestamptz, words text[], superseded boolean, memory jsonb)
language plpgsql
set plan_cache_mode = force_custom_plan
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
      select memory_standing(p_tenant, m, c.seq, e.content, e.actor_type, e.actor_id, v_last, v_as_of)
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
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

create or replace function read_handoff(p_tenant text, p_scope jsonb, p_ask jsonb)
returns table (seq bigint, event_id text, session_id text, content jsonb, occurred_at timestamptz, memory jsonb)
language plpgsql
as $$
declare
  v_last bigint := coalesce((p_scope ->> 'as_of_seq')::bigint, 9223372036854775807);
begin
  perform enter_tenant(p_tenant);
  return query
  select e.seq, e.event_id, e.session_id, e.content, e.occurred_at,
    memory_standing(p_tenant, h.memory, e.seq, e.content, e.actor_type, e.actor_id, v_last,
      (p_scope ->> 'as_of')::timestamptz)
  from held_memories(p_tenant, p_scope, p_ask, v_last, array['handoff'], array[200], 'active') h
  cross join lateral (select s.* from seen_events(p_tenant, p_scope) s where s.seq = h.content_seq limit 1) e
  where e.content #>> '{body,to_agent}' = p_ask ->> 'agent_id'
  order by e.seq desc
  limit 1;
end $$;

create or replace function read_ledger(p_tenant text, p_scope jsonb, p_ask jsonb)
returns table (
  part text, as_of_seq bigint, partial_index boolean, seq bigint, event_id text, kind text, actor_id text, content jsonb, artifact_id text,
  superseded boolean, occurred_at timestamptz, words text[], memory jsonb)
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
declare
  v_last bigint;
  v_filter jsonb := p_scope -> 'filter';
  v_named text[] := array(select jsonb_array_elements_text(coalesce(p_ask -> 'named', '[]')));
begin
  perform enter_tenant(p_tenant);
  select least(k.last_seq, coalesce((p_scope ->> 'as_of_seq')::bigint, k.last_seq)) into v_last
  from tenant_clocks k
  where k.tenant_id = p_tenant;
  return query
  with named as (
    select distinct m.memory_id
    from unnest(v_named) r (id) join memories m on m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, r.id)
    union
    select m.memory_id
    from memories m
    where m.tenant_id = p_tenant and m.kind = 'decision' and m.status = 'active'
      and m.text_hash in (select decode(h, 'hex') from jsonb_array_elements_text(coalesce(p_ask -> 'hashes', '[]')) h)
  ),
  chosen as (
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
    where v.tenant_id = p_tenant and v.seq in (select d::bigint from jsonb_array_elements_text(p_ask -> 'decisions') d)
      and v.status <> 'superseded' and m.kind = 'decision'
    union all
    select case when m.kind = 'decision' then 'decision' else 'cited' end, m.content_seq, m
    from named n join memories m on m.tenant_id = p_tenant and m.memory_id = n.memory_id
    where m.status = 'active' and m.last_seq <= v_last
    union all
    select 'cited', e.seq, null
    from events e
    where e.tenant_id = p_tenant and e.kind not like 'memory.%'
      and e.event_id in (select case when id ~ '^chk_' then 'evt_' || split_part(substr(id, 5), '_', 1) else id end from unnest(v_named) id)
    union all
    (select 'recent', s.seq, null
     from seen_events(p_tenant, p_scope) s
     where s.session_id = p_ask ->> 'session_id' and s.seq <= v_last
       and s.kind in ('message', 'tool_call', 'tool_result', 'decision', 'task_update', 'artifact')
       and (v_filter is null or event_matches(s, v_filter, false, p_scope ->> 'channel'))
       -- what was handed over is not told again
       and (not p_ask ? 'handoff_seq' or s.seq > (p_ask ->> 'handoff_seq')::bigint or s.agent_id = p_ask ->> 'agent_id')
     order by s.seq desc
     limit 60)
  )
  select
    'clock', v_last, exists (select from chunk_rebuilds r where r.tenant_id = p_tenant), null::bigint, null, null, null, null::jsonb, null,
    null::boolean, null::timestamptz, null::text[], null::jsonb
  union all
  select
    c.part, null, null, s.seq, s.event_id, s.kind, s.actor_id, s.content, s.artifact_id,
    c.part = 'superseded' or coalesce(
      c.part in ('decision', 'recent') and s.kind <> 'task_update' and k.until_seq <= v_last
        and (not p_scope ? 'as_of' or k.until_at <= (p_scope ->> 'as_of')::timestamptz), false),
    s.occurred_at,
    k.words,
    case when (c.memory).memory_id is not null then memory_standing(
      p_tenant, c.memory, s.seq, case when s.kind like 'memory.%' then s.content end, s.actor_type, s.actor_id, v_last,
      (p_scope ->> 'as_of')::timestamptz) end
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
  where (k.blocked_in is null or not k.blocked_in @> array[p_scope ->> 'channel']);
end $$;

-- As in 0012, on `grounds`: a claim is removed when nothing that is left supports it.
create or replace function mark_memories(p_tenant text, p_job text, p_kind text, p_subject text, p_upto bigint, p_after text, p_limit int)
returns table (last_id text, news bigint)
language plpgsql
as $$
declare
  v_ids text[];
  v_verdicts text[];
begin
  select array_agg(m.memory_id order by m.memory_id), array_agg(case
    when judged.theirs or (judged.gone and home.seq is null)
      or (judged.lost and not is_act(m.kind) and not is_grounded(p_tenant, m.memory_id, judged.refs, p_job => p_job)) then 'memory'
    when judged.lost or judged.gone then 'keep' end order by m.memory_id)
  into v_ids, v_verdicts
  from (select * from memories n where n.tenant_id = p_tenant and n.memory_id > p_after order by n.memory_id limit p_limit) m
  cross join lateral (select home_of(m, p_job) as seq) home
  cross join lateral (
    select
      m.content_seq <= p_upto and coalesce(case p_kind
        when 'user_id' then m.user_id = p_subject
        when 'session_id' then m.scope = 'session' and m.session_id = p_subject
        when 'project_id' then m.scope = 'project' and m.project_id = p_subject end, false) as theirs,
      coalesce((select is_marked(p_tenant, p_job, e.event_id) from events e where e.tenant_id = p_tenant and e.seq = m.content_seq), false) as gone,
      coalesce(bool_or(is_marked(p_tenant, p_job, g.ref)), false) as lost,
      array_agg(g.ref) as refs
    from grounds(p_tenant, m.memory_id, m.content_seq) g
  ) judged;
  last_id := v_ids[cardinality(v_ids)];
  delete from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'keep' and k.id = any (v_ids);
  with verdict as materialized (
    select v.id, v.verdict from unnest(v_ids, v_verdicts) v (id, verdict) where v.verdict is not null
  ),
  made as (
    insert into erasure_marks (tenant_id, job_id, what, id)
    select p_tenant, p_job, v.verdict, v.id from verdict v
    on conflict do nothing
    returning what
  ),
  evidence as (
    insert into erasure_marks (tenant_id, job_id, what, id, seq)
    select distinct p_tenant, p_job, 'event', e.event_id, e.seq
    from verdict v
    join memory_versions w on w.tenant_id = p_tenant and w.memory_id = v.id and w.status <> 'superseded'
    join events e on e.tenant_id = p_tenant and e.seq = w.seq
    where v.verdict = 'memory' and e.erased_at is null
    on conflict do nothing
    returning what
  )
  select (select count(*) from made where what = 'memory') + (select count(*) from evidence) into news;
  return next;
end $$;

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
    importance = coalesce((v_wish ->> 'importance')::real, m.importance),
    valid_from = (v_wish ->> 'valid_from')::timestamptz, valid_to = (v_wish ->> 'valid_to')::timestamptz
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

create or replace function mark_pins(p_tenant text, p_job text) returns void
language sql
begin atomic
  with pinned as materialized (
    select m.* from memories m where m.tenant_id = p_tenant and m.pinned and stands(m)
  ),
  cited as materialized (
    select distinct case when g.ref ~ '^chk_' then 'evt_' || split_part(substr(g.ref, 5), '_', 1) else g.ref end as ref
    from pinned p cross join lateral grounds(p_tenant, p.memory_id, p.content_seq) g
  )
  insert into erasure_marks (tenant_id, job_id, what, id, seq)
  select distinct p_tenant, p_job, 'pin', e.event_id, e.seq
  from (
    select v.seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id in (select p.memory_id from pinned p union all select c.ref from cited c)
    union all
    select e.seq from cited c join events e on e.tenant_id = p_tenant and e.event_id = c.ref
    union all
    select e.seq
    from cited c join artifacts a on a.tenant_id = p_tenant and a.artifact_id = c.ref join events e on e.tenant_id = p_tenant and e.event_id = a.event_id
  ) s
  join events e on e.tenant_id = p_tenant and e.seq = s.seq
  on conflict do nothing;
end;

drop function memory_refs(text, text, bigint, bigint);
drop function grounds_of(memories, bigint);
