-- The memory that the id of a memory, an event or a passage refers to.
create or replace function memory_of(p_tenant text, p_ref text) returns text
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_seq bigint;
begin
  if p_ref ~ '^(evt|chk)_' then
    select e.seq into v_seq
    from events e
    where e.tenant_id = p_tenant and e.event_id = event_of(p_ref);
    return (
      select v.memory_id from memory_versions v where v.tenant_id = p_tenant and v.seq = v_seq and v.status || '' <> 'superseded' limit 1);
  end if;
  return (select m.memory_id from memories m where m.tenant_id = p_tenant and m.memory_id = p_ref);
end $$;

-- How many may see it: private < team < agent < public.
create or replace function audience_rank(p_channel text) returns int
language sql immutable parallel safe
return array_position(array['private', 'team', 'agent', 'public'], p_channel);

-- The memory is no longer held, because of the event p_seq: the newer p_by, a deletion, a retraction.
-- The clock is locked by the caller. AM409 where it is not active any more.
create or replace function end_memory(p_tenant text, p_memory_id text, p_status text, p_seq bigint) returns void
language plpgsql
as $$
declare
  v_memory memories;
begin
  update memories m
  set status = p_status, version = m.version + 1, last_seq = p_seq, doing_agent = null, updated_at = clock_timestamp()
  where m.tenant_id = p_tenant and m.memory_id = p_memory_id and m.status = any (array['active', 'proposed'])
    and (m.expires_at is null or m.expires_at > clock_timestamp())
  returning * into v_memory;
  if not found then
    raise exception 'the memory is not active' using errcode = 'AM409';
  end if;
  insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
  values (p_tenant, p_memory_id, v_memory.version, p_seq, v_memory.content_seq, p_status);
  perform end_passages(p_tenant, p_memory_id, p_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = p_seq;
end $$;

-- Passages of a memory's versions up to p_seq are no longer current. What was said before the content that stood at p_from (null: p_seq)
-- has ended already and is not looked at: with 100,000 versions that took seconds. Deleting a superseded memory does not end the passages
-- of its successor: they belong to the event that ended the old one.
create or replace function end_passages(p_tenant text, p_memory_id text, p_seq bigint, p_at timestamptz, p_from bigint default null) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  v_said int;
begin
  select said.version into v_said
  from (
    select w.content_seq
    from memory_versions w
    where w.tenant_id = p_tenant and w.memory_id = p_memory_id and w.seq + 0 < coalesce(p_from, p_seq)
    order by w.version desc
    limit 1
  ) stood
  join memory_versions said on said.tenant_id = p_tenant and said.seq = stood.content_seq and said.memory_id || '' = p_memory_id
  limit 1;
  perform end_chunks(p_tenant, array(
    select v.seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version >= coalesce(v_said, 0) and v.seq + 0 < p_seq
      and v.status || '' <> 'superseded'), p_seq, p_at);
end $$;

-- Ends the memory that the event p_seq supersedes. The audience of the new one may not be narrower.
create or replace function supersede(p_tenant text, p_ref text, p_seq bigint) returns text
language plpgsql
as $$
declare
  v_old memories;
  v_new events;
begin
  select * into v_new from events e where e.tenant_id = p_tenant and e.seq = p_seq;
  select * into v_old from memories m where m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, p_ref);
  if not found then
    raise exception 'the superseded item is not a memory' using errcode = 'AM409';
  end if;
  -- who may replace a rule is asked where rules are made; a recorded decision has not been asked
  if v_old.kind = 'rule' and (v_new.kind not like 'memory.%' or v_new.content ->> 'kind' <> 'rule') then
    raise exception 'only a rule can supersede a rule' using errcode = 'AM409';
  end if;
  if audience_rank(v_new.channel) < audience_rank(v_old.channel)
    or (v_old.channel = 'private' and v_new.channel = 'private' and v_new.user_id <> v_old.user_id)
    or (v_new.sensitivity in ('high', 'secret') and v_old.sensitivity in ('none', 'low')) then
    raise exception 'the new memory must be visible to everyone who can see the superseded one' using errcode = 'AM409';
  end if;
  perform end_memory(p_tenant, v_old.memory_id, 'superseded', p_seq);
  return v_old.memory_id;
end $$;

-- What follows from updates of tasks: only the newest of each is current, and of several moves in one change each ends the passages of the
-- one before; and if the tenant's settings say so, an agent has one task in work. Those that ended make room first, so that one request may
-- end a task and begin the next. p_from: the first event of this change.
create or replace function apply_task_updates(p_tenant text, p_memory_ids text[], p_from bigint) returns void
language plpgsql
as $$
declare
  v_move record;
begin
  for v_move in
    select v.memory_id, v.seq, e.occurred_at
    from memories m
    join memory_versions v on v.tenant_id = p_tenant and v.memory_id = m.memory_id and v.version > 1 and v.seq >= p_from
    join events e on e.tenant_id = p_tenant and e.seq = v.seq
    where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) and m.kind = 'task'
    order by v.seq
  loop
    perform end_passages(p_tenant, v_move.memory_id, v_move.seq, v_move.occurred_at, p_from);
  end loop;
  update memories m set doing_agent = null
  where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) and m.doing_agent is not null;
  if exists (select from tenants t where t.tenant_id = p_tenant and (t.settings ->> 'one_doing_per_agent')::boolean) then
    update memories m set doing_agent = null
    where m.tenant_id = p_tenant and m.expires_at <= clock_timestamp() and m.doing_agent = any (array(
      select t.agent_id from memories t where t.tenant_id = p_tenant and t.memory_id = any (p_memory_ids)));
    update memories m set doing_agent = m.agent_id
    where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) and m.kind = 'task' and m.task_status = 'doing' and m.status = 'active';
  end if;
end $$;

-- The effect of an event that creates, updates or restates a memory: { "memory_id", "kind", "scope", "text_hash": hex, "status", "importance",
-- "pinned", "valid_from", "valid_to", "expires_at", "supersedes", "task_status", "task_ref": a memory's id where an update names its task by
-- that, "only_new", "counted": by memories_judge }. src/memories/effect.ts makes it.
--
-- How the statements of a commit are planned. A session keeps its plans, and makes them while tables are small or not analyzed yet; one that
-- reads every memory of a tenant would stay. So each has one plan, of look-ups by key:
--   force_generic_plan, enable_… = off   planned anew each time, resolve_effects cost twice its execution
--   limit 1, offset 0                    in a lateral subquery: the look-up of each row stays one
--   kind || '', seq + 0                  takes the index over the column out of the choice
--   h >= x and h <= x order by h         leaves the index that has this order; asked by `=`, another was as good in an empty table

create or replace function memories_apply(p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
as $$
declare
  v_resolved memory_effect[] := make_memories(p_tenant, p_effects, p_at);
begin
  perform apply_repeats(p_tenant, v_resolved);
  -- no version names the memory of what is only counted
  return array(
    select row('memories', w.unit, w.event, jsonb_build_object('memory_id', w.target_id, 'counted', w.counted), w.counted)::answer
    from unnest(v_resolved) w);
end $$;

create or replace function make_memories(p_tenant text, p_effects effect[], p_at timestamptz) returns memory_effect[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  -- as long as p_effects: the first that is assigned to an array without bounds becomes its first
  v_superseded text[] := array_fill(null::text, array[cardinality(p_effects)]);
  v_resolved memory_effect[];
  v_effect record;
begin
  perform expire_targets(p_tenant, p_effects);
  for v_effect in
    select f.ordinality as ordinal, f.seq, f.doc ->> 'supersedes' as ref
    from unnest(p_effects) with ordinality f
    where f.doc ? 'supersedes'
    order by f.ordinality
  loop
    v_superseded[v_effect.ordinal] := supersede(p_tenant, v_effect.ref, v_effect.seq);
  end loop;
  v_resolved := resolve_effects(p_tenant, p_effects, v_superseded);
  if exists (select from unnest(v_resolved) w where w.only_new and (w.current_version is not null or w.nth > 1)) then
    raise exception 'The memory already exists.' using errcode = 'AM412';
  end if;
  perform write_memory_effects(p_tenant, v_resolved, p_at);
  if cardinality(array_remove(v_superseded, null)) > 0 then
    update memories m set superseded_by = w.target_id
    from unnest(v_resolved) w
    where m.tenant_id = p_tenant and m.memory_id = w.superseded_id;
  end if;
  if exists (select from unnest(v_resolved) w where w.kind = 'task') then
    perform apply_task_updates(p_tenant, array(select w.target_id from unnest(v_resolved) w), (p_effects[1]).seq);
  end if;
  return v_resolved;
end $$;

-- Memories past their time, of those that these effects name or say again: what they say makes a new one. The sweeper does the others, which
-- may be very many. A memory about nobody equals another about nobody.
create or replace function expire_targets(p_tenant text, p_effects effect[]) returns void
language plpgsql
as $$
begin
  -- in its order, or a plan of an empty table read every memory of the tenant for each batch
  if (select m.expires_at from memories m where m.tenant_id = p_tenant and m.status = 'active' and m.expires_at is not null
      order by m.expires_at limit 1) <= clock_timestamp() then
    update memories m set status = 'expired', doing_agent = null
    from (
      select o.memory_id
      from unnest(p_effects) w
      cross join lateral (
        (select t.memory_id
         from memories t
         where t.tenant_id = p_tenant and t.status = 'active' and t.expires_at + interval '0' <= clock_timestamp()
           and t.text_hash >= decode(w.doc ->> 'text_hash', 'hex') and t.text_hash <= decode(w.doc ->> 'text_hash', 'hex')
           and same_subject(t.kind, t.channel, t.user_id) is not distinct from same_subject(t.kind, t.channel, w.user_id)
           and t.channel = w.channel
         order by t.text_hash
         limit 1000)
        union all
        select t.memory_id
        from memories t
        where t.tenant_id = p_tenant and t.memory_id = w.doc ->> 'task_ref' and t.status || '' = 'active'
          and t.expires_at + interval '0' <= clock_timestamp()
      ) o
    ) past
    where m.tenant_id = p_tenant and m.memory_id = past.memory_id;
  end if;
end $$;

-- What a scope is of.
create or replace function scope_id(p_scope text, p_project_id text, p_session_id text, p_user_id text) returns text
language sql immutable parallel safe
return case p_scope when 'project' then p_project_id when 'session' then p_session_id when 'user' then p_user_id end;

-- What each effect asks for, beside the memory that is held and says the same. The locked clock makes the look-up safe; the unique index stands
-- behind it. Of equal ones in a batch the first makes the memory. p_superseded: what each took the place of.
create or replace function resolve_effects(p_tenant text, p_effects effect[], p_superseded text[]) returns memory_effect[]
language plpgsql stable
as $$
begin
  return array(
    with requested as materialized (
      select
        f.ordinality as ordinal, f.unit, f.event, f.seq, f.channel, f.sensitivity, f.user_id, f.agent_id,
        nullif(f.session_id, r.memory_id) as session_id, f.project_id, f.tags, r.*, same.*,
        case when r.status = 'active' then row(same.hash, r.kind, same.scope_id, r.scope, same.subject, f.channel, same.apart)::text
          else r.memory_id end as key
      from unnest(p_effects) with ordinality f
      cross join lateral jsonb_to_record(f.doc) r (
        memory_id text, kind text, scope text, text_hash text, status text, importance real, pinned boolean, valid_from timestamptz,
        valid_to timestamptz, expires_at timestamptz, task_status text, task_ref text, counted boolean, only_new boolean)
      cross join lateral (
        select
          -- Another user's private task counts as absent, or the answer would confirm a guessed name.
          coalesce(
            (select t.text_hash
             from memories t
             where t.tenant_id = p_tenant and t.memory_id = r.task_ref and t.kind || t.status = 'taskactive'
               and t.channel || '' = f.channel and (f.channel <> 'private' or t.user_id = f.user_id)),
            decode(r.text_hash, 'hex')) as hash,
          scope_id(r.scope, f.project_id, f.session_id, f.user_id) as scope_id,
          same_subject(r.kind, f.channel, f.user_id) as subject,
          case when r.kind = 'task' then '' else f.sensitivity end as apart
      ) same
    )
    select row(
      w.unit, w.event, w.seq, coalesce(existing.memory_id, first_value(w.memory_id) over same), w.memory_id, w.kind, w.scope, w.scope_id, w.status,
      w.hash, w.importance, w.pinned, w.valid_from, w.valid_to, w.expires_at, w.task_status, w.channel, w.sensitivity, w.user_id, w.agent_id,
      w.session_id, w.project_id, w.tags, p_superseded[w.ordinal], coalesce(w.counted, false), coalesce(w.only_new, false),
      existing.version, existing.content_seq, existing.row_id, row_number() over same,
      greatest(count(*) filter (where not coalesce(w.counted, false)) over (partition by w.key), (existing.memory_id is null)::int),
      count(*) over (partition by w.key), first_value(w.seq) over same)::memory_effect
    from requested w
    left join lateral (
      select m.memory_id, m.version, m.content_seq, m.ctid as row_id
      from memories m
      where w.status = 'active' and m.tenant_id = p_tenant and m.status = 'active'
        and m.text_hash >= w.hash and m.text_hash <= w.hash and m.kind || '' = w.kind and m.scope = w.scope
        and m.scope_id is not distinct from w.scope_id and same_subject(m.kind, m.channel, m.user_id) is not distinct from w.subject
        and m.channel = w.channel and (case when m.kind = 'task' then '' else m.sensitivity end) = w.apart
      order by m.text_hash
      limit 1
    ) existing on true
    window same as (partition by w.key order by w.seq)
    order by w.ordinal);
end $$;

-- The last of equal effects writes their memory, and counts them all; those that are only counted come last and make no version. The
-- subject of a task is that of its newest update.
create or replace function write_memory_effects(p_tenant text, p_resolved memory_effect[], p_at timestamptz) returns void
language plpgsql
as $$
begin
  insert into memories (
    tenant_id, memory_id, kind, scope, scope_id, status, version, content_seq, last_seq, user_id, agent_id, session_id, project_id, channel,
    sensitivity, text_hash, importance, pinned, repeats, tags, valid_from, valid_to, expires_at, task_status, created_at, updated_at)
  select
    p_tenant, w.target_id, w.kind, w.scope, w.scope_id, w.status, w.version_count, case when w.kind = 'task' then w.seq else w.first_seq end, w.seq, w.user_id,
    w.agent_id, w.session_id, w.project_id, w.channel, w.sensitivity, w.text_hash, w.importance, w.pinned,
    case when w.kind = 'task' then 0 else w.total - 1 end, w.tags, w.valid_from, w.valid_to, w.expires_at, w.task_status, p_at, p_at
  from unnest(p_resolved) w
  where w.current_version is null and w.nth = w.version_count
  order by w.seq;

  update memories m
  set
    version = w.current_version + w.version_count,
    last_seq = case when w.version_count = 0 then m.last_seq else w.seq end,
    updated_at = case when w.version_count = 0 then m.updated_at else p_at end,
    repeats = case when w.kind = 'task' then 0 else m.repeats + w.total end,
    content_seq = case when w.kind = 'task' then w.seq else m.content_seq end,
    task_status = w.task_status,
    user_id = case when w.kind = 'task' then w.user_id else m.user_id end,
    agent_id = case when w.kind = 'task' then w.agent_id else m.agent_id end,
    sensitivity = w.sensitivity,
    tags = case when w.kind = 'task' then w.tags else m.tags end,
    -- a pinned memory stays pinned
    pinned = m.pinned or (w.kind = 'task' and w.pinned),
    valid_from = case when w.kind = 'task' then w.valid_from else m.valid_from end,
    valid_to = case when w.kind = 'task' then w.valid_to else m.valid_to end,
    expires_at = case when w.kind = 'task' then w.expires_at else m.expires_at end
  from unnest(p_resolved) w
  -- By its place, which the locked clock keeps: joined by its key, all of the tenant's were read for each batch, mostly for none.
  where w.current_version is not null and w.nth = greatest(w.version_count, 1) and m.tenant_id = p_tenant and m.ctid = w.current_ctid;

  insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
  select
    p_tenant, w.target_id, coalesce(w.current_version, 0) + w.nth, w.seq,
    case when w.kind = 'task' then w.seq else coalesce(w.current_content_seq, w.first_seq) end, w.status
  from unnest(p_resolved) w
  where w.nth <= w.version_count;
end $$;

-- The memory is what this effect says, no longer what the event p_from said. Of several in a batch the first: the others say it again.
create or replace function replace_content(p_tenant text, p_effect memory_effect, p_from bigint) returns void
language plpgsql
as $$
begin
  update memories m
  set content_seq = p_effect.seq, repeats = 0, importance = p_effect.importance, pinned = p_effect.pinned, valid_from = p_effect.valid_from,
    valid_to = p_effect.valid_to, expires_at = p_effect.expires_at, tags = p_effect.tags, agent_id = p_effect.agent_id, session_id = p_effect.session_id,
    project_id = p_effect.project_id
  where m.tenant_id = p_tenant and m.memory_id = p_effect.target_id and m.content_seq = p_from;
  if found then
    update memory_versions v set content_seq = p_effect.seq
    where v.tenant_id = p_tenant and v.memory_id = p_effect.target_id and v.seq >= p_effect.seq and v.content_seq = p_from;
    perform end_passages(p_tenant, p_effect.target_id, p_effect.seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = p_effect.seq;
  end if;
end $$;

-- An event that says again what a memory says reads as its edits say, and a task stays as hidden as it was. Only what was retracted is a
-- new statement when it is said again: from then on the memory is what this event says, and nothing of the old.
create or replace function apply_repeats(p_tenant text, p_resolved memory_effect[]) returns void
language plpgsql
as $$
declare
  v_repeat record;
begin
  -- nearly always: every event made a memory of its own
  if not exists (select from unnest(p_resolved) w where w.memory_id <> w.target_id) then
    return;
  end if;
  for v_repeat in
    select w as effect, was.content_seq, o.withheld, was.kind
    from unnest(p_resolved) w
    cross join lateral (
      select v.content_seq, m.kind
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      where v.tenant_id = p_tenant and v.memory_id = w.target_id and v.seq < w.seq
      order by v.version desc
      limit 1
    ) was
    cross join lateral (
      select coalesce(x.content ? 'withheld', false) as withheld
      from overlays x
      where x.tenant_id = p_tenant and x.seq = was.content_seq
      limit 1
    ) o
    -- a repetition that is only counted makes no version
    where w.memory_id <> w.target_id and w.nth <= w.version_count
    order by w.seq
  loop
    if v_repeat.kind = 'task' then
      perform carry_edits(p_tenant, v_repeat.content_seq, (v_repeat.effect).seq, array['quarantine', 'attenuate', 'block']);
    elsif v_repeat.withheld then
      perform replace_content(p_tenant, v_repeat.effect, v_repeat.content_seq);
    else
      perform carry_edits(p_tenant, v_repeat.content_seq, (v_repeat.effect).seq, array['retract', 'amend', 'quarantine', 'attenuate', 'block']);
    end if;
  end loop;
end $$;

-- What says a text that has been said 256 times more is only counted: its event has no passages, and one that only made the memory no text
-- of its own. So to change, end or hide a memory stays short however often it is said.
create or replace function memories_judge(p_tenant text, p_units jsonb, p_at timestamptz) returns setof judgement
language plpgsql
as $$
begin
  -- nearly always nothing is said that often
  if not exists (select from memories m where m.tenant_id = p_tenant and m.worn)
    and (select sum(jsonb_array_length(u.doc -> 'events')) from jsonb_array_elements(p_units) u (doc)) <= 256 then
    return;
  end if;
  return query
  select r.unit, null::jsonb, count_only_unit(p_units -> (r.unit - 1), r.ids)
  from (select n.unit, jsonb_object_agg(n.event, n.memory_id) as ids from find_excess_repeats(p_tenant, p_units) n group by n.unit) r;
end $$;

-- Which events of these units say a text for more than the 256th time, and the memory that it is.
create or replace function find_excess_repeats(p_tenant text, p_units jsonb) returns table (unit int, event bigint, memory_id text)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  -- memories that this commit supersedes cannot be restated
  v_ending text[] := array(
    select memory_of(p_tenant, r.ref #>> '{}') from jsonb_path_query(p_units, '$[*].events[*].effects.memories.supersedes') r (ref));
begin
  return query
  with asked as (
    select u.ord as unit, e.ord as event, r.memory_id, held.memory_id as held_id, held.repeats,
      row(same.hash, r.kind, same.scope_id, r.scope, f.user_id, f.channel, f.sensitivity)::text as key
    from jsonb_array_elements(p_units) with ordinality u (doc, ord)
    cross join lateral jsonb_array_elements(u.doc -> 'events') with ordinality e (doc, ord)
    cross join lateral jsonb_to_record(e.doc) f (channel text, user_id text, session_id text, project_id text, sensitivity text)
    cross join lateral jsonb_to_record(e.doc #> '{effects,memories}') r (memory_id text, kind text, scope text, text_hash text, status text)
    cross join lateral (
      select decode(r.text_hash, 'hex') as hash, scope_id(r.scope, f.project_id, f.session_id, f.user_id) as scope_id
    ) same
    left join lateral (
      -- what an edit withholds is stated anew
      select m.memory_id, case when exists (
        select from overlays o where o.tenant_id = p_tenant and o.seq = m.content_seq and o.content ? 'withheld') then -1 else m.repeats end as repeats
      from memories m
      where m.tenant_id = p_tenant and m.status = 'active' and m.text_hash >= same.hash and m.text_hash <= same.hash
        and m.kind || '' = r.kind and m.scope = r.scope and m.scope_id is not distinct from same.scope_id and m.user_id is not distinct from f.user_id
        and m.channel = f.channel and m.sensitivity = f.sensitivity and m.memory_id <> all (v_ending)
        and (m.expires_at is null or m.expires_at > clock_timestamp())
      order by m.text_hash
      limit 1
    ) held on true
    where r.status = 'active' and r.kind <> 'task'
  ),
  numbered as (
    select a.unit, a.event, coalesce(a.held_id, first_value(a.memory_id) over same) as id, coalesce(a.repeats, -1) + row_number() over same as nth
    from asked a
    window same as (partition by a.key order by a.unit, a.event)
  )
  select n.unit::int, n.event, n.id from numbered n where n.nth > 256;
end $$;

create or replace function count_only_event(p_event jsonb, p_memory_id text) returns jsonb
language sql immutable parallel safe
return jsonb_set(p_event #- '{effects,passages}', '{effects,memories,counted}', 'true') || '{"chunk_count": 0}' || case
  when p_event ->> 'kind' = 'memory.created' then jsonb_build_object('content',
    ((p_event -> 'content') - '{text,body,sealed}'::text[]) || jsonb_build_object('memory_id', p_memory_id, 'repeated', true))
  else '{}' end;

-- A unit whose events at these places (1, 2, …) are only counted for these memories: { "<place>": "<memory_id>" }.
create or replace function count_only_unit(p_unit jsonb, p_ids jsonb) returns jsonb
language sql immutable parallel safe
return (
  select p_unit || jsonb_build_object('events', h.events, 'bytes', greatest(
    0, (p_unit ->> 'bytes')::bigint - octet_length((p_unit -> 'events')::text) + octet_length(h.events::text)))
  from (
    select jsonb_agg(case when p_ids ? e.ord::text then count_only_event(e.doc, p_ids ->> e.ord::text) else e.doc end order by e.ord) as events
    from jsonb_array_elements(p_unit -> 'events') with ordinality e (doc, ord)
  ) h);

-- Asked several times for each memory, so in plpgsql: one in SQL is planned at each call.
create or replace function is_marked(p_tenant text, p_job text, p_ref text) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_id text := event_of(p_ref);
begin
  return exists (
    select from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.id = v_id and k.what = any (array['event', 'artifact', 'memory']));
end $$;

-- What the events of a memory's versions cite, of the versions that have the content of the event p_content_seq, up to the seq p_last and
-- the time p_as_of (null: all). A recorded decision or task is its own source; an event that only made the memory is none, nor are its
-- passages. A memory rests on what it superseded too.
create or replace function memory_refs(p_tenant text, p_memory_id text, p_content_seq bigint, p_last bigint default null, p_as_of timestamptz default null)
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
  from (select x.ref, x.seq, x.place, event_of(x.ref) as event_id from cited x offset 0) c
  where c.ref <> p_memory_id and not exists (
    select from (
      select e.seq
      from events e
      where e.tenant_id = p_tenant and e.kind like 'memory.%' and e.event_id = c.event_id
      offset 0) made
    join memory_versions v on v.tenant_id = p_tenant and v.seq = made.seq
    where v.memory_id = p_memory_id and v.status in ('active', 'proposed')
    offset 0)
  group by c.ref;
end $$;

-- How far to trust a memory that says nothing of that itself, by who recorded it.
create or replace function trust_of(p_actor_type text) returns text
language sql immutable parallel safe
return case p_actor_type when 'human' then 'stated' when 'agent' then 'inferred' else 'observed' end;

-- Acts are their own source; facts, notes and summaries are claims.
create or replace function is_act(p_kind text) returns boolean
language sql immutable parallel safe
return p_kind in ('decision', 'task', 'rule', 'preference', 'handoff');

-- Whether nothing of an event is left for answers: it was retracted, or erased. What retention emptied was recorded all the same.
create or replace function is_gone(p_event events) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (p_event.erased_at is not null and not p_event.content ? 'retention')
    or exists (select from overlays o where o.tenant_id = p_event.tenant_id and o.seq = p_event.seq and o.content ? 'withheld');
end $$;

-- The events that references name: by their own id, a passage's or an artifact's.
create or replace function events_of_refs(p_tenant text, p_refs text[]) returns table (ref text, event events)
language sql stable
begin atomic
  select r.ref, named.event
  from (
    select
      c.ref,
      case when c.ref ~ '^art_' then (select a.event_id from artifacts a where a.tenant_id = p_tenant and a.artifact_id = c.ref)
        else event_of(c.ref) end as event_id
    from unnest(p_refs) c (ref)
    offset 0
  ) r
  cross join lateral (
    select e as event from events e where e.tenant_id = p_tenant and e.event_id = r.event_id limit 1
  ) named;
end;

-- Of what references name: what was recorded and is still there. A memory's own events are no source of another.
create or replace function existing_sources(p_tenant text, p_refs text[]) returns table (ref text, seq bigint)
language sql stable
begin atomic
  select n.ref, (n.event).seq
  from events_of_refs(p_tenant, p_refs) n
  where (n.event).kind not like 'memory.%' and not is_gone(n.event);
end;

-- Of what references name: memories that may ground another, but for those in p_seen, an act first; at most as many as leave p_seen at 65.
-- p_job: an erasure, whose marked memories ground nothing any more.
create or replace function grounding_memories(p_tenant text, p_refs text[], p_seen text[], p_job text default null)
returns table (memory_id text, kind text)
language sql stable
begin atomic
  select m.memory_id, m.kind
  from unnest(p_refs) with ordinality as r (ref, place)
  -- `offset 0` keeps each a look-up: where nothing was analyzed yet the plan joined all memories with all events, 30 ms a level
  cross join lateral (select x.id from memory_of(p_tenant, r.ref) x (id) offset 0) o
  cross join lateral (select * from memories m where m.tenant_id = p_tenant and m.memory_id = o.id offset 0) m
  cross join lateral (select e as said from events e where e.tenant_id = p_tenant and e.seq = m.content_seq offset 0) e
  where not m.memory_id = any (p_seen) and m.status <> 'deleted' and not is_gone(e.said)
    and (p_job is null or not is_marked(p_tenant, p_job, m.memory_id))
  group by m.memory_id, m.kind
  order by is_act(m.kind) desc, min(r.place)
  limit greatest(1, 65 - cardinality(p_seen));
end;

-- What memories rest on as they stood at the seq p_last and the time p_as_of (null: now), 256 references of each.
create or replace function refs_of_memories(p_tenant text, p_memory_ids text[], p_last bigint default null, p_as_of timestamptz default null)
returns table (ref text)
language sql stable
begin atomic
  select distinct g.ref
  from unnest(p_memory_ids) m (id)
  cross join lateral (
    select v.content_seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id = m.id and (p_last is null or v.seq + 0 <= p_last)
      and (p_as_of is null or p_as_of >= (select e.occurred_at from events e where e.tenant_id = v.tenant_id and e.seq = v.seq))
    order by v.version desc
    limit 1
  ) stood
  cross join lateral (
    select o.ref from memory_refs(p_tenant, m.id, stood.content_seq, p_last, p_as_of) o order by o.seq desc, o.place, o.ref limit 256
  ) g;
end;

-- Whether any of these is there: something recorded, or a memory that rests on something itself. A memory's own events do not ground it.
-- Four levels deep; mark_grounding of retention walks the same way, so that what it keeps answers as before.
create or replace function is_grounded(
  p_tenant text, p_memory_id text, p_refs text[], p_last bigint default null, p_as_of timestamptz default null, p_job text default null)
returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refs text[] := p_refs;
  v_seen text[] := array[p_memory_id];
  v_memories text[];
  v_found boolean;
begin
  for depth in 1 .. 4 loop
    exit when coalesce(cardinality(v_refs), 0) = 0;
    if p_job is not null then
      v_refs := array(select r.ref from unnest(v_refs) r (ref) where not is_marked(p_tenant, p_job, r.ref));
    end if;
    if exists (select from existing_sources(p_tenant, v_refs)) then
      return true;
    end if;
    select array_agg(g.memory_id), bool_or(is_act(g.kind)) into v_memories, v_found
    from grounding_memories(p_tenant, v_refs, v_seen, p_job) g;
    if v_found then
      return true;
    end if;
    exit when depth = 4 or cardinality(v_seen) > 64;
    v_seen := v_seen || v_memories;
    v_refs := array(select g.ref from refs_of_memories(p_tenant, v_memories, p_last, p_as_of) g);
  end loop;
  return false;
end $$;

-- Whether the tenant wants a memory of this kind to rest on something before a context states it.
create or replace function needs_sources(p_tenant text, p_kind text) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return case (select t.settings ->> 'require_sources' from tenants t where t.tenant_id = p_tenant)
    when 'none' then false when 'all' then not is_act(p_kind) else p_kind = 'summary' end;
end $$;

-- What answers say of it: the newest p_limit refs, the count of all, whether the memory is an act or rests on something, and whether it
-- does not although the tenant wants it to.
create or replace function grounding(
  p_tenant text, p_memory_id text, p_kind text, p_content_seq bigint, p_limit int default 256, p_last bigint default null,
  p_as_of timestamptz default null)
returns table (refs text[], ref_count int, grounded boolean, unsourced boolean)
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  refs := array(
    select g.ref from memory_refs(p_tenant, p_memory_id, p_content_seq, p_last, p_as_of) g order by g.seq desc, g.place, g.ref);
  ref_count := cardinality(refs);
  grounded := is_act(p_kind) or is_grounded(p_tenant, p_memory_id, refs, p_last, p_as_of);
  unsourced := not grounded and needs_sources(p_tenant, p_kind);
  refs := refs[1:p_limit];
  return next;
end $$;

-- What answers say of a memory beside its words, as it stood at p_last. Acts ground themselves; claims need something that they rest on.
create or replace function memory_details(
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
    'trust', coalesce(p_content ->> 'trust', trust_of(p_actor_type)),
    'origin', coalesce(p_content -> 'origin', jsonb_build_object('type', p_actor_type, 'id', p_actor_id)),
    'body', coalesce(p_content -> 'body', '{}'));
end $$;

-- Makes sure that a memory may be changed, with the clock locked; false if this change was already applied, so that a retry
-- succeeds. p_version: what the client has read; null: whatever it is.
create or replace function lock_memory(p_tenant text, p_memory_id text, p_version int, p_statuses text[], p_unit jsonb) returns boolean
language plpgsql
as $$
declare
  v_memory memories;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  if exists (select from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = decode(p_unit ->> 'key', 'hex')) then
    return false;
  end if;
  select * into v_memory from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
  if not found then
    raise exception 'there is no memory with this id' using errcode = 'AM404';
  end if;
  if v_memory.version <> p_version then
    raise exception 'the memory has version %', v_memory.version using errcode = 'AM412';
  end if;
  if not v_memory.status = any (p_statuses) then
    raise exception 'the memory is %', v_memory.status using errcode = 'AM409';
  end if;
  return true;
end $$;

-- A new version of a memory, with the content of the unit's one event. p_state is an effect as of memories_apply, its tags, and whether it is
-- `restated`: an admin gives it other words, which no edit has looked at.
create or replace function revise_memory(p_tenant text, p_memory_id text, p_version int, p_statuses text[], p_state jsonb, p_unit jsonb)
returns unit_outcome
language plpgsql
as $$
declare
  v_new boolean := lock_memory(p_tenant, p_memory_id, p_version, p_statuses, p_unit);
  v_done unit_outcome;
  v_seq bigint;
  v_from bigint := (select m.content_seq from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id);
  v_old text;
begin
  v_done := commit_unit(p_tenant, p_unit);
  if v_new and v_done.status = 'new' then
    v_seq := (v_done.outcome ->> 'seq')::bigint;
    if p_state ->> 'supersedes' is not null then
      v_old := supersede(p_tenant, p_state ->> 'supersedes', v_seq);
      update memories m set superseded_by = p_memory_id where m.tenant_id = p_tenant and m.memory_id = v_old;
    end if;
    update memories m
    set
      version = m.version + 1, content_seq = v_seq, last_seq = v_seq, updated_at = v_done.at, status = s.status, repeats = 0,
      sensitivity = p_unit #>> '{events,0,sensitivity}',
      text_hash = decode(s.text_hash, 'hex'), importance = s.importance, pinned = s.pinned, tags = s.tags, valid_from = s.valid_from,
      valid_to = s.valid_to, expires_at = s.expires_at, task_status = s.task_status
    from jsonb_to_record(p_state) s (
      status text, text_hash text, importance real, pinned boolean, tags text[], valid_from timestamptz, valid_to timestamptz,
      expires_at timestamptz, task_status text)
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
    select p_tenant, p_memory_id, m.version, v_seq, v_seq, m.status
    from memories m
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    perform end_passages(p_tenant, p_memory_id, v_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = v_seq;
    perform apply_task_updates(p_tenant, array[p_memory_id], v_seq);
    if not (p_state ->> 'restated')::boolean then
      perform carry_hiding(p_tenant, v_from, v_seq);
    end if;
  end if;
  return v_done;
end $$;

-- Ends a memory without a successor: deleted, or a proposal rejected. The unit's one event says so. What was deleted names no successor.
create or replace function close_memory(p_tenant text, p_memory_id text, p_version int, p_statuses text[], p_status text, p_unit jsonb)
returns unit_outcome
language plpgsql
as $$
declare
  v_new boolean := lock_memory(p_tenant, p_memory_id, p_version, p_statuses, p_unit);
  v_done unit_outcome;
  v_seq bigint;
begin
  v_done := commit_unit(p_tenant, p_unit);
  if v_new and v_done.status = 'new' then
    v_seq := (v_done.outcome ->> 'seq')::bigint;
    update memories m
    set status = p_status, version = m.version + 1, last_seq = v_seq, doing_agent = null, superseded_by = null, updated_at = v_done.at
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
    select p_tenant, p_memory_id, m.version, v_seq, m.content_seq, p_status
    from memories m
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    perform end_passages(p_tenant, p_memory_id, v_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = v_seq;
  end if;
  return v_done;
end $$;

-- A new memory in the place of one that has the version that the client has read; the unit's wish names what it supersedes.
create or replace function replace_memory(p_tenant text, p_memory_id text, p_version int, p_unit jsonb)
returns unit_outcome
language plpgsql
as $$
begin
  perform lock_memory(p_tenant, p_memory_id, p_version, array['active'], p_unit);
  return commit_unit(p_tenant, p_unit);
end $$;

-- The tasks in work take their agents' places as the settings say now. Of several of one agent the one that moved last has it; those
-- that nobody may read have none. The caller has the clock, so that no task moves meanwhile.
create or replace function assign_doing_agents(p_tenant text) returns void
language plpgsql
as $$
begin
  update memories m set doing_agent = null where m.tenant_id = p_tenant and m.doing_agent is not null;
  if exists (select from tenants t where t.tenant_id = p_tenant and (t.settings ->> 'one_doing_per_agent')::boolean) then
    update memories m set doing_agent = m.agent_id
    from (
      select distinct on (t.agent_id, case when t.channel = 'private' then t.user_id else '' end) t.memory_id
      from memories t
      where t.tenant_id = p_tenant and t.kind = 'task' and t.status = 'active' and t.task_status = 'doing' and t.agent_id is not null
        and (t.expires_at is null or t.expires_at > clock_timestamp())
        and not exists (
          select from overlays o where o.tenant_id = p_tenant and o.seq = t.content_seq and is_quarantined(o.blocked_in))
      order by t.agent_id, case when t.channel = 'private' then t.user_id else '' end, t.last_seq desc
    ) newest
    where m.tenant_id = p_tenant and m.memory_id = newest.memory_id;
  end if;
end $$;

-- Memories past their time say so, p_limit of them; no answer changes by it.
create or replace function expire_memories(p_tenant text, p_limit int) returns int
language plpgsql
as $$
declare
  v_count int;
begin
  perform enter_tenant(p_tenant);
  -- as every writer of memories, or one that is said again might expire under it
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  update memories m set status = 'expired', doing_agent = null
  where m.tenant_id = p_tenant and m.memory_id = any (array(
    select o.memory_id
    from memories o
    where o.tenant_id = p_tenant and o.status = 'active' and o.expires_at <= clock_timestamp()
    order by o.expires_at
    limit p_limit));
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- Whether a memory is held: a task that is done is not, nor what has expired.
create or replace function is_current_memory(p_memory memories) returns boolean
language sql stable
as $$ select p_memory.status in ('active', 'proposed') and coalesce(p_memory.expires_at > now(), true) and coalesce(p_memory.task_status <> 'done', true) $$;

-- What the newest version of a memory says, and whether its versions are whole.
create or replace function newest_version(p_tenant text, p_memory_id text)
returns table (n bigint, version int, seq bigint, content_seq bigint, status text, rising boolean)
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  return query
  select w.n, v.version, v.seq, v.content_seq, v.status, w.rising
  from (
    select count(*) as n, max(o.version) as last, bool_and(o.before is null or o.seq > o.before) as rising
    from (
      select i.version, i.seq, lag(i.seq) over (order by i.version) as before
      from memory_versions i where i.tenant_id = p_tenant and i.memory_id = p_memory_id
    ) o
  ) w
  join memory_versions v on v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version = w.last;
end $$;

-- The memory as the event of its content states it: whose it is and who may see it, its words, and what they are worth. A task keeps some
-- of what earlier updates said, so only the first two are compared; nothing is where the words are gone. What a content says in no form that
-- a column takes is left as it stands.
create or replace function memory_from_content(p_memory memories) returns memories
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

-- The whole of a memory, as an event that makes a version says it, from the event that has its text. From a content that is no object nothing
-- is taken.
create or replace function memory_content(p_memory memories, p_event events) returns jsonb
language sql stable
as $$ select jsonb_strip_nulls(jsonb_build_object(
  'memory_id', p_memory.memory_id, 'kind', p_memory.kind, 'scope', p_memory.scope, 'importance', p_memory.importance, 'pinned', p_memory.pinned,
  'valid_from', p_memory.valid_from, 'valid_to', p_memory.valid_to, 'expires_at', p_memory.expires_at,
  'origin', jsonb_build_object('type', p_event.actor_type, 'id', p_event.actor_id),
  'trust', trust_of(p_event.actor_type)))
  || case p_event.kind
    when 'decision' then jsonb_build_object(
      'text', p_event.content ->> 'decision', 'body', object_of(p_event.content) - array['decision', 'scope', 'supersedes'])
    when 'task_update' then jsonb_build_object('text', p_event.content ->> 'title', 'body', object_of(p_event.content) - 'title')
    else object_of(p_event.content) - 'supersedes' end $$;

-- What took the place of a superseded memory: what the event that ended it made. Of several versions that say so the first is meant;
-- an erasure may add another. Successors come later in the log than what they replace, so the chain of successors has no cycle.
create or replace function successor_of(p_tenant text, p_memory_id text) returns text
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
  select min(n.memory_id)
  from memory_versions n
  where n.tenant_id = p_tenant and n.memory_id <> p_memory_id and n.status <> 'superseded' and n.seq = (
    select v.seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.status = 'superseded'
    order by v.version
    limit 1));
end $$;

-- What is said very often makes no version, and what was forgotten has none: then any existing memory may be the successor.
create or replace function is_wrong_successor(p_memory memories, p_expected text) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
  select p_memory.superseded_by is distinct from p_expected
    and not (p_memory.status = 'superseded' and p_expected is null and exists (
      select from memories n
      where n.tenant_id = p_memory.tenant_id and n.memory_id = p_memory.superseded_by
        and (n.repeats >= 256 or has_forgotten(p_memory.tenant_id)))));
end $$;

-- What a claim is compared by, and when it was said: when the newest event that it cites occurred, of those that may be seen, or else its
-- own. `stands`: the scope and audience within which a subject has one value. Nothing for what states no fact or preference.
create or replace function claim_fields(p_tenant text, p_scope jsonb, p_memory memories, p_details jsonb, p_at timestamptz) returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_said timestamptz;
begin
  if is_act(p_memory.kind) and p_memory.kind <> 'preference' then
    return '{}';
  end if;
  select max(s.occurred_at) into v_said
  from (
    select c.place, event_of(c.ref) as event_id
    from jsonb_array_elements_text(p_details -> 'refs') with ordinality c (ref, place)
    offset 0
  ) r
  cross join lateral (
    select e.seq
    from events e
    where e.tenant_id = p_tenant and e.kind not like 'memory.%' and e.event_id = r.event_id
    limit 1
  ) cited
  cross join lateral (select x.occurred_at from seen_events(p_tenant, p_scope) x where x.seq = cited.seq limit 1) s
  where r.place <= 32 and is_readable_time(s.occurred_at);
  return jsonb_strip_nulls(jsonb_build_object(
    'stated_at', epoch_ms(coalesce(v_said, p_at)),
    'effective_from', coalesce(epoch_ms(p_memory.valid_from), epoch_ms(coalesce(v_said, p_at))),
    'claim_scope', jsonb_build_array(
      p_memory.scope,
      case p_memory.scope when 'project' then p_memory.project_id when 'session' then p_memory.session_id end,
      p_memory.channel, p_memory.user_id)::text));
end $$;

-- Until when passages of p_from..p_to were current, and when they are valid: a version is over when its memory is, or has other content.
create or replace function memories_rebuilt(p_tenant text, p_from bigint, p_to bigint) returns void
language plpgsql
as $$
begin
  perform set_chunk_validity(
    p_tenant, array_agg(d.seq), array_agg(d.until_seq), array_agg(d.until_at),
    array_agg(case when d.kind like 'memory.%' then validity(d.content) end))
  from (
    select v.seq, e.kind, e.content, ended.seq as until_seq, ended.occurred_at as until_at
    from memory_versions v
    join events e on e.tenant_id = v.tenant_id and e.seq = v.seq
    left join lateral (
      select w.seq, x.occurred_at
      from memory_versions w join events x on x.tenant_id = w.tenant_id and x.seq = w.seq
      where w.tenant_id = v.tenant_id and w.memory_id = v.memory_id and w.seq > v.seq
        and (w.status not in ('active', 'proposed') or w.content_seq > v.seq)
      order by w.version
      limit 1
    ) ended on true
    where v.tenant_id = p_tenant and v.seq between p_from and p_to and v.status <> 'superseded'
  ) d;
end $$;

-- Until which event the passages of each version of a memory from p_from on are current: the first later version that ends it or says
-- something else. Backwards over the versions once: a fact may be said again thousands of times.
create or replace function version_ends(p_tenant text, p_memory_id text, p_from bigint) returns table (seq bigint, status text, until_seq bigint)
language sql stable
begin atomic
  select t.seq, t.status,
    min(case when t.is_turn then t.seq end) over (order by t.version desc rows between unbounded preceding and 1 preceding)
  from (
    select v.version, v.seq, v.status,
      v.status <> all (array['active', 'proposed'])
        or v.content_seq is distinct from lag(v.content_seq) over (order by v.version) as is_turn
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.seq >= p_from
  ) t;
end;

-- Passages that a removed version ended now end at the next remaining version.
create or replace function move_passage_ends(p_tenant text, p_memory_id text, p_gone bigint[]) returns void
language plpgsql
as $$
begin
  perform move_chunk_ends(p_tenant, p_gone, array_agg(d.seq), array_agg(d.until_seq), array_agg(e.occurred_at))
  from version_ends(p_tenant, p_memory_id, 0) d
  left join events e on e.tenant_id = p_tenant and e.seq = d.until_seq;
end $$;

-- Until which event the passages of each event of a stretch are current: the first later version of its memory that ends it or says
-- something else. As memories_apply and end_memory leave it. Backwards over the versions once: a fact may be said again
-- thousands of times, and searching forward from each version was quadratic.
create or replace function passage_ends(p_tenant text, p_from bigint, p_to bigint) returns table (seq bigint, until_seq bigint, until_at timestamptz)
language sql stable
begin atomic
  select d.seq, d.until_seq, e.occurred_at
  from (select distinct v.memory_id from memory_versions v where v.tenant_id = p_tenant and v.seq between p_from and p_to) touched
  cross join lateral version_ends(p_tenant, touched.memory_id, p_from) d
  left join events e on e.tenant_id = p_tenant and e.seq = d.until_seq
  where d.seq between p_from and p_to and d.until_seq is not null and d.status = any (array['active', 'proposed']);
end;

-- The passages of a stretch, each with the end that it has and the one that it should have. Put beside each other by sorting: a join
-- whose plan knew nothing of the tenant asked for all ends again for each passage.
create or replace function compare_passage_ends(p_tenant text, p_from bigint, p_to bigint)
returns table (seq bigint, ordinal smallint, until_seq bigint, expected bigint, expected_at timestamptz)
language sql stable
begin atomic
  select o.seq, o.ordinal, o.until_seq, o.expected, o.expected_at
  from (
    select s.seq, s.ordinal, s.until_seq,
      max(s.expected) over (partition by s.seq) as expected, max(s.expected_at) over (partition by s.seq) as expected_at
    from (
      select c.seq, c.ordinal, c.until_seq, null::bigint as expected, null::timestamptz as expected_at
      from chunks c
      where c.tenant_id = p_tenant and c.seq between p_from and p_to
      union all
      select x.seq, null, null, x.until_seq, x.until_at from passage_ends(p_tenant, p_from, p_to) x
    ) s
  ) o
  where o.ordinal is not null and (o.until_seq is not null or o.expected is not null);
end;

-- Until when a version's passages were current; and the events and the memory of each version exist.
create or replace function memories_check(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  v_first bigint := log_begin(p_tenant);
begin
  return query
  with judged as (
    select c.*, c.until_seq is distinct from c.expected as wrong from compare_passage_ends(p_tenant, p_from, p_to) c
  )
  select 'passage_ends', count(*), count(*) filter (where j.wrong),
    sample_of(jsonb_build_object('seq', j.seq, 'expected', j.expected, 'found', j.until_seq) order by j.seq) filter (where j.wrong), false
  from judged j;

  return query
  with judged as (
    select v.memory_id, v.version, v.seq,
      case
        when not exists (select from memories m where m.tenant_id = p_tenant and m.memory_id = v.memory_id) then 'no such memory'
        when not exists (select from events e where e.tenant_id = p_tenant and e.seq = v.seq) then 'no such event'
        when v.content_seq > v.seq then 'content of a later event'
        when v.content_seq >= v_first and not exists (select from events e where e.tenant_id = p_tenant and e.seq = v.content_seq) then 'no event of its content'
      end as fault
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq between p_from and p_to
  )
  select 'memory_versions', count(*), count(j.fault),
    sample_of(jsonb_build_object('memory_id', j.memory_id, 'version', j.version, 'fault', j.fault) order by j.seq) filter (where j.fault is not null), true
  from judged j;
end $$;

-- A page of memories against their versions: what stands is what the newest one says; each superseded one names its successor, the others none.
create or replace function memories_check_rows(p_tenant text, p_after text, p_limit int)
returns table (name text, checked bigint, wrong bigint, sample jsonb, vital boolean, last text)
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  v_forgotten boolean := has_forgotten(p_tenant);
begin
  return query
  with page as materialized (
    select m.*, m as stood from memories m where m.tenant_id = p_tenant and m.memory_id > p_after order by m.memory_id limit p_limit
  ),
  judged as (
    select m.memory_id,
      case
        when s.n is null then 'no version'
        when not s.rising or (s.n <> s.version and not v_forgotten) then 'its versions are not dense'
        when m.version <> s.version then 'another version'
        when m.last_seq <> s.seq or m.content_seq <> s.content_seq then 'another event'
        -- an active one expires without an event
        when m.status <> s.status and not (m.status = 'expired' and s.status = 'active') then 'another status'
        when m.stood is distinct from memory_from_content(m.stood) then 'another content'
      end as fault
    from page m left join lateral newest_version(p_tenant, m.memory_id) s on true
  ),
  followed as (
    select m.memory_id, m.superseded_by, x.expected, is_wrong_successor(m.stood, x.expected) as wrong
    from page m
    cross join lateral (select case when m.status = 'superseded' then successor_of(p_tenant, m.memory_id) end as expected) x
  )
  select 'memories', count(*), count(j.fault),
    sample_of(jsonb_build_object('memory_id', j.memory_id, 'fault', j.fault) order by j.memory_id) filter (where j.fault is not null), true, max(j.memory_id)
  from judged j
  union all
  select 'superseded_by', count(*), count(*) filter (where f.wrong),
    sample_of(jsonb_build_object('memory_id', f.memory_id, 'expected', f.expected, 'found', f.superseded_by) order by f.memory_id) filter (where f.wrong),
    true, max(f.memory_id)
  from followed f;
end $$;

create or replace function memories_missing(p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean)
returns table (id text, gone boolean)
language sql stable
as $$
  select i.id, p_forgotten
  from unnest(p_ids) i (id)
  -- `limit` keeps it a look-up of each id
  left join lateral (
    select m.memory_id from memories m where m.tenant_id = p_tenant and m.memory_id = i.id limit 1
  ) m on true
  where m.memory_id is null
$$;

-- The passages of versions say again until when they were current.
create or replace function memories_repair(p_tenant text, p_from bigint, p_to bigint) returns bigint
language sql
as $$
  select set_passage_ends(p_tenant, array_agg(x.seq), array_agg(x.ordinal), array_agg(x.expected), array_agg(x.expected_at))
  from compare_passage_ends(p_tenant, p_from, p_to) x
  where x.until_seq is distinct from x.expected
$$;

-- A page of memories: what stands now is what the newest version says, and who took its place. The clock first, as every writer of
-- memories.
create or replace function memories_repair_rows(p_tenant text, p_after text, p_limit int) returns table (changed bigint, last text)
language plpgsql
as $$
declare
  v_last text;
  v_named bigint;
  v_stated bigint;
  v_forgotten boolean;
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_forgotten := has_forgotten(p_tenant);
  select max(o.memory_id) into v_last
  from (select i.memory_id from memories i where i.tenant_id = p_tenant and i.memory_id > p_after order by i.memory_id limit p_limit) o;
  update memories m
  set
    version = s.version, last_seq = s.seq, content_seq = s.content_seq,
    status = case when m.status = 'expired' and s.status = 'active' then 'expired' else s.status end,
    doing_agent = case when s.status = 'active' then m.doing_agent end,
    updated_at = coalesce((select e.created_at from events e where e.tenant_id = p_tenant and e.seq = s.seq), m.updated_at)
  from (
    select o.memory_id, w.*
    from memories o cross join lateral newest_version(p_tenant, o.memory_id) w
    where o.tenant_id = p_tenant and o.memory_id > p_after and o.memory_id <= v_last
  ) s
  where m.tenant_id = p_tenant and m.memory_id = s.memory_id and (s.n = s.version or v_forgotten) and s.rising
    and ((m.version, m.last_seq, m.content_seq) is distinct from (s.version, s.seq, s.content_seq)
      or (m.status <> s.status and not (m.status = 'expired' and s.status = 'active')));
  get diagnostics changed = row_count;
  update memories m
  set superseded_by = s.expected
  from (
    select o.memory_id, case when o.status = 'superseded' then successor_of(p_tenant, o.memory_id) end as expected
    from memories o
    where o.tenant_id = p_tenant and o.memory_id > p_after and o.memory_id <= v_last and (o.status = 'superseded' or o.superseded_by is not null)
  ) s
  where m.tenant_id = p_tenant and m.memory_id = s.memory_id and is_wrong_successor(m, s.expected);
  get diagnostics v_named = row_count;
  update memories m
  set (channel, user_id, text_hash, tags, importance, pinned, valid_from, valid_to, expires_at) = (
    select w.channel, w.user_id, w.text_hash, w.tags, w.importance, w.pinned, w.valid_from, w.valid_to, w.expires_at from memory_from_content(m) w)
  where m.tenant_id = p_tenant and m.memory_id > p_after and m.memory_id <= v_last and m is distinct from memory_from_content(m);
  get diagnostics v_stated = row_count;
  changed := changed + v_named + v_stated;
  last := v_last;
  return next;
end $$;

-- Of a memory the versions that say the same as the one that an edit is about.
create or replace function memories_reached(p_tenant text, p_edit edits) returns setof bigint
language plpgsql stable
as $$
begin
  if p_edit.memory_id is null then
    return;
  end if;
  if not exists (
    select from memories m where m.tenant_id = p_tenant and m.memory_id = p_edit.memory_id and m.content_seq = p_edit.seq) then
    raise exception 'the text of the memory has changed; propose the edit again' using errcode = 'AM409';
  end if;
  return query
  select v.seq
  from memory_versions v join events e on e.tenant_id = v.tenant_id and e.seq = v.seq and e.chunk_count > 0
  where v.tenant_id = p_tenant and v.memory_id = p_edit.memory_id and v.content_seq = p_edit.seq and v.status in ('active', 'proposed');
end $$;

-- A task that nobody may read keeps its agent from no other.
create or replace function memories_edited(p_tenant text, p_edit edits) returns void
language sql
as $$
  update memories m set doing_agent = null
  from overlays o
  where m.tenant_id = p_tenant and m.memory_id = p_edit.memory_id and m.doing_agent is not null
    and o.tenant_id = p_tenant and o.seq = m.content_seq and is_quarantined(o.blocked_in)
$$;

-- What erasures, trims and rules of retention ask of memories (docs/decisions/nouns.md).

create or replace function is_shared_act(p_kind text, p_channel text) returns boolean
language sql immutable parallel safe
return p_kind in ('decision', 'task', 'rule') and p_channel in ('team', 'public');

-- Of an erasure that keeps shared acts: which of the subject's events make a version of one and stay. One whose text is in an artifact does
-- not: its bytes are not rewritten.
create or replace function memories_stay(p_tenant text, p_seqs bigint[]) returns setof bigint
language sql stable
begin atomic
  select e.seq
  from unnest(p_seqs) s (seq)
  -- `offset 0` keeps it a look-up of each
  cross join lateral (select * from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e
  where e.channel in ('team', 'public') and e.erased_at is null and e.artifact_id is null
    and (e.kind in ('decision', 'task_update') or e.kind like 'memory.%' and exists (
      select
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      where v.tenant_id = p_tenant and v.seq = e.seq and is_shared_act(m.kind, m.channel)));
end;

-- The versions by others of those of these memories that the subject stated or moved too: they stay, and may name the subject.
create or replace function mark_kin(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) returns void
language plpgsql
as $$
begin
  perform mark_seqs(p_tenant, p_job, 'kin', array(
    with said as materialized (
      select v.memory_id, e.seq, e.erased_at is null and e.artifact_id is null as stands, k.id is not null as is_shared
      from memory_versions v
      join events e on e.tenant_id = p_tenant and e.seq = v.seq
      left join erasure_marks k on k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared' and k.id = e.event_id
      where v.tenant_id = p_tenant and v.memory_id = any (p_memory_ids) and v.seq <= p_upto
    )
    select distinct s.seq
    from said s
    where s.stands and not s.is_shared and s.memory_id in (select o.memory_id from said o where o.is_shared)));
end $$;

-- Where a memory's text still stands: the event of its content, or else the newest other that says the same.
create or replace function surviving_seq(p_memory memories, p_job text) returns bigint
language plpgsql stable
as $$
begin
  return (
  select v.seq
  from memory_versions v join events e on e.tenant_id = v.tenant_id and e.seq = v.seq
  where v.tenant_id = p_memory.tenant_id and v.memory_id = p_memory.memory_id and v.status in ('active', 'proposed')
    and (v.content_seq = p_memory.content_seq or p_memory.kind = 'task')
    and (v.seq = p_memory.content_seq or e.kind in ('decision', 'task_update', 'memory.created'))
    and e.erased_at is null and not is_marked(p_memory.tenant_id, p_job, e.event_id)
  order by v.seq = p_memory.content_seq desc, v.seq desc
  limit 1);
end $$;

-- What becomes of the next p_limit memories of an erasure: `memory` (the subject's own, or nothing is left of its text or of what it rests on),
-- `keep` (something is), or nothing. A claim is removed when nothing that is left supports it; shared acts stay.
create or replace function erasure_verdicts(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (memory_id text, verdict text)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_kind text := p_erasure ->> 'kind';
  v_subject text := p_erasure ->> 'subject';
  v_upto bigint := (p_erasure ->> 'upto')::bigint;
  v_keep boolean := coalesce((p_erasure ->> 'keep_shared')::boolean, false);
begin
  return query
  select m.memory_id, case
    when judged.theirs or (judged.gone and home.seq is null)
      or (judged.lost and not is_act(m.kind) and not is_grounded(p_tenant, m.memory_id, judged.refs, p_job => p_job)) then 'memory'
    when judged.lost or judged.gone then 'keep' end
  from (select * from memories n where n.tenant_id = p_tenant and n.memory_id > p_after order by n.memory_id limit p_limit) m
  cross join lateral (select surviving_seq(m, p_job) as seq) home
  cross join lateral (
    select
      m.content_seq <= v_upto and coalesce(case v_kind
        when 'user_id' then m.user_id = v_subject and not (v_keep and is_shared_act(m.kind, m.channel))
        when 'session_id' then m.scope = 'session' and m.session_id = v_subject
        when 'project_id' then m.scope = 'project' and m.project_id = v_subject end, false) as theirs,
      coalesce((select is_marked(p_tenant, p_job, e.event_id) from events e where e.tenant_id = p_tenant and e.seq = m.content_seq), false) as gone,
      coalesce(bool_or(is_marked(p_tenant, p_job, g.ref)), false) as lost,
      array_agg(g.ref) as refs
    from memory_refs(p_tenant, m.memory_id, m.content_seq) g
  ) judged;
end $$;

-- Of an erasure: marks what becomes of the next memories. One that goes takes the events of its versions along, which others may rest on:
-- found are the memories and events that were not known to go.
create or replace function memories_mark(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_ids text[];
  v_gone text[];
  v_kept text[];
  v_found bigint;
begin
  -- it locks nothing, and a step that looks at few costs nearly as much; on the embedded engine all wait for it
  select max(j.memory_id), array_agg(j.memory_id), array_agg(j.memory_id) filter (where j.verdict = 'memory'),
    array_agg(j.memory_id) filter (where j.verdict = 'keep')
  into last, v_ids, v_gone, v_kept
  from erasure_verdicts(p_tenant, p_job, p_erasure, p_after, p_limit * 2) j;
  perform unmark_ids(p_tenant, p_job, 'keep', p_after, last);
  perform mark_ids(p_tenant, p_job, 'keep', v_kept);
  v_found := mark_ids(p_tenant, p_job, 'memory', v_gone) + cardinality(mark_seqs(p_tenant, p_job, 'event', array(
    select e.seq
    from unnest(v_gone) g (id)
    -- `offset 0` keeps each a look-up: a plan of a new tenant read all its events for each batch
    cross join lateral (
      select w.seq from memory_versions w where w.tenant_id = p_tenant and w.memory_id = g.id and w.status <> 'superseded' offset 0
    ) v
    cross join lateral (select x.seq from events x where x.tenant_id = p_tenant and x.seq = v.seq and x.erased_at is null offset 0) e)));
  if (p_erasure ->> 'keep_shared')::boolean then
    perform mark_kin(p_tenant, p_job, v_ids, (p_erasure ->> 'upto')::bigint);
  end if;
  counts := jsonb_build_object('found', v_found);
  return next;
end $$;

-- The memory has its text where it still stands, and no version of what is erased; it says so. What it says of itself is said by where it
-- stands now: the event that is gone may have been another agent's, in another session. What a content says in no form that a column takes is
-- left as it stands.
create or replace function move_content(p_memory memories, p_home events) returns memories
language plpgsql
as $$
declare
  -- as src/memories/effect.ts has it of a recorded decision and task
  v_said jsonb := case p_home.kind when 'decision' then '{"importance": 1}' when 'task_update' then '{"importance": 0.8}' else p_home.content end;
  v_memory memories;
begin
  update memory_versions v set content_seq = p_home.seq
  where v.tenant_id = p_memory.tenant_id and v.memory_id = p_memory.memory_id and v.content_seq = p_memory.content_seq;
  update memories m
  set
    content_seq = p_home.seq, marks = array(select distinct unnest(m.marks || '{evidence_erased}')),
    agent_id = p_home.agent_id, session_id = nullif(p_home.session_id, m.memory_id), project_id = p_home.project_id, tags = p_home.tags,
    doing_agent = case when m.doing_agent = p_home.agent_id then m.doing_agent end,
    importance = coalesce((v_said ->> 'importance')::real, m.importance),
    valid_from = (v_said ->> 'valid_from')::timestamptz, valid_to = (v_said ->> 'valid_to')::timestamptz
  where m.tenant_id = p_memory.tenant_id and m.memory_id = p_memory.memory_id
  returning * into v_memory;
  return v_memory;
end $$;

-- A new version says the same as the event p_home, and cites these references alone. Edits of a passage and the time it holds for go with its
-- text.
create or replace function restate_memory(p_memory memories, p_home events, p_refs text[], p_event_id text) returns void
language plpgsql
as $$
declare
  v_tenant text := p_memory.tenant_id;
  v_seq bigint := say(v_tenant, jsonb_strip_nulls(jsonb_build_object(
    'event_id', p_event_id, 'session_id', p_home.session_id, 'channel', p_home.channel, 'actor_type', p_home.actor_type, 'actor_id', p_home.actor_id,
    'kind', 'memory.updated', 'user_id', p_home.user_id, 'agent_id', p_home.agent_id, 'project_id', p_home.project_id,
    'sensitivity', p_home.sensitivity, 'tags', to_jsonb(p_home.tags), 'refs', to_jsonb(p_refs), 'metadata', p_home.metadata,
    'content', memory_content(p_memory, p_home),
    'chunk_count', (select count(*) from chunks c where c.tenant_id = v_tenant and c.seq = p_home.seq),
    'effects', jsonb_build_object('passages', passages_of(v_tenant, p_home.seq)))));
begin
  perform copy_chunk_edits(v_tenant, p_home.seq, v_seq);
  insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
  values (v_tenant, p_memory.memory_id, p_memory.version + 1, v_seq, v_seq, p_memory.status);
  update memories m
  set version = m.version + 1, content_seq = v_seq, last_seq = v_seq, updated_at = clock_timestamp(),
    task_status = case when m.kind = 'task' then coalesce(p_home.content ->> 'status', p_home.content -> 'body' ->> 'status', m.task_status) end
  where m.tenant_id = v_tenant and m.memory_id = p_memory.memory_id;
  -- of all that it said: where its text stands has just moved
  perform end_passages(v_tenant, p_memory.memory_id, v_seq, clock_timestamp(), 0);
end $$;

-- A memory that rests on others too loses what is erased: a new version says the same without it. One that is not held any more is only
-- marked, and has its text where it still stands.
create or replace function keep_memory(p_tenant text, p_job text, p_memory_id text, p_event_id text) returns void
language plpgsql
as $$
declare
  v_memory memories;
  v_home events;
  v_refs text[];
  v_gone bigint[];
begin
  select * into v_memory from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id for update;
  select * into v_home from events e where e.tenant_id = p_tenant and e.seq = surviving_seq(v_memory, p_job);
  if v_memory.memory_id is null or v_home.seq is null then
    return;
  end if;
  v_refs := array(
    select g.ref from memory_refs(p_tenant, p_memory_id, v_memory.content_seq) g
    where not is_marked(p_tenant, p_job, g.ref) order by g.seq desc, g.place, g.ref limit 256);
  with gone as (
    delete from memory_versions v using erasure_marks k
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.status in ('active', 'proposed')
      and k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.seq = v.seq
    returning v.seq)
  select array_agg(g.seq) into v_gone from gone g;
  v_memory := move_content(v_memory, v_home);
  if v_memory.status in ('active', 'proposed') then
    perform restate_memory(v_memory, v_home, v_refs, p_event_id);
  end if;
  perform move_passage_ends(p_tenant, p_memory_id, v_gone);
end $$;

-- Deletes memories with their versions, and the references of other memories to them.
create or replace function drop_memories(p_tenant text, p_memory_ids text[]) returns void
language sql
begin atomic
  delete from memory_versions v where v.tenant_id = p_tenant and v.memory_id = any (p_memory_ids);
  update memories m set superseded_by = null where m.tenant_id = p_tenant and m.superseded_by = any (p_memory_ids);
  delete from memories m where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids);
end;

-- Of an erasure: carries out the verdicts on the next memories. The clock is locked first. Each memory that is kept takes one of `event_ids`.
create or replace function memories_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_dry boolean := p_erasure ? 'dry_run';
  v_event_ids text[] := array(select jsonb_array_elements_text(p_erasure -> 'event_ids'));
  v_gone text[];
  v_kept text[];
begin
  if not v_dry then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  end if;
  -- `keep` sorts before `memory`: those that lose a citation are done while the others' ids are still known
  select array_agg(n.id) filter (where n.what = 'memory'), array_agg(n.id order by n.id) filter (where n.what = 'keep'), max(n.what || '/' || n.id)
  into v_gone, v_kept, last
  from (
    select k.what, k.id, coalesce(sum(m.version) over (order by k.what || '/' || k.id rows between unbounded preceding and 1 preceding), 0) as before
    from erasure_marks k left join memories m on m.tenant_id = p_tenant and m.memory_id = k.id
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('keep', 'memory') and k.what || '/' || k.id > p_after
    order by k.what || '/' || k.id
    limit case when v_dry then p_limit else least(p_limit, cardinality(v_event_ids)) end
  ) n
  -- whoever writes waits for this: not for more than some thousand versions, and one memory
  where n.before < 2000;
  counts := jsonb_build_object(
    'memories', coalesce(cardinality(v_gone), 0),
    'memory_versions', (
      select coalesce(sum(v.n), 0)
      from unnest(v_gone) g (id)
      -- one by one, each is a look-up
      cross join lateral (select count(*) as n from memory_versions w where w.tenant_id = p_tenant and w.memory_id = g.id) v),
    'memories_kept', coalesce(cardinality(v_kept), 0));
  if not v_dry then
    for i in 1 .. coalesce(cardinality(v_kept), 0) loop
      perform keep_memory(p_tenant, p_job, v_kept[i], v_event_ids[i]);
    end loop;
    perform drop_memories(p_tenant, v_gone);
  end if;
  return next;
end $$;

-- Of an erasure that keeps shared acts: the memories that stay because of it.
create or replace function memories_kept(p_tenant text, p_job text, p_limit int) returns jsonb
language plpgsql stable
as $$
declare
  v_ids text[] := array(
    select distinct v.memory_id
    from erasure_marks k join memory_versions v on v.tenant_id = p_tenant and v.seq = k.seq
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared'
      and not exists (
        select from erasure_marks o
        where o.tenant_id = p_tenant and o.job_id = p_job and ((o.what = 'event' and o.id = k.id) or (o.what = 'memory' and o.id = v.memory_id)))
    order by 1);
begin
  return jsonb_build_object('memories', cardinality(v_ids), 'memory_ids', to_jsonb(v_ids[1:p_limit]));
end $$;

-- Of an erasure that keeps shared acts: a memory has the fields and the text of the event of its content. Where another active one says the
-- same by now, such as of an earlier erasure of the same person, this one ends.
create or replace function memories_rename(p_tenant text, p_seq bigint, p_parts jsonb) returns void
language plpgsql
as $$
declare
  v_event events;
  v_id text;
  v_seq bigint;
begin
  select * into v_event from events e where e.tenant_id = p_tenant and e.seq = p_seq;
  for v_id in
    select m.memory_id
    from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
    where v.tenant_id = p_tenant and v.seq = p_seq and m.content_seq = p_seq and v.status <> 'superseded'
  loop
    for attempt in 1 .. 2 loop
      begin
        update memories m
        set user_id = v_event.user_id, agent_id = v_event.agent_id, session_id = nullif(v_event.session_id, m.memory_id),
          project_id = v_event.project_id, tags = v_event.tags,
          doing_agent = case when m.doing_agent is not null then v_event.agent_id end,
          scope_id = scope_id(m.scope, v_event.project_id, nullif(v_event.session_id, m.memory_id), v_event.user_id),
          text_hash = (memory_from_content(m)).text_hash
        where m.tenant_id = p_tenant and m.memory_id = v_id;
        exit;
      exception when unique_violation then
        select c.last_seq into v_seq from tenant_clocks c where c.tenant_id = p_tenant;
        begin
          perform end_memory(p_tenant, v_id, 'expired', v_seq);
        -- it is past its time already, and the sweeper has yet to come by
        exception when sqlstate 'AM409' then
          update memories m set status = 'expired', doing_agent = null where m.tenant_id = p_tenant and m.memory_id = v_id;
        end;
      end;
    end loop;
  end loop;
end $$;

-- Of rules of retention: of these events those that say a memory, whether it is held and since then, and how much it weighs.
create or replace function memories_held(p_tenant text, p_seqs bigint[]) returns table (seq bigint, live boolean, importance numeric)
language sql stable
begin atomic
  select v.seq, v.seq >= m.content_seq and is_current_memory(m.row), m.importance::numeric
  from unnest(p_seqs) s (seq)
  -- `offset 0` keeps each a look-up
  cross join lateral (select * from memory_versions w where w.tenant_id = p_tenant and w.seq = s.seq offset 0) v
  cross join lateral (
    select n as row, n.content_seq, n.importance from memories n where n.tenant_id = p_tenant and n.memory_id = v.memory_id offset 0
  ) m;
end;

-- Of rules of retention: events that are exempt from every rule, those of pinned memories and those that these cite, also by a passage, bytes or a
-- memory of them.
create or replace function memories_pin(p_tenant text) returns setof bigint
language sql stable
begin atomic
  with pinned as materialized (
    select m.* from memories m where m.tenant_id = p_tenant and m.pinned and is_current_memory(m)
  ),
  cited as materialized (
    select distinct event_of(g.ref) as ref
    from pinned p cross join lateral memory_refs(p_tenant, p.memory_id, p.content_seq) g
  )
  select v.seq
  from memory_versions v
  where v.tenant_id = p_tenant and v.memory_id in (select p.memory_id from pinned p union all select c.ref from cited c)
  union
  select e.seq from cited c join events e on e.tenant_id = p_tenant and e.event_id = c.ref
  union
  select e.seq
  from cited c join artifacts a on a.tenant_id = p_tenant and a.artifact_id = c.ref join events e on e.tenant_id = p_tenant and e.event_id = a.event_id;
end;

-- Of rules of retention: marks memories that end when these events lose their content.
create or replace function memories_lapse(p_tenant text, p_job text, p_seqs bigint[]) returns void
language plpgsql
as $$
begin
  perform mark_ids(p_tenant, p_job, 'memory', array(
    select m.memory_id
    from unnest(p_seqs) s (seq) join memories m on m.tenant_id = p_tenant and m.content_seq = s.seq
    where is_current_memory(m)));
end $$;

-- Of rules of retention: ends what is marked, by the event p_by. The clock is locked.
create or replace function memories_expire(p_tenant text, p_job text, p_by bigint, p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_marked text[] := array(select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory');
  v_held text[];
begin
  if p_dry then
    return jsonb_build_object('memories', cardinality(v_marked));
  end if;
  v_held := array(select m.memory_id from memories m where m.tenant_id = p_tenant and m.memory_id = any (v_marked) and is_current_memory(m));
  perform end_memory(p_tenant, h.id, 'expired', p_by) from unnest(v_held) h (id);
  return jsonb_build_object('memories', cardinality(v_held));
end $$;

-- Of a trim: events that stay are marked `carry` (as they are) or `ground` (the place suffices), memories that stay `hold`.

-- Marks events to keep as they are. A memory that one of them says is held, with what was said of it from there on; of the event that only
-- took its place the place suffices.
create or replace function mark_carried(p_tenant text, p_job text, p_seqs bigint[], p_upto bigint) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_whole bigint[];
  v_ground bigint[];
  v_more text[];
begin
  with said as materialized (
    select v.memory_id, min(v.seq) as first
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq = any (p_seqs) and v.seq <= p_upto and v.status <> 'superseded'
    group by v.memory_id
  )
  select array_agg(v.seq) filter (where v.status <> 'superseded'), array_agg(v.seq) filter (where v.status = 'superseded'),
    array_agg(distinct s.memory_id) filter (where not exists (
      select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'hold' and k.id = s.memory_id))
  into v_whole, v_ground, v_more
  from said s join memory_versions v on v.tenant_id = p_tenant and v.memory_id = s.memory_id and v.seq >= s.first;
  perform mark_seqs(p_tenant, p_job, 'carry', p_seqs || v_whole, p_upto);
  perform mark_seqs(p_tenant, p_job, 'ground', v_ground, p_upto);
  if v_more is not null then
    perform mark_kept_memories(p_tenant, p_job, v_more, p_upto);
  end if;
end $$;

-- Marks memories to keep, with the events that say them and those that the edits of these were made of: an edit goes with the
-- event that it names.
create or replace function mark_kept_memories(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_said bigint[] := array(
    select v.seq
    from unnest(p_memory_ids) h (id)
    join memories m on m.tenant_id = p_tenant and m.memory_id = h.id
    join memory_versions v on v.tenant_id = p_tenant and v.memory_id = m.memory_id and v.seq >= m.content_seq and v.status <> 'superseded');
begin
  perform mark_ids(p_tenant, p_job, 'hold', p_memory_ids);
  perform mark_carried(p_tenant, p_job, v_said || array(
    select d.seq
    from edit_events x join edits d on d.tenant_id = p_tenant and d.edit_id = x.edit_id
    where x.tenant_id = p_tenant and x.seq = any (v_said)), p_upto);
end $$;

-- Marks the events that these refs name as sources: `ground` (its place suffices) or `carry` (as it is; an artifact is found by its event
-- alone). Returns whether there are any, also beyond p_upto.
create or replace function mark_sources(p_tenant text, p_job text, p_refs text[], p_whole boolean, p_upto bigint) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_whole bigint[];
  v_ground bigint[];
begin
  select array_agg(s.seq) filter (where s.whole), array_agg(s.seq) filter (where not s.whole) into v_whole, v_ground
  from (
    select s.seq, bool_or(p_whole or s.ref ~ '^art_') as whole
    from existing_sources(p_tenant, p_refs) s
    group by s.seq
  ) s;
  perform mark_seqs(p_tenant, p_job, 'ground', v_ground, p_upto);
  perform mark_carried(p_tenant, p_job, v_whole, p_upto);
  return coalesce(v_whole, v_ground) is not null;
end $$;

-- Marks what a claim rests on, so that is_grounded answers after a trim as before: walked as there, level by level, until a level has a
-- source or an act.
create or replace function mark_grounding(p_tenant text, p_job text, p_memory memories, p_upto bigint) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refs text[] := array(
    select g.ref from memory_refs(p_tenant, p_memory.memory_id, p_memory.content_seq) g order by g.seq desc, g.place, g.ref);
  v_seen text[] := array[p_memory.memory_id];
  v_memories text[];
  v_found boolean;
begin
  if p_memory.pinned then
    perform mark_kept_memories(p_tenant, p_job, array(
      select m.memory_id from unnest(v_refs) r (ref) join memories m on m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, r.ref)), p_upto);
  end if;
  for depth in 1 .. 4 loop
    exit when coalesce(cardinality(v_refs), 0) = 0;
    exit when mark_sources(p_tenant, p_job, v_refs, p_memory.pinned and depth = 1, p_upto);
    select coalesce(array_agg(g.memory_id), '{}'), coalesce(bool_or(is_act(g.kind)), false) into v_memories, v_found
    from grounding_memories(p_tenant, v_refs, v_seen) g;
    perform mark_kept_memories(p_tenant, p_job, v_memories, p_upto);
    exit when v_found or cardinality(v_seen) > 64;
    v_seen := v_seen || v_memories;
    v_refs := array(select g.ref from refs_of_memories(p_tenant, v_memories) g);
  end loop;
end $$;

-- Marks memories that something needs, with what they rest on.
create or replace function mark_needed_memories(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_memory memories;
begin
  for v_memory in select * from memories m where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) loop
    perform mark_kept_memories(p_tenant, p_job, array[v_memory.memory_id], p_upto);
    if v_memory.pinned or not is_act(v_memory.kind) then
      perform mark_grounding(p_tenant, p_job, v_memory, p_upto);
    end if;
  end loop;
end $$;

-- Of a trim: marks what of the log up to p_upto the memories of the next versions need: those that are held, once, at the event of their content
-- (or at each version after p_new, written while this runs).
create or replace function memories_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit int) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_seqs bigint[] := array(
    select v.seq from memory_versions v where v.tenant_id = p_tenant and v.seq > p_after order by v.seq limit p_limit);
begin
  perform mark_needed_memories(p_tenant, p_job, array(
    select distinct m.memory_id
    from unnest(v_seqs) s (seq)
    -- `offset 0` keeps each a look-up
    cross join lateral (select * from memory_versions x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) v
    cross join lateral (
      select n.memory_id, n.content_seq, n as row from memories n where n.tenant_id = p_tenant and n.memory_id = v.memory_id offset 0
    ) m
    where v.status in ('active', 'proposed') and v.content_seq = m.content_seq and (v.seq = m.content_seq or v.seq > p_new) and is_current_memory(m.row)
      and not exists (
        select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory' and k.id = m.memory_id)), p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;

-- Of a trim: memories that end with these events of the log go: the content of each is among them, and nothing holds it.
create or replace function memories_trim(p_tenant text, p_job text, p_seqs bigint[], p_drop bigint[]) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_ended text[] := array(
    select m.memory_id
    from (
      select distinct w.memory_id
      from unnest(p_seqs) s (seq)
      -- `offset 0` keeps each a look-up
      cross join lateral (select x.memory_id from memory_versions x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) w
    ) v
    cross join lateral (select n.memory_id, n.content_seq from memories n where n.tenant_id = p_tenant and n.memory_id = v.memory_id offset 0) m
    where m.content_seq = any (p_seqs) and not exists (
      select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'hold' and k.id = m.memory_id));
begin
  delete from memory_versions v where v.tenant_id = p_tenant and v.seq = any (p_drop);
  perform drop_memories(p_tenant, v_ended);
end $$;
