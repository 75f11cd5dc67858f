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

-- Approved edits of p_from of these kinds hold for p_to too, which says the same or what took its place; a revert takes them from both.
create function carry_edits(p_tenant text, p_from bigint, p_to bigint, p_ops text[]) returns void
language plpgsql
as $$
begin
  insert into edit_events (tenant_id, seq, edit_id)
  select p_tenant, p_to, d.edit_id
  from edit_events x join edits d on d.tenant_id = x.tenant_id and d.edit_id = x.edit_id
  where x.tenant_id = p_tenant and x.seq = p_from and d.status = 'approved' and d.op = any (p_ops)
  on conflict do nothing;
  if found then
    -- a revert has to undo them all at once, as an approval does them
    if exists (
      select from edit_events x
      cross join lateral (select count(*) as n from (select from edit_events k where k.tenant_id = p_tenant and k.edit_id = x.edit_id limit 1001) k) held
      where x.tenant_id = p_tenant and x.seq = p_to and held.n > 1000) then
      raise exception 'an edit holds for 1000 events of this memory: an admin reverts it first' using errcode = 'AM409';
    end if;
    perform apply_edits(p_tenant, p_to);
  end if;
end $$;

-- Other words for a memory lift none of the edits that hide it or make it count less. Those of single passages have no place in them.
create function carry_hiding(p_tenant text, p_from bigint, p_to bigint) returns void
language plpgsql
as $$
begin
  if exists (
    select from edit_events x join edits d on d.tenant_id = x.tenant_id and d.edit_id = x.edit_id
    where x.tenant_id = p_tenant and x.seq = p_from and d.status = 'approved' and d.ordinal is not null
      and d.op in ('retract', 'quarantine', 'block')) then
    raise exception 'an edit hides a part of the memory: an admin gives it new words, or reverts the edit' using errcode = 'AM409';
  end if;
  perform carry_edits(p_tenant, p_from, p_to, array['retract', 'quarantine', 'attenuate', 'block']);
end $$;

-- As in 0007: an event that says again what a memory says reads as its edits say, and a task stays as hidden as it was. Only what was
-- retracted is a new statement when it is said again: from then on the memory is what this event says, and nothing of the old.
create or replace function say_again(p_tenant text, p_seqs bigint[], p_docs jsonb[], p_ids text[]) returns void
language plpgsql
as $$
declare
  v_said record;
begin
  -- nearly always: every event made a memory of its own
  if not exists (select from unnest(p_docs, p_ids) w (doc, id) where w.doc #>> '{memory,memory_id}' <> w.id) then
    return;
  end if;
  for v_said in
    select w.seq, w.doc, w.id, was.content_seq, o.withheld, was.kind
    from unnest(p_seqs, p_docs, p_ids) w (seq, doc, id)
    -- `limit 1` keeps each a look-up by key
    cross join lateral (
      select v.content_seq, m.kind
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      where v.tenant_id = p_tenant and v.memory_id = w.id and v.seq < w.seq
      order by v.version desc
      limit 1
    ) was
    cross join lateral (
      select coalesce(x.content ? 'withheld', false) as withheld
      from overlays x
      where x.tenant_id = p_tenant and x.seq = was.content_seq
      limit 1
    ) o
    where w.doc #>> '{memory,memory_id}' <> w.id
      -- what is only counted says nothing
      and exists (select from memory_versions n where n.tenant_id = p_tenant and n.seq = w.seq and n.memory_id = w.id)
    order by w.seq
  loop
    if v_said.kind = 'task' then
      perform carry_edits(p_tenant, v_said.content_seq, v_said.seq, array['quarantine', 'attenuate', 'block']);
    elsif v_said.withheld then
      perform state_anew(p_tenant, v_said.id, v_said.content_seq, v_said.seq, v_said.doc);
    else
      perform carry_edits(p_tenant, v_said.content_seq, v_said.seq, array['retract', 'amend', 'quarantine', 'attenuate', 'block']);
    end if;
  end loop;
end $$;

-- The memory is what the event p_seq says, no longer what p_from said. Of several in a batch the first: the others say it again.
create function state_anew(p_tenant text, p_memory_id text, p_from bigint, p_seq bigint, p_doc jsonb) returns void
language plpgsql
as $$
begin
  update memories m
  set content_seq = p_seq, repeats = 0, importance = r.importance, pinned = r.pinned, valid_from = r.valid_from, valid_to = r.valid_to,
    expires_at = r.expires_at, tags = e.tags, agent_id = e.agent_id, session_id = nullif(e.session_id, r.memory_id), project_id = e.project_id
  from jsonb_to_record(p_doc) e (tags text[], agent_id text, session_id text, project_id text),
    jsonb_to_record(p_doc -> 'memory') r (
      memory_id text, importance real, pinned boolean, valid_from timestamptz, valid_to timestamptz, expires_at timestamptz)
  where m.tenant_id = p_tenant and m.memory_id = p_memory_id and m.content_seq = p_from;
  if found then
    update memory_versions v set content_seq = p_seq
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.seq >= p_seq and v.content_seq = p_from;
    perform end_passages(p_tenant, p_memory_id, p_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = p_seq;
  end if;
end $$;

-- A new version of a memory, with the content of the unit's one event. p_state is a wish as of write_memories, its tags, and whether it is
-- `restated`: an admin gives it other words, which no edit has looked at.
create function revise_memory(p_tenant text, p_memory_id text, p_version int, p_statuses text[], p_state jsonb, p_unit jsonb)
returns table (status text, outcome jsonb, at timestamptz, memories text[])
language plpgsql
as $$
declare
  v_new boolean := hold_memory(p_tenant, p_memory_id, p_version, p_statuses, p_unit);
  v_done unit_outcome;
  v_seq bigint;
  v_from bigint := (select m.content_seq from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id);
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
    perform end_passages(p_tenant, p_memory_id, v_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = v_seq;
    perform settle_tasks(p_tenant, array[p_memory_id], v_seq);
    if not (p_state ->> 'restated')::boolean then
      perform carry_hiding(p_tenant, v_from, v_seq);
    end if;
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
    perform end_passages(p_tenant, p_memory_id, v_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = v_seq;
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
