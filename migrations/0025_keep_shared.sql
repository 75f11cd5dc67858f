-- Erasing a person can keep what the team decided under their name: decisions, tasks and rules of team and public stay, and the person's
-- names in them are replaced by the hash.
-- min_code: 7

create function is_shared_act(p_kind text, p_channel text) returns boolean
language sql immutable parallel safe
return p_kind in ('decision', 'task', 'rule') and p_channel in ('team', 'public');

-- Marks of two more kinds: `shared` (an event of the subject that stays) and `name` (a word that stands for the subject). The option is one
-- too, so that each step of the job knows it.
create function keeps_shared(p_tenant text, p_job text) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return exists (select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'option' and k.id = 'keep_shared');
end $$;

-- An event that makes a version of a shared act. One whose text is in an artifact does not stay: its bytes are not rewritten.
create function is_shared_event(p_event events) returns boolean
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

-- As in 0012, with the option and the names of the subject.
drop function begin_erasure(text, text, text, text, bigint, timestamptz);
create function begin_erasure(
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

-- As in 0012; shared acts are marked apart where they stay.
create or replace function mark_events(p_tenant text, p_job text, p_kind text, p_subject text, p_from bigint, p_to bigint) returns void
language plpgsql
as $$
declare
  v_users text[] := subject_users(p_tenant, p_job);
  v_keep boolean := keeps_shared(p_tenant, p_job);
begin
  insert into erasure_marks (tenant_id, job_id, what, id, seq)
  select p_tenant, p_job,
    -- null: the event is about nobody
    case when is_of_subject(e, p_kind, p_subject, v_users) is not true then 'ref' when v_keep and is_shared_event(e) then 'shared' else 'event' end,
    e.event_id, e.seq
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

-- As in 0020; shared acts stay.
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
  return next;
end $$;

-- All that is kept of an event and can hold a name: its fields and content, its passages, how edits let it read, and the edits. Edits are
-- looked up by the event that they are about and by those that they are applied to.
create function named_parts(p_event events) returns jsonb
language sql stable
begin atomic
  select jsonb_build_object(
    'fields', jsonb_build_object(
      'session_id', p_event.session_id, 'user_id', p_event.user_id, 'agent_id', p_event.agent_id, 'project_id', p_event.project_id,
      'actor_id', p_event.actor_id, 'tags', p_event.tags, 'refs', p_event.refs),
    'content', p_event.content,
    'metadata', p_event.metadata,
    'chunks', coalesce((
      select jsonb_agg(jsonb_build_array(c.ordinal, c.text, c.header) order by c.ordinal)
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
create function read_named(p_tenant text, p_job text, p_after bigint, p_limit int) returns table (seq bigint, parts jsonb)
language sql stable
begin atomic
  select s.seq, named_parts(s.event)
  from (
    select n.seq, n.event, sum((n.event).byte_count) over (order by n.seq) - (n.event).byte_count as before
    from (
      select e.seq, e as event
      from erasure_marks k join events e on e.tenant_id = p_tenant and e.seq = k.seq
      where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared' and k.seq > p_after and e.erased_at is null
      order by e.seq
      limit p_limit
    ) n
  ) s
  where s.before < 1048576
  order by s.seq;
end;

create function rename_event(p_seq bigint, p_parts jsonb) returns void
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
  update public.events e
  set session_id = f.session_id, user_id = f.user_id, agent_id = f.agent_id, project_id = f.project_id, actor_id = f.actor_id,
    tags = f.tags, refs = f.refs, content = p_parts -> 'content', metadata = p_parts -> 'metadata',
    byte_count = pg_column_size(p_parts -> 'content') + pg_column_size(p_parts -> 'metadata')
  from jsonb_to_record(p_parts -> 'fields') as f (
    session_id text, user_id text, agent_id text, project_id text, actor_id text, tags text[], refs text[])
  where e.tenant_id = (select public.current_tenant()) and e.seq = p_seq and e.erased_at is null
$$;
do $$
begin
  grant create on schema public to agent_memory_blanker;
  revoke execute on function rename_event(bigint, jsonb) from public;
  grant execute on function rename_event(bigint, jsonb) to agent_memory_app;
  alter function rename_event(bigint, jsonb) owner to agent_memory_blanker;
  revoke create on schema public from agent_memory_blanker;
end $$;

-- A memory has the fields and the text of the event of its content. Where another active one says the same by now, such as of an earlier
-- erasure of the same person, this one ends.
create function rename_memories(p_tenant text, p_event events) returns void
language plpgsql
as $$
declare
  v_id text;
  v_seq bigint;
begin
  for v_id in
    select m.memory_id
    from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
    where v.tenant_id = p_tenant and v.seq = p_event.seq and m.content_seq = p_event.seq and v.status <> 'superseded'
  loop
    for attempt in 1 .. 2 loop
      begin
        update memories m
        set user_id = p_event.user_id, agent_id = p_event.agent_id, session_id = nullif(p_event.session_id, m.memory_id),
          project_id = p_event.project_id, tags = p_event.tags,
          doing_agent = case when m.doing_agent is not null then p_event.agent_id end,
          scope_id = case m.scope when 'project' then p_event.project_id when 'session' then nullif(p_event.session_id, m.memory_id)
            when 'user' then p_event.user_id end,
          text_hash = (as_stated(m)).text_hash
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

-- Writes a batch of events with their names replaced: p_docs is [{"seq", "was", "parts"}], `was` the md5 of the parts that the names were
-- replaced in. False: the job is another's by now. What an edit has changed meanwhile is left, and `stale` counts it.
create function rename_shared(p_tenant text, p_job text, p_token int, p_lease_ms int, p_cursor jsonb, p_docs jsonb)
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
      set text = p.part ->> 1, header = p.part ->> 2,
        tsv = passage_vector((select t.language from tenants t where t.tenant_id = p_tenant), p.part ->> 1, p.part ->> 2, c.occurred_at),
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
create function list_shared(p_tenant text, p_job text, p_limit int) returns jsonb
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
