-- Erasing one of several who stated or moved a memory leaves its other versions right: their passages end where the next version begins,
-- the version that says it anew cites no erased name, and what stays of a shared act names the person in no version.
-- min_code: 7

-- Until which event the passages of each version of a memory from p_from on are current: the first later version that ends it or says
-- something else. Backwards over the versions once: a fact may be said again thousands of times.
create function memory_ends(p_tenant text, p_memory_id text, p_from bigint) returns table (seq bigint, status text, until_seq bigint)
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

-- As in 0017.
create or replace function passage_ends(p_tenant text, p_from bigint, p_to bigint) returns table (seq bigint, until_seq bigint, until_at timestamptz)
language sql stable
begin atomic
  select d.seq, d.until_seq, e.occurred_at
  from (select distinct v.memory_id from memory_versions v where v.tenant_id = p_tenant and v.seq between p_from and p_to) touched
  cross join lateral memory_ends(p_tenant, touched.memory_id, p_from) d
  left join events e on e.tenant_id = p_tenant and e.seq = d.until_seq
  where d.seq between p_from and p_to and d.until_seq is not null and d.status = any (array['active', 'proposed']);
end;

-- Passages that ended where versions were that are gone end where the next one is.
create function move_ends(p_tenant text, p_memory_id text, p_gone bigint[]) returns void
language sql
begin atomic
  update chunks c set until_seq = d.until_seq, until_at = e.occurred_at
  from memory_ends(p_tenant, p_memory_id, 0) d
  left join events e on e.tenant_id = p_tenant and e.seq = d.until_seq
  where c.tenant_id = p_tenant and c.seq = d.seq and c.until_seq = any (p_gone);
end;

-- As in 0020; the passages of earlier versions end where this one begins.
create or replace function keep_memory(p_tenant text, p_job text, p_memory_id text, p_event_id text) returns void
language plpgsql
as $$
declare
  v_memory memories;
  v_home events;
  v_refs text[];
  v_seq bigint;
  v_wish jsonb;
  v_gone bigint[];
begin
  select * into v_memory from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id for update;
  select * into v_home from events e where e.tenant_id = p_tenant and e.seq = home_of(v_memory, p_job);
  if v_memory.memory_id is null or v_home.seq is null then
    return;
  end if;
  v_refs := array(
    select g.ref from grounds(p_tenant, p_memory_id, v_memory.content_seq) g
    where not is_marked(p_tenant, p_job, g.ref) order by g.seq desc, g.place, g.ref limit 256);
  with gone as (
    delete from memory_versions v using erasure_marks k
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.status in ('active', 'proposed')
      and k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.seq = v.seq
    returning v.seq)
  select array_agg(g.seq) into v_gone from gone g;
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
    perform move_ends(p_tenant, p_memory_id, v_gone);
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
  perform move_ends(p_tenant, p_memory_id, v_gone);
end $$;

-- As in 0012; other people's citations of the name are replaced first.
create or replace function erase_step(p_tenant text, p_job text, p_token int, p_lease_ms int, p_limit int, p_cursor jsonb, p_input jsonb, p_ids text[])
returns jsonb
language plpgsql
as $$
declare
  v_kind text := p_input ->> 'kind';
  v_subject text := p_input ->> 'subject';
  v_name text := p_input ->> 'name';
  v_phase text := p_cursor ->> 'phase';
  v_after text := coalesce(p_cursor ->> 'after', '');
  v_upto bigint := (p_cursor ->> 'upto')::bigint;
  v_users text[];
  v_counts jsonb := '{}';
  v_next text;
  v_found bigint := coalesce((p_cursor ->> 'found')::bigint, 0);
  v_total bigint;
  v_row record;
  v_hashes bytea[];
  v_seqs bigint[];
begin
  perform enter_tenant(p_tenant);
  if not report_job(p_tenant, p_job, p_token, null, null, null, p_lease_ms) then
    return null;
  end if;
  v_users := subject_users(p_tenant, p_job);
  case v_phase
    when 'accounts' then
      v_counts := case when v_kind = 'user_id' then forget_accounts(p_tenant, v_subject, v_name, v_users, (p_input ->> 'before')::timestamptz) else '{}' end;
      v_phase := 'find';
    when 'find' then
      perform mark_events(p_tenant, p_job, v_kind, v_subject, coalesce(nullif(v_after, ''), '0')::bigint + 1,
        least(v_upto, coalesce(nullif(v_after, ''), '0')::bigint + p_limit * 20));
      v_next := least(v_upto, coalesce(nullif(v_after, ''), '0')::bigint + p_limit * 20)::text;
      if v_next::bigint >= v_upto then
        v_phase := 'memories';
        v_next := null;
      end if;
    when 'memories' then
      -- it locks nothing, and a step that looks at few costs nearly as much; on the embedded engine all wait for it
      select * into v_row from mark_memories(p_tenant, p_job, v_kind, v_subject, v_upto, v_after, p_limit * 2);
      v_next := v_row.last_id;
      v_found := v_found + v_row.news;
      if v_next is null then
        -- a walk that found something is followed by another; what was found is blanked before the last
        v_phase := case when v_found > 0 then 'memories' when p_input ? 'dry_run' then 'count' else 'blank' end;
        v_found := 0;
      end if;
    when 'blank' then
      select * into v_row from blank_marked(p_tenant, p_job, v_after, p_limit,
        jsonb_build_object('erased', true, 'erasure', v_name), v_subject, v_name);
      v_next := v_row.last_id;
      v_counts := jsonb_build_object(
        'events', coalesce(v_row.events, 0), 'chunks', coalesce(v_row.chunks, 0), 'artifacts', coalesce(v_row.artifacts, 0))
        || coalesce(v_row.about, '{}');
      v_phase := case when v_next is null then 'cite' else 'blank' end;
    -- before memories that stay are stated anew: with the refs that they have then
    when 'cite' then
      perform from tenant_clocks c where c.tenant_id = p_tenant for update;
      select max(k.id) as last_id, rename_refs(array_agg(k.seq), v_subject, v_name) as n into v_row
      from (
        select k.id, k.seq from erasure_marks k
        where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'ref' and k.id > v_after order by k.id limit p_limit) k
      where not exists (
        select from erasure_marks o where o.tenant_id = p_tenant and o.job_id = p_job and o.what = 'event' and o.id = k.id);
      v_next := v_row.last_id;
      v_counts := jsonb_build_object('citing_events', coalesce(v_row.n, 0));
      v_phase := case when v_next is null then 'forget' else 'cite' end;
    when 'forget' then
      select * into v_row from forget_memories(p_tenant, p_job, v_after, least(p_limit, cardinality(p_ids)), p_ids);
      v_next := v_row.last_id;
      v_counts := jsonb_build_object(
        'memories', coalesce(v_row.memories, 0), 'memory_versions', coalesce(v_row.versions, 0), 'memories_kept', coalesce(v_row.kept, 0));
      v_phase := case when v_next is null then 'answers' else 'forget' end;
    when 'answers' then
      select max(encode(a.key_hash, 'hex')), array_agg(a.key_hash) filter (where a.marked) into v_next, v_hashes
      from marked_answers(p_tenant, p_job, decode(v_after, 'hex'), p_limit) a;
      delete from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = any (v_hashes);
      v_counts := jsonb_build_object('idempotency_keys', coalesce(cardinality(v_hashes), 0));
      v_phase := case when v_next is null then 'named' else 'answers' end;
    when 'named' then
      v_counts := forget_named(p_tenant, v_kind, v_subject, v_name, v_users);
      v_phase := 'late';
    when 'late' then
      perform from tenant_clocks c where c.tenant_id = p_tenant for update;
      select max(k.id), array_agg(k.seq) into v_next, v_seqs
      from (
        select k.id, k.seq from erasure_marks k
        where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id > v_after order by k.id limit p_limit) k;
      -- what was begun on these events while they were blanked
      v_counts := forget_about(p_tenant, v_seqs);
      -- what a rebuild that ran beside this has read before and written after
      delete from chunks c where c.tenant_id = p_tenant and c.seq = any (v_seqs);
      v_phase := case when v_next is null then 'over' else 'late' end;
    when 'count', 'count_memories', 'count_refs', 'count_answers', 'count_named' then
      select * into v_row from foresee_step(p_tenant, p_job, v_kind, v_subject, v_phase, v_after, p_limit);
      v_phase := v_row.phase;
      v_next := v_row.last_id;
      v_counts := v_row.counts;
    else
      raise exception 'no phase %', v_phase;
  end case;
  if v_phase = 'blank' and p_cursor ->> 'phase' = 'memories' then
    select count(*) into v_total from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event';
  end if;
  v_counts := add_counts(coalesce(p_cursor -> 'counts', '{}'), v_counts);
  p_cursor := p_cursor || jsonb_build_object('phase', v_phase, 'after', coalesce(v_next, ''), 'found', v_found, 'counts', v_counts);
  perform report_job(p_tenant, p_job, p_token, coalesce((v_counts ->> 'events')::bigint, 0), v_total, p_cursor, p_lease_ms);
  return p_cursor;
end $$;

-- What the log says of edits of these events: marked `kin`, as what stays and may name the subject without being the subject's.
create function mark_kin_edits(p_tenant text, p_job text, p_seqs bigint[]) returns void
language sql
begin atomic
  insert into erasure_marks (tenant_id, job_id, what, id, seq)
  select p_tenant, p_job, 'kin', e.event_id, e.seq
  from edits d
  join events e on e.tenant_id = p_tenant and e.seq = any (array[d.proposed_seq, d.approved_seq, d.last_seq])
  where d.tenant_id = p_tenant and d.seq = any (p_seqs) and e.erased_at is null
  on conflict do nothing;
end;

-- The versions by others of those of these memories that the subject stated or moved too.
create function mark_kin(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) returns void
language plpgsql
as $$
declare
  v_seqs bigint[];
begin
  with said as materialized (
    select v.memory_id, e.event_id, e.seq, e.erased_at is null and e.artifact_id is null as stands, k.id is not null as is_shared
    from memory_versions v
    join events e on e.tenant_id = p_tenant and e.seq = v.seq
    left join erasure_marks k on k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared' and k.id = e.event_id
    where v.tenant_id = p_tenant and v.memory_id = any (p_memory_ids) and v.seq <= p_upto
  ),
  made as (
    insert into erasure_marks (tenant_id, job_id, what, id, seq)
    select distinct p_tenant, p_job, 'kin', s.event_id, s.seq
    from said s
    where s.stands and not s.is_shared and s.memory_id in (select o.memory_id from said o where o.is_shared)
    on conflict do nothing
    returning seq
  )
  select array_agg(m.seq) into v_seqs from made m;
  perform mark_kin_edits(p_tenant, p_job, v_seqs);
end $$;

-- As in 0025, with what is kin.
create or replace function mark_events(p_tenant text, p_job text, p_kind text, p_subject text, p_from bigint, p_to bigint) returns void
language plpgsql
as $$
declare
  v_users text[] := subject_users(p_tenant, p_job);
  v_keep boolean := keeps_shared(p_tenant, p_job);
  v_shared bigint[];
begin
  with made as (
    insert into erasure_marks (tenant_id, job_id, what, id, seq)
    select p_tenant, p_job,
      -- null: the event is about nobody
      case when is_of_subject(e, p_kind, p_subject, v_users) is not true then 'ref' when v_keep and is_shared_event(e) then 'shared' else 'event' end,
      e.event_id, e.seq
    from events e
    where e.tenant_id = p_tenant and e.seq >= p_from and e.seq <= p_to and e.kind not in ('erasure.completed', 'retention.forgot')
      and (is_of_subject(e, p_kind, p_subject, v_users) or p_subject = any (e.refs))
    on conflict do nothing
    returning what, seq
  )
  select array_agg(m.seq) into v_shared from made m where m.what = 'shared';
  perform mark_kin_edits(p_tenant, p_job, v_shared);
  insert into erasure_marks (tenant_id, job_id, what, id)
  select p_tenant, p_job, 'artifact', e.artifact_id
  from events e join erasure_marks k on k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id = e.event_id
  where e.tenant_id = p_tenant and e.seq >= p_from and e.seq <= p_to and e.artifact_id is not null
  on conflict do nothing;
end $$;

-- As in 0025, with what is kin.
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
        when 'user_id' then m.user_id = p_subject and not (keeps_shared(p_tenant, p_job) and is_shared_act(m.kind, m.channel))
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
  if keeps_shared(p_tenant, p_job) then
    perform mark_kin(p_tenant, p_job, v_ids, p_upto);
  end if;
  return next;
end $$;

-- As in 0025, with what is kin.
create or replace function read_named(p_tenant text, p_job text, p_after bigint, p_limit int) returns table (seq bigint, parts jsonb)
language sql stable
begin atomic
  select s.seq, named_parts(s.event)
  from (
    select n.seq, n.event, sum((n.event).byte_count) over (order by n.seq) - (n.event).byte_count as before
    from (
      select e.seq, e as event
      from erasure_marks k join events e on e.tenant_id = p_tenant and e.seq = k.seq
      where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('shared', 'kin') and k.seq > p_after and e.erased_at is null
      order by e.seq
      limit p_limit
    ) n
  ) s
  where s.before < 1048576
  order by s.seq;
end;
