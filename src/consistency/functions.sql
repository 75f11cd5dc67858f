-- Why an id of this service that a row cites names nothing: null where it does name something. Ids from before the log's beginning, of
-- memories and artifacts where something was forgotten, and of passages of an event that was erased or emptied by retention, are gone by right.
create or replace function fault_of_ref(p_tenant text, p_ref text, p_oldest_id text, p_forgotten boolean) returns text
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
  select case
    when p_ref ~ '^(evt|chk)_' then case
      when exists (
        select from events e
        where e.tenant_id = p_tenant
          and e.event_id = event_of(p_ref)
          and has_passage(p_ref, e.chunk_count)) then null
      -- its passages went with the content
      when p_ref ~ '^chk_' and exists (
        select from events e
        where e.tenant_id = p_tenant and e.event_id = event_of(p_ref) and e.erased_at is not null) then 'gone'
      when p_oldest_id is not null and substr(p_ref, 5, 26) < substr(p_oldest_id, 5, 26) then 'gone'
      else 'dangling' end
    when p_ref ~ '^art_' then case
      when exists (select from artifacts a where a.tenant_id = p_tenant and a.artifact_id = p_ref and a.event_id is not null) then null
      when p_forgotten then 'gone' else 'dangling' end
    when p_ref ~ '^mem_' then case
      when exists (select from memories m where m.tenant_id = p_tenant and m.memory_id = p_ref) then null
      when p_forgotten then 'gone' else 'dangling' end
  end);
end $$;

-- One stretch of the log and what is derived from it. A row a check; a sample names at most five of what is wrong. Places are missing only
-- where the log has begun.
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

-- A page of memories against their versions. `last` is where the next page begins.
create or replace function check_memories(p_tenant text, p_after text, p_limit int)
returns table (checked bigint, wrong bigint, sample jsonb, last text)
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
declare
  v_forgotten boolean;
begin
  perform enter_tenant(p_tenant);
  v_forgotten := has_forgotten(p_tenant);
  return query
  with judged as (
    select m.memory_id,
      case
        when s.n is null then 'no version'
        when not s.rising or (s.n <> s.version and not v_forgotten) then 'its versions are not dense'
        when m.version <> s.version then 'another version'
        when m.last_seq <> s.seq or m.content_seq <> s.content_seq then 'another event'
        -- an active one expires without an event
        when m.status <> s.status and not (m.status = 'expired' and s.status = 'active') then 'another status'
        when m.stood is distinct from as_stated(m.stood) then 'another content'
      end as fault
    from (
      select o.*, o as stood from memories o where o.tenant_id = p_tenant and o.memory_id > p_after order by o.memory_id limit p_limit
    ) m
    left join lateral memory_state(p_tenant, m.memory_id) s on true
  )
  select count(*), count(j.fault),
    coalesce(jsonb_agg(jsonb_build_object('memory_id', j.memory_id, 'fault', j.fault) order by j.memory_id) filter (where j.fault is not null and j.nth <= 5), '[]'),
    max(j.memory_id)
  from (select d.*, row_number() over (partition by d.fault is null order by d.memory_id) as nth from judged d) j;
end $$;

-- A page of memories, as check_memories: each names its successor, and only what was superseded has one.
create or replace function check_successors(p_tenant text, p_after text, p_limit int)
returns table (checked bigint, wrong bigint, sample jsonb, last text)
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  with judged as (
    select m.memory_id, m.superseded_by, x.expected,
      is_wrong_successor(m.stood, x.expected) as wrong
    from (
      select o.*, o as stood from memories o where o.tenant_id = p_tenant and o.memory_id > p_after order by o.memory_id limit p_limit
    ) m
    cross join lateral (select case when m.status = 'superseded' then successor_of(p_tenant, m.memory_id) end as expected) x
  )
  select count(*), count(*) filter (where j.wrong),
    coalesce(jsonb_agg(jsonb_build_object('memory_id', j.memory_id, 'expected', j.expected, 'found', j.superseded_by) order by j.memory_id)
      filter (where j.wrong and j.nth <= 5), '[]'),
    max(j.memory_id)
  from (select d.*, row_number() over (partition by d.wrong order by d.memory_id) as nth from judged d) j;
end $$;

-- The clock beside the ends of the log, at one moment; bytes that no event names yet and should have been swept.
create or replace function read_standing(p_tenant text)
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

create or replace function measure(p_tenant text, p_from bigint, p_to bigint) returns bigint
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return measure_log(p_tenant, p_from, p_to);
end $$;

-- A stretch's passages say again until when they are current, and its artifacts which event names them. Returns how many rows changed.
create or replace function repair_log(p_tenant text, p_from bigint, p_to bigint) returns bigint
language plpgsql
as $$
declare
  v_ends bigint;
  v_links bigint;
begin
  perform enter_tenant(p_tenant);
  update chunks c set until_seq = x.expected, until_at = x.expected_at
  from compare_ends(p_tenant, p_from, p_to) x
  where c.tenant_id = p_tenant and c.seq = x.seq and c.ordinal = x.ordinal and x.until_seq is distinct from x.expected;
  get diagnostics v_ends = row_count;
  update artifacts a set event_id = e.event_id
  from events e
  where e.tenant_id = p_tenant and e.seq between p_from and p_to and e.artifact_id is not null
    and a.tenant_id = p_tenant and a.artifact_id = e.artifact_id and a.event_id is distinct from e.event_id;
  get diagnostics v_links = row_count;
  return v_ends + v_links;
end $$;

-- A page of memories: what stands now is what the newest version says, and who took its place. The clock first, as every writer of
-- memories.
create or replace function repair_memories(p_tenant text, p_after text, p_limit int) returns table (changed bigint, last text)
language plpgsql
as $$
declare
  v_last text;
  v_named bigint;
  v_stated bigint;
  v_forgotten boolean;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_forgotten := has_forgotten(p_tenant);
  select max(o.memory_id) into v_last
  from (select i.memory_id from memories i where i.tenant_id = p_tenant and i.memory_id > p_after order by i.memory_id limit p_limit) o;
  update memories m
  set
    version = s.version, last_seq = s.seq, content_seq = s.content_seq,
    status = case when m.status = 'expired' and s.status = 'active' then 'expired' else s.status end,
    doing_agent = case when s.status = 'active' then m.doing_agent end,
    updated_at = coalesce((select e.created_at from events e where e.tenant_id = p_tenant and e.seq = s.seq), m.updated_at)
  from (
    select o.memory_id, w.*
    from memories o cross join lateral memory_state(p_tenant, o.memory_id) w
    where o.tenant_id = p_tenant and o.memory_id > p_after and o.memory_id <= v_last
  ) s
  where m.tenant_id = p_tenant and m.memory_id = s.memory_id and (s.n = s.version or v_forgotten) and s.rising
    and ((m.version, m.last_seq, m.content_seq) is distinct from (s.version, s.seq, s.content_seq)
      or (m.status <> s.status and not (m.status = 'expired' and s.status = 'active')));
  get diagnostics changed = row_count;
  update memories m
  set superseded_by = s.expected
  from (
    select o.memory_id, case when o.status = 'superseded' then successor_of(p_tenant, o.memory_id) end as expected
    from memories o
    where o.tenant_id = p_tenant and o.memory_id > p_after and o.memory_id <= v_last and (o.status = 'superseded' or o.superseded_by is not null)
  ) s
  where m.tenant_id = p_tenant and m.memory_id = s.memory_id and is_wrong_successor(m, s.expected);
  get diagnostics v_named = row_count;
  update memories m
  set (channel, user_id, text_hash, tags, importance, pinned, valid_from, valid_to, expires_at) = (
    select w.channel, w.user_id, w.text_hash, w.tags, w.importance, w.pinned, w.valid_from, w.valid_to, w.expires_at from as_stated(m) w)
  where m.tenant_id = p_tenant and m.memory_id > p_after and m.memory_id <= v_last and m is distinct from as_stated(m);
  get diagnostics v_stated = row_count;
  changed := changed + v_named + v_stated;
  last := v_last;
  return next;
end $$;

-- The clock as the rows say. p_count and p_bytes were counted up to p_upto; what came after is added. It never goes back: a seq that was
-- told is not given again.
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
