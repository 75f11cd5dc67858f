-- Up to where the policy wants the log trimmed.
create or replace function trim_wanted(p_tenant text, p_trim jsonb, p_now timestamptz) returns bigint
language plpgsql stable
as $$
begin
  return case
    when p_trim ? 'keep_events' then (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant) - (p_trim ->> 'keep_events')::bigint
    when p_trim ? 'keep_days' then seq_before(p_tenant, p_now - interval '1 day' * (p_trim ->> 'keep_days')::float8)
    else 0 end;
end $$;

-- Marks events to keep as they are (`carry`). A memory that one of them says is held, with what was said of it from there on; of the
-- event that only took its place the place suffices (`ground`).
create or replace function mark_whole(p_tenant text, p_job text, p_seqs bigint[], p_upto bigint) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_more text[];
begin
  with said as materialized (
    select v.memory_id, min(v.seq) as first
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq = any (p_seqs) and v.seq <= p_upto and v.status <> 'superseded'
    group by v.memory_id
  ),
  kept as (
    select s.seq, 'carry' as what from unnest(p_seqs) s (seq)
    union
    select v.seq, case v.status when 'superseded' then 'ground' else 'carry' end
    from said s join memory_versions v on v.tenant_id = p_tenant and v.memory_id = s.memory_id and v.seq >= s.first
  ),
  marked as (
    insert into erasure_marks (tenant_id, job_id, what, id, seq)
    select p_tenant, p_job, k.what, e.event_id, e.seq
    from kept k join events e on e.tenant_id = p_tenant and e.seq = k.seq
    where k.seq <= p_upto
    on conflict do nothing
  )
  select array_agg(s.memory_id) into v_more
  from said s
  where not exists (
    select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'hold' and k.id = s.memory_id);
  if v_more is not null then
    perform mark_held(p_tenant, p_job, v_more, p_upto);
  end if;
end $$;

-- Marks memories to keep (`hold`), with the events that say them and those that the edits of these were made of: an edit goes with the
-- event that it names.
create or replace function mark_held(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) returns void
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
  insert into erasure_marks (tenant_id, job_id, what, id)
  select p_tenant, p_job, 'hold', h.id from unnest(p_memory_ids) h (id)
  on conflict do nothing;
  perform mark_whole(p_tenant, p_job, v_said || array(
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
    from sources(p_tenant, p_refs) s
    group by s.seq
  ) s;
  insert into erasure_marks (tenant_id, job_id, what, id, seq)
  select p_tenant, p_job, 'ground', e.event_id, e.seq
  from events e
  where e.tenant_id = p_tenant and e.seq = any (v_ground) and e.seq <= p_upto
  on conflict do nothing;
  perform mark_whole(p_tenant, p_job, v_whole, p_upto);
  return coalesce(v_whole, v_ground) is not null;
end $$;

-- Marks what a claim rests on, so that is_grounded answers after a trim as before: walked as there, level by level, until a level has a
-- source or an act.
create or replace function mark_grounds(p_tenant text, p_job text, p_memory memories, p_upto bigint) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refs text[] := array(
    select g.ref from grounds(p_tenant, p_memory.memory_id, p_memory.content_seq) g order by g.seq desc, g.place, g.ref);
  v_seen text[] := array[p_memory.memory_id];
  v_memories text[];
  v_found boolean;
begin
  if p_memory.pinned then
    perform mark_held(p_tenant, p_job, array(
      select m.memory_id from unnest(v_refs) r (ref) join memories m on m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, r.ref)), p_upto);
  end if;
  for depth in 1 .. 4 loop
    exit when coalesce(cardinality(v_refs), 0) = 0;
    exit when mark_sources(p_tenant, p_job, v_refs, p_memory.pinned and depth = 1, p_upto);
    select coalesce(array_agg(g.memory_id), '{}'), coalesce(bool_or(is_act(g.kind)), false) into v_memories, v_found
    from grounding_memories(p_tenant, v_refs, v_seen) g;
    perform mark_held(p_tenant, p_job, v_memories, p_upto);
    exit when v_found or cardinality(v_seen) > 64;
    v_seen := v_seen || v_memories;
    v_refs := array(select g.ref from grounds_of(p_tenant, v_memories) g);
  end loop;
end $$;

-- The memories that these rows of the log keep in need of something: those that are held, once, at the event of their content (or at each
-- version after p_new, written while this runs), and what capsules in use hand over.
create or replace function needing(p_tenant text, p_job text, p_seqs bigint[], p_new bigint) returns setof memories
language sql stable
begin atomic
  select distinct m
  from unnest(p_seqs) s (seq)
  join memory_versions v on v.tenant_id = p_tenant and v.seq = s.seq
  join memories m on m.tenant_id = p_tenant and m.memory_id = v.memory_id
  where v.status in ('active', 'proposed') and v.content_seq = m.content_seq and (v.seq = m.content_seq or v.seq > p_new) and stands(m)
    and not exists (
      select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory' and k.id = m.memory_id)
  union
  select m
  from unnest(p_seqs) s (seq)
  join capsules c on c.tenant_id = p_tenant and c.seq = s.seq
  join memories m on m.tenant_id = p_tenant and m.memory_id = any (c.items) and m.status in ('active', 'superseded')
  where c.revoked_at is null and c.expires_at > now();
end;

-- Marks what of the log up to p_upto is needed, for the next p_limit rows of memories and capsules after the seq p_after. Returns the last
-- seq looked at; null: there are no more.
create or replace function mark_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit int) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_seqs bigint[] := array(
    select distinct s.seq
    from (
      (select v.seq from memory_versions v where v.tenant_id = p_tenant and v.seq > p_after order by v.seq limit p_limit)
      union all
      (select c.seq from capsules c where c.tenant_id = p_tenant and c.seq > p_after order by c.seq limit p_limit)
    ) s
    order by s.seq
    limit p_limit);
  v_memory memories;
begin
  for v_memory in select * from needing(p_tenant, p_job, v_seqs, p_new) loop
    perform mark_held(p_tenant, p_job, array[v_memory.memory_id], p_upto);
    if v_memory.pinned or not is_act(v_memory.kind) then
      perform mark_grounds(p_tenant, p_job, v_memory, p_upto);
    end if;
  end loop;
  perform mark_whole(p_tenant, p_job, array(
    select e.seq
    from unnest(v_seqs) s (seq)
    join capsules c on c.tenant_id = p_tenant and c.seq = s.seq
    cross join lateral (
      select c.seq
      union all
      select (n.event).seq from events_named(p_tenant, c.items) n
    ) e
    where c.revoked_at is null and c.expires_at > now()), p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;

-- The next stretch of what was carried, after p_after and before the log's beginning p_first: at most p_limit events. No row: there are no more.
create or replace function carried_stretch(p_tenant text, p_after bigint, p_first bigint, p_limit int) returns table (from_seq bigint, to_seq bigint, events bigint)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select min(s.seq), max(s.seq), count(*)
  from (select e.seq from events e where e.tenant_id = p_tenant and e.seq > p_after and e.seq < p_first order by e.seq limit p_limit) s
  having count(*) > 0;
end $$;

-- Events that stay whatever a rule says: those of pinned memories and those that these cite, also by a passage, bytes or a memory of them.
create or replace function mark_pins(p_tenant text, p_job text) returns void
language sql
begin atomic
  with pinned as materialized (
    select m.* from memories m where m.tenant_id = p_tenant and m.pinned and stands(m)
  ),
  cited as materialized (
    select distinct event_of(g.ref) as ref
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

-- Marks what the rules want forgotten of a stretch. A rule without an importance leaves memories that are held alone; with one it ends
-- those that weigh no more.
create or replace function mark_old(p_tenant text, p_job text, p_rules jsonb, p_now timestamptz, p_from bigint, p_to bigint) returns void
language plpgsql
as $$
begin
  insert into erasure_marks (tenant_id, job_id, what, id, seq)
  select p_tenant, p_job, 'event', e.event_id, e.seq
  from events e
  where e.tenant_id = p_tenant and e.seq >= p_from and e.seq <= p_to
    and e.erased_at is null and e.kind not in ('erasure.completed', 'retention.forgot')
    and not exists (select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'pin' and k.id = e.event_id)
    and exists (
      select
      from jsonb_to_recordset(p_rules) r (kind text, channel text, older_than_days numeric, max_importance numeric)
      where e.created_at < p_now - interval '1 day' * r.older_than_days::float8
        and (r.channel is null or r.channel = e.channel)
        and (r.kind is null or r.kind = e.kind or (e.kind like 'memory.%' and e.content ->> 'kind' = r.kind))
        and (r.max_importance is null or not exists (
          select from memory_versions v join memories m on m.tenant_id = p_tenant and m.memory_id = v.memory_id
          where v.tenant_id = p_tenant and v.seq = e.seq and m.importance::numeric > r.max_importance))
        and (r.max_importance is not null or not exists (
          select from memory_versions v join memories m on m.tenant_id = p_tenant and m.memory_id = v.memory_id
          where v.tenant_id = p_tenant and v.seq = e.seq and v.seq >= m.content_seq and stands(m))))
  on conflict do nothing;
  insert into erasure_marks (tenant_id, job_id, what, id)
  select distinct p_tenant, p_job, 'memory', m.memory_id
  from memories m join erasure_marks k on k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.seq = m.content_seq
  where m.tenant_id = p_tenant and m.content_seq >= p_from and m.content_seq <= p_to and stands(m)
  on conflict do nothing;
end $$;

-- Up to where it may be trimmed: what a webhook has yet to deliver stays for a week, so that a receiver that never catches up does not
-- keep a log for ever. What memories and capsules need is carried (mark_needs).
create or replace function trim_bound(p_tenant text, p_job text, p_trim jsonb, p_now timestamptz) returns bigint
language plpgsql stable
as $$
begin
  return least(
    trim_wanted(p_tenant, p_trim, p_now),
    (select greatest(min(w.cursor), seq_before(p_tenant, p_now - interval '7 days')) from webhooks w
     where w.tenant_id = p_tenant and w.active
     having count(*) > 0));
end $$;

-- Drops the beginning of the log, at most p_limit events of it, with all that was derived from them; what is needed stays, carried.
create or replace function trim_step(p_tenant text, p_job text, p_after bigint, p_upto bigint, p_limit int)
returns table (last_seq bigint, trimmed bigint, carried bigint)
language plpgsql
as $$
declare
  v_seqs bigint[];
  v_kept bigint[];
  v_empty bigint[];
  v_drop bigint[];
  v_freed bigint;
  v_bytes bigint;
begin
  select array_agg(e.seq order by e.seq), array_agg(e.seq) filter (where e.whole or e.ground),
    array_agg(e.seq) filter (where e.ground and not e.whole and e.erased_at is null), array_agg(e.seq) filter (where not (e.whole or e.ground))
  into v_seqs, v_kept, v_empty, v_drop
  from (
    select l.seq, l.erased_at, coalesce(bool_or(k.what = 'carry'), false) as whole, coalesce(bool_or(k.what = 'ground'), false) as ground
    from (
      select e.seq, e.event_id, e.erased_at from events e
      where e.tenant_id = p_tenant and e.seq > p_after and e.seq <= p_upto order by e.seq limit p_limit
    ) l
    left join erasure_marks k on k.tenant_id = p_tenant and k.job_id = p_job and k.id = l.event_id and k.what in ('carry', 'ground')
    group by l.seq, l.erased_at
  ) e;
  last_seq := v_seqs[cardinality(v_seqs)];
  carried := coalesce(cardinality(v_kept), 0);
  trimmed := 0;
  if last_seq is null then
    return next;
    return;
  end if;
  select coalesce(sum(octet_length(e.content::text) + octet_length(e.metadata::text) + case when e.seq = any (v_drop) then 400 else 0 end), 0) into v_freed
  from events e where e.tenant_id = p_tenant and e.seq = any (v_drop || v_empty);
  with gone as (
    delete from artifacts a using events e
    where e.tenant_id = p_tenant and e.seq = any (v_drop || v_empty) and a.tenant_id = p_tenant and a.artifact_id = e.artifact_id
    returning a.byte_count)
  select coalesce(sum(byte_count), 0) into v_bytes from gone;
  with gone as (
    delete from chunks c where c.tenant_id = p_tenant and c.seq = any (v_drop || v_empty) returning octet_length(passage_text(c)) + octet_length(c.header) as bytes)
  select v_bytes + coalesce(sum(bytes), 0) into v_bytes from gone;
  perform forget_about(p_tenant, v_drop || v_empty);
  perform forget_trimmed(p_tenant, p_job, v_seqs, v_drop);
  if v_empty is not null then
    perform blank_events(v_empty, '{"erased": true, "retention": true}', null, null);
  end if;
  perform carry_events(v_kept);
  trimmed := drop_events(v_drop);
  update tenant_clocks c
  set oldest_seq = greatest(c.oldest_seq, trim_step.last_seq + 1), event_count = c.event_count - trimmed,
    stored_bytes = greatest(0, c.stored_bytes - v_freed - v_bytes)
  where c.tenant_id = p_tenant;
  return next;
end $$;

-- One step of a retention run, as erase_step. p_input: {"rules", "trim"}; p_cursor: {"phase", "after", "upto", "now", "counts", "trim_to"};
-- p_event: what the log says at the end. A trim marks first what is needed (`need`), and in each step what was written since, under the
-- clock's lock.
create or replace function retain_step(p_tenant text, p_job text, p_token int, p_lease_ms int, p_limit int, p_cursor jsonb, p_input jsonb, p_event jsonb)
returns jsonb
language plpgsql
as $$
declare
  v_phase text := p_cursor ->> 'phase';
  v_after text := coalesce(p_cursor ->> 'after', '');
  v_upto bigint := (p_cursor ->> 'upto')::bigint;
  v_now timestamptz := (p_cursor ->> 'now')::timestamptz;
  v_counts jsonb := '{}';
  v_next text;
  v_total bigint;
  v_row record;
  v_ended bigint;
  v_more jsonb := '{}';
begin
  perform enter_tenant(p_tenant);
  if not report_job(p_tenant, p_job, p_token, null, null, null, p_lease_ms) then
    return null;
  end if;
  case v_phase
    when 'pins' then
      perform mark_pins(p_tenant, p_job);
      v_upto := seq_before(p_tenant, v_now - interval '1 day' * (select min((r ->> 'older_than_days')::float8) from jsonb_array_elements(p_input -> 'rules') r));
      v_next := '0';
      v_more := jsonb_build_object('upto', coalesce(v_upto, 0));
      v_phase := 'find';
    when 'find' then
      -- what was carried lies far apart
      v_next := (select e.seq - 1 from events e where e.tenant_id = p_tenant and e.seq > v_after::bigint order by e.seq limit 1);
      v_after := coalesce(v_next, v_upto::text);
      v_next := least(v_upto, v_after::bigint + p_limit * 10)::text;
      perform mark_old(p_tenant, p_job, p_input -> 'rules', v_now, v_after::bigint + 1, v_next::bigint);
      if v_next::bigint >= v_upto then
        v_phase := 'blank';
        v_next := null;
        select count(*), jsonb_build_object('first_seq', min(k.seq), 'last_seq', max(k.seq)) into v_total, v_more
        from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event';
      end if;
    when 'blank' then
      select * into v_row from blank_marked(p_tenant, p_job, v_after, p_limit, '{"erased": true, "retention": true}', null, null);
      v_next := v_row.last_id;
      v_counts := case when v_next is null then '{}' else jsonb_build_object('events', v_row.events, 'chunks', v_row.chunks, 'artifacts', v_row.artifacts) end;
      v_phase := case when v_next is null then 'say' else 'blank' end;
    when 'say' then
      perform from tenant_clocks c where c.tenant_id = p_tenant for update;
      if (p_cursor -> 'counts' ->> 'events')::bigint > 0 then
        v_total := say(p_tenant, p_event);
        select count(*) into v_ended from (
          select end_memory(p_tenant, m.memory_id, 'expired', v_total)
          from erasure_marks k join memories m on m.tenant_id = p_tenant and m.memory_id = k.id
          where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory' and stands(m)) ended;
        v_counts := jsonb_build_object('memories', v_ended);
        v_total := null;
      end if;
      v_phase := case when p_input -> 'trim' is null or p_input ->> 'trim' is null then 'over' else 'bound' end;
    when 'bound' then
      -- what was carried before may have become needless
      select jsonb_build_object('trim_to', greatest(trim_bound(p_tenant, p_job, p_input -> 'trim', v_now), c.oldest_seq - 1), 'new', c.last_seq, 'needed', 0, 'until', c.last_seq, 'rounds', 1)
      into v_more
      from tenant_clocks c where c.tenant_id = p_tenant;
      v_phase := 'need';
    when 'need' then
      v_next := mark_needs(p_tenant, p_job, (p_cursor ->> 'trim_to')::bigint, (p_cursor ->> 'new')::bigint, (p_cursor ->> 'needed')::bigint, p_limit);
      v_more := case when v_next is null then '{}' else jsonb_build_object('needed', v_next::bigint) end;
      if v_next is null or v_next::bigint >= (p_cursor ->> 'until')::bigint then
        -- what was written meanwhile is less each time; the rest is marked while the writers wait
        v_total := (p_cursor ->> 'rounds')::bigint;
        v_phase := case when v_next is null or v_total = 4 then 'trim' else 'need' end;
        v_more := v_more || jsonb_build_object(
          'until', (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant), 'rounds', v_total + 1);
        v_total := null;
      end if;
      v_next := null;
    when 'trim' then
      perform from tenant_clocks c where c.tenant_id = p_tenant for update;
      v_upto := (p_cursor ->> 'needed')::bigint;
      while v_upto is not null loop
        v_more := jsonb_build_object('needed', v_upto);
        v_upto := mark_needs(p_tenant, p_job, (p_cursor ->> 'trim_to')::bigint, (p_cursor ->> 'new')::bigint, v_upto, p_limit);
      end loop;
      select * into v_row from trim_step(p_tenant, p_job, coalesce(nullif(v_after, ''), '0')::bigint, (p_cursor ->> 'trim_to')::bigint, p_limit);
      v_counts := jsonb_build_object('trimmed', v_row.trimmed, 'carried', v_row.carried);
      v_next := v_row.last_seq::text;
      v_phase := case when v_next is null then 'over' else 'trim' end;
    else
      raise exception 'no phase %', v_phase;
  end case;
  v_counts := add_counts(coalesce(p_cursor -> 'counts', '{}'), v_counts);
  p_cursor := p_cursor || jsonb_build_object('phase', v_phase, 'after', coalesce(v_next, ''), 'counts', v_counts) || v_more;
  perform report_job(p_tenant, p_job, p_token, coalesce((v_counts ->> 'events')::bigint, 0), v_total, p_cursor, p_lease_ms);
  return p_cursor;
end $$;

-- Whether the daily run is due, which it then is not for another day.
create or replace function retention_due(p_tenant text) returns jsonb
language plpgsql
as $$
declare
  v_policy retention_policies;
begin
  perform enter_tenant(p_tenant);
  update retention_policies p set last_run_at = clock_timestamp()
  where p.tenant_id = p_tenant and coalesce(p.last_run_at < clock_timestamp() - interval '1 day', true)
    -- not what has only half come
    and not is_importing()
  returning * into v_policy;
  return case when v_policy.tenant_id is not null then jsonb_build_object('rules', v_policy.rules, 'trim', v_policy.trim) end;
end $$;

-- What a trim may not pass although the policy wants it to: the first of what trim_bound looks at. Null: nothing.
create or replace function trim_hold(p_tenant text, p_job text, p_trim jsonb, p_now timestamptz) returns jsonb
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  return (
    select jsonb_build_object('reason', 'webhook', 'seq', h.seq, 'webhook_id', h.webhook_id)
    from (
      select greatest(w.cursor, seq_before(p_tenant, p_now - interval '7 days')) + 1 as seq, w.webhook_id
      from webhooks w
      where w.tenant_id = p_tenant and w.active
      order by w.cursor
      limit 1
    ) h
    where h.seq <= trim_wanted(p_tenant, p_trim, p_now));
end $$;

-- One page of what a run would blank, by the ids of its events: counts and times by kind.
create or replace function count_old(p_tenant text, p_job text, p_after text, p_limit int)
returns table (last_id text, kind text, events bigint, oldest timestamptz, newest timestamptz)
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  with page as materialized (
    select k.id, k.seq
    from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id > p_after
    order by k.id
    limit p_limit
  )
  select
    (select max(p.id) from page p), e.kind, count(*),
    min(e.created_at) filter (where is_readable_time(e.created_at)), max(e.created_at) filter (where is_readable_time(e.created_at))
  from page p join events e on e.tenant_id = p_tenant and e.seq = p.seq
  group by e.kind;
end $$;

-- What else the preview says, after everything was found and what is needed was marked.
create or replace function foresee_retention(p_tenant text, p_job text, p_trim jsonb, p_now timestamptz) returns jsonb
language plpgsql stable
as $$
declare
  v_oldest bigint;
  v_to bigint;
  v_before bigint;
  v_carried bigint;
begin
  perform enter_tenant(p_tenant);
  select c.oldest_seq into v_oldest from tenant_clocks c where c.tenant_id = p_tenant;
  v_to := case when p_trim ? 'keep_events' or p_trim ? 'keep_days' then greatest(trim_bound(p_tenant, p_job, p_trim, p_now), v_oldest - 1) end;
  v_before := (select count(*) from events e where e.tenant_id = p_tenant and e.seq < v_oldest);
  v_carried := (
    select count(distinct k.seq) from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('carry', 'ground') and k.seq <= v_to);
  return jsonb_build_object(
    'memories', (select count(*) from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory'),
    'sample', (
      select coalesce(jsonb_agg(s.id), '[]') from (
        select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' order by k.seq limit 10) s),
    'trimmed', coalesce(v_before + v_to - v_oldest + 1 - v_carried, 0),
    'carried', case when v_to is null then v_before else v_carried end,
    'oldest_seq', coalesce(v_to + 1, v_oldest),
    'held_by', trim_hold(p_tenant, p_job, p_trim, p_now));
end $$;
