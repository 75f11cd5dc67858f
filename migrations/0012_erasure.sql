-- Forgetting: a subject on request, old payloads by policy, the beginning of a log by trim.
-- min_code: 7

-- The log is append-only for the serving role. What is forgotten is blanked by another one, which can do nothing else, only through the
-- functions below, and only while a job of the bound tenant that forgets is held by a daemon.
do $$
begin
  execute 'create role agent_memory_blanker nologin nosuperuser nobypassrls';
exception when duplicate_object or unique_violation then null;
end $$;
do $$
begin
  if not pg_has_role(current_user, 'agent_memory_blanker', 'usage') then
    execute 'grant agent_memory_blanker to current_user';
  end if;
end $$;
grant usage on schema public to agent_memory_blanker;
grant select (tenant_id, kind, state) on jobs to agent_memory_blanker;
create policy blanker_reads on jobs for select to agent_memory_blanker using (tenant_id = (select current_tenant()));

-- What is erased holds nothing, wherever the row came from: an import may not hide a content from erasures.
alter table events add constraint events__erased check (erased_at is null or (
  (content = '{"erased": true, "retention": true}'
    or (content - 'erasure' = '{"erased": true}' and coalesce(content ->> 'erasure' ~ '^erased_[0-9a-f]{32}$', false)))
  and metadata = '{}' and tags = '{}' and refs = '{}' and artifact_id is null and chunk_count = 0));

create function tenant_forgetting() returns text
language sql stable
as $$
  select j.tenant_id from jobs j
  where j.tenant_id = (select current_tenant()) and j.kind in ('erasure', 'retention') and j.state = 'running'
  limit 1
$$;
grant select, delete on events to agent_memory_blanker;
grant update (content, metadata, tags, refs, artifact_id, chunk_count, byte_count, session_id, user_id, agent_id, project_id, actor_id, erased_at)
  on events to agent_memory_blanker;
create policy blanker_finds on events for select to agent_memory_blanker using (tenant_id = (select tenant_forgetting()));
create policy blanker_blanks on events for update to agent_memory_blanker
  using (tenant_id = (select tenant_forgetting())) with check (tenant_id = (select tenant_forgetting()));
create policy blanker_trims on events for delete to agent_memory_blanker using (tenant_id = (select tenant_forgetting()));

-- An event keeps its place, its kind and its times. p_subject: names that hold it become p_name, and the session's name where the event is
-- about that user, for clients put anything into it; null: no name changes.
create function blank_events(p_seqs bigint[], p_content jsonb, p_subject text, p_name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count bigint;
begin
  update public.events e
  set content = p_content, metadata = '{}', tags = '{}', refs = '{}', artifact_id = null, chunk_count = 0,
    byte_count = pg_column_size(p_content), erased_at = coalesce(e.erased_at, clock_timestamp()),
    session_id = case when strpos(e.session_id, p_subject) > 0 or e.user_id = p_subject then p_name else e.session_id end,
    user_id = case when strpos(e.user_id, p_subject) > 0 then p_name else e.user_id end,
    agent_id = case when strpos(e.agent_id, p_subject) > 0 then p_name else e.agent_id end,
    project_id = case when strpos(e.project_id, p_subject) > 0 then p_name else e.project_id end,
    actor_id = case when strpos(e.actor_id, p_subject) > 0 or e.actor_id ~ '^usr_' then coalesce(p_name, e.actor_id) else e.actor_id end
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  if v_count <> cardinality(p_seqs) then
    raise exception '% of % events could be blanked', v_count, cardinality(p_seqs);
  end if;
  return v_count;
end $$;

-- Other people's events that cite a name: the citation is replaced, the rest is theirs.
create function rename_refs(p_seqs bigint[], p_subject text, p_name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count bigint;
begin
  update public.events e set refs = array_replace(e.refs, p_subject, p_name)
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  return v_count;
end $$;

create function drop_events(p_from bigint, p_to bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count bigint;
begin
  delete from public.events e where e.tenant_id = (select public.current_tenant()) and e.seq >= p_from and e.seq <= p_to;
  get diagnostics v_count = row_count;
  return v_count;
end $$;

do $$
declare
  v_function regprocedure;
begin
  grant create on schema public to agent_memory_blanker;
  foreach v_function in array array['blank_events(bigint[], jsonb, text, text)', 'rename_refs(bigint[], text, text)', 'drop_events(bigint, bigint)']::regprocedure[] loop
    execute format('revoke execute on function %s from public', v_function);
    execute format('grant execute on function %s to agent_memory_app', v_function);
    execute format('alter function %s owner to agent_memory_blanker', v_function);
  end loop;
  revoke create on schema public from agent_memory_blanker;
end $$;

-- What a job that forgets has found, and not yet done: ids, no content. Gone with the job's end.
create table erasure_marks (
  tenant_id text not null,
  job_id text not null,
  -- event, ref (an event that only cites the name), artifact, memory, keep (a memory that loses a part of what it rests on), user
  what text not null,
  id text not null,
  seq bigint,
  constraint erasure_marks_pkey primary key (tenant_id, job_id, what, id),
  constraint erasure_marks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);
-- whether an id is marked, as whatever
create index erasure_marks__id on erasure_marks (tenant_id, job_id, id);
select wall('erasure_marks', 'select, insert, update, delete');

-- The subject's own events: what is recorded about a user or is a user's words, all of a session or project, what an agent did.
create function is_of_subject(p_event events, p_kind text, p_subject text, p_users text[]) returns boolean
language sql immutable
return case p_kind
  when 'user_id' then p_event.user_id = p_subject or (p_event.actor_type = 'human' and p_event.actor_id = any (p_subject || p_users))
  when 'session_id' then p_event.session_id = p_subject
  when 'project_id' then p_event.project_id = p_subject
  else p_event.agent_id = p_subject or (p_event.actor_type = 'agent' and p_event.actor_id = p_subject) end;

create function subject_users(p_tenant text, p_job text) returns text[]
language sql stable
return array(select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'user');

-- Marks the subject's events of a stretch of the log, with their artifacts, and those of others that cite its name. One that is erased
-- already may still hold the name: it is blanked again. What the service says of erasures stays, whoever is named like it.
create function mark_events(p_tenant text, p_job text, p_kind text, p_subject text, p_from bigint, p_to bigint) returns void
language plpgsql
as $$
declare
  v_users text[] := subject_users(p_tenant, p_job);
begin
  insert into erasure_marks (tenant_id, job_id, what, id, seq)
  select p_tenant, p_job, case when is_of_subject(e, p_kind, p_subject, v_users) then 'event' else 'ref' end, e.event_id, e.seq
  from events e
  where e.tenant_id = p_tenant and e.seq >= p_from and e.seq <= p_to and e.kind not in ('erasure.completed', 'retention.forgot')
    and (is_of_subject(e, p_kind, p_subject, v_users) or p_subject = any (e.refs))
  on conflict do nothing;
  insert into erasure_marks (tenant_id, job_id, what, id)
  select p_tenant, p_job, 'artifact', e.artifact_id
  from events e join erasure_marks k on k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id = e.event_id
  where e.tenant_id = p_tenant and e.seq >= p_from and e.seq <= p_to and e.artifact_id is not null
  on conflict do nothing;
end $$;

-- Asked several times for each memory, so in plpgsql: one in SQL is planned at each call.
create function is_marked(p_tenant text, p_job text, p_ref text) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_id text := case when p_ref ~ '^chk_' then 'evt_' || split_part(substr(p_ref, 5), '_', 1) else p_ref end;
begin
  return exists (
    select from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.id = v_id and k.what = any (array['event', 'artifact', 'memory']));
end $$;

-- Where a memory's text still stands: the event of its content, or else the newest other that says the same.
create function home_of(p_memory memories, p_job text) returns bigint
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

-- What a memory rests on: what the events of its versions cite from its content on, and those that were recorded, themselves.
create function grounds_of(p_memory memories, p_from bigint) returns table (ref text, seq bigint)
language sql stable
begin atomic
  select r.ref, max(e.seq)
  from memory_versions v
  join events e on e.tenant_id = v.tenant_id and e.seq = v.seq
  cross join lateral unnest(case when e.kind like 'memory.%' then e.refs else e.event_id || e.refs end) r (ref)
  where v.tenant_id = p_memory.tenant_id and v.memory_id = p_memory.memory_id and v.seq >= p_from and v.status in ('active', 'proposed')
  group by r.ref;
end;

-- What becomes of the next memories: `memory` (the subject's own, or nothing is left of its text or of what it rests on), `keep` (something
-- is), or nothing. A memory that goes takes the events of its versions along, which others may rest on: so this is walked until
-- it finds nothing more.
create function mark_memories(p_tenant text, p_job text, p_kind text, p_subject text, p_upto bigint, p_after text, p_limit int)
returns table (last_id text, news bigint)
language plpgsql
as $$
declare
  v_ids text[];
  v_verdicts text[];
begin
  select array_agg(m.memory_id order by m.memory_id), array_agg(case
    when judged.theirs or (judged.gone and home.seq is null) or (judged.lost and not judged.rests and m.kind in ('fact', 'summary', 'note')) then 'memory'
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
      coalesce(bool_or(not is_marked(p_tenant, p_job, g.ref)), false) as rests
    from grounds_of(m, m.content_seq) g
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

-- Blanks what is marked, the next p_limit of it, with the passages and bytes. The clock is locked first and all of this is one short
-- transaction: whoever writes waits for one batch. Large contents and bytes count, so that a batch stays short.
create function blank_marked(p_tenant text, p_job text, p_after text, p_limit int, p_content jsonb, p_subject text, p_name text)
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
    + coalesce((select sum(octet_length(c.text) + octet_length(c.header)) from chunks c where c.tenant_id = p_tenant and c.seq = t.seq), 0)), 0)
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

-- What the service itself must be able to say, however full the tenant is. The clock is locked.
create function say(p_tenant text, p_event jsonb) returns bigint
language plpgsql
as $$
declare
  v_max bigint;
  v_seq bigint;
begin
  select c.max_bytes into v_max from tenant_clocks c where c.tenant_id = p_tenant for update;
  update tenant_clocks c set max_bytes = null where c.tenant_id = p_tenant;
  select (u.outcome ->> 'seq')::bigint into v_seq
  from commit_units(p_tenant, jsonb_build_array(jsonb_build_object('key', null, 'body', null, 'bytes', octet_length(p_event::text), 'events', jsonb_build_array(p_event)))) u;
  update tenant_clocks c set max_bytes = v_max where c.tenant_id = p_tenant;
  return v_seq;
end $$;

-- The whole of a memory, as an event that makes a version says it, from the event that has its text.
create function memory_content(p_memory memories, p_event events) returns jsonb
language sql stable
return jsonb_strip_nulls(jsonb_build_object(
  'memory_id', p_memory.memory_id, 'kind', p_memory.kind, 'scope', p_memory.scope, 'importance', p_memory.importance, 'pinned', p_memory.pinned,
  'valid_from', p_memory.valid_from, 'valid_to', p_memory.valid_to, 'expires_at', p_memory.expires_at,
  'origin', jsonb_build_object('type', p_event.actor_type, 'id', p_event.actor_id),
  'trust', case p_event.actor_type when 'human' then 'stated' when 'agent' then 'inferred' else 'observed' end))
  || case p_event.kind
    when 'decision' then jsonb_build_object(
      'text', p_event.content ->> 'decision', 'body', p_event.content - array['decision', 'scope', 'supersedes'])
    when 'task_update' then jsonb_build_object('text', p_event.content ->> 'title', 'body', p_event.content - 'title')
    else p_event.content - 'supersedes' end;

-- A memory that rests on others too loses what is erased: a new version says the same without it. One that is not held any more is
-- only marked, and has its text where it still stands.
create function keep_memory(p_tenant text, p_job text, p_memory_id text, p_event_id text) returns void
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
    select g.ref from grounds_of(v_memory, v_memory.content_seq) g
    where not is_marked(p_tenant, p_job, g.ref) and g.ref <> p_memory_id order by g.seq desc, g.ref limit 256);
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

-- Carries out the verdicts on the next memories. The clock is locked first.
create function forget_memories(p_tenant text, p_job text, p_after text, p_limit int, p_event_ids text[])
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

-- The accounts of a user that is erased: who logs in as this subject. With them go their sessions, the invites and keys they made, what
-- those keys made, and the keys that act for the subject.
create function forget_accounts(p_tenant text, p_subject text, p_name text, p_users text[], p_before timestamptz) returns jsonb
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

create function is_last_owner(p_tenant text, p_users text[]) returns boolean
language sql stable
return exists (
    select from users u where u.tenant_id = p_tenant and u.user_id = any (p_users) and u.role = 'owner' and u.disabled_at is null)
  and 1 = (select count(*) from users u where u.tenant_id = p_tenant and u.role = 'owner' and u.disabled_at is null);

create function count_accounts(p_tenant text, p_subject text, p_users text[], p_before timestamptz) returns jsonb
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

-- Answers kept for retries whose events are among the marked; the next p_limit keys are looked at.
create function marked_answers(p_tenant text, p_job text, p_after bytea, p_limit int) returns table (key_hash bytea, marked boolean)
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

create function add_counts(p_counts jsonb, p_more jsonb) returns jsonb
language sql immutable
return (
  select coalesce(jsonb_object_agg(k, coalesce((p_counts ->> k)::bigint, 0) + coalesce((p_more ->> k)::bigint, 0)), '{}')
  from (select jsonb_object_keys(p_counts) union select jsonb_object_keys(p_more)) keys (k));

-- The rows of other features that name the subject or hold its words, whatever event they are about: capsules, subscriptions, what it
-- proposed or decided as an edit. Each feature says itself what of it goes.
create function forget_named(p_tenant text, p_kind text, p_subject text, p_name text, p_users text[]) returns jsonb
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

-- The rows of other features that are about these events.
create function forget_about(p_tenant text, p_seqs bigint[]) returns jsonb
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

-- Up to where an erasure reaches: what is recorded later is a new relationship. AM409 where it may not be.
create function begin_erasure(p_tenant text, p_job text, p_kind text, p_subject text, p_upto bigint, p_before timestamptz) returns bigint
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
  select c.last_seq into v_last from tenant_clocks c where c.tenant_id = p_tenant;
  return least(v_last, p_upto);
end $$;

-- One step of counting what an erasure would remove, after it has found it: table by table, as the job counts, what it does undone.
create function foresee_step(p_tenant text, p_job text, p_kind text, p_subject text, p_phase text, p_after text, p_limit int)
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
create function erase_step(p_tenant text, p_job text, p_token int, p_lease_ms int, p_limit int, p_cursor jsonb, p_input jsonb, p_ids text[])
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
      v_phase := case when v_next is null then 'forget' else 'blank' end;
    when 'forget' then
      select * into v_row from forget_memories(p_tenant, p_job, v_after, least(p_limit, cardinality(p_ids)), p_ids);
      v_next := v_row.last_id;
      v_counts := jsonb_build_object(
        'memories', coalesce(v_row.memories, 0), 'memory_versions', coalesce(v_row.versions, 0), 'memories_kept', coalesce(v_row.kept, 0));
      v_phase := case when v_next is null then 'cite' else 'forget' end;
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
      v_phase := case when v_next is null then 'answers' else 'cite' end;
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
create function end_erasure(p_tenant text, p_job text, p_event jsonb) returns bigint
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

create function drop_marks(p_tenant text, p_job text, p_limit int) returns bigint
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

-- Retention: what a tenant wants forgotten by itself. One policy a tenant.
create table retention_policies (
  tenant_id text not null,
  rules jsonb not null,
  trim jsonb,
  version int not null default 1,
  updated_at timestamptz not null default now(),
  last_run_at timestamptz,
  constraint retention_policies_pkey primary key (tenant_id),
  constraint retention_policies__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);
select wall('retention_policies', 'select, insert, update, delete');

-- The last seq of what was recorded before then: times grow with seq.
create function seq_before(p_tenant text, p_at timestamptz) returns bigint
language plpgsql stable
as $$
declare
  v_low bigint;
  v_high bigint;
  v_middle bigint;
begin
  select c.oldest_seq - 1, c.last_seq into v_low, v_high from tenant_clocks c where c.tenant_id = p_tenant;
  while v_low < v_high loop
    v_middle := (v_low + v_high + 1) / 2;
    if (select e.created_at < p_at from events e where e.tenant_id = p_tenant and e.seq = v_middle) then
      v_low := v_middle;
    else
      v_high := v_middle - 1;
    end if;
  end loop;
  return v_low;
end $$;

-- Whether a memory is held: a task that is done is not, nor what has expired.
create function stands(p_memory memories) returns boolean
language sql stable
return p_memory.status in ('active', 'proposed') and coalesce(p_memory.expires_at > now(), true) and coalesce(p_memory.task_status <> 'done', true);

-- Events that stay whatever a rule says: those of pinned memories and those that these cite, also by a passage, bytes or a memory of them.
create function mark_pins(p_tenant text, p_job text) returns void
language sql
begin atomic
  with pinned as materialized (
    select m.* from memories m where m.tenant_id = p_tenant and m.pinned and stands(m)
  ),
  cited as materialized (
    select distinct case when g.ref ~ '^chk_' then 'evt_' || split_part(substr(g.ref, 5), '_', 1) else g.ref end as ref
    from pinned p cross join lateral grounds_of(p, p.content_seq) g
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
create function mark_old(p_tenant text, p_job text, p_rules jsonb, p_now timestamptz, p_from bigint, p_to bigint) returns void
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

-- Up to where the log may be trimmed: never past an event that a memory which is held, or a pinned one’s evidence, stands on; nor past
-- one that a webhook has yet to deliver, for a week: a receiver that never catches up does not keep a log for ever.
create function trim_bound(p_tenant text, p_job text, p_trim jsonb, p_now timestamptz) returns bigint
language plpgsql stable
as $$
begin
  return least(
    case
      when p_trim ? 'keep_events' then (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant) - (p_trim ->> 'keep_events')::bigint
      when p_trim ? 'keep_days' then seq_before(p_tenant, p_now - interval '1 day' * (p_trim ->> 'keep_days')::float8) else 0 end,
    (select min(m.content_seq) - 1 from memories m where m.tenant_id = p_tenant and stands(m) and not exists (
      select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory' and k.id = m.memory_id)),
    (select min(k.seq) - 1 from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'pin'),
    (select greatest(min(w.cursor), seq_before(p_tenant, p_now - interval '7 days')) from webhooks w
     where w.tenant_id = p_tenant and w.active
     having count(*) > 0));
end $$;

-- Drops the beginning of the log, at most p_limit events of it, with all that was derived from them.
create function trim_step(p_tenant text, p_upto bigint, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_from bigint;
  v_to bigint;
  v_freed bigint;
  v_bytes bigint;
  v_count bigint;
begin
  select c.oldest_seq into v_from from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_to := least(p_upto, v_from + p_limit - 1);
  if v_to < v_from then
    return 0;
  end if;
  select coalesce(sum(octet_length(e.content::text) + octet_length(e.metadata::text) + 400), 0) into v_freed
  from events e where e.tenant_id = p_tenant and e.seq between v_from and v_to;
  with gone as (
    delete from artifacts a using events e
    where e.tenant_id = p_tenant and e.seq between v_from and v_to and a.tenant_id = p_tenant and a.artifact_id = e.artifact_id
    returning a.byte_count)
  select coalesce(sum(byte_count), 0) into v_bytes from gone;
  with gone as (
    delete from chunks c where c.tenant_id = p_tenant and c.seq between v_from and v_to returning octet_length(c.text) + octet_length(c.header) as bytes)
  select v_bytes + coalesce(sum(bytes), 0) into v_bytes from gone;
  perform forget_about(p_tenant, array(select generate_series(v_from, v_to)));
  delete from memories m where m.tenant_id = p_tenant and m.content_seq between v_from and v_to;
  delete from memory_versions v where v.tenant_id = p_tenant and v.seq between v_from and v_to;
  v_count := drop_events(v_from, v_to);
  update tenant_clocks c
  set oldest_seq = v_to + 1, event_count = c.event_count - v_count, stored_bytes = greatest(0, c.stored_bytes - v_freed - v_bytes)
  where c.tenant_id = p_tenant;
  return v_count;
end $$;

-- One step of a retention run, as erase_step. p_input: {"rules", "trim"}; p_cursor: {"phase", "after", "upto", "now", "counts", "trim_to"};
-- p_event: what the log says at the end.
create function retain_step(p_tenant text, p_job text, p_token int, p_lease_ms int, p_limit int, p_cursor jsonb, p_input jsonb, p_event jsonb)
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
  v_trimmed bigint;
  v_more jsonb := '{}';
begin
  perform enter_tenant(p_tenant);
  if not report_job(p_tenant, p_job, p_token, null, null, null, p_lease_ms) then
    return null;
  end if;
  case v_phase
    when 'pins' then
      perform mark_pins(p_tenant, p_job);
      select seq_before(p_tenant, v_now - interval '1 day' * min((r ->> 'older_than_days')::float8)), c.oldest_seq - 1 into v_upto, v_next
      from tenant_clocks c left join jsonb_array_elements(p_input -> 'rules') r on true
      where c.tenant_id = p_tenant group by c.oldest_seq;
      v_more := jsonb_build_object('upto', coalesce(v_upto, 0));
      v_phase := 'find';
    when 'find' then
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
      if v_next is null then
        v_phase := 'say';
        v_more := jsonb_build_object('trim_to', trim_bound(p_tenant, p_job, p_input -> 'trim', v_now));
      end if;
    when 'say' then
      perform from tenant_clocks c where c.tenant_id = p_tenant for update;
      if (p_cursor -> 'counts' ->> 'events')::bigint > 0 then
        v_total := say(p_tenant, p_event);
        select count(*) into v_trimmed from (
          select end_memory(p_tenant, m.memory_id, 'expired', v_total)
          from erasure_marks k join memories m on m.tenant_id = p_tenant and m.memory_id = k.id
          where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory' and stands(m)) ended;
        v_counts := jsonb_build_object('memories', v_trimmed);
        v_total := null;
      end if;
      v_phase := case when p_input -> 'trim' is null or p_input ->> 'trim' is null then 'over' else 'trim' end;
    when 'trim' then
      v_trimmed := trim_step(p_tenant, (p_cursor ->> 'trim_to')::bigint, p_limit);
      v_counts := jsonb_build_object('trimmed', v_trimmed);
      v_phase := case when v_trimmed = 0 then 'over' else 'trim' end;
    else
      raise exception 'no phase %', v_phase;
  end case;
  v_counts := add_counts(coalesce(p_cursor -> 'counts', '{}'), v_counts);
  p_cursor := p_cursor || jsonb_build_object('phase', v_phase, 'after', coalesce(v_next, ''), 'counts', v_counts) || v_more;
  perform report_job(p_tenant, p_job, p_token, coalesce((v_counts ->> 'events')::bigint, 0), v_total, p_cursor, p_lease_ms);
  return p_cursor;
end $$;

-- What a policy would forget now, found as by the job, and undone.
create function preview_retention(p_tenant text, p_job text, p_rules jsonb, p_trim jsonb) returns jsonb
language plpgsql
as $$
declare
  v_answer jsonb;
  v_to bigint;
  v_oldest bigint;
begin
  perform enter_tenant(p_tenant);
  begin
    perform mark_pins(p_tenant, p_job);
    select c.oldest_seq into v_oldest from tenant_clocks c where c.tenant_id = p_tenant;
    perform mark_old(p_tenant, p_job, p_rules, clock_timestamp(), v_oldest,
      seq_before(p_tenant, clock_timestamp() - interval '1 day' * (select min((r ->> 'older_than_days')::float8) from jsonb_array_elements(p_rules) r)));
    v_to := trim_bound(p_tenant, p_job, p_trim, clock_timestamp());
    select jsonb_build_object(
      'events', count(*), 'by_kind', coalesce(jsonb_object_agg(k.kind, k.n), '{}'), 'oldest', to_jsonb(min(k.oldest)), 'newest', to_jsonb(max(k.newest)))
    into v_answer
    from (
      select e.kind, count(*) as n, min(e.created_at) as oldest, max(e.created_at) as newest
      from erasure_marks k join events e on e.tenant_id = p_tenant and e.seq = k.seq
      where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event'
      group by e.kind) k;
    v_answer := v_answer || jsonb_build_object(
      'events', (select count(*) from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event'),
      'memories', (select count(*) from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory'),
      'sample', (
        select coalesce(jsonb_agg(s.id), '[]') from (
          select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' order by k.seq limit 10) s),
      'trimmed', greatest(0, v_to - v_oldest + 1), 'oldest_seq', greatest(v_oldest, v_to + 1));
    raise exception 'undone' using errcode = 'AM000';
  exception when sqlstate 'AM000' then
    null;
  end;
  return v_answer;
end $$;

-- Whether the daily run is due, which it then is not for another day.
create function retention_due(p_tenant text) returns jsonb
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
