-- Memories that end with these events of the log: the content of each is among them, and nothing holds it.
create or replace function forget_trimmed(p_tenant text, p_job text, p_seqs bigint[], p_drop bigint[]) returns void
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

-- What the log says of edits of these events: marked `kin`, as what stays and may name the subject without being the subject's.
create or replace function mark_kin_edits(p_tenant text, p_job text, p_seqs bigint[]) returns void
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
create or replace function mark_kin(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) returns void
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

-- The subject's own events: what is recorded about a user or is a user's words, all of a session or project, what an agent did.
create or replace function is_of_subject(p_event events, p_kind text, p_subject text, p_users text[]) returns boolean
language sql immutable
return case p_kind
  when 'user_id' then p_event.user_id = p_subject or (p_event.actor_type = 'human' and p_event.actor_id = any (p_subject || p_users))
  when 'session_id' then p_event.session_id = p_subject
  when 'project_id' then p_event.project_id = p_subject
  else p_event.agent_id = p_subject or (p_event.actor_type = 'agent' and p_event.actor_id = p_subject) end;

create or replace function subject_users(p_tenant text, p_job text) returns text[]
language sql stable
return array(select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'user');

-- Marks of two more kinds: `shared` (an event of the subject that stays) and `name` (a word that stands for the subject). The option is one
-- too, so that each step of the job knows it.
create or replace function keeps_shared(p_tenant text, p_job text) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return exists (select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'option' and k.id = 'keep_shared');
end $$;

create or replace function is_shared_act(p_kind text, p_channel text) returns boolean
language sql immutable parallel safe
return p_kind in ('decision', 'task', 'rule') and p_channel in ('team', 'public');

-- An event that makes a version of a shared act. One whose text is in an artifact does not stay: its bytes are not rewritten.
create or replace function is_shared_event(p_event events) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return p_event.channel in ('team', 'public') and p_event.erased_at is null and p_event.artifact_id is null and (
    p_event.kind in ('decision', 'task_update')
    or p_event.kind like 'memory.%' and exists (
      select
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      where v.tenant_id = p_event.tenant_id and v.seq = p_event.seq and is_shared_act(m.kind, m.channel)));
end $$;

-- Marks the subject's events of a stretch of the log, with their artifacts, and those of others that cite its name; shared acts that stay are
-- marked apart. One that is erased already may still hold the name: it is blanked again. What the service says of erasures stays, whoever is
-- named like it.
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

-- Where a memory's text still stands: the event of its content, or else the newest other that says the same.
create or replace function home_of(p_memory memories, p_job text) returns bigint
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

-- What becomes of the next memories: `memory` (the subject's own, or nothing is left of its text or of what it rests on), `keep` (something
-- is), or nothing. A claim is removed when nothing that is left supports it; shared acts stay. A memory that goes takes the events of its
-- versions along, which others may rest on: so this is walked until it finds nothing more.
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

-- The rows of other features that are about these events.
create or replace function forget_about(p_tenant text, p_seqs bigint[]) returns jsonb
language plpgsql
as $$
declare
  v_counts jsonb := '{}';
  v_count bigint;
begin
  v_counts := jsonb_build_object('edits', forget_edits(p_tenant, p_seqs));
  delete from capsules c where c.tenant_id = p_tenant and c.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('capsules', v_count);
  delete from webhook_deliveries d where d.tenant_id = p_tenant and d.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  return v_counts || jsonb_build_object('webhook_deliveries', v_count);
end $$;

-- Blanks what is marked, the next p_limit of it, with the passages and bytes. The clock is locked first and all of this is one short
-- transaction: whoever writes waits for one batch. Large contents and bytes count, so that a batch stays short.
create or replace function blank_marked(p_tenant text, p_job text, p_after text, p_limit int, p_content jsonb, p_subject text, p_name text)
returns table (last_id text, events bigint, chunks bigint, artifacts bigint, about jsonb)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_seqs bigint[];
  v_artifacts text[];
  v_freed bigint;
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  with next as materialized (
    select k.id, k.seq
    from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id > p_after
    order by k.id
    limit p_limit
  ),
  sized as materialized (
    select n.id, n.seq, e.artifact_id, e.byte_count + coalesce(a.byte_count, 0) as bytes,
      sum(e.byte_count + coalesce(a.byte_count, 0)) over (order by n.id) as upto
    from next n
    join events e on e.tenant_id = p_tenant and e.seq = n.seq
    left join artifacts a on a.tenant_id = p_tenant and a.artifact_id = e.artifact_id
  ),
  taken as materialized (
    select * from sized s where s.upto - s.bytes < 2097152
  )
  select max(t.id), array_agg(t.seq), array_agg(t.artifact_id) filter (where t.artifact_id is not null), coalesce(sum(
    octet_length(e.content::text) + octet_length(e.metadata::text) + 2 * octet_length(e.refs::text) + 2 * octet_length(e.tags::text)
    + coalesce((select sum(octet_length(passage_text(c)) + octet_length(c.header)) from chunks c where c.tenant_id = p_tenant and c.seq = t.seq), 0)), 0)
  into last_id, v_seqs, v_artifacts, v_freed
  from taken t join events e on e.tenant_id = p_tenant and e.seq = t.seq;
  if last_id is null then
    return;
  end if;
  delete from chunks c where c.tenant_id = p_tenant and c.seq = any (v_seqs);
  get diagnostics chunks = row_count;
  with gone as (
    delete from artifacts a where a.tenant_id = p_tenant and a.artifact_id = any (v_artifacts) returning a.byte_count)
  select count(*), v_freed + coalesce(sum(byte_count), 0) into artifacts, v_freed from gone;
  about := forget_about(p_tenant, v_seqs);
  events := blank_events(v_seqs, p_content, p_subject, p_name);
  update tenant_clocks c set stored_bytes = greatest(0, c.stored_bytes - greatest(0, v_freed - events * octet_length(p_content::text)))
  where c.tenant_id = p_tenant;
  return next;
end $$;

-- A memory that rests on others too loses what is erased: a new version says the same without it. One that is not held any more is only
-- marked, and has its text where it still stands. What a content says in no form that a column takes is left as it stands.
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
      select jsonb_agg(jsonb_build_object('text', passage_text(c), 'header', c.header, 'token_count', c.token_count) order by c.ordinal)
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

-- Carries out the verdicts on the next memories. The clock is locked first.
create or replace function forget_memories(p_tenant text, p_job text, p_after text, p_limit int, p_event_ids text[])
returns table (last_id text, memories bigint, versions bigint, kept bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_ids text[];
  v_keeps text[];
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  -- `keep` sorts before `memory`: those that lose a citation are done while the others' ids are still known
  select array_agg(n.id) filter (where n.what = 'memory'), array_agg(n.id order by n.id) filter (where n.what = 'keep'), max(n.what || '/' || n.id)
  into v_ids, v_keeps, last_id
  from (
    select k.what, k.id, coalesce(sum(m.version) over (order by k.what || '/' || k.id rows between unbounded preceding and 1 preceding), 0) as before
    from erasure_marks k left join memories m on m.tenant_id = p_tenant and m.memory_id = k.id
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('keep', 'memory') and k.what || '/' || k.id > p_after
    order by k.what || '/' || k.id
    limit p_limit
  ) n
  -- whoever writes waits for this: not for more than some thousand versions, and one memory
  where n.before < 2000;
  if last_id is null then
    return;
  end if;
  for i in 1 .. coalesce(cardinality(v_keeps), 0) loop
    perform keep_memory(p_tenant, p_job, v_keeps[i], p_event_ids[i]);
  end loop;
  kept := coalesce(cardinality(v_keeps), 0);
  delete from memory_versions v where v.tenant_id = p_tenant and v.memory_id = any (v_ids);
  get diagnostics versions = row_count;
  update memories m set superseded_by = null where m.tenant_id = p_tenant and m.superseded_by = any (v_ids);
  delete from memories m where m.tenant_id = p_tenant and m.memory_id = any (v_ids);
  get diagnostics memories = row_count;
  return next;
end $$;

create or replace function is_last_owner(p_tenant text, p_users text[]) returns boolean
language sql stable
return exists (
    select from users u where u.tenant_id = p_tenant and u.user_id = any (p_users) and u.role = 'owner' and u.disabled_at is null)
  and 1 = (select count(*) from users u where u.tenant_id = p_tenant and u.role = 'owner' and u.disabled_at is null);

create or replace function count_accounts(p_tenant text, p_subject text, p_users text[], p_before timestamptz) returns jsonb
language sql stable
begin atomic
  with recursive key as (
    select k.key_id from api_keys k where k.tenant_id = p_tenant and ((k.user_id = p_subject and k.created_at < p_before) or k.created_by = any (p_users))
    union
    select k.key_id from api_keys k join key on k.tenant_id = p_tenant and k.created_with = key.key_id
  )
  select jsonb_build_object(
    'users', cardinality(p_users),
    'sessions', (select count(*) from sessions s where s.tenant_id = p_tenant and s.user_id = any (p_users)),
    'api_keys', (select count(*) from key),
    'invites', (select count(*) from invites i where i.tenant_id = p_tenant and i.created_by = any (p_users)));
end;

-- The accounts of a user that is erased: who logs in as this subject. With them go their sessions, the invites and keys they made, what
-- those keys made, and the keys that act for the subject.
create or replace function forget_accounts(p_tenant text, p_subject text, p_name text, p_users text[], p_before timestamptz) returns jsonb
language plpgsql
as $$
declare
  v_counts jsonb;
begin
  perform from users u where u.tenant_id = p_tenant and u.role = 'owner' and u.disabled_at is null order by u.user_id for update;
  if is_last_owner(p_tenant, p_users) then
    raise exception 'this is the last owner; make another one first' using errcode = 'AM409';
  end if;
  v_counts := count_accounts(p_tenant, p_subject, p_users, p_before);
  update invites i set used_by = p_name where i.tenant_id = p_tenant and i.used_by = any (p_users);
  update invites i set username = p_name where i.tenant_id = p_tenant and lower(i.username) = lower(p_subject);
  update password_resets r set created_by = p_name where r.tenant_id = p_tenant and r.created_by = any (p_users);
  update jobs j set started_by = p_name where j.tenant_id = p_tenant and j.started_by = any (p_users);
  delete from api_keys k where k.tenant_id = p_tenant and k.user_id = p_subject and k.created_at < p_before;
  delete from users u where u.tenant_id = p_tenant and u.user_id = any (p_users);
  return v_counts;
end $$;

-- Answers kept for retries whose events are among the marked; the next p_limit keys are looked at.
create or replace function marked_answers(p_tenant text, p_job text, p_after bytea, p_limit int) returns table (key_hash bytea, marked boolean)
language sql stable
begin atomic
  select k.key_hash, exists (
    select from events e join erasure_marks m on m.tenant_id = p_tenant and m.job_id = p_job and m.what = 'event' and m.id = e.event_id
    where e.tenant_id = p_tenant and e.seq >= (k.outcome ->> 'seq')::bigint
      and e.seq < (k.outcome ->> 'seq')::bigint + (k.outcome ->> 'count')::bigint)
  from (
    select i.key_hash, i.outcome from idempotency_keys i
    where i.tenant_id = p_tenant and i.key_hash > p_after order by i.key_hash limit p_limit) k;
end;

-- The rows of other features that name the subject or hold its words, whatever event they are about: capsules, subscriptions, what it
-- proposed or decided as an edit. Each feature says itself what of it goes.
create or replace function forget_named(p_tenant text, p_kind text, p_subject text, p_name text, p_users text[]) returns jsonb
language plpgsql
as $$
declare
  v_counts jsonb := '{}';
  v_names text[] := p_subject || p_users;
  v_type text := case p_kind when 'user_id' then 'human' else 'agent' end;
  v_count bigint;
begin
  v_counts := add_counts(forget_capsules(p_tenant, p_kind, p_subject), forget_webhooks(p_tenant, p_kind, p_subject, p_name, p_users));
  if p_kind in ('user_id', 'agent_id') then
    -- what it proposed and nobody approved is its words alone
    delete from edits d
    where d.tenant_id = p_tenant and d.status <> 'approved' and d.proposed_by ->> 'type' = v_type and d.proposed_by ->> 'id' = any (v_names);
    get diagnostics v_count = row_count;
    v_counts := add_counts(v_counts, jsonb_build_object('edits', v_count));
    update edits d
    set
      reason = case when d.proposed_by ->> 'id' = any (v_names) then 'erased' else d.reason end,
      principal = case when d.principal = any (v_names) or d.proposed_by ->> 'id' = any (v_names) then p_name else d.principal end,
      proposed_by = case when d.proposed_by ->> 'id' = any (v_names) then d.proposed_by || jsonb_build_object('id', p_name) else d.proposed_by end,
      decided_by = case when d.decided_by ->> 'id' = any (v_names) then d.decided_by || jsonb_build_object('id', p_name) else d.decided_by end
    where d.tenant_id = p_tenant
      and (d.proposed_by ->> 'id' = any (v_names) or d.decided_by ->> 'id' = any (v_names) or d.principal = any (v_names));
    get diagnostics v_count = row_count;
    v_counts := add_counts(v_counts, jsonb_build_object('edits_named', v_count));
  end if;
  return v_counts;
end $$;

-- Up to where an erasure reaches: what is recorded later is a new relationship. AM409 where it may not be.
create or replace function begin_erasure(
  p_tenant text, p_job text, p_kind text, p_subject text, p_upto bigint, p_before timestamptz, p_keep_shared boolean default false)
returns bigint
language plpgsql
as $$
declare
  v_last bigint;
begin
  perform enter_tenant(p_tenant);
  if not exists (select from tenants t where t.tenant_id = p_tenant) then
    raise exception 'no such tenant' using errcode = 'AM404';
  end if;
  if p_kind = 'user_id' then
    insert into erasure_marks (tenant_id, job_id, what, id)
    select p_tenant, p_job, 'user', u.user_id from users u where u.tenant_id = p_tenant and u.subject = p_subject and u.created_at < p_before
    on conflict do nothing;
    if is_last_owner(p_tenant, subject_users(p_tenant, p_job)) then
      raise exception 'this is the last owner; make another one first' using errcode = 'AM409';
    end if;
  end if;
  if p_keep_shared then
    insert into erasure_marks (tenant_id, job_id, what, id)
    select p_tenant, p_job, 'option', 'keep_shared'
    union all
    select p_tenant, p_job, 'name', n.name
    from (
      select p_subject
      union
      select unnest(array[u.user_id, u.username, u.email])
      from users u where u.tenant_id = p_tenant and u.user_id = any (subject_users(p_tenant, p_job))
    ) n (name)
    where n.name <> ''
    on conflict do nothing;
  end if;
  select c.last_seq into v_last from tenant_clocks c where c.tenant_id = p_tenant;
  return least(v_last, p_upto);
end $$;

-- One step of counting what an erasure would remove, after it has found it: table by table, as the job counts, what it does undone.
create or replace function foresee_step(p_tenant text, p_job text, p_kind text, p_subject text, p_phase text, p_after text, p_limit int)
returns table (phase text, last_id text, counts jsonb)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_seqs bigint[];
  v_ids text[];
begin
  counts := '{}';
  case p_phase
    when 'count' then
      select max(k.id), array_agg(k.seq) into last_id, v_seqs
      from (
        select k.id, k.seq from erasure_marks k
        where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id > p_after order by k.id limit p_limit) k;
      counts := jsonb_build_object(
        'events', coalesce(cardinality(v_seqs), 0),
        'chunks', (select count(*) from chunks c where c.tenant_id = p_tenant and c.seq = any (v_seqs)),
        'artifacts', (
          select count(*) from events e join artifacts a on a.tenant_id = p_tenant and a.artifact_id = e.artifact_id
          where e.tenant_id = p_tenant and e.seq = any (v_seqs)));
      begin
        counts := counts || forget_about(p_tenant, v_seqs);
        raise exception 'undone' using errcode = 'AM000';
      exception when sqlstate 'AM000' then
        null;
      end;
      phase := case when last_id is null then 'count_memories' else p_phase end;
    when 'count_memories' then
      select max(k.id), array_agg(k.id) filter (where k.what = 'memory'),
        jsonb_build_object('memories', count(*) filter (where k.what = 'memory'), 'memories_kept', count(*) filter (where k.what = 'keep'))
      into last_id, v_ids, counts
      from (
        select k.id, k.what from erasure_marks k
        where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('keep', 'memory') and k.id > p_after order by k.id limit p_limit) k;
      counts := counts || jsonb_build_object('memory_versions', (
        select count(*) from memory_versions v where v.tenant_id = p_tenant and v.memory_id = any (v_ids)));
      phase := case when last_id is null then 'count_refs' else p_phase end;
    when 'count_refs' then
      select max(k.id), jsonb_build_object('citing_events', count(*) filter (where not exists (
        select from erasure_marks o where o.tenant_id = p_tenant and o.job_id = p_job and o.what = 'event' and o.id = k.id)))
      into last_id, counts
      from (
        select k.id from erasure_marks k
        where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'ref' and k.id > p_after order by k.id limit p_limit) k;
      phase := case when last_id is null then 'count_answers' else p_phase end;
    when 'count_answers' then
      select max(encode(a.key_hash, 'hex')), jsonb_build_object('idempotency_keys', count(*) filter (where a.marked)) into last_id, counts
      from marked_answers(p_tenant, p_job, decode(p_after, 'hex'), p_limit) a;
      phase := case when last_id is null then 'count_named' else p_phase end;
    else
      v_ids := subject_users(p_tenant, p_job);
      begin
        -- these are counted with their events
        delete from capsules c using erasure_marks k
        where c.tenant_id = p_tenant and k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.seq = c.seq;
        delete from edits d using erasure_marks k
        where d.tenant_id = p_tenant and k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.seq = d.seq;
        counts := forget_named(p_tenant, p_kind, p_subject, 'erased', v_ids);
        raise exception 'undone' using errcode = 'AM000';
      exception when sqlstate 'AM000' then
        null;
      end;
      counts := counts || case when p_kind = 'user_id' then count_accounts(p_tenant, p_subject, v_ids, 'infinity') else '{}' end;
      phase := 'over';
  end case;
  return next;
end $$;

-- One step of an erasure, in one short transaction that also writes how far it is. p_cursor is where it stands: {"phase", "after",
-- "upto", "found", "counts"}; null comes back where the job is another's by now. p_ids: ids for the events it may have to write.
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

-- The end: the log says what was done, naming the subject by its hash alone.
create or replace function end_erasure(p_tenant text, p_job text, p_event jsonb) returns bigint
language plpgsql
as $$
declare
  v_seq bigint;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  select e.seq into v_seq from events e where e.tenant_id = p_tenant and e.event_id = p_event ->> 'event_id';
  return coalesce(v_seq, say(p_tenant, p_event));
end $$;

create or replace function drop_marks(p_tenant text, p_job text, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  perform enter_tenant(p_tenant);
  delete from erasure_marks k where k.ctid = any (array(
    select m.ctid from erasure_marks m where m.tenant_id = p_tenant and m.job_id = p_job limit p_limit));
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- All that is kept of an event and can hold a name: its fields and content, its passages, how edits let it read, and the edits. Edits are
-- looked up by the event that they are about and by those that they are applied to.
create or replace function named_parts(p_event events) returns jsonb
language sql stable
begin atomic
  select jsonb_build_object(
    'fields', jsonb_build_object(
      'session_id', p_event.session_id, 'user_id', p_event.user_id, 'agent_id', p_event.agent_id, 'project_id', p_event.project_id,
      'actor_id', p_event.actor_id, 'tags', p_event.tags, 'refs', p_event.refs),
    'content', p_event.content,
    'metadata', p_event.metadata,
    'chunks', coalesce((
      select jsonb_agg(jsonb_build_array(c.ordinal, passage_text(c), c.header) order by c.ordinal)
      from chunks c where c.tenant_id = p_event.tenant_id and c.seq = p_event.seq), '[]'),
    'overlay', (
      select jsonb_build_object('content', o.content, 'base', o.base)
      from overlays o where o.tenant_id = p_event.tenant_id and o.seq = p_event.seq),
    'edits', coalesce((
      select jsonb_agg(jsonb_build_array(d.edit_id, d.reason, d.patch, d.passages) order by d.edit_id)
      from edits d
      where d.tenant_id = p_event.tenant_id and (d.seq = p_event.seq or d.edit_id in (
        select x.edit_id from edit_events x where x.tenant_id = p_event.tenant_id and x.seq = p_event.seq))), '[]'));
end;

-- The next p_limit events that stay, with what can hold a name. `bytes`: a batch ends by it.
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

-- Writes a batch of events with their names replaced: p_docs is [{"seq", "was", "parts"}], `was` the md5 of the parts that the names were
-- replaced in. False: the job is another's by now. What an edit has changed meanwhile is left, and `stale` counts it.
create or replace function rename_shared(p_tenant text, p_job text, p_token int, p_lease_ms int, p_cursor jsonb, p_docs jsonb)
returns table (held boolean, stale int)
language plpgsql
as $$
declare
  v_doc record;
  v_event events;
  v_before bigint;
begin
  perform enter_tenant(p_tenant);
  held := report_job(p_tenant, p_job, p_token, null, null, null, p_lease_ms);
  stale := 0;
  if held then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
    for v_doc in select d.seq, d.was, d.parts from jsonb_to_recordset(p_docs) d (seq bigint, was text, parts jsonb) loop
      select * into v_event from events e where e.tenant_id = p_tenant and e.seq = v_doc.seq and e.erased_at is null;
      continue when v_event.seq is null;
      if md5(named_parts(v_event)::text) <> v_doc.was then
        stale := stale + 1;
        continue;
      end if;
      v_before := measure_log(p_tenant, v_doc.seq, v_doc.seq);
      perform rename_event(v_doc.seq, v_doc.parts);
      update chunks c
      set text = nullif(p.part ->> 1, case when c.text is null then said_in(v_doc.parts -> 'content') end), header = p.part ->> 2,
        terms = passage_terms((select t.language from tenants t where t.tenant_id = p_tenant), p.part ->> 1, p.part ->> 2, c.occurred_at),
        session_id = f.session_id, user_id = f.user_id, agent_id = f.agent_id, project_id = f.project_id
      from jsonb_array_elements(v_doc.parts -> 'chunks') p (part),
        jsonb_to_record(v_doc.parts -> 'fields') f (session_id text, user_id text, agent_id text, project_id text)
      where c.tenant_id = p_tenant and c.seq = v_doc.seq and c.ordinal = (p.part ->> 0)::int;
      update overlays o
      set content = nullif(v_doc.parts #> '{overlay,content}', 'null'), base = v_doc.parts #> '{overlay,base}'
      where o.tenant_id = p_tenant and o.seq = v_doc.seq;
      update edits d
      set reason = p.part ->> 1, patch = p.part -> 2, passages = nullif(p.part -> 3, 'null'),
        session_id = case when d.seq = v_doc.seq then f.session_id else d.session_id end,
        user_id = case when d.seq = v_doc.seq then f.user_id else d.user_id end,
        agent_id = case when d.seq = v_doc.seq then f.agent_id else d.agent_id end,
        project_id = case when d.seq = v_doc.seq then f.project_id else d.project_id end
      from jsonb_array_elements(v_doc.parts -> 'edits') p (part),
        jsonb_to_record(v_doc.parts -> 'fields') f (session_id text, user_id text, agent_id text, project_id text)
      where d.tenant_id = p_tenant and d.edit_id = p.part ->> 0;
      select * into v_event from events e where e.tenant_id = p_tenant and e.seq = v_doc.seq;
      perform rename_memories(p_tenant, v_event);
      update tenant_clocks c
      set stored_bytes = greatest(0, c.stored_bytes + measure_log(p_tenant, v_doc.seq, v_doc.seq) - v_before)
      where c.tenant_id = p_tenant;
    end loop;
    if stale = 0 then
      perform report_job(p_tenant, p_job, p_token, null, null, p_cursor, p_lease_ms);
    end if;
  end if;
  return next;
end $$;

-- What stays, as the dry run and the certificate list it: p_limit ids of each, and how many there are.
create or replace function list_shared(p_tenant text, p_job text, p_limit int) returns jsonb
language plpgsql stable
as $$
declare
  v_events text[];
  v_memories text[];
begin
  perform enter_tenant(p_tenant);
  v_events := array(
    select k.id
    from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared' and not exists (
      select from erasure_marks o where o.tenant_id = p_tenant and o.job_id = p_job and o.what = 'event' and o.id = k.id)
    order by k.seq);
  v_memories := array(
    select distinct v.memory_id
    from erasure_marks k join memory_versions v on v.tenant_id = p_tenant and v.seq = k.seq
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared' and k.id = any (v_events)
      and not exists (
        select from erasure_marks o where o.tenant_id = p_tenant and o.job_id = p_job and o.what = 'memory' and o.id = v.memory_id)
    order by 1);
  return jsonb_build_object('events', cardinality(v_events), 'memories', cardinality(v_memories),
    'event_ids', to_jsonb(v_events[1:p_limit]), 'memory_ids', to_jsonb(v_memories[1:p_limit]));
end $$;
