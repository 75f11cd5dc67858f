-- Returns whether an event belongs to the subject: for a user, events about them or by them; for a session or project, all of its events; for an
-- agent, its actions.
create or replace function belongs_to_subject(p_event events, p_kind text, p_subject text, p_users text[]) returns boolean
language sql immutable
as $$ select case p_kind
  when 'user_id' then p_event.user_id = p_subject or (p_event.actor_type = 'human' and p_event.actor_id = any (p_subject || p_users))
  when 'session_id' then p_event.session_id = p_subject
  when 'project_id' then p_event.project_id = p_subject
  else p_event.agent_id = p_subject or (p_event.actor_type = 'agent' and p_event.actor_id = p_subject) end $$;

create or replace function marked_accounts(p_tenant text, p_job text) returns text[]
language sql stable
return array(select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'user');

-- Begins an erasure and returns the last seq that it covers; later events are out of its scope. Raises AM409 if the erasure is not allowed.
-- Marks the accounts of the subject and, with p_keep_shared, the names that identify it.
create or replace function begin_erasure(
  p_tenant text, p_job text, p_kind text, p_subject text, p_upto bigint, p_before timestamptz, p_keep_shared boolean default false)
returns bigint
language plpgsql
as $$
declare
  v_last bigint;
  v_names text[] := array[p_subject];
begin
  perform enter_tenant(p_tenant);
  if not exists (select from tenants t where t.tenant_id = p_tenant) then
    raise exception 'the tenant does not exist' using errcode = 'AM404';
  end if;
  if p_kind = 'user_id' then
    perform mark_ids(p_tenant, p_job, 'user', array(select a.user_id from subject_accounts(p_tenant, p_subject, p_before) a));
    v_names := v_names || array(select unnest(a.names) from subject_accounts(p_tenant, p_subject, p_before) a);
    if is_last_owner(p_tenant, marked_accounts(p_tenant, p_job)) then
      raise exception 'the user is the last owner; make another user an owner first' using errcode = 'AM409';
    end if;
  end if;
  if p_keep_shared then
    perform mark_ids(p_tenant, p_job, 'name', array_remove(v_names, ''));
  end if;
  select c.last_seq into v_last from tenant_clocks c where c.tenant_id = p_tenant;
  return least(v_last, p_upto);
end $$;

-- Deletes the data of all nouns about these events, or with p_dry only counts it. Returns counts by table and the `bytes`.
create or replace function clear_events(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_noun text;
  v_counts jsonb := '{}';
  v_more jsonb;
begin
  for v_noun in select * from hooks('clear') loop
    execute format('select %I($1, $2, $3)', v_noun || '_clear') into v_more using p_tenant, p_seqs, p_dry;
    v_counts := add_counts(v_counts, v_more);
  end loop;
  return v_counts;
end $$;

-- Returns the events of the subject that are retained because they are shared acts.
create or replace function retained_among(p_tenant text, p_seqs bigint[]) returns bigint[]
language plpgsql stable
as $$
declare
  v_noun text;
  v_seqs bigint[] := '{}';
  v_more bigint[];
begin
  for v_noun in select * from hooks('stay') loop
    execute format('select array(select %I($1, $2))', v_noun || '_stay') into v_more using p_tenant, p_seqs;
    v_seqs := v_seqs || v_more;
  end loop;
  return v_seqs;
end $$;

-- Phase `find`: in the next range of the log, marks the events of the subject (`event`, or `shared` if they are retained) with their artifacts,
-- and events of others that cite its name (`ref`). Erased events are included, because they may still contain the name. Reports of the service
-- about erasures are excluded, even if the subject has the same name.
create or replace function mark_subject_events(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int) returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_kind text := p_erasure ->> 'kind';
  v_subject text := p_erasure ->> 'subject';
  v_users text[] := array(select jsonb_array_elements_text(p_erasure -> 'users'));
  v_upto bigint := (p_erasure ->> 'upto')::bigint;
  v_from bigint := coalesce(nullif(p_after, '')::bigint, 0) + 1;
  v_to bigint := least(v_upto, v_from + p_limit * 20 - 1);
  v_own bigint[];
  v_citing bigint[];
  v_shared bigint[] := '{}';
begin
  select array_agg(e.seq) filter (where own), array_agg(e.seq) filter (where not own) into v_own, v_citing
  from events e
  -- null: the event has no subject
  cross join lateral (select belongs_to_subject(e, v_kind, v_subject, v_users) is true) o (own)
  where e.tenant_id = p_tenant and e.seq >= v_from and e.seq <= v_to and e.kind not in ('erasure.completed', 'retention.forgot')
    and (own or v_subject = any (e.refs));
  if (p_erasure ->> 'keep_shared')::boolean then
    v_shared := retained_among(p_tenant, v_own);
    perform mark_seqs(p_tenant, p_job, 'shared', v_shared);
    v_own := array(select unnest(v_own) except select unnest(v_shared));
  end if;
  perform mark_seqs(p_tenant, p_job, 'event', v_own);
  perform mark_seqs(p_tenant, p_job, 'ref', v_citing);
  perform mark_ids(p_tenant, p_job, 'artifact', array(
    select e.artifact_id
    from unnest(v_own) s (seq)
    cross join lateral (select x.artifact_id from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e
    where e.artifact_id is not null));
  last := case when v_to < v_upto then v_to::text end;
  counts := '{}';
  return next;
end $$;

-- Returns the next marked events, at most p_limit and about 2 MiB, so that a batch stays short. An event that a concurrent trim dropped is skipped:
-- `last` advances past its mark.
create or replace function next_marked(p_tenant text, p_job text, p_after text, p_limit int) returns table (last text, seqs bigint[])
language sql stable
begin atomic
  select max(s.id), array_agg(s.seq) filter (where s.is_there)
  from (
    select n.id, n.seq, e.seq is not null as is_there,
      coalesce(sum(e.byte_count + coalesce(a.byte_count, 0)) over (order by n.id rows between unbounded preceding and 1 preceding), 0) as before
    from (
      select k.id, k.seq
      from erasure_marks k
      where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id > p_after
      order by k.id
      limit p_limit
    ) n
    left join events e on e.tenant_id = p_tenant and e.seq = n.seq
    left join artifacts a on a.tenant_id = p_tenant and a.artifact_id = e.artifact_id
  ) s
  where s.before < 2097152;
end;

-- Phase `blank`: blanks the next marked events and clears the data of nouns about them. Locks the clock first; the transaction is short, so a
-- writer waits for at most one batch.
create or replace function blank_marked(
  p_tenant text, p_job text, p_after text, p_limit int, p_content jsonb, p_subject text, p_name text, p_dry boolean default false)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_seqs bigint[];
  v_bytes bigint;
begin
  if not p_dry then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  end if;
  select n.last, n.seqs into last, v_seqs from next_marked(p_tenant, p_job, p_after, p_limit) n;
  counts := clear_events(p_tenant, v_seqs, p_dry);
  if not p_dry and last is not null then
    select coalesce(sum(
      octet_length(e.content::text) + octet_length(e.metadata::text) + 2 * octet_length(e.refs::text) + 2 * octet_length(e.tags::text)), 0)
    into v_bytes
    from unnest(v_seqs) s (seq)
    cross join lateral (select * from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e;
    perform blank_events(v_seqs, p_content, p_subject, p_name);
    perform shrink_log(p_tenant, greatest(0, v_bytes + (counts ->> 'bytes')::bigint - cardinality(v_seqs) * octet_length(p_content::text)));
  end if;
  counts := (counts - 'bytes') || jsonb_build_object('events', coalesce(cardinality(v_seqs), 0));
  return next;
end $$;

-- Phase `cite`: replaces the name of the subject in the next events of others that cite it.
create or replace function rename_citations(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_seqs bigint[];
begin
  select max(k.id), coalesce(array_agg(k.seq) filter (where not exists (
    select from erasure_marks o where o.tenant_id = p_tenant and o.job_id = p_job and o.what = 'event' and o.id = k.id)), '{}')
  into last, v_seqs
  from (
    select k.id, k.seq from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'ref' and k.id > p_after order by k.id limit p_limit) k;
  if not p_erasure ? 'dry_run' then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
    perform rename_refs(v_seqs, p_erasure ->> 'subject', p_erasure ->> 'name');
  end if;
  counts := jsonb_build_object('citing_events', cardinality(v_seqs));
  return next;
end $$;

-- Phase `late`: clears again the data about marked events, because requests or a rebuild may have written some while the events were being
-- blanked.
create or replace function clear_late(p_tenant text, p_job text, p_after text, p_limit int) returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_seqs bigint[];
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  select n.last, n.seqs into last, v_seqs from next_marked(p_tenant, p_job, p_after, p_limit) n;
  counts := clear_events(p_tenant, v_seqs, false) - 'bytes';
  return next;
end $$;

-- Runs one step of a hook for each noun in turn, finishing one before the next. p_after is `<noun>/<position>`, or '' at the beginning.
create or replace function run_noun_step(p_hook text, p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_nouns text[] := array(select h from hooks(p_hook) h);
  v_noun text := coalesce(nullif(split_part(p_after, '/', 1), ''), v_nouns[1]);
begin
  execute format('select last, counts from %I($1, $2, $3, $4, $5)', v_noun || '_' || p_hook) into last, counts
  using p_tenant, p_job, p_erasure, substr(p_after, length(v_noun) + 2), p_limit;
  last := case when last is null then v_nouns[array_position(v_nouns, v_noun) + 1] || '/' else v_noun || '/' || last end;
  return next;
end $$;

-- Runs one step of an erasure in a short transaction that also saves the progress. p_cursor: {"phase", "after", "upto", "found", "counts"}.
-- Returns the new cursor; null if another daemon has the job. p_ids: ids for the events that the step may append.
--
-- The phases in order. A dry run only counts; it skips `late` and does `accounts` last.
--
--   phase    | iterates over                  | step
--   accounts | nouns with the hook `revoke`   | ends the access of the subject, or refuses the erasure
--   find     | the log                        | marks the events of the subject, and events that cite it
--   mark     | nouns with the hook `mark`     | marks dependent rows; repeated until a pass finds none
--   blank    | marked events                  | blanks them and clears the data of nouns about them (the hook `clear`)
--   cite     | events that cite the subject   | replaces its name
--   forget   | nouns with the hook `forget`   | deletes marked rows, and removes the subject's name from others
--   late     | marked events                  | clears data that was added meanwhile
--   over     |                                |
--
-- With p_input.keep_shared, src/erasure/rename.ts replaces the names in retained events between `cite` and `forget`: before retained memories get
-- a new version, which takes its text and references from those events.
create or replace function erase_step(p_tenant text, p_job text, p_token int, p_lease_ms int, p_limit int, p_cursor jsonb, p_input jsonb, p_ids text[])
returns jsonb
language plpgsql
as $$
declare
  v_dry boolean := p_input ? 'dry_run';
  v_phases text[] := case when v_dry then '{find,mark,blank,cite,forget,accounts,over}' else '{accounts,find,mark,blank,cite,forget,late,over}' end;
  v_phase text := p_cursor ->> 'phase';
  v_after text := p_cursor ->> 'after';
  v_erasure jsonb;
  v_step record;
  v_counts jsonb;
  v_found bigint;
  v_total bigint;
begin
  perform enter_tenant(p_tenant);
  if not report_job(p_tenant, p_job, p_token, null, null, null, p_lease_ms) then
    return null;
  end if;
  v_erasure := p_input || jsonb_build_object('upto', p_cursor -> 'upto', 'users', marked_accounts(p_tenant, p_job), 'event_ids', p_ids);
  case v_phase
    when 'accounts' then select * into v_step from run_noun_step('revoke', p_tenant, p_job, v_erasure, v_after, p_limit);
    when 'find' then select * into v_step from mark_subject_events(p_tenant, p_job, v_erasure, v_after, p_limit);
    when 'mark' then select * into v_step from run_noun_step('mark', p_tenant, p_job, v_erasure, v_after, p_limit);
    when 'blank' then
      select * into v_step from blank_marked(p_tenant, p_job, v_after, p_limit,
        jsonb_build_object('erased', true, 'erasure', p_input -> 'name'), p_input ->> 'subject', p_input ->> 'name', v_dry);
    when 'cite' then select * into v_step from rename_citations(p_tenant, p_job, v_erasure, v_after, p_limit);
    when 'forget' then select * into v_step from run_noun_step('forget', p_tenant, p_job, v_erasure, v_after, p_limit);
    when 'late' then select * into v_step from clear_late(p_tenant, p_job, v_after, p_limit);
  end case;
  v_found := coalesce((p_cursor ->> 'found')::bigint, 0) + coalesce((v_step.counts ->> 'found')::bigint, 0);
  if v_step.last is null then
    -- the rows that were just marked can have dependents
    v_phase := case when v_phase = 'mark' and v_found > 0 then 'mark' else v_phases[array_position(v_phases, v_phase) + 1] end;
    v_found := 0;
    if v_phase = 'blank' then
      select count(*) into v_total from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event';
    end if;
  end if;
  v_counts := add_counts(coalesce(p_cursor -> 'counts', '{}'), v_step.counts - 'found');
  p_cursor := p_cursor || jsonb_build_object('phase', v_phase, 'after', coalesce(v_step.last, ''), 'found', v_found, 'counts', v_counts);
  perform report_job(p_tenant, p_job, p_token, coalesce((v_counts ->> 'events')::bigint, 0), v_total, p_cursor, p_lease_ms);
  return p_cursor;
end $$;

-- Appends the event that reports the erasure, unless it exists. It names the subject only by its pseudonym.
create or replace function append_erasure_event(p_tenant text, p_job text, p_event jsonb) returns bigint
language plpgsql
as $$
declare
  v_seq bigint;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  select e.seq into v_seq from events e where e.tenant_id = p_tenant and e.event_id = p_event ->> 'event_id';
  return coalesce(v_seq, append_service_event(p_tenant, p_event));
end $$;

-- Returns all data about an event that can contain a name: its fields and content, and the data of nouns derived from it.
create or replace function nameable_parts(p_event events) returns jsonb
language plpgsql stable
as $$
declare
  v_noun text;
  v_parts jsonb := jsonb_build_object(
    'fields', jsonb_build_object(
      'session_id', p_event.session_id, 'user_id', p_event.user_id, 'agent_id', p_event.agent_id, 'project_id', p_event.project_id,
      'actor_id', p_event.actor_id, 'tags', p_event.tags, 'refs', p_event.refs),
    'content', p_event.content,
    'metadata', p_event.metadata);
  v_more jsonb;
begin
  for v_noun in select * from hooks('words') loop
    execute format('select %I($1)', v_noun || '_words') into v_more using p_event;
    v_parts := v_parts || v_more;
  end loop;
  return v_parts;
end $$;

-- Returns the next retained events, at most p_limit and about 1 MiB, with the data that can contain a name.
create or replace function read_shared_events(p_tenant text, p_job text, p_after bigint, p_limit int) returns table (seq bigint, parts jsonb)
language sql stable
begin atomic
  select s.seq, nameable_parts(s.event)
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

-- Replaces an event and the data of nouns about it by p_parts, in which the names are replaced.
create or replace function rename_parts(p_tenant text, p_seq bigint, p_parts jsonb) returns void
language plpgsql
as $$
declare
  v_noun text;
  v_before bigint := measure_log(p_tenant, p_seq, p_seq);
begin
  perform rename_event(p_seq, p_parts);
  for v_noun in select * from hooks('rename') loop
    execute format('select %I($1, $2, $3)', v_noun || '_rename') using p_tenant, p_seq, p_parts;
  end loop;
  perform shrink_log(p_tenant, v_before - measure_log(p_tenant, p_seq, p_seq));
end $$;

-- Writes a batch of events with replaced names. p_docs: [{"seq", "was", "parts"}]; `was` is the md5 of the original parts. `held` is false if
-- another daemon has the job. An event that was edited meanwhile is skipped and counted in `stale`.
create or replace function rename_shared(p_tenant text, p_job text, p_token int, p_lease_ms int, p_cursor jsonb, p_docs jsonb)
returns table (held boolean, stale int)
language plpgsql
as $$
declare
  v_doc record;
begin
  perform enter_tenant(p_tenant);
  held := report_job(p_tenant, p_job, p_token, null, null, null, p_lease_ms);
  stale := 0;
  if held then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
    for v_doc in
      select d.seq, d.parts, md5(nameable_parts(e)::text) <> d.was as is_stale
      from jsonb_to_recordset(p_docs) d (seq bigint, was text, parts jsonb)
      join events e on e.tenant_id = p_tenant and e.seq = d.seq and e.erased_at is null
    loop
      if v_doc.is_stale then
        stale := stale + 1;
      else
        perform rename_parts(p_tenant, v_doc.seq, v_doc.parts);
      end if;
    end loop;
    if stale = 0 then
      perform report_job(p_tenant, p_job, p_token, null, null, p_cursor, p_lease_ms);
    end if;
  end if;
  return next;
end $$;

-- Returns the retained items for the preview and the certificate: their numbers, and at most p_limit ids of each kind.
create or replace function list_shared(p_tenant text, p_job text, p_limit int) returns jsonb
language plpgsql stable
as $$
declare
  v_noun text;
  v_events text[];
  v_kept jsonb;
  v_more jsonb;
begin
  perform enter_tenant(p_tenant);
  v_events := array(
    select k.id
    from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared' and not exists (
      select from erasure_marks o where o.tenant_id = p_tenant and o.job_id = p_job and o.what = 'event' and o.id = k.id)
    order by k.seq);
  v_kept := jsonb_build_object('events', cardinality(v_events), 'event_ids', to_jsonb(v_events[1:p_limit]));
  for v_noun in select * from hooks('kept') loop
    execute format('select %I($1, $2, $3)', v_noun || '_kept') into v_more using p_tenant, p_job, p_limit;
    v_kept := v_kept || v_more;
  end loop;
  return v_kept;
end $$;
