-- A trim passes what memories and capsules still need: it carries those events, so that the log can be bounded.
-- min_code: 33

-- Null for the events of the log. An event that a trim kept lies before the log's beginning: lists and followers do not show it; whoever
-- needs it finds it by its id and seq as before.
alter table events add column carried_at timestamptz;
grant update (carried_at) on events to agent_memory_blanker;
-- the walk of mark_needs
create index capsules__seq on capsules (tenant_id, seq);

create or replace function seen_events(p_tenant text, p_scope jsonb) returns setof events
language sql stable
as $$
  select
    e.tenant_id, e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, coalesce(o.content, e.content), e.user_id, e.agent_id,
    e.project_id, e.sensitivity, e.tags, e.refs, e.metadata, case when o.content is null then e.artifact_id end, e.chunk_count, e.byte_count,
    e.occurred_at, e.created_at, e.supersedes, e.erased_at, e.redactions, e.session_key, e.carried_at
  from events e
  left join overlays o on o.tenant_id = p_tenant and o.seq = e.seq
  where e.tenant_id = p_tenant
    and e.channel = any (array(select jsonb_array_elements_text(p_scope -> 'channels')))
    and (e.channel <> 'private' or p_scope -> 'subjects' = 'null' or p_scope -> 'subjects' ? e.user_id)
    and e.sensitivity = any (array(select jsonb_array_elements_text(p_scope -> 'sensitivities')))
    and (p_scope ->> 'as_of' is null or e.occurred_at <= (p_scope ->> 'as_of')::timestamptz)
    and (o.blocked_in is null or not o.blocked_in @> array[p_scope ->> 'channel'])
$$;

create function carry_events(p_seqs bigint[]) returns void
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
  update public.events e set carried_at = clock_timestamp()
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs) and e.carried_at is null
$$;

drop function drop_events(bigint, bigint);
create function drop_events(p_seqs bigint[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count bigint;
begin
  delete from public.events e where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  return v_count;
end $$;

do $$
declare
  v_function regprocedure;
begin
  grant create on schema public to agent_memory_blanker;
  foreach v_function in array array['carry_events(bigint[])', 'drop_events(bigint[])']::regprocedure[] loop
    execute format('revoke execute on function %s from public', v_function);
    execute format('grant execute on function %s to agent_memory_app', v_function);
    execute format('alter function %s owner to agent_memory_blanker', v_function);
  end loop;
  revoke create on schema public from agent_memory_blanker;
end $$;

-- Up to where the policy wants the log trimmed.
create function trim_wanted(p_tenant text, p_trim jsonb, p_now timestamptz) returns bigint
language plpgsql stable
as $$
begin
  return case
    when p_trim ? 'keep_events' then (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant) - (p_trim ->> 'keep_events')::bigint
    when p_trim ? 'keep_days' then seq_before(p_tenant, p_now - interval '1 day' * (p_trim ->> 'keep_days')::float8)
    else 0 end;
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

-- What a trim may not pass although the policy wants it to. Null: nothing.
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

-- Marks memories to keep (`hold`), with the events that say them and those that the edits of these were made of: an edit goes with the
-- event that it names.
create function mark_held(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) returns void
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

-- Marks events to keep as they are (`carry`). A memory that one of them says is held, with what was said of it from there on; of the
-- event that only took its place the place suffices (`ground`).
create function mark_whole(p_tenant text, p_job text, p_seqs bigint[], p_upto bigint) returns void
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

-- Marks the events that these refs name as sources: `ground` (its place suffices) or `carry` (as it is; an artifact is found by its event
-- alone). Returns whether there are any, also beyond p_upto. The same sources as in is_grounded (0020).
create function mark_sources(p_tenant text, p_job text, p_refs text[], p_whole boolean, p_upto bigint) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_whole bigint[];
  v_ground bigint[];
begin
  select array_agg(s.seq) filter (where s.whole), array_agg(s.seq) filter (where not s.whole) into v_whole, v_ground
  from (
    select e.seq, bool_or(p_whole or r.ref ~ '^art_') as whole
    from unnest(p_refs) r (ref)
    cross join lateral (
      select * from events e
      where e.tenant_id = p_tenant and e.kind not like 'memory.%' and e.event_id = case
        when r.ref ~ '^chk_' then 'evt_' || split_part(substr(r.ref, 5), '_', 1)
        when r.ref ~ '^art_' then (select a.event_id from artifacts a where a.tenant_id = p_tenant and a.artifact_id = r.ref)
        else r.ref end
      limit 1
    ) e
    where not is_gone(e)
    group by e.seq
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
create function mark_grounds(p_tenant text, p_job text, p_memory memories, p_upto bigint) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refs text[] := array(
    select g.ref from grounds(p_tenant, p_memory.memory_id, p_memory.content_seq) g order by g.seq desc, g.place, g.ref);
  v_seen text[] := array[p_memory.memory_id];
  v_claims text[];
begin
  if p_memory.pinned then
    perform mark_held(p_tenant, p_job, array(
      select m.memory_id from unnest(v_refs) r (ref) join memories m on m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, r.ref)), p_upto);
  end if;
  for depth in 1 .. 4 loop
    exit when coalesce(cardinality(v_refs), 0) = 0;
    exit when mark_sources(p_tenant, p_job, v_refs, p_memory.pinned and depth = 1, p_upto);
    v_claims := array(
      select m.memory_id
      from unnest(v_refs) with ordinality as r (ref, place)
      cross join lateral (select x.id from memory_of(p_tenant, r.ref) x (id) offset 0) o
      cross join lateral (select * from memories m where m.tenant_id = p_tenant and m.memory_id = o.id offset 0) m
      cross join lateral (select e as said from events e where e.tenant_id = p_tenant and e.seq = m.content_seq offset 0) e
      where not m.memory_id = any (v_seen) and m.status <> 'deleted' and not is_gone(e.said)
      group by m.memory_id, m.kind
      order by is_act(m.kind) desc, min(r.place)
      limit greatest(1, 65 - cardinality(v_seen)));
    perform mark_held(p_tenant, p_job, v_claims, p_upto);
    exit when exists (select from memories m where m.tenant_id = p_tenant and m.memory_id = v_claims[1] and is_act(m.kind));
    exit when cardinality(v_seen) > 64;
    v_seen := v_seen || v_claims;
    v_refs := array(
      select distinct g.ref
      from memories m
      cross join lateral (
        select o.ref from grounds(p_tenant, m.memory_id, m.content_seq) o order by o.seq desc, o.place, o.ref limit 256
      ) g
      where m.tenant_id = p_tenant and m.memory_id = any (v_claims));
  end loop;
end $$;

-- The memories that these rows of the log keep in need of something: those that are held, once, at the event of their content (or at each
-- version after p_new, written while this runs), and what capsules in use hand over.
create function needing(p_tenant text, p_job text, p_seqs bigint[], p_new bigint) returns setof memories
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
create function mark_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit int) returns bigint
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
      select e.seq
      from unnest(c.items) i (id)
      join events e on e.tenant_id = p_tenant and e.event_id = case
        when i.id ~ '^chk_' then 'evt_' || split_part(substr(i.id, 5), '_', 1)
        when i.id ~ '^art_' then (select a.event_id from artifacts a where a.tenant_id = p_tenant and a.artifact_id = i.id)
        else i.id end
    ) e
    where c.revoked_at is null and c.expires_at > now()), p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;

-- Memories that end with these events of the log: the content of each is among them, and nothing holds it.
create function forget_trimmed(p_tenant text, p_job text, p_seqs bigint[], p_drop bigint[]) returns void
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_ended text[] := array(
    select m.memory_id
    from (select distinct v.memory_id from memory_versions v where v.tenant_id = p_tenant and v.seq = any (p_seqs)) v
    join memories m on m.tenant_id = p_tenant and m.memory_id = v.memory_id
    where m.content_seq = any (p_seqs) and not exists (
      select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'hold' and k.id = m.memory_id));
begin
  delete from memory_versions v where v.tenant_id = p_tenant and v.seq = any (p_drop);
  delete from memory_versions v where v.tenant_id = p_tenant and v.memory_id = any (v_ended);
  update memories m set superseded_by = null where m.tenant_id = p_tenant and m.superseded_by = any (v_ended);
  delete from memories m where m.tenant_id = p_tenant and m.memory_id = any (v_ended);
end $$;

-- Trims the next p_limit events after the seq p_after: what is marked `carry` is kept as it is, what is marked `ground` keeps its place
-- without its payload, the rest is dropped with all that was derived from it. The clock is locked, and all needs are marked.
drop function trim_step(text, bigint, int);
create function trim_step(p_tenant text, p_job text, p_after bigint, p_upto bigint, p_limit int)
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

-- As in 0012; a trim marks first what is needed (`need`), and in each step what was written since, under the clock's lock.
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

-- As in 0017: whether something that is named may be gone by right.
create or replace function has_forgotten(p_tenant text) returns boolean
language sql stable
begin atomic
  select not exists (select from events e where e.tenant_id = p_tenant and e.seq = 1 and e.carried_at is null)
    or exists (select from events e where e.tenant_id = p_tenant and e.kind in ('erasure.completed', 'retention.forgot'));
end;

-- The next stretch of what was carried, after p_after and before the log's beginning p_first: at most p_limit events. No row: there are no more.
create function carried_stretch(p_tenant text, p_after bigint, p_first bigint, p_limit int) returns table (from_seq bigint, to_seq bigint, events bigint)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select min(s.seq), max(s.seq), count(*)
  from (select e.seq from events e where e.tenant_id = p_tenant and e.seq > p_after and e.seq < p_first order by e.seq limit p_limit) s
  having count(*) > 0;
end $$;

-- As in 0017; places are missing only where the log has begun.
create or replace function check_log(p_tenant text, p_from bigint, p_to bigint)
returns table (name text, checked bigint, wrong bigint, sample jsonb)
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
declare
  v_first bigint;
  v_oldest text;
  v_forgotten boolean;
begin
  perform enter_tenant(p_tenant);
  v_forgotten := has_forgotten(p_tenant);
  -- of what is being imported the clock tells nothing yet
  select case when c.importing is null then c.oldest_seq else (
    select e.seq from events e where e.tenant_id = p_tenant and e.carried_at is null order by e.seq limit 1) end into v_first
  from tenant_clocks c where c.tenant_id = p_tenant;
  select e.event_id into v_oldest from events e where e.tenant_id = p_tenant and e.seq = v_first and v_first > 1;

  return query
  select 'seq', count(*), count(*) filter (where g.missing), coalesce(jsonb_agg(to_jsonb(g.seq) order by g.seq) filter (where g.missing and g.nth <= 5), '[]')
  from (
    select p.*, row_number() over (partition by p.missing order by p.seq) as nth
    from (
      select e.seq, false as missing from events e where e.tenant_id = p_tenant and e.seq between p_from and p_to
      union all
      select s.seq, true
      from generate_series(greatest(p_from, v_first), p_to) s (seq)
      where not exists (select from events e where e.tenant_id = p_tenant and e.seq = s.seq)
    ) p
  ) g;

  return query
  select
    r.name, count(*), count(*) filter (where r.wrong),
    coalesce(jsonb_agg(jsonb_build_object('seq', r.seq, 'ref', r.ref) order by r.seq) filter (where r.wrong and r.nth <= 5), '[]')
  from (
    select f.*, row_number() over (partition by f.name, f.wrong order by f.seq) as nth
    from (
      select e.seq, r.ref, case when x.fault = 'gone' then 'refs_gone' else 'refs' end as name, x.fault = 'dangling' as wrong
      from events e
      cross join lateral unnest(e.refs) r (ref)
      cross join lateral (select fault_of_ref(p_tenant, r.ref, v_oldest, v_forgotten) as fault) x
      where e.tenant_id = p_tenant and e.seq between p_from and p_to and r.ref ~ '^(evt|chk|art|mem)_[0-9a-z]{26}'
    ) f
  ) r
  group by r.name;

  return query
  with counted as (
    select c.seq, count(*) as n, max(c.ordinal) as last
    from chunks c
    where c.tenant_id = p_tenant and c.seq between p_from and p_to
    group by c.seq
  ),
  judged as (
    select coalesce(e.seq, c.seq) as seq, e.chunk_count, coalesce(c.n, 0) as n,
      e.seq is null or coalesce(c.n, 0) <> e.chunk_count or coalesce(c.last, -1) <> e.chunk_count - 1 as wrong
    from (select e.* from events e where e.tenant_id = p_tenant and e.seq between p_from and p_to) e
    full join counted c on c.seq = e.seq
    -- of what is kept nowhere there are no passages
    where not coalesce(e.sensitivity = 'secret' and c.n is null, false)
      -- of what is edited others decide how many there are
      and not exists (select from overlays o where o.tenant_id = p_tenant and o.seq = coalesce(e.seq, c.seq))
  )
  select 'passages', count(*), count(*) filter (where j.wrong),
    coalesce(jsonb_agg(jsonb_build_object('seq', j.seq, 'expected', j.chunk_count, 'found', j.n) order by j.seq) filter (where j.wrong and j.nth <= 5), '[]')
  from (select d.*, row_number() over (partition by d.wrong order by d.seq) as nth from judged d) j;

  return query
  with judged as (
    select c.seq, c.ordinal,
      (c.kind, c.session_id, c.channel, c.sensitivity, c.user_id, c.agent_id, c.project_id, c.occurred_at)
        is distinct from (e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id, e.occurred_at) as wrong
    from chunks c
    join events e on e.tenant_id = p_tenant and e.seq = c.seq
    where c.tenant_id = p_tenant and c.seq between p_from and p_to
  )
  select 'passage_scopes', count(*), count(*) filter (where j.wrong),
    coalesce(jsonb_agg(jsonb_build_object('seq', j.seq, 'ordinal', j.ordinal) order by j.seq) filter (where j.wrong and j.nth <= 5), '[]')
  from (select d.*, row_number() over (partition by d.wrong order by d.seq) as nth from judged d) j;

  return query
  with judged as (
    select c.*, c.until_seq is distinct from c.expected as wrong from compare_ends(p_tenant, p_from, p_to) c
  )
  select 'passage_ends', count(*), count(*) filter (where j.wrong),
    coalesce(jsonb_agg(jsonb_build_object('seq', j.seq, 'expected', j.expected, 'found', j.until_seq) order by j.seq) filter (where j.wrong and j.nth <= 5), '[]')
  from (select d.*, row_number() over (partition by d.wrong order by d.seq) as nth from judged d) j;

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
    coalesce(jsonb_agg(jsonb_build_object('memory_id', j.memory_id, 'version', j.version, 'fault', j.fault) order by j.seq) filter (where j.fault is not null and j.nth <= 5), '[]')
  from (select d.*, row_number() over (partition by d.fault is null order by d.seq) as nth from judged d) j;

  return query
  with judged as (
    select e.seq, e.artifact_id,
      case
        when a.artifact_id is null then 'no such artifact'
        when a.event_id is distinct from e.event_id then 'not linked'
        when octet_length(a.bytes) <> a.byte_count then 'not all its bytes'
      end as fault
    from events e
    left join artifacts a on a.tenant_id = p_tenant and a.artifact_id = e.artifact_id
    where e.tenant_id = p_tenant and e.seq between p_from and p_to and e.artifact_id is not null
      and not (a.artifact_id is null and v_forgotten)
  )
  select 'artifacts', count(*), count(j.fault),
    coalesce(jsonb_agg(jsonb_build_object('seq', j.seq, 'artifact_id', j.artifact_id, 'fault', j.fault) order by j.seq) filter (where j.fault is not null and j.nth <= 5), '[]')
  from (select d.*, row_number() over (partition by d.fault is null order by d.seq) as nth from judged d) j;
end $$;

-- As in 0017; what was carried lies before the log's beginning.
drop function read_standing(text);
create function read_standing(p_tenant text)
returns table (last_seq bigint, oldest_seq bigint, event_count bigint, stored_bytes bigint, highest bigint, lowest bigint, carried_from bigint, artifact_bytes bigint, unlinked bigint, rebuilding boolean)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select
    c.last_seq, c.oldest_seq, c.event_count, c.stored_bytes,
    (select max(e.seq) from events e where e.tenant_id = p_tenant),
    (select e.seq from events e where e.tenant_id = p_tenant and e.carried_at is null order by e.seq limit 1),
    (select min(e.seq) from events e where e.tenant_id = p_tenant and e.seq < c.oldest_seq),
    (select coalesce(sum(a.byte_count), 0)::bigint from artifacts a where a.tenant_id = p_tenant and a.event_id is not null),
    (select count(*) from artifacts a where a.tenant_id = p_tenant and a.event_id is null and a.created_at < now() - interval '2 days'),
    exists (select from chunk_rebuilds r where r.tenant_id = p_tenant)
  from tenant_clocks c
  where c.tenant_id = p_tenant;
end $$;

-- As in 0017.
create or replace function repair_clock(p_tenant text, p_upto bigint, p_count bigint, p_bytes bigint) returns void
language plpgsql
as $$
declare
  v_clock tenant_clocks;
  v_last bigint;
  v_first bigint;
begin
  perform enter_tenant(p_tenant);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_last := (select max(e.seq) from events e where e.tenant_id = p_tenant);
  v_first := (select e.seq from events e where e.tenant_id = p_tenant and e.carried_at is null order by e.seq limit 1);
  update tenant_clocks c
  set
    last_seq = greatest(v_clock.last_seq, v_last),
    oldest_seq = least(v_clock.oldest_seq, v_first),
    event_count = p_count + (select count(*) from events e where e.tenant_id = p_tenant and e.seq > p_upto),
    stored_bytes = p_bytes + measure_log(p_tenant, p_upto + 1, greatest(v_clock.last_seq, v_last))
  where c.tenant_id = p_tenant;
end $$;

-- As in 0016; an edit of something that was carried names what stands at its seq, too.
create or replace function stray_edit(p_tenant text, p_first bigint, p_after text, p_limit int) returns table (last text, stray text)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select max(d.edit_id), min(d.edit_id) filter (where (d.seq >= p_first or d.there is not null) and d.event_id is distinct from d.there)
  from (
    select t.edit_id, t.seq, t.event_id, (select e.event_id from events e where e.tenant_id = p_tenant and e.seq = t.seq) as there
    from edits t
    where t.tenant_id = p_tenant and t.edit_id > p_after
    order by t.edit_id
    limit p_limit) d;
end $$;
