-- Memories that clients change: revised, replaced, ended; and what a memory rests on.
-- min_code: 7

-- what a memory took the place of, and so the way back along a chain
create index memories__superseded_by on memories (tenant_id, superseded_by) where superseded_by is not null;

-- What a memory rests on, from the event of its content p_from to the event of its version p_to: what the events of its versions
-- cite, newest first. A decision or task that was recorded is its own ground; an event that only made the memory is none, nor are its
-- passages. `refs` are the newest p_limit.
create function citations(p_tenant text, p_memory_id text, p_from bigint, p_to bigint, p_limit int) returns table (refs text[], ref_count int)
language sql stable
begin atomic
  with own as materialized (
    select distinct e.seq, e.event_id, e.kind like 'memory.%' as made_it, e.refs
    from memory_versions v
    cross join lateral (select * from events e where e.tenant_id = v.tenant_id and e.seq = v.seq offset 0) e
    -- by the memory, not by the stretch of the log: that may be all of it
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.seq + 0 between p_from and p_to and v.status in ('active', 'proposed')
  ),
  cited as (
    select r.ref, max(own.seq) as seq, min(r.place) as place
    from own
    cross join lateral unnest(case when own.made_it then own.refs else own.event_id || own.refs end) with ordinality as r (ref, place)
    group by r.ref
    union
    select m.memory_id, p_from, 0 from memories m where m.tenant_id = p_tenant and m.superseded_by = p_memory_id
  ),
  counted as (
    select c.ref, max(c.seq) as seq, min(c.place) as place
    from cited c
    where c.ref <> p_memory_id and not exists (
      select from (
        select e.seq from events e
        where e.tenant_id = p_tenant and e.kind like 'memory.%'
        and e.event_id = case when c.ref ~ '^chk_' then 'evt_' || split_part(substr(c.ref, 5), '_', 1) else c.ref end
        offset 0) made
      join memory_versions v on v.tenant_id = p_tenant and v.seq = made.seq
      where v.memory_id = p_memory_id and v.status in ('active', 'proposed')
      offset 0)
    group by c.ref
  )
  select coalesce((array_agg(c.ref order by c.seq desc, c.place, c.ref))[1:p_limit], '{}'), count(*)::int
  from counted c;
end;

-- Makes sure that a memory may be changed, with the clock locked; false where this very change was made before, so that a retry is
-- answered and not refused for what it did itself. p_version: what the client has read; null: whatever it is.
create function hold_memory(p_tenant text, p_memory_id text, p_version int, p_statuses text[], p_unit jsonb) returns boolean
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

-- A new version of a memory, with the content of the unit's one event. p_state is a wish as of write_memories, and its tags.
create function revise_memory(p_tenant text, p_memory_id text, p_version int, p_statuses text[], p_state jsonb, p_unit jsonb)
returns table (status text, outcome jsonb, at timestamptz, memories text[])
language plpgsql
as $$
declare
  v_new boolean := hold_memory(p_tenant, p_memory_id, p_version, p_statuses, p_unit);
  v_done unit_outcome;
  v_seq bigint;
  v_old text;
begin
  select c.status, c.outcome, c.at, c.memories into v_done from commit_units(p_tenant, jsonb_build_array(p_unit)) c;
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
    update chunks c set valid = validity(p_state) where c.tenant_id = p_tenant and c.seq = v_seq;
    perform end_passages(p_tenant, array[p_memory_id], v_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = v_seq;
    perform settle_tasks(p_tenant, array[p_memory_id], v_seq);
  end if;
  return query select v_done.status, v_done.outcome, v_done.at, v_done.memories;
end $$;

-- The end of a memory for no other: deleted, or a proposal rejected. The unit's one event says so.
create function close_memory(p_tenant text, p_memory_id text, p_version int, p_statuses text[], p_status text, p_unit jsonb)
returns table (status text, outcome jsonb, at timestamptz, memories text[])
language plpgsql
as $$
declare
  v_new boolean := hold_memory(p_tenant, p_memory_id, p_version, p_statuses, p_unit);
  v_done unit_outcome;
  v_seq bigint;
begin
  select c.status, c.outcome, c.at, c.memories into v_done from commit_units(p_tenant, jsonb_build_array(p_unit)) c;
  if v_new and v_done.status = 'new' then
    v_seq := (v_done.outcome ->> 'seq')::bigint;
    update memories m
    set status = p_status, version = m.version + 1, last_seq = v_seq, doing_agent = null, updated_at = v_done.at
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
    select p_tenant, p_memory_id, m.version, v_seq, m.content_seq, p_status
    from memories m
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    perform end_passages(p_tenant, array[p_memory_id], v_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = v_seq;
  end if;
  return query select v_done.status, v_done.outcome, v_done.at, v_done.memories;
end $$;

-- A new memory in the place of one that has the version that the client has read; the unit's wish names what it supersedes.
create function replace_memory(p_tenant text, p_memory_id text, p_version int, p_unit jsonb)
returns table (status text, outcome jsonb, at timestamptz, memories text[])
language plpgsql
as $$
begin
  perform hold_memory(p_tenant, p_memory_id, p_version, array['active'], p_unit);
  return query select c.status, c.outcome, c.at, c.memories from commit_units(p_tenant, jsonb_build_array(p_unit)) c;
end $$;

-- The tasks in work take their agents' places as the settings say now. Of several of one agent the one that moved last has it; those
-- that nobody may read have none. The caller has the clock, so that no task moves meanwhile.
create function settle_places(p_tenant text) returns void
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
          select from overlays o where o.tenant_id = p_tenant and o.seq = t.content_seq and cardinality(o.blocked_in) = 4)
      order by t.agent_id, case when t.channel = 'private' then t.user_id else '' end, t.last_seq desc
    ) newest
    where m.tenant_id = p_tenant and m.memory_id = newest.memory_id;
  end if;
end $$;

-- Memories past their time say so, p_limit of them; nothing that is answered changes by it.
create function expire_memories(p_tenant text, p_limit int) returns int
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
