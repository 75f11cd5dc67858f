-- min_code: 7
-- How many spans were cut out of what an event was to say. Null, which takes no room, where nothing was.
alter table events add column redactions int;
alter table events add constraint events__redactions check (redactions > 0);

-- As in 0007, with redactions.
-- p_units: [{ "key": hex sha256 | null, "body": hex sha256, "bytes": n, "events": [{…, "chunks": [{"text","header","token_count"}], "memory": {…}}] }]
-- `memory` is what write_memories takes; a unit whose memory cannot be written is refused whole with AM409.
-- Returns one row a unit, in order: its outcome {"seq","count"} (and of note_repeats), the ids of the memories that its events made (null: none), and whether it is `new`, a `replay`, a `conflict`
-- (same key, other body) or over the tenant's `quota`; only `new` units wrote anything.
-- The clock is locked before any other row: idempotency rows first gave 51 deadlocks in 2.5 s, after it none.
create or replace function commit_units(p_tenant text, p_units jsonb)
returns table (status text, outcome jsonb, at timestamptz, memories text[])
language plpgsql
as $$
declare
  v_clock tenant_clocks;
  v_passages passage[];
  v_room bigint;
  v_asked timestamptz := clock_timestamp();
  -- of the commit: taken under the lock, so that it grows with seq
  v_now timestamptz;
  v_outcomes unit_outcome[];
  v_remembers constant boolean := p_units @? '$[*].events[*].memory';
begin
  perform enter_tenant(p_tenant);
  -- Words are half of the work and need no clock: found before it is locked, they do not hold up the tenant's other batches.
  v_passages := array(
    select row(
      u.ord, e.ord, c.ord - 1, c.doc ->> 'text', c.doc ->> 'header', (c.doc ->> 'token_count')::int,
      passage_vector(t.language, c.doc ->> 'text', c.doc ->> 'header', coalesce((e.doc ->> 'occurred_at')::timestamptz, v_asked)))::passage
    from tenants t
    cross join lateral jsonb_array_elements(p_units) with ordinality as u (doc, ord)
    cross join lateral jsonb_array_elements(u.doc -> 'events') with ordinality as e (doc, ord)
    cross join lateral jsonb_array_elements(e.doc -> 'chunks') with ordinality as c (doc, ord)
    where t.tenant_id = p_tenant);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  if not found then
    raise exception 'no such tenant' using errcode = 'AM404';
  end if;
  v_now := clock_timestamp();
  if v_remembers and (exists (select from memories m where m.tenant_id = p_tenant and m.worn)
    or (select sum(jsonb_array_length(u.doc -> 'events')) from jsonb_array_elements(p_units) u (doc)) > 256) then
    p_units := hush_repeats(p_tenant, p_units);
  end if;
  v_room := coalesce(v_clock.max_bytes - v_clock.stored_bytes, 1::bigint << 60);

  with unit as materialized (
    select
      u.ord,
      u.doc,
      decode(u.doc ->> 'key', 'hex') as key_hash,
      decode(u.doc ->> 'body', 'hex') as body_hash,
      (u.doc ->> 'bytes')::bigint as bytes,
      jsonb_array_length(u.doc -> 'events') as n
    from jsonb_array_elements(p_units) with ordinality as u (doc, ord)
  ),
  -- equal keys that meet inside this batch: the first one writes
  ranked as materialized (
    select
      unit.*,
      known.outcome as known_outcome,
      known.created_at as known_at,
      known.body_hash as known_body,
      case when unit.key_hash is null then unit.ord else first_value(unit.ord) over (partition by unit.key_hash order by unit.ord) end as leader
    from unit
    -- `limit` keeps it a look-up of each key: a plan made while the table was small read every key of the tenant, for each batch
    left join lateral (
      select k.body_hash, k.outcome, k.created_at
      from idempotency_keys k
      where k.tenant_id = p_tenant and k.key_hash = unit.key_hash
      limit 1
    ) known on true
  ),
  sized as materialized (
    select *, sum_fitting(case when known_outcome is null and leader = ord then bytes end, v_room) over (order by ord) as used
    from ranked
  ),
  judged as materialized (
    select *, known_outcome is null and leader = ord and used - lag(used, 1, 0::bigint) over (order by ord) = bytes as fresh
    from sized
  ),
  placed as materialized (
    select *, v_clock.last_seq + sum(case when fresh then n else 0 end) over (order by ord) - n + 1 as seq
    from judged
  ),
  event as materialized (
    select
      p.ord as unit, e.ord as place, p.seq + e.ord - 1 as seq, jsonb_array_length(e.doc -> 'chunks') as chunk_count, r.*,
      case when e.doc ? 'memory' then validity(e.doc -> 'memory') end as valid
    from placed p
    cross join lateral jsonb_array_elements(p.doc -> 'events') with ordinality as e (doc, ord)
    cross join lateral jsonb_to_record(e.doc) as r (
      event_id text, session_id text, channel text, actor_type text, actor_id text, kind text, content jsonb,
      user_id text, agent_id text, project_id text, sensitivity text, tags text[], refs text[], metadata jsonb,
      artifact_id text, redactions int, occurred_at timestamptz)
    where p.fresh
  ),
  written as (
    insert into events (
      tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, agent_id, project_id,
      sensitivity, tags, refs, metadata, artifact_id, redactions, chunk_count, byte_count, occurred_at, created_at)
    select
      p_tenant, e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id,
      e.project_id, e.sensitivity, e.tags, e.refs, e.metadata, e.artifact_id, e.redactions, e.chunk_count,
      pg_column_size(e.content) + pg_column_size(e.metadata), coalesce(e.occurred_at, v_asked), v_now
    from event e
  ),
  indexed as (
    insert into chunks (
      tenant_id, seq, ordinal, event_id, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
      text, header, token_count, tsv, occurred_at, valid)
    select
      p_tenant, e.seq, c.ordinal, e.event_id, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
      c.text, c.header, c.token_count, c.tsv, coalesce(e.occurred_at, v_asked), e.valid
    from event e
    join unnest(v_passages) c on c.unit = e.unit and c.event = e.place and c.ordinal < e.chunk_count
  ),
  linked as (
    update artifacts a set event_id = e.event_id
    from event e
    where a.tenant_id = p_tenant and a.artifact_id = e.artifact_id and a.event_id is null
  ),
  remembered as (
    insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
    select p_tenant, p.key_hash, p.body_hash, jsonb_build_object('seq', p.seq, 'count', p.n), v_now
    from placed p
    where p.fresh and p.key_hash is not null
  ),
  ticked as (
    update tenant_clocks c
    set
      last_seq = c.last_seq + s.n,
      event_count = c.event_count + s.n,
      stored_bytes = c.stored_bytes + s.bytes
    from (select coalesce(sum(n), 0) as n, coalesce(sum(bytes), 0) as bytes from placed where fresh) s
    where c.tenant_id = p_tenant and s.n > 0
  )
  select array_agg(row(
    case
      when p.fresh then 'new'
      when p.known_outcome is not null then case when p.known_body = p.body_hash then 'replay' else 'conflict' end
      when p.leader = p.ord then 'quota'
      when lead.body_hash <> p.body_hash then 'conflict'
      when lead.fresh then 'replay'
      else 'quota'
    end,
    coalesce(p.known_outcome, jsonb_build_object('seq', lead.seq, 'count', lead.n)),
    coalesce(p.known_at, v_now),
    null)::unit_outcome order by p.ord)
  into v_outcomes
  from placed p join placed lead on lead.ord = p.leader;

  if v_remembers then
    v_outcomes := with_memories(p_tenant, p_units, v_outcomes);
    if p_units @? '$[*].events[*].memory.counted' then
      v_outcomes := note_repeats(p_tenant, p_units, v_outcomes);
    end if;
  end if;
  return query select o.status, o.outcome, o.at, o.memories from unnest(v_outcomes) o;
end $$;


-- As in 0009, with redactions.
drop function read_event(text, text, text[], text[], text[]);
create function read_event(p_tenant text, p_event_id text, p_channels text[], p_subjects text[], p_sensitivities text[])
returns table (
  seq bigint, event_id text, session_id text, channel text, actor_type text, actor_id text, kind text, content jsonb, user_id text, agent_id text,
  project_id text, sensitivity text, tags text[], refs text[], metadata jsonb, artifact_id text, redactions int, chunk_count smallint, occurred_at timestamptz,
  created_at timestamptz, edit_ids text[], edited jsonb, blocked_in text[], edited_count smallint)
language plpgsql
as $$
declare
  -- assigned, not performed, which would be a query
  v_tenant text := enter_tenant(p_tenant);
begin
  return query
  select
    e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id, e.project_id, e.sensitivity,
    e.tags, e.refs, e.metadata, e.artifact_id, e.redactions, e.chunk_count, e.occurred_at, e.created_at, o.edit_ids, o.content, o.blocked_in, o.chunk_count
  from events e
  left join overlays o on o.tenant_id = e.tenant_id and o.seq = e.seq
  where e.tenant_id = p_tenant
  and e.event_id = p_event_id
  and e.channel = any (p_channels)
  and (e.channel <> 'private' or p_subjects is null or e.user_id = any (p_subjects))
  and e.sensitivity = any (p_sensitivities);
end $$;

-- As in 0009, with redactions: every column of events, in their order.
create or replace function seen_events(p_tenant text, p_scope jsonb) returns setof events
language sql stable
as $$
  select
    e.tenant_id, e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, coalesce(o.content, e.content), e.user_id, e.agent_id,
    e.project_id, e.sensitivity, e.tags, e.refs, e.metadata, case when o.content is null then e.artifact_id end, e.chunk_count, e.byte_count,
    e.occurred_at, e.created_at, e.supersedes, e.erased_at, e.redactions
  from events e
  left join overlays o on o.tenant_id = p_tenant and o.seq = e.seq
  where e.tenant_id = p_tenant
    and e.channel = any (array(select jsonb_array_elements_text(p_scope -> 'channels')))
    and (e.channel <> 'private' or p_scope -> 'subjects' = 'null' or p_scope -> 'subjects' ? e.user_id)
    and e.sensitivity = any (array(select jsonb_array_elements_text(p_scope -> 'sensitivities')))
    and (p_scope ->> 'as_of' is null or e.occurred_at <= (p_scope ->> 'as_of')::timestamptz)
    and (o.blocked_in is null or not o.blocked_in @> array[p_scope ->> 'channel'])
$$;
