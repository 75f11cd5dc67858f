-- In this order: ending and superseding memories, effects of the group commit, refs and grounding, changes by requests, expiry, consistency and
-- repair, edits, and the hooks of erasures, retention rules and trims.

-- Returns the memory that an id of a memory, event or passage refers to.
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

-- Orders channels by the size of their audience: private < team < agent < public.
create or replace function audience_rank(p_channel text) returns int
language sql immutable parallel safe
return array_position(array['private', 'team', 'agent', 'public'], p_channel);

-- Ends a memory with the status p_status, as of the event p_seq. The caller has locked the clock row. Raises AM409 if the memory is not active or
-- proposed.
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

-- Marks the passages of the memory's versions before p_seq as no longer current. Starts at the content that was valid at p_from (null: p_seq): the
-- passages of earlier content have ended already, and examining them took seconds for 100,000 versions. Deleting a superseded memory does not end
-- the passages of its successor, because those belong to the event that ended the old memory.
create or replace function end_passages(p_tenant text, p_memory_id text, p_seq bigint, p_at timestamptz, p_from bigint default null) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_content_version int;
begin
  select content.version into v_content_version
  from (
    select w.content_seq
    from memory_versions w
    where w.tenant_id = p_tenant and w.memory_id = p_memory_id and w.seq + 0 < coalesce(p_from, p_seq)
    order by w.version desc
    limit 1
  ) start
  join memory_versions content on content.tenant_id = p_tenant and content.seq = start.content_seq and content.memory_id || '' = p_memory_id
  limit 1;
  perform end_chunks(p_tenant, array(
    select v.seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version >= coalesce(v_content_version, 0) and v.seq + 0 < p_seq
      and v.status || '' <> 'superseded'), p_seq, p_at);
end $$;

-- Ends the memory that the event p_seq supersedes and returns its id. The audience of the new memory must not be narrower.
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
    raise exception 'the item to supersede does not exist, or it is not a memory' using errcode = 'AM409';
  end if;
  -- the right to replace a rule is checked when a rule is created; a recorded decision passes no such check
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

-- Applies the consequences of task updates. Only the newest update of a task is current: each update since the event p_from ends the passages of
-- the one before, also within one commit. If the tenant allows one task in progress per agent, sets `doing_agent`. It is cleared first, so that one
-- request can end a task and start the next.
create or replace function apply_task_updates(p_tenant text, p_memory_ids text[], p_from bigint) returns void
language plpgsql
as $$
declare
  v_update record;
begin
  for v_update in
    select v.memory_id, v.seq, e.occurred_at
    from memories m
    join memory_versions v on v.tenant_id = p_tenant and v.memory_id = m.memory_id and v.version > 1 and v.seq >= p_from
    join events e on e.tenant_id = p_tenant and e.seq = v.seq
    where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) and m.kind = 'task'
    order by v.seq
  loop
    perform end_passages(p_tenant, v_update.memory_id, v_update.seq, v_update.occurred_at, p_from);
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

-- The effect of an event that creates, updates or repeats a memory: { "memory_id", "kind", "scope", "text_hash": hex, "status", "importance",
-- "pinned", "valid_from", "valid_to", "expires_at", "supersedes", "task_status", "task_ref": the name of the task or the id of its memory,
-- "only_new", "counted": set by memories_judge }. `effectOfEvent` and `effectOfState` in src/memories build it.
--
-- Query plans of the commit: a session caches its plans, and makes them while tables are small or not yet analyzed. A cached plan that reads every
-- memory of a tenant would stay. So these statements are written such that only a plan of look-ups by key is possible:
--   force_generic_plan, enable_… = off   planning resolve_effects for each call cost twice as much as executing it
--   limit 1, offset 0                    in a lateral subquery: each row is looked up separately
--   kind || '', seq + 0                  excludes the index on the column
--   h >= x and h <= x order by h         leaves only the index in this order; with `=`, another looked as cheap on an empty table

-- Applies the effects of a batch.
create or replace function memories_apply(p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
as $$
declare
  v_resolved memory_effect[] := make_memories(p_tenant, p_effects, p_at);
begin
  perform apply_repeats(p_tenant, v_resolved);
  -- a repeat that is only counted writes no version, so only this answer names its memory
  return array(
    select row('memories', w.unit, w.event, jsonb_build_object('memory_id', w.target_id, 'counted', w.counted), w.counted)::answer
    from unnest(v_resolved) w);
end $$;

-- Writes the memories of a batch of effects: ends the superseded ones, resolves the effects and writes the results. Returns the resolved effects.
create or replace function make_memories(p_tenant text, p_effects effect[], p_at timestamptz) returns memory_effect[]
language plpgsql
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  -- filled to its full length, because assigning element 3 of an empty array would create an array that begins at 3
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

-- Expires the memories that are past their `expires_at` and that these effects repeat or name as a task: the effect then creates a new memory. The
-- sweep expires the others, which may be very many. Two memories without a subject count as having the same subject.
create or replace function expire_targets(p_tenant text, p_effects effect[]) returns void
language plpgsql
as $$
begin
  -- `order by` selects the index: a plan made for an empty table read every memory of the tenant for each batch
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

-- Returns the id of the project, session or user that a scope refers to.
create or replace function scope_id(p_scope text, p_project_id text, p_session_id text, p_user_id text) returns text
language sql immutable parallel safe
return case p_scope when 'project' then p_project_id when 'session' then p_session_id when 'user' then p_user_id end;

-- Resolves each effect to its target: the active memory with the same content, or else a new one. The locked clock row makes the look-up safe, and
-- the unique index enforces it. If several effects of a batch have the same content, the first creates the memory. p_superseded: the memory that
-- each effect superseded.
create or replace function resolve_effects(p_tenant text, p_effects effect[], p_superseded text[]) returns memory_effect[]
language plpgsql stable
as $$
begin
  return array(
    with requested as materialized (
      select
        f.ordinality as ordinal, f.unit, f.event, f.seq, f.channel, f.sensitivity, f.user_id, f.agent_id,
        nullif(f.session_id, r.memory_id) as session_id, f.project_id, f.tags, r.*, same.*,
        case when r.status = 'active' then row(same.hash, r.kind, same.scope_id, r.scope, same.subject, f.channel, same.sensitivity_key)::text
          else r.memory_id end as key
      from unnest(p_effects) with ordinality f
      cross join lateral jsonb_to_record(f.doc) r (
        memory_id text, kind text, scope text, text_hash text, status text, importance real, pinned boolean, valid_from timestamptz,
        valid_to timestamptz, expires_at timestamptz, task_status text, task_ref text, counted boolean, only_new boolean)
      cross join lateral (
        select
          -- another user's private task counts as absent: otherwise the answer would confirm a guessed name
          coalesce(
            (select t.text_hash
             from memories t
             where t.tenant_id = p_tenant and t.memory_id = r.task_ref and t.kind || t.status = 'taskactive'
               and t.channel || '' = f.channel and (f.channel <> 'private' or t.user_id = f.user_id)),
            decode(r.text_hash, 'hex')) as hash,
          scope_id(r.scope, f.project_id, f.session_id, f.user_id) as scope_id,
          same_subject(r.kind, f.channel, f.user_id) as subject,
          case when r.kind = 'task' then '' else f.sensitivity end as sensitivity_key
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
        and m.channel = w.channel and (case when m.kind = 'task' then '' else m.sensitivity end) = w.sensitivity_key
      order by m.text_hash
      limit 1
    ) existing on true
    window same as (partition by w.key order by w.seq)
    order by w.ordinal);
end $$;

-- Writes the memories of resolved effects and their versions. The last effect with the same target writes the memory row and counts all of them;
-- effects that are only counted come last and write no version. The subject of a task is that of its newest update.
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
    -- a repeat does not unpin a memory
    pinned = m.pinned or (w.kind = 'task' and w.pinned),
    valid_from = case when w.kind = 'task' then w.valid_from else m.valid_from end,
    valid_to = case when w.kind = 'task' then w.valid_to else m.valid_to end,
    expires_at = case when w.kind = 'task' then w.expires_at else m.expires_at end
  from unnest(p_resolved) w
  -- joined by ctid, which the locked clock row keeps valid: joined by key, the plan read all memories of the tenant for each batch, mostly for no
  -- result
  where w.current_version is not null and w.nth = greatest(w.version_count, 1) and m.tenant_id = p_tenant and m.ctid = w.current_ctid;

  insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
  select
    p_tenant, w.target_id, coalesce(w.current_version, 0) + w.nth, w.seq,
    case when w.kind = 'task' then w.seq else coalesce(w.current_content_seq, w.first_seq) end, w.status
  from unnest(p_resolved) w
  where w.nth <= w.version_count;
end $$;

-- Replaces the content that the event p_from gave to a memory with the content of this effect. If a batch has several such effects, the first one does so; the
-- others repeat it.
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

-- Applies the edits of a memory's content to the events that repeat it. A task update only inherits the edits that hide or attenuate. If the
-- content was retracted, the repeat is a new statement: from then on the memory has the content of the repeat and nothing of the old.
create or replace function apply_repeats(p_tenant text, p_resolved memory_effect[]) returns void
language plpgsql
as $$
declare
  v_repeat record;
begin
  -- the usual case: every event created a new memory
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
    -- a repeat that is only counted writes no version
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

-- Rewrites units whose events repeat a text for more than the 256th time: such an event is only counted. It gets no passages, and if it was only
-- written to create the memory, no text. This bounds the cost of changing, ending or hiding a memory, however often it is repeated.
create or replace function memories_judge(p_tenant text, p_units jsonb, p_at timestamptz) returns setof judgement
language plpgsql
as $$
begin
  -- the usual case: no text is repeated that often
  if not exists (select from memories m where m.tenant_id = p_tenant and m.worn)
    and (select sum(jsonb_array_length(u.doc -> 'events')) from jsonb_array_elements(p_units) u (doc)) <= 256 then
    return;
  end if;
  return query
  select r.unit, null::jsonb, count_only_unit(p_units -> (r.unit - 1), r.ids)
  from (select n.unit, jsonb_object_agg(n.event, n.memory_id) as ids from find_excess_repeats(p_tenant, p_units) n group by n.unit) r;
end $$;

-- Returns the events of these units that repeat a text for more than the 256th time, with the memory that they repeat.
create or replace function find_excess_repeats(p_tenant text, p_units jsonb) returns table (unit int, event bigint, memory_id text)
language plpgsql stable
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  -- a memory that this commit supersedes cannot be repeated
  v_superseded text[] := array(
    select memory_of(p_tenant, r.ref #>> '{}') from jsonb_path_query(p_units, '$[*].events[*].effects.memories.supersedes') r (ref));
begin
  return query
  with repeated as (
    select u.ord as unit, e.ord as event, r.memory_id, existing.memory_id as existing_id, existing.repeats,
      row(content.hash, r.kind, content.scope_id, r.scope, f.user_id, f.channel, f.sensitivity)::text as key
    from jsonb_array_elements(p_units) with ordinality u (doc, ord)
    cross join lateral jsonb_array_elements(u.doc -> 'events') with ordinality e (doc, ord)
    cross join lateral jsonb_to_record(e.doc) f (channel text, user_id text, session_id text, project_id text, sensitivity text)
    cross join lateral jsonb_to_record(e.doc #> '{effects,memories}') r (memory_id text, kind text, scope text, text_hash text, status text)
    cross join lateral (
      select decode(r.text_hash, 'hex') as hash, scope_id(r.scope, f.project_id, f.session_id, f.user_id) as scope_id
    ) content
    left join lateral (
      -- a repeat of content that an edit withholds is a new statement, so it is never only counted
      select m.memory_id, case when exists (
        select from overlays o where o.tenant_id = p_tenant and o.seq = m.content_seq and o.content ? 'withheld') then -1 else m.repeats end as repeats
      from memories m
      where m.tenant_id = p_tenant and m.status = 'active' and m.text_hash >= content.hash and m.text_hash <= content.hash
        and m.kind || '' = r.kind and m.scope = r.scope and m.scope_id is not distinct from content.scope_id and m.user_id is not distinct from f.user_id
        and m.channel = f.channel and m.sensitivity = f.sensitivity and m.memory_id <> all (v_superseded)
        and (m.expires_at is null or m.expires_at > clock_timestamp())
      order by m.text_hash
      limit 1
    ) existing on true
    where r.status = 'active' and r.kind <> 'task'
  ),
  numbered as (
    select a.unit, a.event, coalesce(a.existing_id, first_value(a.memory_id) over content) as id, coalesce(a.repeats, -1) + row_number() over content as nth
    from repeated a
    window content as (partition by a.key order by a.unit, a.event)
  )
  select n.unit::int, n.event, n.id from numbered n where n.nth > 256;
end $$;

-- Rewrites an event such that it only counts as a repeat of the memory p_memory_id.
create or replace function count_only_event(p_event jsonb, p_memory_id text) returns jsonb
language sql immutable parallel safe
return jsonb_set(p_event #- '{effects,passages}', '{effects,memories,counted}', 'true') || '{"chunk_count": 0}' || case
  when p_event ->> 'kind' = 'memory.created' then jsonb_build_object('content',
    ((p_event -> 'content') - '{text,body,sealed}'::text[]) || jsonb_build_object('memory_id', p_memory_id, 'repeated', true))
  else '{}' end;

-- Rewrites a unit such that its events at these positions, from 1, are only counted. p_ids: { "<position>": "<memory_id>" }.
create or replace function count_only_unit(p_unit jsonb, p_ids jsonb) returns jsonb
language sql immutable parallel safe
return (
  select p_unit || jsonb_build_object('events', h.events, 'bytes', greatest(
    0, (p_unit ->> 'bytes')::bigint - octet_length((p_unit -> 'events')::text) + octet_length(h.events::text)))
  from (
    select jsonb_agg(case when p_ids ? e.ord::text then count_only_event(e.doc, p_ids ->> e.ord::text) else e.doc end order by e.ord) as events
    from jsonb_array_elements(p_unit -> 'events') with ordinality e (doc, ord)
  ) h);

-- Called several times per memory. In plpgsql because a function in SQL is planned at each call.
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

-- Returns what a memory cites: the refs of the events of all versions with the content of the event p_content_seq, up to the seq p_last and the
-- time p_as_of (null: all), and the memories that it superseded. A recorded decision or task is its own source. An event that was only written to
-- create or change the memory is not, nor are its passages.
create or replace function memory_refs(p_tenant text, p_memory_id text, p_content_seq bigint, p_last bigint default null, p_as_of timestamptz default null)
returns table (ref text, seq bigint, ordinal bigint)
language plpgsql stable
-- planning for each memory took 0.6 ms
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  -- skips the earlier versions: a task may have thousands
  v_first int := (
    select v.version
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq = p_content_seq and v.memory_id || '' = p_memory_id and v.status <> 'superseded'
    limit 1);
begin
  return query
  with own as materialized (
    select e.seq, e.event_id, e.kind like 'memory.%' as is_own, e.refs
    from memory_versions v
    -- `offset 0` forces one look-up per row
    cross join lateral (select * from events e where e.tenant_id = v.tenant_id and e.seq = v.seq offset 0) e
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version >= coalesce(v_first, 1) and v.content_seq + 0 = p_content_seq
      and v.status in ('active', 'proposed') and (p_last is null or v.seq + 0 <= p_last) and (p_as_of is null or e.occurred_at <= p_as_of)
  ),
  cited as (
    select r.ref, own.seq, r.ordinal
    from own
    cross join lateral unnest(case when own.is_own then own.refs else own.event_id || own.refs end) with ordinality as r (ref, ordinal)
    union all
    select m.memory_id, p_content_seq, 0
    from memories m
    where m.tenant_id = p_tenant and m.superseded_by = p_memory_id
      and (p_last is null or exists (
        select from memory_versions v
        where v.tenant_id = p_tenant and v.memory_id = m.memory_id and v.status = 'superseded' and v.seq + 0 <= p_last))
  )
  select c.ref, max(c.seq), min(c.ordinal)
  from (select x.ref, x.seq, x.ordinal, event_of(x.ref) as event_id from cited x offset 0) c
  where c.ref <> p_memory_id and not exists (
    select from (
      select e.seq
      from events e
      where e.tenant_id = p_tenant and e.kind like 'memory.%' and e.event_id = c.event_id
      offset 0) own_event
    join memory_versions v on v.tenant_id = p_tenant and v.seq = own_event.seq
    where v.memory_id = p_memory_id and v.status in ('active', 'proposed')
    offset 0)
  group by c.ref;
end $$;

-- Returns the trust of a memory whose event states none, by the type of the actor that recorded it.
create or replace function trust_of(p_actor_type text) returns text
language sql immutable parallel safe
return case p_actor_type when 'human' then 'stated' when 'agent' then 'inferred' else 'observed' end;

-- Returns true for kinds that are their own source. Facts, notes and summaries are claims.
create or replace function is_act(p_kind text) returns boolean
language sql immutable parallel safe
return p_kind in ('decision', 'task', 'rule', 'preference', 'handoff');

-- Returns true if the content of an event was retracted or erased. Content that was removed by retention still counts as a source.
create or replace function is_gone(p_event events) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (p_event.erased_at is not null and not p_event.content ? 'retention')
    or exists (select from overlays o where o.tenant_id = p_event.tenant_id and o.seq = p_event.seq and o.content ? 'withheld');
end $$;

-- Returns the events that refs name by the id of an event, passage or artifact.
create or replace function events_of_refs(p_tenant text, p_refs text[]) returns table (ref text, event events)
language sql stable
as $$
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
  ) named
$$;

-- Returns the refs that name an existing event. Events that only create or change a memory are not a source of another memory.
create or replace function existing_sources(p_tenant text, p_refs text[]) returns table (ref text, seq bigint)
language sql stable
as $$
  select n.ref, (n.event).seq
  from events_of_refs(p_tenant, p_refs) n
  where (n.event).kind not like 'memory.%' and not is_gone(n.event)
$$;

-- Returns the memories named by refs that can ground another memory, acts first, without those in p_seen. The limit bounds p_seen to 65 memories.
-- p_job: an erasure, whose marked memories ground nothing.
create or replace function grounding_memories(p_tenant text, p_refs text[], p_seen text[], p_job text default null)
returns table (memory_id text, kind text)
language sql stable
begin atomic
  select m.memory_id, m.kind
  from unnest(p_refs) with ordinality as r (ref, ordinal)
  -- `offset 0` forces one look-up per row: without statistics the plan joined all memories with all events, 30 ms per level
  cross join lateral (select x.id from memory_of(p_tenant, r.ref) x (id) offset 0) o
  cross join lateral (select * from memories m where m.tenant_id = p_tenant and m.memory_id = o.id offset 0) m
  cross join lateral (select e as event from events e where e.tenant_id = p_tenant and e.seq = m.content_seq offset 0) e
  where not m.memory_id = any (p_seen) and m.status <> 'deleted' and not is_gone(e.event)
    and (p_job is null or not is_marked(p_tenant, p_job, m.memory_id))
  group by m.memory_id, m.kind
  order by is_act(m.kind) desc, min(r.ordinal)
  limit greatest(1, 65 - cardinality(p_seen));
end;

-- Returns the newest 256 refs of each memory as of the seq p_last and the time p_as_of (null: now).
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
  ) as_of
  cross join lateral (
    select o.ref from memory_refs(p_tenant, m.id, as_of.content_seq, p_last, p_as_of) o order by o.seq desc, o.ordinal, o.ref limit 256
  ) g;
end;

-- Returns true if any of the refs names an existing event, or a memory that is itself grounded, at most four levels deep. Events of the memory
-- itself do not ground it. mark_grounding walks the same way, so that a trim keeps what this function needs.
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
  v_has_act boolean;
begin
  for depth in 1 .. 4 loop
    exit when coalesce(cardinality(v_refs), 0) = 0;
    if p_job is not null then
      v_refs := array(select r.ref from unnest(v_refs) r (ref) where not is_marked(p_tenant, p_job, r.ref));
    end if;
    if exists (select from existing_sources(p_tenant, v_refs)) then
      return true;
    end if;
    select array_agg(g.memory_id), bool_or(is_act(g.kind)) into v_memories, v_has_act
    from grounding_memories(p_tenant, v_refs, v_seen, p_job) g;
    if v_has_act then
      return true;
    end if;
    exit when depth = 4 or cardinality(v_seen) > 64;
    v_seen := v_seen || v_memories;
    v_refs := array(select g.ref from refs_of_memories(p_tenant, v_memories, p_last, p_as_of) g);
  end loop;
  return false;
end $$;

-- Returns true if the tenant requires a source before a context states a memory of this kind.
create or replace function needs_sources(p_tenant text, p_kind text) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return case (select t.settings ->> 'require_sources' from tenants t where t.tenant_id = p_tenant)
    when 'none' then false when 'all' then not is_act(p_kind) else p_kind = 'summary' end;
end $$;

-- Returns the grounding of a memory as responses show it: the newest p_limit refs, the count of all refs, whether the memory is grounded, and
-- whether it lacks a source that the tenant requires.
create or replace function grounding(
  p_tenant text, p_memory_id text, p_kind text, p_content_seq bigint, p_limit int default 256, p_last bigint default null,
  p_as_of timestamptz default null)
returns table (refs text[], ref_count int, grounded boolean, unsourced boolean)
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  refs := array(
    select g.ref from memory_refs(p_tenant, p_memory_id, p_content_seq, p_last, p_as_of) g order by g.seq desc, g.ordinal, g.ref);
  ref_count := cardinality(refs);
  grounded := is_act(p_kind) or is_grounded(p_tenant, p_memory_id, refs, p_last, p_as_of);
  unsourced := not grounded and needs_sources(p_tenant, p_kind);
  refs := refs[1:p_limit];
  return next;
end $$;

-- Returns the fields of a memory that responses show in addition to its text, as of p_last.
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

-- Locks the clock row and checks that the memory may be changed. Returns false if this change was already applied, so that a retry succeeds.
-- p_version: the version that the client has read; null: any.
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
    raise exception 'the memory has version %, which does not match If-Match', v_memory.version using errcode = 'AM412';
  end if;
  if not v_memory.status = any (p_statuses) then
    raise exception 'the memory is %', v_memory.status using errcode = 'AM409';
  end if;
  return true;
end $$;

-- Writes a new version of a memory with the content of the unit's only event. p_state: an effect as for memories_apply, with `tags`, and with
-- `restated` if an admin replaces the text: then the edits of the old text do not apply to the new one.
create or replace function revise_memory(p_tenant text, p_memory_id text, p_version int, p_statuses text[], p_state jsonb, p_unit jsonb)
returns unit_outcome
language plpgsql
as $$
declare
  v_is_new boolean := lock_memory(p_tenant, p_memory_id, p_version, p_statuses, p_unit);
  v_result unit_outcome;
  v_seq bigint;
  v_old_content_seq bigint := (select m.content_seq from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id);
  v_superseded_id text;
begin
  v_result := commit_unit(p_tenant, p_unit);
  if v_is_new and v_result.status = 'new' then
    v_seq := (v_result.outcome ->> 'seq')::bigint;
    if p_state ->> 'supersedes' is not null then
      v_superseded_id := supersede(p_tenant, p_state ->> 'supersedes', v_seq);
      update memories m set superseded_by = p_memory_id where m.tenant_id = p_tenant and m.memory_id = v_superseded_id;
    end if;
    update memories m
    set
      version = m.version + 1, content_seq = v_seq, last_seq = v_seq, updated_at = v_result.at, status = s.status, repeats = 0,
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
      perform carry_hiding(p_tenant, v_old_content_seq, v_seq);
    end if;
  end if;
  return v_result;
end $$;

-- Deletes a memory or rejects a proposal; the unit's only event records that. A deleted memory has no successor.
create or replace function close_memory(p_tenant text, p_memory_id text, p_version int, p_statuses text[], p_status text, p_unit jsonb)
returns unit_outcome
language plpgsql
as $$
declare
  v_is_new boolean := lock_memory(p_tenant, p_memory_id, p_version, p_statuses, p_unit);
  v_result unit_outcome;
  v_seq bigint;
begin
  v_result := commit_unit(p_tenant, p_unit);
  if v_is_new and v_result.status = 'new' then
    v_seq := (v_result.outcome ->> 'seq')::bigint;
    update memories m
    set status = p_status, version = m.version + 1, last_seq = v_seq, doing_agent = null, superseded_by = null, updated_at = v_result.at
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
    select p_tenant, p_memory_id, m.version, v_seq, m.content_seq, p_status
    from memories m
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    perform end_passages(p_tenant, p_memory_id, v_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = v_seq;
  end if;
  return v_result;
end $$;

-- Replaces a memory if it still has the version that the client has read. The effect of the unit names the superseded memory.
create or replace function replace_memory(p_tenant text, p_memory_id text, p_version int, p_unit jsonb)
returns unit_outcome
language plpgsql
as $$
begin
  perform lock_memory(p_tenant, p_memory_id, p_version, array['active'], p_unit);
  return commit_unit(p_tenant, p_unit);
end $$;

-- Sets `doing_agent` of all tasks according to the tenant's settings. If an agent has several tasks in progress, the most recently updated one gets
-- it. Quarantined tasks get none. The caller has locked the clock row, so no task changes meanwhile.
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

-- Sets the status of p_limit memories that are past their `expires_at`. Responses do not change: they treat these memories as expired already.
create or replace function expire_memories(p_tenant text, p_limit int) returns int
language plpgsql
as $$
declare
  v_count int;
begin
  perform enter_tenant(p_tenant);
  -- taken by every writer of memories; without it a memory could expire while it is being repeated
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

-- Returns true if a memory currently holds: it is active or proposed, has not expired, and is not a task that is done.
create or replace function is_current_memory(p_memory memories) returns boolean
language sql stable
as $$ select p_memory.status in ('active', 'proposed') and coalesce(p_memory.expires_at > now(), true) and coalesce(p_memory.task_status <> 'done', true) $$;

-- Returns the newest version of a memory, the number of its versions, and whether their seqs increase.
create or replace function newest_version(p_tenant text, p_memory_id text)
returns table (version_count bigint, version int, seq bigint, content_seq bigint, status text, is_increasing boolean)
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  return query
  select w.version_count, v.version, v.seq, v.content_seq, v.status, w.is_increasing
  from (
    select count(*) as version_count, max(o.version) as last, bool_and(o.before is null or o.seq > o.before) as is_increasing
    from (
      select i.version, i.seq, lag(i.seq) over (order by i.version) as before
      from memory_versions i where i.tenant_id = p_tenant and i.memory_id = p_memory_id
    ) o
  ) w
  join memory_versions v on v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version = w.last;
end $$;

-- Returns the memory row with the columns that can be derived from the event of its content. For a task, only the channel and the subject are
-- derived, because it keeps values of earlier updates. Nothing is derived if the content was removed, and a value that does not fit its column is
-- ignored.
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

-- Returns the content of an event that creates a version of the memory with the text of p_event. A content that is not an object adds nothing.
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

-- Returns the memory that the event created that ended a superseded memory. If several versions are `superseded`, the first one counts; an erasure
-- may add another. A successor is later in the log than the memory it replaces, so the chain of successors has no cycle.
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

-- Returns true if the recorded successor is not the expected one. Repeats that are only counted write no version, and trims remove versions: if the
-- expected successor is unknown for such a reason, any existing memory is accepted.
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

-- Returns the fields by which a context compares claims; none for an act other than a preference. `stated_at`: the time of the newest visible event
-- that the memory cites, or else its own. `claim_scope`: the scope and audience within which a subject has one value.
create or replace function claim_fields(p_tenant text, p_scope jsonb, p_memory memories, p_details jsonb, p_at timestamptz) returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_stated_at timestamptz;
begin
  if is_act(p_memory.kind) and p_memory.kind <> 'preference' then
    return '{}';
  end if;
  select max(s.occurred_at) into v_stated_at
  from (
    select c.ordinal, event_of(c.ref) as event_id
    from jsonb_array_elements_text(p_details -> 'refs') with ordinality c (ref, ordinal)
    offset 0
  ) r
  cross join lateral (
    select e.seq
    from events e
    where e.tenant_id = p_tenant and e.kind not like 'memory.%' and e.event_id = r.event_id
    limit 1
  ) cited
  cross join lateral (select x.occurred_at from seen_events(p_tenant, p_scope) x where x.seq = cited.seq limit 1) s
  where r.ordinal <= 32 and is_readable_time(s.occurred_at);
  return jsonb_strip_nulls(jsonb_build_object(
    'stated_at', epoch_ms(coalesce(v_stated_at, p_at)),
    'effective_from', coalesce(epoch_ms(p_memory.valid_from), epoch_ms(coalesce(v_stated_at, p_at))),
    'claim_scope', jsonb_build_array(
      p_memory.scope,
      case p_memory.scope when 'project' then p_memory.project_id when 'session' then p_memory.session_id end,
      p_memory.channel, p_memory.user_id)::text));
end $$;

-- Restores the end and the validity of the passages p_from..p_to. The passages of a version end when its memory ends or gets other content.
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

-- Returns for each version from p_from on the event that ended its passages: the first later version that ends the memory or has other content. One
-- backward pass over the versions, because a fact may be repeated thousands of times.
create or replace function version_ends(p_tenant text, p_memory_id text, p_from bigint) returns table (seq bigint, status text, until_seq bigint)
language sql stable
begin atomic
  select t.seq, t.status,
    min(case when t.is_end then t.seq end) over (order by t.version desc rows between unbounded preceding and 1 preceding)
  from (
    select v.version, v.seq, v.status,
      v.status <> all (array['active', 'proposed'])
        or v.content_seq is distinct from lag(v.content_seq) over (order by v.version) as is_end
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.seq >= p_from
  ) t;
end;

-- Moves the end of passages that a deleted version had ended to the next remaining version.
create or replace function move_passage_ends(p_tenant text, p_memory_id text, p_gone bigint[]) returns void
language plpgsql
as $$
begin
  perform move_chunk_ends(p_tenant, p_gone, array_agg(d.seq), array_agg(d.until_seq), array_agg(e.occurred_at))
  from version_ends(p_tenant, p_memory_id, 0) d
  left join events e on e.tenant_id = p_tenant and e.seq = d.until_seq;
end $$;

-- Returns for each event p_from..p_to the event that ended its passages, as memories_apply and end_memory set it. Searching forward from each
-- version was quadratic.
create or replace function passage_ends(p_tenant text, p_from bigint, p_to bigint) returns table (seq bigint, until_seq bigint, until_at timestamptz)
language sql stable
begin atomic
  select d.seq, d.until_seq, e.occurred_at
  from (select distinct v.memory_id from memory_versions v where v.tenant_id = p_tenant and v.seq between p_from and p_to) touched
  cross join lateral version_ends(p_tenant, touched.memory_id, p_from) d
  left join events e on e.tenant_id = p_tenant and e.seq = d.until_seq
  where d.seq between p_from and p_to and d.until_seq is not null and d.status = any (array['active', 'proposed']);
end;

-- Returns the passages p_from..p_to with their actual and expected end. Combined by sorting: in a join without statistics, the ends were computed
-- again for each passage.
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

-- Checks the ends of passages, and that the events and the memory of each version exist.
create or replace function memories_check(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  v_first bigint := log_begin(p_tenant);
begin
  return query
  with compared as (
    select c.*, c.until_seq is distinct from c.expected as wrong from compare_passage_ends(p_tenant, p_from, p_to) c
  )
  select 'passage_ends', count(*), count(*) filter (where j.wrong),
    sample_of(jsonb_build_object('seq', j.seq, 'expected', j.expected, 'found', j.until_seq) order by j.seq) filter (where j.wrong), false
  from compared j;

  return query
  with compared as (
    select v.memory_id, v.version, v.seq,
      case
        when not exists (select from memories m where m.tenant_id = p_tenant and m.memory_id = v.memory_id) then 'no such memory'
        when not exists (select from events e where e.tenant_id = p_tenant and e.seq = v.seq) then 'no such event'
        when v.content_seq > v.seq then 'content event is later than the version'
        when v.content_seq >= v_first and not exists (select from events e where e.tenant_id = p_tenant and e.seq = v.content_seq) then 'no such content event'
      end as fault
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq between p_from and p_to
  )
  select 'memory_versions', count(*), count(j.fault),
    sample_of(jsonb_build_object('memory_id', j.memory_id, 'version', j.version, 'fault', j.fault) order by j.seq) filter (where j.fault is not null), true
  from compared j;
end $$;

-- Checks a page of memories against their versions: each row matches its newest version, and only a superseded memory has a successor, the right
-- one.
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
    select m.*, m as row from memories m where m.tenant_id = p_tenant and m.memory_id > p_after order by m.memory_id limit p_limit
  ),
  checked_rows as (
    select m.memory_id,
      case
        when s.version_count is null then 'no version'
        when not s.is_increasing or (s.version_count <> s.version and not v_forgotten) then 'gap in the versions'
        when m.version <> s.version then 'version differs'
        when m.last_seq <> s.seq or m.content_seq <> s.content_seq then 'event differs'
        -- an active memory expires without an event
        when m.status <> s.status and not (m.status = 'expired' and s.status = 'active') then 'status differs'
        when m.row is distinct from memory_from_content(m.row) then 'content differs'
      end as fault
    from page m left join lateral newest_version(p_tenant, m.memory_id) s on true
  ),
  successors as (
    select m.memory_id, m.superseded_by, x.expected, is_wrong_successor(m.row, x.expected) as wrong
    from page m
    cross join lateral (select case when m.status = 'superseded' then successor_of(p_tenant, m.memory_id) end as expected) x
  )
  select 'memories', count(*), count(j.fault),
    sample_of(jsonb_build_object('memory_id', j.memory_id, 'fault', j.fault) order by j.memory_id) filter (where j.fault is not null), true, max(j.memory_id)
  from checked_rows j
  union all
  select 'superseded_by', count(*), count(*) filter (where f.wrong),
    sample_of(jsonb_build_object('memory_id', f.memory_id, 'expected', f.expected, 'found', f.superseded_by) order by f.memory_id) filter (where f.wrong),
    true, max(f.memory_id)
  from successors f;
end $$;

-- Returns the ids that name no memory.
create or replace function memories_missing(p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean)
returns table (id text, gone boolean)
language sql stable
as $$
  select i.id, p_forgotten
  from unnest(p_ids) i (id)
  -- `limit` forces one look-up per id
  left join lateral (
    select m.memory_id from memories m where m.tenant_id = p_tenant and m.memory_id = i.id limit 1
  ) m on true
  where m.memory_id is null
$$;

-- Repairs the ends of passages.
create or replace function memories_repair(p_tenant text, p_from bigint, p_to bigint) returns bigint
language sql
as $$
  select set_passage_ends(p_tenant, array_agg(x.seq), array_agg(x.ordinal), array_agg(x.expected), array_agg(x.expected_at))
  from compare_passage_ends(p_tenant, p_from, p_to) x
  where x.until_seq is distinct from x.expected
$$;

-- Repairs a page of memories from their newest versions and from the events of their content, and their successors. Locks the clock row first, like
-- every writer of memories.
create or replace function memories_repair_rows(p_tenant text, p_after text, p_limit int) returns table (changed bigint, last text)
language plpgsql
as $$
declare
  v_last text;
  v_successors bigint;
  v_contents bigint;
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
  where m.tenant_id = p_tenant and m.memory_id = s.memory_id and (s.version_count = s.version or v_forgotten) and s.is_increasing
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
  get diagnostics v_successors = row_count;
  update memories m
  set (channel, user_id, text_hash, tags, importance, pinned, valid_from, valid_to, expires_at) = (
    select w.channel, w.user_id, w.text_hash, w.tags, w.importance, w.pinned, w.valid_from, w.valid_to, w.expires_at from memory_from_content(m) w)
  where m.tenant_id = p_tenant and m.memory_id > p_after and m.memory_id <= v_last and m is distinct from memory_from_content(m);
  get diagnostics v_contents = row_count;
  changed := changed + v_successors + v_contents;
  last := v_last;
  return next;
end $$;

-- Returns the events of the versions that have the same content as the edited one.
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

-- A quarantined task does not count as its agent's task in progress.
create or replace function memories_edited(p_tenant text, p_edit edits) returns void
language sql
as $$
  update memories m set doing_agent = null
  from overlays o
  where m.tenant_id = p_tenant and m.memory_id = p_edit.memory_id and m.doing_agent is not null
    and o.tenant_id = p_tenant and o.seq = m.content_seq and is_quarantined(o.blocked_in)
$$;

-- The hooks of erasures, retention rules and trims (docs/decisions/nouns.md).

-- Returns true for acts that an erasure with `keep_shared` keeps.
create or replace function is_shared_act(p_kind text, p_channel text) returns boolean
language sql immutable parallel safe
return p_kind in ('decision', 'task', 'rule') and p_channel in ('team', 'public');

-- Erasure that keeps shared acts: returns the events of the subject that belong to a version of a shared act and remain. An event whose text is in
-- an artifact does not remain, because artifacts are not rewritten.
create or replace function memories_stay(p_tenant text, p_seqs bigint[]) returns setof bigint
language sql stable
begin atomic
  select e.seq
  from unnest(p_seqs) s (seq)
  -- `offset 0` forces one look-up per row
  cross join lateral (select * from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e
  where e.channel in ('team', 'public') and e.erased_at is null and e.artifact_id is null
    and (e.kind in ('decision', 'task_update') or e.kind like 'memory.%' and exists (
      select
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      where v.tenant_id = p_tenant and v.seq = e.seq and is_shared_act(m.kind, m.channel)));
end;

-- Marks as `kin` the versions by others of memories that the subject also stated or updated: they remain and may contain the subject's name.
create or replace function mark_kin(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) returns void
language plpgsql
as $$
begin
  perform mark_seqs(p_tenant, p_job, 'kin', array(
    with version as materialized (
      select v.memory_id, e.seq, e.erased_at is null and e.artifact_id is null as remains, k.id is not null as is_shared
      from memory_versions v
      join events e on e.tenant_id = p_tenant and e.seq = v.seq
      left join erasure_marks k on k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared' and k.id = e.event_id
      where v.tenant_id = p_tenant and v.memory_id = any (p_memory_ids) and v.seq <= p_upto
    )
    select distinct s.seq
    from version s
    where s.remains and not s.is_shared and s.memory_id in (select o.memory_id from version o where o.is_shared)));
end $$;

-- Returns the event that still contains the memory's text after an erasure: the event of its content, or else the newest other version with the
-- same content.
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

-- Decides the fate of the next p_limit memories in an erasure. `memory`: delete, because it is the subject's own, or neither its text nor any of
-- its sources remains. `keep`: rewrite, because it loses a ref or its text but something remains. Null: unaffected. Shared acts remain.
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
    when judged.is_own or (judged.is_text_erased and survivor.seq is null)
      or (judged.has_lost_refs and not is_act(m.kind) and not is_grounded(p_tenant, m.memory_id, judged.refs, p_job => p_job)) then 'memory'
    when judged.has_lost_refs or judged.is_text_erased then 'keep' end
  from (select * from memories n where n.tenant_id = p_tenant and n.memory_id > p_after order by n.memory_id limit p_limit) m
  cross join lateral (select surviving_seq(m, p_job) as seq) survivor
  cross join lateral (
    select
      m.content_seq <= v_upto and coalesce(case v_kind
        when 'user_id' then m.user_id = v_subject and not (v_keep and is_shared_act(m.kind, m.channel))
        when 'session_id' then m.scope = 'session' and m.session_id = v_subject
        when 'project_id' then m.scope = 'project' and m.project_id = v_subject end, false) as is_own,
      coalesce((select is_marked(p_tenant, p_job, e.event_id) from events e where e.tenant_id = p_tenant and e.seq = m.content_seq), false) as is_text_erased,
      coalesce(bool_or(is_marked(p_tenant, p_job, g.ref)), false) as has_lost_refs,
      array_agg(g.ref) as refs
    from memory_refs(p_tenant, m.memory_id, m.content_seq) g
  ) judged;
end $$;

-- Erasure: marks the next memories by their verdict. A deleted memory takes the events of its versions along, and other memories may cite these:
-- `found` counts the memories and events that were not marked before.
create or replace function memories_mark(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_ids text[];
  v_deleted text[];
  v_kept text[];
  v_count bigint;
begin
  -- twice the limit: the step locks nothing, and a smaller one costs nearly as much; on the embedded engine all other requests wait for it
  select max(j.memory_id), array_agg(j.memory_id), array_agg(j.memory_id) filter (where j.verdict = 'memory'),
    array_agg(j.memory_id) filter (where j.verdict = 'keep')
  into last, v_ids, v_deleted, v_kept
  from erasure_verdicts(p_tenant, p_job, p_erasure, p_after, p_limit * 2) j;
  perform unmark_ids(p_tenant, p_job, 'keep', p_after, last);
  perform mark_ids(p_tenant, p_job, 'keep', v_kept);
  v_count := mark_ids(p_tenant, p_job, 'memory', v_deleted) + cardinality(mark_seqs(p_tenant, p_job, 'event', array(
    select e.seq
    from unnest(v_deleted) g (id)
    -- `offset 0` forces one look-up per row: a plan made for a new tenant read all its events for each batch
    cross join lateral (
      select w.seq from memory_versions w where w.tenant_id = p_tenant and w.memory_id = g.id and w.status <> 'superseded' offset 0
    ) v
    cross join lateral (select x.seq from events x where x.tenant_id = p_tenant and x.seq = v.seq and x.erased_at is null offset 0) e)));
  if (p_erasure ->> 'keep_shared')::boolean then
    perform mark_kin(p_tenant, p_job, v_ids, (p_erasure ->> 'upto')::bigint);
  end if;
  counts := jsonb_build_object('found', v_count);
  return next;
end $$;

-- Points the memory to the event p_home that still contains its text, and takes the fields that depend on the event from there: the erased event
-- may be of another agent and session. Marks the memory `evidence_erased`.
create or replace function move_content(p_memory memories, p_source events) returns memories
language plpgsql
as $$
declare
  -- the same importance as in src/memories/effect.ts
  v_fields jsonb := case p_source.kind when 'decision' then '{"importance": 1}' when 'task_update' then '{"importance": 0.8}' else p_source.content end;
  v_memory memories;
begin
  update memory_versions v set content_seq = p_source.seq
  where v.tenant_id = p_memory.tenant_id and v.memory_id = p_memory.memory_id and v.content_seq = p_memory.content_seq;
  update memories m
  set
    content_seq = p_source.seq, marks = array(select distinct unnest(m.marks || '{evidence_erased}')),
    agent_id = p_source.agent_id, session_id = nullif(p_source.session_id, m.memory_id), project_id = p_source.project_id, tags = p_source.tags,
    doing_agent = case when m.doing_agent = p_source.agent_id then m.doing_agent end,
    importance = coalesce((v_fields ->> 'importance')::real, m.importance),
    valid_from = (v_fields ->> 'valid_from')::timestamptz, valid_to = (v_fields ->> 'valid_to')::timestamptz
  where m.tenant_id = p_memory.tenant_id and m.memory_id = p_memory.memory_id
  returning * into v_memory;
  return v_memory;
end $$;

-- Writes a version with the content of the event p_source that cites only p_refs. The edits and validity of its passages are copied.
create or replace function rewrite_memory(p_memory memories, p_source events, p_refs text[], p_event_id text) returns void
language plpgsql
as $$
declare
  v_tenant text := p_memory.tenant_id;
  v_seq bigint := append_service_event(v_tenant, jsonb_strip_nulls(jsonb_build_object(
    'event_id', p_event_id, 'session_id', p_source.session_id, 'channel', p_source.channel, 'actor_type', p_source.actor_type, 'actor_id', p_source.actor_id,
    'kind', 'memory.updated', 'user_id', p_source.user_id, 'agent_id', p_source.agent_id, 'project_id', p_source.project_id,
    'sensitivity', p_source.sensitivity, 'tags', to_jsonb(p_source.tags), 'refs', to_jsonb(p_refs), 'metadata', p_source.metadata,
    'content', memory_content(p_memory, p_source),
    'chunk_count', (select count(*) from chunks c where c.tenant_id = v_tenant and c.seq = p_source.seq),
    'effects', jsonb_build_object('passages', passages_of(v_tenant, p_source.seq)))));
begin
  perform copy_chunk_edits(v_tenant, p_source.seq, v_seq);
  insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
  values (v_tenant, p_memory.memory_id, p_memory.version + 1, v_seq, v_seq, p_memory.status);
  update memories m
  set version = m.version + 1, content_seq = v_seq, last_seq = v_seq, updated_at = clock_timestamp(),
    task_status = case when m.kind = 'task' then coalesce(p_source.content ->> 'status', p_source.content -> 'body' ->> 'status', m.task_status) end
  where m.tenant_id = v_tenant and m.memory_id = p_memory.memory_id;
  -- from the beginning: the event of the content has just changed
  perform end_passages(v_tenant, p_memory.memory_id, v_seq, clock_timestamp(), 0);
end $$;

-- Removes the erased sources of a memory that has others: deletes the marked versions and writes a new one without the erased refs. A memory that
-- has ended gets no new version.
create or replace function keep_memory(p_tenant text, p_job text, p_memory_id text, p_event_id text) returns void
language plpgsql
as $$
declare
  v_memory memories;
  v_source events;
  v_refs text[];
  v_deleted_seqs bigint[];
begin
  select * into v_memory from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id for update;
  select * into v_source from events e where e.tenant_id = p_tenant and e.seq = surviving_seq(v_memory, p_job);
  if v_memory.memory_id is null or v_source.seq is null then
    return;
  end if;
  v_refs := array(
    select g.ref from memory_refs(p_tenant, p_memory_id, v_memory.content_seq) g
    where not is_marked(p_tenant, p_job, g.ref) order by g.seq desc, g.ordinal, g.ref limit 256);
  with deleted as (
    delete from memory_versions v using erasure_marks k
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.status in ('active', 'proposed')
      and k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.seq = v.seq
    returning v.seq)
  select array_agg(g.seq) into v_deleted_seqs from deleted g;
  v_memory := move_content(v_memory, v_source);
  if v_memory.status in ('active', 'proposed') then
    perform rewrite_memory(v_memory, v_source, v_refs, p_event_id);
  end if;
  perform move_passage_ends(p_tenant, p_memory_id, v_deleted_seqs);
end $$;

-- Deletes memories with their versions, and the references of other memories to them.
create or replace function drop_memories(p_tenant text, p_memory_ids text[]) returns void
language sql
begin atomic
  delete from memory_versions v where v.tenant_id = p_tenant and v.memory_id = any (p_memory_ids);
  update memories m set superseded_by = null where m.tenant_id = p_tenant and m.superseded_by = any (p_memory_ids);
  delete from memories m where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids);
end;

-- Erasure: applies the verdicts to the next memories. Locks the clock row first. Each kept memory uses one id of `event_ids`.
create or replace function memories_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_dry_run boolean := p_erasure ? 'dry_run';
  v_event_ids text[] := array(select jsonb_array_elements_text(p_erasure -> 'event_ids'));
  v_deleted text[];
  v_kept text[];
begin
  if not v_dry_run then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  end if;
  -- `keep` sorts before `memory`: memories that lose a ref are rewritten while the marks of the deleted ones still exist
  select array_agg(n.id) filter (where n.what = 'memory'), array_agg(n.id order by n.id) filter (where n.what = 'keep'), max(n.what || '/' || n.id)
  into v_deleted, v_kept, last
  from (
    select k.what, k.id, coalesce(sum(m.version) over (order by k.what || '/' || k.id rows between unbounded preceding and 1 preceding), 0) as before
    from erasure_marks k left join memories m on m.tenant_id = p_tenant and m.memory_id = k.id
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('keep', 'memory') and k.what || '/' || k.id > p_after
    order by k.what || '/' || k.id
    limit case when v_dry_run then p_limit else least(p_limit, cardinality(v_event_ids)) end
  ) n
  -- bounds the time for which writers wait: some thousand versions, and one memory
  where n.before < 2000;
  counts := jsonb_build_object(
    'memories', coalesce(cardinality(v_deleted), 0),
    'memory_versions', (
      select coalesce(sum(v.n), 0)
      from unnest(v_deleted) g (id)
      -- counted per memory, each count is a look-up
      cross join lateral (select count(*) as n from memory_versions w where w.tenant_id = p_tenant and w.memory_id = g.id) v),
    'memories_kept', coalesce(cardinality(v_kept), 0));
  if not v_dry_run then
    for i in 1 .. coalesce(cardinality(v_kept), 0) loop
      perform keep_memory(p_tenant, p_job, v_kept[i], v_event_ids[i]);
    end loop;
    perform drop_memories(p_tenant, v_deleted);
  end if;
  return next;
end $$;

-- Erasure that keeps shared acts: returns the memories that remain.
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

-- Erasure that keeps shared acts: copies the renamed fields and text of the event to the memories whose content it is. If another active memory
-- then has the same content, for example after an earlier erasure of the same person, this memory ends.
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
        -- it is past its `expires_at`, and the sweep has not processed it yet
        exception when sqlstate 'AM409' then
          update memories m set status = 'expired', doing_agent = null where m.tenant_id = p_tenant and m.memory_id = v_id;
        end;
      end;
    end loop;
  end loop;
end $$;

-- Retention: returns the events that belong to a version of a memory, with whether that version is current and its importance.
create or replace function memories_held(p_tenant text, p_seqs bigint[]) returns table (seq bigint, live boolean, importance numeric)
language sql stable
begin atomic
  select v.seq, v.seq >= m.content_seq and is_current_memory(m.row), m.importance::numeric
  from unnest(p_seqs) s (seq)
  -- `offset 0` forces one look-up per row
  cross join lateral (select * from memory_versions w where w.tenant_id = p_tenant and w.seq = s.seq offset 0) v
  cross join lateral (
    select n as row, n.content_seq, n.importance from memories n where n.tenant_id = p_tenant and n.memory_id = v.memory_id offset 0
  ) m;
end;

-- Retention: returns the events that are exempt from every rule: those of pinned memories, and those that pinned memories cite directly or by a
-- passage, artifact or memory.
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

-- Retention: marks the memories that expire when these events lose their content.
create or replace function memories_lapse(p_tenant text, p_job text, p_seqs bigint[]) returns void
language plpgsql
as $$
begin
  perform mark_ids(p_tenant, p_job, 'memory', array(
    select m.memory_id
    from unnest(p_seqs) s (seq) join memories m on m.tenant_id = p_tenant and m.content_seq = s.seq
    where is_current_memory(m)));
end $$;

-- Retention: expires the marked memories as of the event p_by. The clock row is locked.
create or replace function memories_expire(p_tenant text, p_job text, p_by bigint, p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_marked text[] := array(select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory');
  v_current text[];
begin
  if p_dry then
    return jsonb_build_object('memories', cardinality(v_marked));
  end if;
  v_current := array(select m.memory_id from memories m where m.tenant_id = p_tenant and m.memory_id = any (v_marked) and is_current_memory(m));
  perform end_memory(p_tenant, h.id, 'expired', p_by) from unnest(v_current) h (id);
  return jsonb_build_object('memories', cardinality(v_current));
end $$;

-- Trims mark events to keep as `carry` (whole) or `ground` (only the fact that they existed), and memories to keep as `hold`.

-- Marks events to keep whole. A memory of such an event is kept too, with all its later versions. For the event that superseded the memory, only the
-- fact that it existed is kept.
create or replace function mark_carried(p_tenant text, p_job text, p_seqs bigint[], p_upto bigint) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_carry bigint[];
  v_ground bigint[];
  v_memories text[];
begin
  with versions as materialized (
    select v.memory_id, min(v.seq) as first
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq = any (p_seqs) and v.seq <= p_upto and v.status <> 'superseded'
    group by v.memory_id
  )
  select array_agg(v.seq) filter (where v.status <> 'superseded'), array_agg(v.seq) filter (where v.status = 'superseded'),
    array_agg(distinct s.memory_id) filter (where not exists (
      select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'hold' and k.id = s.memory_id))
  into v_carry, v_ground, v_memories
  from versions s join memory_versions v on v.tenant_id = p_tenant and v.memory_id = s.memory_id and v.seq >= s.first;
  perform mark_seqs(p_tenant, p_job, 'carry', p_seqs || v_carry, p_upto);
  perform mark_seqs(p_tenant, p_job, 'ground', v_ground, p_upto);
  if v_memories is not null then
    perform mark_kept_memories(p_tenant, p_job, v_memories, p_upto);
  end if;
end $$;

-- Marks memories to keep, with the events of their versions and those of the edits of these: an edit is kept with the event that it names.
create or replace function mark_kept_memories(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_seqs bigint[] := array(
    select v.seq
    from unnest(p_memory_ids) h (id)
    join memories m on m.tenant_id = p_tenant and m.memory_id = h.id
    join memory_versions v on v.tenant_id = p_tenant and v.memory_id = m.memory_id and v.seq >= m.content_seq and v.status <> 'superseded');
begin
  perform mark_ids(p_tenant, p_job, 'hold', p_memory_ids);
  perform mark_carried(p_tenant, p_job, v_seqs || array(
    select d.seq
    from edit_events x join edits d on d.tenant_id = p_tenant and d.edit_id = x.edit_id
    where x.tenant_id = p_tenant and x.seq = any (v_seqs)), p_upto);
end $$;

-- Marks the events that refs name as sources: as `ground`, or as `carry` if p_whole or if the ref is an artifact, which is found only through its
-- event. Returns whether there are any, including events after p_upto.
create or replace function mark_sources(p_tenant text, p_job text, p_refs text[], p_whole boolean, p_upto bigint) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_carry bigint[];
  v_ground bigint[];
begin
  select array_agg(s.seq) filter (where s.whole), array_agg(s.seq) filter (where not s.whole) into v_carry, v_ground
  from (
    select s.seq, bool_or(p_whole or s.ref ~ '^art_') as whole
    from existing_sources(p_tenant, p_refs) s
    group by s.seq
  ) s;
  perform mark_seqs(p_tenant, p_job, 'ground', v_ground, p_upto);
  perform mark_carried(p_tenant, p_job, v_carry, p_upto);
  return coalesce(v_carry, v_ground) is not null;
end $$;

-- Marks what grounds a claim, so that is_grounded returns the same after a trim. Walks the refs as is_grounded does, level by level, until a level
-- has a source or an act.
create or replace function mark_grounding(p_tenant text, p_job text, p_memory memories, p_upto bigint) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refs text[] := array(
    select g.ref from memory_refs(p_tenant, p_memory.memory_id, p_memory.content_seq) g order by g.seq desc, g.ordinal, g.ref);
  v_seen text[] := array[p_memory.memory_id];
  v_memories text[];
  v_has_act boolean;
begin
  if p_memory.pinned then
    perform mark_kept_memories(p_tenant, p_job, array(
      select m.memory_id from unnest(v_refs) r (ref) join memories m on m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, r.ref)), p_upto);
  end if;
  for depth in 1 .. 4 loop
    exit when coalesce(cardinality(v_refs), 0) = 0;
    exit when mark_sources(p_tenant, p_job, v_refs, p_memory.pinned and depth = 1, p_upto);
    select coalesce(array_agg(g.memory_id), '{}'), coalesce(bool_or(is_act(g.kind)), false) into v_memories, v_has_act
    from grounding_memories(p_tenant, v_refs, v_seen) g;
    perform mark_kept_memories(p_tenant, p_job, v_memories, p_upto);
    exit when v_has_act or cardinality(v_seen) > 64;
    v_seen := v_seen || v_memories;
    v_refs := array(select g.ref from refs_of_memories(p_tenant, v_memories) g);
  end loop;
end $$;

-- Marks memories to keep, with what grounds them.
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

-- Trim: marks the events up to p_upto that the memories of the next versions need. Current memories are handled once, at the event of their
-- content, and again at each version that was written after p_new, while the trim was running.
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
    -- `offset 0` forces one look-up per row
    cross join lateral (select * from memory_versions x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) v
    cross join lateral (
      select n.memory_id, n.content_seq, n as row from memories n where n.tenant_id = p_tenant and n.memory_id = v.memory_id offset 0
    ) m
    where v.status in ('active', 'proposed') and v.content_seq = m.content_seq and (v.seq = m.content_seq or v.seq > p_new) and is_current_memory(m.row)
      and not exists (
        select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory' and k.id = m.memory_id)), p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;

-- Trim: deletes the memories whose content is among these events and that nothing keeps.
create or replace function memories_trim(p_tenant text, p_job text, p_seqs bigint[], p_drop bigint[]) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_memory_ids text[] := array(
    select m.memory_id
    from (
      select distinct w.memory_id
      from unnest(p_seqs) s (seq)
      -- `offset 0` forces one look-up per row
      cross join lateral (select x.memory_id from memory_versions x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) w
    ) v
    cross join lateral (select n.memory_id, n.content_seq from memories n where n.tenant_id = p_tenant and n.memory_id = v.memory_id offset 0) m
    where m.content_seq = any (p_seqs) and not exists (
      select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'hold' and k.id = m.memory_id));
begin
  delete from memory_versions v where v.tenant_id = p_tenant and v.seq = any (p_drop);
  perform drop_memories(p_tenant, v_memory_ids);
end $$;
