-- Returns a content with the text p_text. It keeps only those parts of the old content that are not prose: names, states and positions, and the `call_id` of a
-- tool call or result.
create or replace function edited_content(p_kind text, p_content jsonb, p_text text) returns jsonb
language sql immutable parallel safe
return (
  select coalesce(jsonb_object_agg(k.key, case when k.key = 'body' then (
    select coalesce(jsonb_object_agg(b.key, b.value) filter (where b.key = any (array['task_id', 'status', 'subject', 'unit', 'contradicts', 'priority', 'to_agent', 'refs'])), '{}')
    from jsonb_each(k.value) b) || case when k.value ? 'to_agent' then jsonb_build_object('problem', p_text) else '{}' end
    else k.value end), '{}')
  from jsonb_each(p_content) k
  where case when p_kind like 'memory.%' then k.key <> 'text' and (k.key <> 'body' or jsonb_typeof(k.value) = 'object')
    else k.key = any (array['tool', 'path', 'line_range', 'scope', 'supersedes', 'task_id', 'call_id', 'status']) end
) || jsonb_build_object(
  case p_kind when 'tool_result' then 'excerpt_text' when 'decision' then 'decision' when 'task_update' then 'title' else 'text' end, p_text);

-- Applies one attenuation to a weight: an absolute value, or a change of the previous one.
create or replace function weigh(p_weight real, p_patch jsonb) returns real
language sql immutable parallel safe
return greatest(0, least(1, coalesce((p_patch ->> 'importance')::real, p_weight + (p_patch ->> 'importance_delta')::real, p_weight)));

create or replace aggregate weight_of(jsonb) (sfunc = weigh, stype = real, initcond = '1');

-- Returns the approved edits of an event in the order of their approval.
create or replace function active_edits(p_tenant text, p_seq bigint)
returns table (n bigint, edit_id text, op text, ordinal smallint, patch jsonb, passages jsonb)
language sql stable
begin atomic
  select row_number() over (order by d.approved_seq), d.edit_id, d.op, d.ordinal, d.patch,
    -- an amendment empties the other events with the same content: only one of them has the new text
    case when d.seq = p_seq then d.passages when d.op = 'amend' then '[]' end
  from edit_events x join edits d on d.tenant_id = x.tenant_id and d.edit_id = x.edit_id
  where x.tenant_id = p_tenant and x.seq = p_seq and d.status = 'approved';
end;

-- Returns all channels, in the order in which `blocked_in` is stored.
create or replace function every_channel() returns text[]
language sql immutable parallel safe
return array['agent', 'private', 'public', 'team'];

-- Returns the channels in which an edit hides its target, or null if it hides nothing.
create or replace function blocked_by(p_op text, p_patch jsonb) returns text[]
language sql immutable parallel safe
return case p_op when 'block' then array[p_patch ->> 'channel'] when 'quarantine' then every_channel() end;

-- Returns the passages of an event under its amendments, by ordinal: those of the newest amendment of the whole event, or else p_base, the passages
-- before any edit; and over each the newest later amendment of that passage alone. `doc` is null if the amendment of the whole has fewer passages
-- than p_base. `gap` is the white space at the end of the text.
create or replace function amended_passages(p_tenant text, p_seq bigint, p_base jsonb) returns table (ordinal smallint, doc jsonb, gap text)
language sql stable
begin atomic
  with amendment as materialized (
    select a.* from active_edits(p_tenant, p_seq) a where a.op = 'amend'
  ),
  whole as (
    select a.n, a.passages from amendment a where a.ordinal is null order by a.n desc limit 1
  ),
  passage as (
    select c.doc, c.ordinal - 1 as ordinal
    from jsonb_array_elements(coalesce((select w.passages from whole w), p_base)) with ordinality as c (doc, ordinal)
  ),
  positioned as (
    select coalesce(b.ordinal - 1, s.ordinal)::smallint as ordinal, s.doc
    from jsonb_array_elements(p_base) with ordinality as b (doc, ordinal)
    full join passage s on s.ordinal = b.ordinal - 1
  )
  select o.ordinal, coalesce(single.passages -> 0, o.doc), substring(o.doc ->> 'text' from '\s*$')
  from positioned o
  left join lateral (
    select a.passages
    from amendment a
    where a.ordinal = o.ordinal and a.n > coalesce((select w.n from whole w), 0)
    order by a.n desc
    limit 1
  ) single on o.doc is not null;
end;

-- Returns the passages of an event under its edits, from p_base, the passages before any edit. A removed passage keeps its row without text, so
-- that ordinals, times and the count stay the same. `apart`: quarantined by an edit of this passage alone.
create or replace function edited_passages(p_tenant text, p_seq bigint, p_base jsonb)
returns table (ordinal smallint, text text, header text, token_count int, weight real, blocked_in text[], retracted boolean, apart boolean, gap text)
language sql stable
begin atomic
  with effect as (
    select
      p.ordinal, p.doc, p.gap,
      p.doc is null or coalesce(bool_or(a.op = 'retract'), false) as retracted,
      coalesce(bool_or(a.op = 'quarantine' and a.ordinal is not null), false) as apart,
      weight_of(a.patch order by a.n) filter (where a.op = 'attenuate') as weight,
      array_agg(distinct c.channel order by c.channel) filter (where c.channel is not null) as blocked_in
    from amended_passages(p_tenant, p_seq, p_base) p
    left join active_edits(p_tenant, p_seq) a on a.ordinal is null or a.ordinal = p.ordinal
    left join lateral unnest(blocked_by(a.op, a.patch)) c (channel) on true
    group by p.ordinal, p.doc, p.gap
  )
  select
    e.ordinal,
    case when e.retracted then '' else e.doc ->> 'text' end,
    case when e.retracted then '' else e.doc ->> 'header' end,
    case when e.retracted then 0 else (e.doc ->> 'token_count')::int end,
    nullif(e.weight, 1),
    case when e.retracted then every_channel() else e.blocked_in end,
    e.retracted,
    e.apart,
    e.gap
  from effect e;
end;

-- Rewrites the passages of an event according to its edits, from p_base, the passages before any edit.
create or replace function write_edited_passages(p_tenant text, p_event events, p_base jsonb) returns void
language sql
as $$
  select rewrite_passages(p_tenant, p_event, coalesce(jsonb_agg(to_jsonb(x) order by x.ordinal), '[]'))
  from edited_passages(p_tenant, p_event.seq, p_base) x
$$;

-- Returns the passages of an event before any edit: from its overlay, or the current ones if it has none.
create or replace function passages_before_edits(p_tenant text, p_seq bigint) returns jsonb
language sql stable
return coalesce(
  (select o.base from overlays o where o.tenant_id = p_tenant and o.seq = p_seq),
  (select jsonb_agg(jsonb_build_object('text', passage_text(c), 'header', c.header, 'token_count', c.token_count) order by c.ordinal)
   from chunks c
   where c.tenant_id = p_tenant and c.seq = p_seq),
  '[]');

-- Returns the overlay of an event, which is how it reads under its approved edits, from p_base, its passages before any edit. No row if it has no
-- approved edit.
create or replace function overlay_of(p_tenant text, p_event events, p_base jsonb) returns setof overlays
language sql stable
as $$
  with active as materialized (
    select a.* from active_edits(p_tenant, p_event.seq) a
  ),
  whole as (
    select
      array_agg(a.edit_id order by a.n) as edit_ids,
      bool_or(a.op = 'retract' and a.ordinal is null) as retracted,
      bool_or(a.op in ('amend', 'retract') or (a.op = 'quarantine' and a.ordinal is not null)) as rewritten,
      -- another event has the amended text
      coalesce(bool_or(a.passages = '[]'), false) as is_emptied,
      (array_agg(a.patch ->> 'text' order by a.n desc) filter (where a.op = 'amend' and a.ordinal is null))[1] as text,
      -- a reader gets that one text, unless single passages were edited since
      coalesce(max(a.n) filter (where a.op = 'amend' and a.ordinal is null), 0)
        > coalesce(max(a.n) filter (where a.op = 'amend' and a.ordinal is not null), 0)
        and not coalesce(bool_or(a.op in ('retract', 'quarantine') and a.ordinal is not null), false) as has_whole_text
    from active a
    having count(*) > 0
  ),
  -- the quarantine of a single passage removes its text from the event but hides the event in no channel
  hidden as (
    select array_agg(distinct c.channel order by c.channel) as channels
    from active a cross join lateral unnest(blocked_by(a.op, a.patch)) c (channel)
    where not (a.op = 'quarantine' and a.ordinal is not null)
  ),
  passage as (
    select
      coalesce(bool_and(x.retracted), false) as retracted,
      coalesce(bool_and(x.retracted or x.apart), false) as is_hidden,
      count(*) as n,
      min(coalesce(x.weight, 1)) as weight,
      left(string_agg(rtrim(x.text, e' \n\t') || coalesce(x.gap, ''), '' order by x.ordinal) filter (where not (x.retracted or x.apart)), 65536) as text
    from edited_passages(p_tenant, p_event.seq, p_base) x
  )
  select
    p_tenant, p_event.seq,
    case
      when w.retracted or (p.retracted and not w.is_emptied) then '{"withheld": true}'::jsonb
      when w.rewritten then edited_content(p_event.kind, p_event.content, case when w.has_whole_text then w.text else coalesce(p.text, '') end)
    end,
    case when w.retracted or (p.is_hidden and not w.is_emptied) then every_channel() else h.channels end,
    p.n::smallint, nullif(p.weight, 1)::real, w.edit_ids, p_base
  from whole w cross join hidden h cross join passage p;
$$;

-- Applies the approved edits of an event to its overlay and passages. Without any, restores the original.
create or replace function apply_edits(p_tenant text, p_seq bigint) returns void
language plpgsql
as $$
declare
  v_event events;
  v_base jsonb;
begin
  select * into v_event from events e where e.tenant_id = p_tenant and e.seq = p_seq;
  if not found then
    return;
  end if;
  v_base := passages_before_edits(p_tenant, p_seq);
  perform write_edited_passages(p_tenant, v_event, v_base);
  delete from overlays o where o.tenant_id = p_tenant and o.seq = p_seq;
  insert into overlays select o.* from overlay_of(p_tenant, v_event, v_base) o;
end $$;

-- Returns the events to which an edit applies: its own, and those with the same content, as the noun of its target reports them.
create or replace function events_of_edit(p_tenant text, p_edit edits) returns bigint[]
language plpgsql stable
as $$
declare
  v_seqs bigint[] := array[p_edit.seq];
  v_noun text;
  v_more bigint[];
begin
  for v_noun in select * from hooks('reached') loop
    execute format('select array(select * from %I($1, $2))', v_noun || '_reached') into v_more using p_tenant, p_edit;
    v_seqs := v_seqs || v_more;
  end loop;
  return array(select distinct s from unnest(v_seqs) s);
end $$;

-- Applies an edit that was just approved to its events.
create or replace function enact_edit(p_tenant text, p_edit edits) returns void
language plpgsql
as $$
declare
  v_noun text;
  v_seqs bigint[];
begin
  if (
    select count(*)
    from edits d
    where d.tenant_id = p_tenant and d.seq = p_edit.seq and d.status = 'approved' and d.edit_id <> p_edit.edit_id) >= 100 then
    raise exception 'the event already has 100 approved edits; revert some first' using errcode = 'AM409';
  end if;
  v_seqs := events_of_edit(p_tenant, p_edit);
  if cardinality(v_seqs) > 1000 then
    raise exception 'more than 1000 events record the text of this memory; edit them by their own ids' using errcode = 'AM409';
  end if;
  insert into edit_events (tenant_id, seq, edit_id)
  select p_tenant, s.seq, p_edit.edit_id from unnest(v_seqs) s (seq);
  perform apply_edits(p_tenant, s.seq) from unnest(v_seqs) s (seq);
  for v_noun in select * from hooks('edited') loop
    execute format('select %I($1, $2)', v_noun || '_edited') using p_tenant, p_edit;
  end loop;
end $$;

-- Creates an edit. p_unit has its event, and with the status `approved` a second event that approves it. p_edit is the row without what the log
-- determines. p_user, whichever key was used, may have p_waiting pending proposals per event: so one user's proposals cannot crowd out those of
-- others, or keep an admin from deciding.
create or replace function propose_edit(p_tenant text, p_unit jsonb, p_edit jsonb, p_user text, p_waiting int)
returns unit_outcome
language plpgsql
as $$
declare
  v_result unit_outcome;
  v_edit edits;
  v_seq bigint;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_result := commit_unit(p_tenant, p_unit);
  if v_result.status = 'new' then
    v_seq := (v_result.outcome ->> 'seq')::bigint;
    v_edit := jsonb_populate_record(null::edits, p_edit || jsonb_build_object('tenant_id', p_tenant, 'version', 1, 'proposed_seq', v_seq,
      'last_seq', v_seq + (v_result.outcome ->> 'count')::bigint - 1, 'created_at', v_result.at, 'updated_at', v_result.at));
    if v_edit.status = 'pending' and p_waiting <= (
      select count(*)
      from edits d left join api_keys k on k.tenant_id = d.tenant_id and k.key_id = d.principal
      where d.tenant_id = p_tenant and d.seq = v_edit.seq and d.status = 'pending' and coalesce(k.created_by, d.principal) = p_user) then
      raise exception 'you already have % pending edits of this event', p_waiting using errcode = 'AM409';
    end if;
    if v_edit.status = 'approved' then
      v_edit.approved_seq := v_edit.last_seq;
    end if;
    insert into edits select v_edit.*;
    if v_edit.status = 'approved' then
      perform enact_edit(p_tenant, v_edit);
    end if;
  end if;
  return v_result;
end $$;

-- Approves or rejects a pending edit, or reverts an approved one. p_unit has the event that records it. p_version: the version that the client has
-- read; null: any.
create or replace function decide_edit(p_tenant text, p_unit jsonb, p_edit_id text, p_status text, p_by jsonb, p_version int)
returns unit_outcome
language plpgsql
as $$
declare
  v_result unit_outcome;
  v_edit edits;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_result := commit_unit(p_tenant, p_unit);
  if v_result.status = 'new' then
    select * into v_edit from edits d where d.tenant_id = p_tenant and d.edit_id = p_edit_id;
    if not found then
      raise exception 'there is no edit with this id' using errcode = 'AM404';
    end if;
    if v_edit.version <> p_version then
      raise exception 'the edit has version %, which does not match If-Match', v_edit.version using errcode = 'AM412';
    end if;
    if v_edit.status <> (case p_status when 'reverted' then 'approved' else 'pending' end) then
      raise exception 'the edit is %', v_edit.status using errcode = 'AM409';
    end if;
    update edits d
    set
      status = p_status, version = d.version + 1, decided_by = p_by, last_seq = (v_result.outcome ->> 'seq')::bigint, updated_at = v_result.at,
      approved_seq = case when p_status = 'approved' then (v_result.outcome ->> 'seq')::bigint else d.approved_seq end
    where d.tenant_id = p_tenant and d.edit_id = p_edit_id
    returning * into v_edit;
    if p_status = 'approved' then
      perform enact_edit(p_tenant, v_edit);
    elsif p_status = 'reverted' then
      perform apply_edits(p_tenant, x.seq) from edit_events x where x.tenant_id = p_tenant and x.edit_id = p_edit_id;
    end if;
  end if;
  return v_result;
end $$;

-- Applies the approved edits of p_from with these operations to p_to too, which has the same content or replaces it. A revert removes them from
-- both.
create or replace function carry_edits(p_tenant text, p_from bigint, p_to bigint, p_ops text[]) returns void
language plpgsql
as $$
begin
  insert into edit_events (tenant_id, seq, edit_id)
  select p_tenant, p_to, d.edit_id
  from edit_events x join edits d on d.tenant_id = x.tenant_id and d.edit_id = x.edit_id
  where x.tenant_id = p_tenant and x.seq = p_from and d.status = 'approved' and d.op = any (p_ops)
  on conflict do nothing;
  if found then
    -- a revert undoes an edit for all its events in one transaction, as an approval applies it
    if exists (
      select from edit_events x
      cross join lateral (select count(*) as n from (select from edit_events k where k.tenant_id = p_tenant and k.edit_id = x.edit_id limit 1001) k) held
      where x.tenant_id = p_tenant and x.seq = p_to and held.n > 1000) then
      raise exception 'an edit applies to 1000 events of this memory; an admin must revert it first' using errcode = 'AM409';
    end if;
    perform apply_edits(p_tenant, p_to);
  end if;
end $$;

-- Keeps the edits that hide or attenuate a memory when its text is replaced. Edits of single passages cannot be carried over to a new text.
create or replace function carry_hiding(p_tenant text, p_from bigint, p_to bigint) returns void
language plpgsql
as $$
begin
  if exists (
    select from edit_events x join edits d on d.tenant_id = x.tenant_id and d.edit_id = x.edit_id
    where x.tenant_id = p_tenant and x.seq = p_from and d.status = 'approved' and d.ordinal is not null
      and d.op in ('retract', 'quarantine', 'block')) then
    raise exception 'an edit hides a part of the memory; an admin must replace the text or revert the edit' using errcode = 'AM409';
  end if;
  perform carry_edits(p_tenant, p_from, p_to, array['retract', 'quarantine', 'attenuate', 'block']);
end $$;

-- Returns the first edit in a page of imported ones whose event id does not match the event at its seq, including events that a trim kept. Each
-- check is one look-up by key, because there are no statistics yet.
create or replace function edits_stray(p_tenant text, p_first bigint, p_after text, p_limit int) returns table (last text, fault text)
language plpgsql stable
as $$
begin
  return query
  select
    max(d.edit_id),
    'The edit ' || min(d.edit_id) filter (where (d.seq >= p_first or d.actual_id is not null) and d.event_id is distinct from d.actual_id)
      || ' does not name the event at its seq.'
  from (
    select t.edit_id, t.seq, t.event_id, (select e.event_id from events e where e.tenant_id = p_tenant and e.seq = t.seq) as actual_id
    from edits t
    where t.tenant_id = p_tenant and t.edit_id > p_after
    order by t.edit_id
    limit p_limit) d;
end $$;

-- Returns the events that a request may see, with their edits applied; contexts read events through it. Returns every column of `events`, in their
-- order.
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
    and visible(
      e.channel, e.user_id, e.sensitivity, array(select jsonb_array_elements_text(p_scope -> 'channels')),
      case when p_scope -> 'subjects' = 'null' then null else array(select jsonb_array_elements_text(p_scope -> 'subjects')) end,
      array(select jsonb_array_elements_text(p_scope -> 'sensitivities')))
    and (p_scope ->> 'as_of' is null or e.occurred_at <= (p_scope ->> 'as_of')::timestamptz)
    and is_shown_in(o.blocked_in, p_scope ->> 'channel')
$$;

-- Applies the edits again to passages that were rebuilt from the log.
create or replace function edits_rebuilt(p_tenant text, p_from bigint, p_to bigint) returns void
language plpgsql
as $$
declare
  v_seq bigint;
begin
  -- the rebuilt rows are the new base of the edits
  delete from overlays o where o.tenant_id = p_tenant and o.seq between p_from and p_to;
  for v_seq in
    select distinct x.seq
    from edit_events x join edits d on d.tenant_id = x.tenant_id and d.edit_id = x.edit_id
    where x.tenant_id = p_tenant and x.seq between p_from and p_to and d.status = 'approved'
    order by x.seq
  loop
    perform apply_edits(p_tenant, v_seq);
  end loop;
end $$;

-- Returns the events p_from..p_to whose passages come from their edits.
create or replace function edits_rewritten(p_tenant text, p_from bigint, p_to bigint) returns setof bigint
language sql stable
as $$ select o.seq from overlays o where o.tenant_id = p_tenant and o.seq between p_from and p_to $$;

-- Erasure, trim and retention: deletes the overlays of blanked or dropped events and all edits about them.
create or replace function edits_clear(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_count bigint := (select count(*) from edits d where d.tenant_id = p_tenant and d.seq = any (p_seqs));
begin
  if not p_dry then
    delete from overlays o where o.tenant_id = p_tenant and o.seq = any (p_seqs);
    delete from edit_events x where x.tenant_id = p_tenant and x.seq = any (p_seqs);
    delete from edits d where d.tenant_id = p_tenant and d.seq = any (p_seqs);
  end if;
  return jsonb_build_object('edits', v_count);
end $$;

-- Erasure that keeps shared acts: marks as `kin` the events that record edits of the kept events, because they may contain the subject's name.
create or replace function edits_mark(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_seqs bigint[];
begin
  if (p_erasure ->> 'keep_shared')::boolean then
    select max(k.id), array_agg(k.seq) into last, v_seqs
    from (
      select k.id, k.seq from erasure_marks k
      where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('shared', 'kin') and k.id > p_after order by k.id limit p_limit) k;
    perform mark_seqs(p_tenant, p_job, 'kin', array(
      select e.seq
      from edits d
      join events target on target.tenant_id = p_tenant and target.seq = d.seq and target.kind not like 'edit.%'
      join events e on e.tenant_id = p_tenant and e.seq = any (array[d.proposed_seq, d.approved_seq, d.last_seq])
      where d.tenant_id = p_tenant and d.seq = any (v_seqs) and e.erased_at is null));
  end if;
  counts := '{}';
  return next;
end $$;

-- Erasure: deletes the subject's proposals that were never approved, and replaces the subject's name in other edits. Edits of marked events are
-- deleted with these events.
create or replace function edits_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_name text := p_erasure ->> 'name';
  v_names text[] := array(select p_erasure ->> 'subject' union all select jsonb_array_elements_text(p_erasure -> 'users'));
  v_type text := case p_erasure ->> 'kind' when 'user_id' then 'human' else 'agent' end;
  v_gone text[];
  v_named text[];
begin
  counts := '{}';
  if p_erasure ->> 'kind' in ('user_id', 'agent_id') then
    v_gone := array(
      select d.edit_id from edits d
      where d.tenant_id = p_tenant and d.status <> 'approved' and d.proposed_by ->> 'type' = v_type and d.proposed_by ->> 'id' = any (v_names)
        and not is_event_marked(p_tenant, p_job, d.seq));
    v_named := array(
      select d.edit_id from edits d
      where d.tenant_id = p_tenant and not d.edit_id = any (v_gone) and not is_event_marked(p_tenant, p_job, d.seq)
        and (d.proposed_by ->> 'id' = any (v_names) or d.decided_by ->> 'id' = any (v_names) or d.principal = any (v_names)));
    if not p_erasure ? 'dry_run' then
      delete from edits d where d.tenant_id = p_tenant and d.edit_id = any (v_gone);
      update edits d
      set
        reason = case when d.proposed_by ->> 'id' = any (v_names) then 'erased' else d.reason end,
        principal = case when d.principal = any (v_names) or d.proposed_by ->> 'id' = any (v_names) then v_name else d.principal end,
        proposed_by = case when d.proposed_by ->> 'id' = any (v_names) then d.proposed_by || jsonb_build_object('id', v_name) else d.proposed_by end,
        decided_by = case when d.decided_by ->> 'id' = any (v_names) then d.decided_by || jsonb_build_object('id', v_name) else d.decided_by end
      where d.tenant_id = p_tenant and d.edit_id = any (v_named);
    end if;
    counts := jsonb_build_object('edits', cardinality(v_gone), 'edits_named', cardinality(v_named));
  end if;
  return next;
end $$;

-- Returns the overlay of an event, and the texts of the edits about it or applied to it.
create or replace function edits_words(p_event events) returns jsonb
language sql stable
as $$
  select jsonb_build_object(
    'overlay', (
      select jsonb_build_object('content', o.content, 'base', o.base)
      from overlays o where o.tenant_id = p_event.tenant_id and o.seq = p_event.seq),
    'edits', coalesce((
      select jsonb_agg(jsonb_build_array(d.edit_id, d.reason, d.patch, d.passages) order by d.edit_id)
      from edits d
      where d.tenant_id = p_event.tenant_id and (d.seq = p_event.seq or d.edit_id in (
        select x.edit_id from edit_events x where x.tenant_id = p_event.tenant_id and x.seq = p_event.seq))), '[]'));
$$;

-- Writes the overlay and the edits of an event with the names replaced.
create or replace function edits_rename(p_tenant text, p_seq bigint, p_parts jsonb) returns void
language sql
begin atomic
  update overlays o
  set content = nullif(p_parts #> '{overlay,content}', 'null'), base = p_parts #> '{overlay,base}'
  where o.tenant_id = p_tenant and o.seq = p_seq;
  update edits d
  set reason = p.part ->> 1, patch = p.part -> 2, passages = nullif(p.part -> 3, 'null'),
    session_id = case when d.seq = p_seq then f.session_id else d.session_id end,
    user_id = case when d.seq = p_seq then f.user_id else d.user_id end,
    agent_id = case when d.seq = p_seq then f.agent_id else d.agent_id end,
    project_id = case when d.seq = p_seq then f.project_id else d.project_id end
  from jsonb_array_elements(p_parts -> 'edits') p (part),
    jsonb_to_record(p_parts -> 'fields') f (session_id text, user_id text, agent_id text, project_id text)
  where d.tenant_id = p_tenant and d.edit_id = p.part ->> 0;
end;
