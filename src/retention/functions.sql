-- Returns the seq up to which a policy or a run requests the log to be trimmed.
create or replace function trim_target(p_tenant text, p_trim jsonb, p_now timestamptz) returns bigint
language plpgsql stable
as $$
begin
  return case
    when p_trim ? 'keep_events' then (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant) - (p_trim ->> 'keep_events')::bigint
    when p_trim ? 'before_seq' then (
      select least(c.last_seq, (p_trim ->> 'before_seq')::bigint - 1) from tenant_clocks c where c.tenant_id = p_tenant)
    when p_trim ? 'keep_days' then seq_before(p_tenant, p_now - interval '1 day' * (p_trim ->> 'keep_days')::float8)
    else 0 end;
end $$;

-- Returns the next range of carried events: at most p_limit after p_after and before the beginning of the log, p_first. No row: there are none.
create or replace function carried_range(p_tenant text, p_after bigint, p_first bigint, p_limit int) returns table (from_seq bigint, to_seq bigint, events bigint)
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select min(s.seq), max(s.seq), count(*)
  from (select e.seq from events e where e.tenant_id = p_tenant and e.seq > p_after and e.seq < p_first order by e.seq limit p_limit) s
  having count(*) > 0;
end $$;

-- Returns the events among these for which a noun has a row: whether the row is current, and its importance.
create or replace function held_among(p_tenant text, p_seqs bigint[]) returns table (seq bigint, live boolean, importance numeric)
language plpgsql stable
as $$
declare
  v_noun text;
begin
  for v_noun in select * from hooks('held') loop
    return query execute format('select * from %I($1, $2)', v_noun || '_held') using p_tenant, p_seqs;
  end loop;
end $$;

-- Marks the events of a range that the rules forget. A rule without max_importance excludes events with current rows; a rule with it includes
-- those of at most this importance, and their rows expire.
create or replace function mark_expired(p_tenant text, p_job text, p_rules jsonb, p_now timestamptz, p_from bigint, p_to bigint) returns void
language plpgsql
as $$
declare
  v_noun text;
  v_seqs bigint[];
begin
  with named as materialized (
    select e.seq, r.max_importance
    from events e
    join jsonb_to_recordset(p_rules) r (kind text, channel text, older_than_days numeric, max_importance numeric)
      on e.created_at < p_now - interval '1 day' * r.older_than_days::float8
      and (r.channel is null or r.channel = e.channel)
      and (r.kind is null or r.kind = e.kind or (e.kind like 'memory.%' and e.content ->> 'kind' = r.kind))
    where e.tenant_id = p_tenant and e.seq >= p_from and e.seq <= p_to
      and e.erased_at is null and e.kind not in ('erasure.completed', 'retention.forgot')
      and not exists (select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'pin' and k.id = e.event_id)
  ),
  held as materialized (
    select h.seq, bool_or(h.live) as live, max(h.importance) as importance
    from held_among(p_tenant, array(select distinct n.seq from named n)) h
    group by h.seq
  )
  select array_agg(distinct n.seq) into v_seqs
  from named n left join held h on h.seq = n.seq
  where case when n.max_importance is null then h.live is not true else coalesce(h.importance <= n.max_importance, true) end;
  perform mark_seqs(p_tenant, p_job, 'event', v_seqs);
  for v_noun in select * from hooks('lapse') loop
    execute format('select %I($1, $2, $3)', v_noun || '_lapse') using p_tenant, p_job, v_seqs;
  end loop;
end $$;

-- Expires the marked rows of all nouns, with the event p_by as the cause, or with p_dry only counts them.
create or replace function expire_marked(p_tenant text, p_job text, p_by bigint, p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_noun text;
  v_counts jsonb := '{}';
  v_more jsonb;
begin
  for v_noun in select * from hooks('expire') loop
    execute format('select %I($1, $2, $3, $4)', v_noun || '_expire') into v_more using p_tenant, p_job, p_by, p_dry;
    v_counts := v_counts || v_more;
  end loop;
  return v_counts;
end $$;

-- Returns the reader or snapshot that holds the most of the log: {"reason", "seq", …}, with the first event that it holds. Null: none.
create or replace function slowest_reader(p_tenant text, p_now timestamptz) returns jsonb
language plpgsql stable
as $$
declare
  v_noun text;
  v_floor bigint := seq_before(p_tenant, p_now - interval '7 days');
  v_behind jsonb;
  v_more jsonb;
begin
  for v_noun in select * from hooks('awaits') loop
    execute format('select %I($1, $2)', v_noun || '_awaits') into v_more using p_tenant, v_floor;
    if v_behind is null or (v_more ->> 'seq')::bigint < (v_behind ->> 'seq')::bigint then
      v_behind := v_more;
    end if;
  end loop;
  return v_behind;
end $$;

-- Returns the seq up to which the log may be trimmed: events that a reader has yet to read, or that follow a snapshot, are kept. Events that current
-- memories and capsules need do not limit it, because they are carried (mark_needs).
create or replace function trim_bound(p_tenant text, p_trim jsonb, p_now timestamptz) returns bigint
language plpgsql stable
as $$
begin
  return least(trim_target(p_tenant, p_trim, p_now), (slowest_reader(p_tenant, p_now) ->> 'seq')::bigint - 1);
end $$;

-- Returns the reader or snapshot that limits the trim to less than the policy requests. Null: none.
create or replace function trim_blocker(p_tenant text, p_trim jsonb, p_now timestamptz) returns jsonb
language plpgsql stable
as $$
declare
  v_behind jsonb;
begin
  perform enter_tenant(p_tenant);
  v_behind := slowest_reader(p_tenant, p_now);
  return case when (v_behind ->> 'seq')::bigint <= trim_target(p_tenant, p_trim, p_now) then v_behind end;
end $$;

-- Marks the events up to p_upto that nouns need, for the next p_limit rows of each noun. `needed`: the last seq that each noun has checked. `done`:
-- all nouns have checked their rows up to p_until. p_new: end of the log when the phase began.
create or replace function mark_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_needed jsonb, p_until bigint, p_limit int)
returns table (needed jsonb, done boolean)
language plpgsql
as $$
declare
  v_noun text;
  v_last bigint;
begin
  needed := p_needed;
  done := true;
  for v_noun in select * from hooks('needs') loop
    v_last := coalesce((needed ->> v_noun)::bigint, 0);
    continue when v_last >= p_until;
    execute format('select %I($1, $2, $3, $4, $5, $6)', v_noun || '_needs') into v_last
    using p_tenant, p_job, p_upto, p_new, v_last, p_limit;
    if v_last is not null then
      needed := needed || jsonb_build_object(v_noun, v_last);
      done := done and v_last >= p_until;
    end if;
  end loop;
  return next;
end $$;

-- Returns the next events of a trim, at most p_limit: `seqs` are all of them, `kept` those that are carried, `emptied` those of the carried ones
-- that are needed without their content and are not blank yet, and `dropped` the rest.
create or replace function next_trimmed(p_tenant text, p_job text, p_after bigint, p_upto bigint, p_limit int)
returns table (seqs bigint[], kept bigint[], emptied bigint[], dropped bigint[])
language sql stable
begin atomic
  select array_agg(e.seq order by e.seq), array_agg(e.seq) filter (where e.whole or e.ground),
    array_agg(e.seq) filter (where e.ground and not e.whole and e.erased_at is null), array_agg(e.seq) filter (where not (e.whole or e.ground))
  from (
    select l.seq, l.erased_at, k.whole, k.ground
    from (
      select e.seq, e.event_id, e.erased_at from events e
      where e.tenant_id = p_tenant and e.seq > p_after and e.seq <= p_upto order by e.seq limit p_limit
    ) l
    -- lateral, so that each is an index lookup
    cross join lateral (
      select coalesce(bool_or(m.what = 'carry'), false) as whole, coalesce(bool_or(m.what = 'ground'), false) as ground
      from erasure_marks m where m.tenant_id = p_tenant and m.job_id = p_job and m.id = l.event_id
    ) k
  ) e;
end;

-- Marks the events up to p_upto that stay because these are carried. Returns how many were newly marked.
create or replace function keep_carried(p_tenant text, p_job text, p_upto bigint, p_seqs bigint[]) returns bigint
language plpgsql
as $$
declare
  v_noun text;
  v_new bigint;
  v_count bigint := 0;
begin
  for v_noun in select * from hooks('carried') loop
    execute format('select %I($1, $2, $3, $4)', v_noun || '_carried') into v_new using p_tenant, p_job, p_upto, p_seqs;
    v_count := v_count + v_new;
  end loop;
  return v_count;
end $$;

-- Drops up to p_limit events at the beginning of the log with all data derived from them, and carries those that are needed. The caller has locked
-- the clock.
create or replace function trim_step(p_tenant text, p_job text, p_after bigint, p_upto bigint, p_limit int)
returns table (last_seq bigint, trimmed bigint, carried bigint)
language plpgsql
as $$
declare
  v_next record;
  v_noun text;
  v_cleared bigint[];
  v_bytes bigint;
begin
  select * into v_next from next_trimmed(p_tenant, p_job, p_after, p_upto, p_limit);
  if keep_carried(p_tenant, p_job, p_upto, v_next.kept) > 0 then
    select * into v_next from next_trimmed(p_tenant, p_job, p_after, p_upto, p_limit);
  end if;
  last_seq := v_next.seqs[cardinality(v_next.seqs)];
  carried := coalesce(cardinality(v_next.kept), 0);
  trimmed := 0;
  if last_seq is not null then
    v_cleared := v_next.dropped || v_next.emptied;
    select coalesce(sum(octet_length(e.content::text) + octet_length(e.metadata::text)), 0) + 400 * coalesce(cardinality(v_next.dropped), 0)
    into v_bytes
    from unnest(v_cleared) s (seq)
    cross join lateral (select x.content, x.metadata from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e;
    v_bytes := v_bytes + (clear_events(p_tenant, v_cleared, false) ->> 'bytes')::bigint;
    for v_noun in select * from hooks('trim') loop
      execute format('select %I($1, $2, $3, $4)', v_noun || '_trim') using p_tenant, p_job, v_next.seqs, v_next.dropped;
    end loop;
    if v_next.emptied is not null then
      perform blank_events(v_next.emptied, '{"erased": true, "retention": true}', null, null);
    end if;
    perform carry_events(v_next.kept);
    trimmed := drop_events(v_next.dropped);
    perform shrink_log(p_tenant, v_bytes, trimmed, last_seq);
  end if;
  return next;
end $$;

-- The phases of a run; the table is at retain_step. Each returns the changes of the cursor, the increments of `counts` and, if it is known, the
-- `total` of the job.

create or replace function retain_pins(p_tenant text, p_job text, p_cursor jsonb, p_input jsonb) returns jsonb
language plpgsql
as $$
declare
  v_noun text;
  v_seqs bigint[];
  v_days float8 := (select min((r ->> 'older_than_days')::float8) from jsonb_array_elements(p_input -> 'rules') r);
begin
  for v_noun in select * from hooks('pin') loop
    execute format('select array(select %I($1))', v_noun || '_pin') into v_seqs using p_tenant;
    perform mark_seqs(p_tenant, p_job, 'pin', v_seqs);
  end loop;
  return jsonb_build_object(
    'phase', 'find', 'after', '0', 'upto', coalesce(seq_before(p_tenant, (p_cursor ->> 'now')::timestamptz - interval '1 day' * v_days), 0));
end $$;

create or replace function retain_find(p_tenant text, p_job text, p_cursor jsonb, p_input jsonb, p_limit int) returns jsonb
language plpgsql
as $$
declare
  v_upto bigint := (p_cursor ->> 'upto')::bigint;
  -- skips the gaps between carried events
  v_after bigint := coalesce(
    (select e.seq - 1 from events e where e.tenant_id = p_tenant and e.seq > (p_cursor ->> 'after')::bigint order by e.seq limit 1), v_upto);
  v_next bigint := least(v_upto, v_after + p_limit * 10);
begin
  perform mark_expired(p_tenant, p_job, p_input -> 'rules', (p_cursor ->> 'now')::timestamptz, v_after + 1, v_next);
  if v_next < v_upto then
    return jsonb_build_object('after', v_next::text);
  end if;
  return (
    select jsonb_build_object('phase', 'blank', 'total', count(*), 'first_seq', min(k.seq), 'last_seq', max(k.seq))
    from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event');
end $$;

create or replace function retain_blank(p_tenant text, p_job text, p_cursor jsonb, p_limit int) returns jsonb
language plpgsql
as $$
declare
  v_step record;
begin
  select * into v_step from blank_marked(p_tenant, p_job, p_cursor ->> 'after', p_limit, '{"erased": true, "retention": true}', null, null);
  -- the API reports only these counts
  return case when v_step.last is null then '{"phase": "say"}' else jsonb_build_object('after', v_step.last, 'counts', jsonb_build_object(
    'events', v_step.counts -> 'events', 'chunks', v_step.counts -> 'chunks', 'artifacts', v_step.counts -> 'artifacts')) end;
end $$;

create or replace function retain_say(p_tenant text, p_job text, p_cursor jsonb, p_input jsonb, p_event jsonb) returns jsonb
language plpgsql
as $$
declare
  v_counts jsonb := '{}';
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  if (p_cursor -> 'counts' ->> 'events')::bigint > 0 then
    v_counts := expire_marked(p_tenant, p_job, append_service_event(p_tenant, p_event), false);
  end if;
  return jsonb_build_object('phase', case when p_input ->> 'trim' is null then 'over' else 'bound' end, 'counts', v_counts);
end $$;

create or replace function retain_bound(p_tenant text, p_cursor jsonb, p_input jsonb) returns jsonb
language plpgsql
as $$
begin
  -- a snapshot that is being created is committed afterwards at the end of this log, or before and seen
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  return (
    select jsonb_build_object(
      'phase', 'need', 'trim_to', greatest(trim_bound(p_tenant, p_input -> 'trim', (p_cursor ->> 'now')::timestamptz), c.oldest_seq - 1),
      'new', c.last_seq, 'needed', '{}'::jsonb, 'until', c.last_seq, 'rounds', 1)
    from tenant_clocks c where c.tenant_id = p_tenant);
end $$;

create or replace function retain_need(p_tenant text, p_job text, p_cursor jsonb, p_limit int) returns jsonb
language plpgsql
as $$
declare
  v_rounds int := (p_cursor ->> 'rounds')::int;
  v_until bigint := (p_cursor ->> 'until')::bigint;
  v_last bigint := (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant);
  v_step record;
begin
  select * into v_step
  from mark_needs(p_tenant, p_job, (p_cursor ->> 'trim_to')::bigint, (p_cursor ->> 'new')::bigint, p_cursor -> 'needed', v_until, p_limit);
  return jsonb_build_object('needed', v_step.needed) || case when v_step.done then jsonb_build_object(
    -- each round has fewer new rows; after four rounds the rest is marked while writers wait
    'phase', case when v_last = v_until or v_rounds = 4 then 'trim' else 'need' end, 'until', v_last, 'rounds', v_rounds + 1) else '{}' end;
end $$;

create or replace function retain_trim(p_tenant text, p_job text, p_cursor jsonb, p_limit int) returns jsonb
language plpgsql
as $$
declare
  v_to bigint := (p_cursor ->> 'trim_to')::bigint;
  v_needed jsonb := p_cursor -> 'needed';
  v_done boolean := false;
  v_step record;
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  while not v_done loop
    select m.needed, m.done into v_needed, v_done
    from mark_needs(p_tenant, p_job, v_to, (p_cursor ->> 'new')::bigint, v_needed, 9223372036854775807, p_limit) m;
  end loop;
  perform begin_trim(p_tenant, v_to);
  select * into v_step from trim_step(p_tenant, p_job, coalesce(nullif(p_cursor ->> 'after', ''), '0')::bigint, v_to, p_limit);
  if v_step.last_seq is null then
    perform end_trim(p_tenant, v_to);
  end if;
  return jsonb_build_object(
    'phase', case when v_step.last_seq is null then 'over' else 'trim' end, 'after', coalesce(v_step.last_seq::text, ''), 'needed', v_needed,
    'counts', jsonb_build_object('trimmed', v_step.trimmed, 'carried', v_step.carried));
end $$;

-- Runs one step of a retention run, like erase_step. p_input: {"rules", "trim"}; p_cursor: {"phase", "after", "now", "counts", …}; p_event: the event
-- that reports what was forgotten.
--
--   phase | iterates over        | step                                                                                        | sets
--   pins  |                      | marks events that no rule may forget (the hook `pin`)                                        | upto
--   find  | the log up to `upto` | marks events that the rules forget, except those that are held (`held`), and what expires (`lapse`) | first_seq, last_seq
--   blank | marked events        | blanks them and clears the data of nouns about them (`clear`)                                |
--   say   |                      | appends the report; marked rows expire (`expire`)                                            |
--   bound |                      | decides where to trim (`awaits`)                                                             | trim_to, new, until, rounds
--   need  | rows of nouns by seq | marks the events that they need (`needs`); an event that was carried before may not be needed now | needed
--   trim  | the log to `trim_to` | with the clock locked, marks what newer rows need, and what stays with carried events (`carried`), and drops the rest (`clear`, `trim`) | needed
--   over  |                      |                                                                                              |
create or replace function retain_step(p_tenant text, p_job text, p_token int, p_lease_ms int, p_limit int, p_cursor jsonb, p_input jsonb, p_event jsonb)
returns jsonb
language plpgsql
as $$
declare
  v_step jsonb;
  v_counts jsonb;
begin
  perform enter_tenant(p_tenant);
  if not report_job(p_tenant, p_job, p_token, null, null, null, p_lease_ms) then
    return null;
  end if;
  v_step := case p_cursor ->> 'phase'
    when 'pins' then retain_pins(p_tenant, p_job, p_cursor, p_input)
    when 'find' then retain_find(p_tenant, p_job, p_cursor, p_input, p_limit)
    when 'blank' then retain_blank(p_tenant, p_job, p_cursor, p_limit)
    when 'say' then retain_say(p_tenant, p_job, p_cursor, p_input, p_event)
    when 'bound' then retain_bound(p_tenant, p_cursor, p_input)
    when 'need' then retain_need(p_tenant, p_job, p_cursor, p_limit)
    when 'trim' then retain_trim(p_tenant, p_job, p_cursor, p_limit) end;
  v_counts := add_counts(coalesce(p_cursor -> 'counts', '{}'), coalesce(v_step -> 'counts', '{}'));
  p_cursor := p_cursor || '{"after": ""}' || (v_step - 'total') || jsonb_build_object('counts', v_counts);
  perform report_job(
    p_tenant, p_job, p_token, coalesce((v_counts ->> 'events')::bigint, 0), (v_step ->> 'total')::bigint, p_cursor, p_lease_ms);
  return p_cursor;
end $$;

-- Returns the policy if its daily run is due, and sets the time of the last run, so that it is not due for another day.
create or replace function claim_due_retention(p_tenant text) returns jsonb
language plpgsql
as $$
declare
  v_policy retention_policies;
begin
  perform enter_tenant(p_tenant);
  update retention_policies p set last_run_at = clock_timestamp()
  where p.tenant_id = p_tenant and coalesce(p.last_run_at < clock_timestamp() - interval '1 day', true)
    -- not during an import
    and not is_importing()
  returning * into v_policy;
  return case when v_policy.tenant_id is not null then jsonb_build_object('rules', v_policy.rules, 'trim', v_policy.trim) end;
end $$;

-- Returns counts and times by kind for one page of the events that a run would blank. The page is ordered by id.
create or replace function count_marked(p_tenant text, p_job text, p_after text, p_limit int)
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

-- Returns the remaining figures of the preview, after the phases `find` and `need`.
create or replace function estimate_retention(p_tenant text, p_job text, p_trim jsonb, p_now timestamptz) returns jsonb
language plpgsql
as $$
declare
  v_oldest bigint;
  v_to bigint;
  v_before bigint;
  v_carried bigint;
begin
  perform enter_tenant(p_tenant);
  select c.oldest_seq into v_oldest from tenant_clocks c where c.tenant_id = p_tenant;
  v_to := case when p_trim ? 'keep_events' or p_trim ? 'keep_days' then greatest(trim_bound(p_tenant, p_trim, p_now), v_oldest - 1) end;
  v_before := (select count(*) from events e where e.tenant_id = p_tenant and e.seq < v_oldest);
  perform keep_carried(p_tenant, p_job, v_to, array(
    select k.seq from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('carry', 'ground') and k.seq <= v_to));
  v_carried := (
    select count(distinct k.seq) from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('carry', 'ground') and k.seq <= v_to);
  return expire_marked(p_tenant, p_job, null, true) || jsonb_build_object(
    'sample', (
      select coalesce(jsonb_agg(s.id), '[]') from (
        select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' order by k.seq limit 10) s),
    'trimmed', coalesce(v_before + v_to - v_oldest + 1 - v_carried, 0),
    'carried', case when v_to is null then v_before else v_carried end,
    'oldest_seq', coalesce(v_to + 1, v_oldest),
    'held_by', trim_blocker(p_tenant, p_trim, p_now));
end $$;
