-- An event takes less room: a text that is all that its event says is kept once, words are kept as hashes, sessions are found by a hash.
-- min_code: 33

-- What an event says where it says it in one text.
create function said_in(p_content jsonb) returns text
language sql immutable parallel safe
return coalesce(p_content ->> 'text', p_content ->> 'excerpt_text');

-- A lexeme as passages keep it. Among 10⁵ words one of a question meets another's hash once in 40,000 times.
create function term_key(p_lexeme text) returns int
language sql immutable parallel safe
return hashtext(p_lexeme);

-- What a passage is found by: its own words, what surrounds them, and the day in words. To_char without TM knows English alone, whatever
-- the locale: that is what makes it immutable here. The same in SQL took a fifth longer.
create function passage_terms(p_language regconfig, p_text text, p_header text, p_at timestamptz) returns int[]
language plpgsql immutable parallel safe
as $$
begin
  return array(
    select term_key(l)
    from unnest(tsvector_to_array(
      to_tsvector(p_language, p_text)
      || to_tsvector(p_language, p_header || coalesce(to_char(p_at at time zone 'UTC', ' FMDay FMDD FMMonth FMYYYY'), '')))) l);
end $$;

-- Terms as the index reads them: arrays have no operator for "this, and one of these".
create function term_vector(p_terms int[]) returns tsvector
language sql immutable parallel safe
return array_to_tsvector(p_terms::text[]);

alter table chunks rename to larger_chunks;
alter table larger_chunks rename constraint chunks_pkey to larger_chunks_pkey;

-- Columns of a fixed width first: nothing is lost to alignment.
create table chunks (
  seq bigint not null,
  occurred_at timestamptz not null,
  -- about: counting exactly would cost more than the insert
  token_count int not null,
  ordinal smallint not null,
  tenant_id text not null,
  kind text not null,
  session_id text not null,
  channel text not null,
  sensitivity text not null,
  user_id text,
  agent_id text,
  project_id text,
  -- what a question may use beside the passage: speaker, tags, parts of names
  header text not null,
  -- null: said_in() of the event's content
  text text,
  terms int[] not null,
  until_seq bigint,
  until_at timestamptz,
  valid tstzrange,
  weight real,
  blocked_in text[],
  constraint chunks_pkey primary key (tenant_id, seq, ordinal),
  constraint chunks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
)
-- rows stay whole in their page: a search reads `terms` for every term of the question
with (toast_tuple_target = 8160);
select wall('chunks', 'select, insert, update, delete');
grant select on chunks to agent_memory_searcher;
create policy searcher_reads on chunks for select to agent_memory_searcher using (true);

-- The text of a passage.
create function passage_text(p_chunk chunks) returns text
language sql stable
return coalesce(
  p_chunk.text, (select said_in(e.content) from events e where e.tenant_id = p_chunk.tenant_id and e.seq = p_chunk.seq));

-- As in 0008.
create or replace function date_chunks(p_tenant text, p_from bigint, p_to bigint) returns void
language sql
begin atomic
  update chunks c
  set until_seq = ended.seq, until_at = ended.occurred_at, valid = case when e.kind like 'memory.%' then validity(e.content) end
  from memory_versions v
  join events e on e.tenant_id = v.tenant_id and e.seq = v.seq
  left join lateral (
    select w.seq, x.occurred_at
    from memory_versions w join events x on x.tenant_id = w.tenant_id and x.seq = w.seq
    where w.tenant_id = v.tenant_id and w.memory_id = v.memory_id and w.seq > v.seq
      and (w.status not in ('active', 'proposed') or w.content_seq > v.seq)
    order by w.version
    limit 1
  ) ended on true
  where v.tenant_id = p_tenant and v.seq between p_from and p_to and v.status <> 'superseded'
    and c.tenant_id = p_tenant and c.seq = v.seq;
end;

-- As in 0017.
create or replace function compare_ends(p_tenant text, p_from bigint, p_to bigint)
returns table (seq bigint, ordinal smallint, until_seq bigint, expected bigint, expected_at timestamptz)
language sql stable
begin atomic
  select o.seq, o.ordinal, o.until_seq, o.expected, o.expected_at
  from (
    select s.seq, s.ordinal, s.until_seq,
      max(s.expected) over (partition by s.seq) as expected, max(s.expected_at) over (partition by s.seq) as expected_at
    from (
      select c.seq, c.ordinal, c.until_seq, null::bigint as expected, null::timestamptz as expected_at
      from chunks c
      where c.tenant_id = p_tenant and c.seq between p_from and p_to
      union all
      select x.seq, null, null, x.until_seq, x.until_at from passage_ends(p_tenant, p_from, p_to) x
    ) s
  ) o
  where o.ordinal is not null and (o.until_seq is not null or o.expected is not null);
end;

-- As in 0032.
create or replace function move_ends(p_tenant text, p_memory_id text, p_gone bigint[]) returns void
language sql
begin atomic
  update chunks c set until_seq = d.until_seq, until_at = e.occurred_at
  from memory_ends(p_tenant, p_memory_id, 0) d
  left join events e on e.tenant_id = p_tenant and e.seq = d.until_seq
  where c.tenant_id = p_tenant and c.seq = d.seq and c.until_seq = any (p_gone);
end;

-- As in 0017.
create or replace function measure_log(p_tenant text, p_from bigint, p_to bigint) returns bigint
language sql stable
begin atomic
  select
    coalesce((
      select sum(octet_length(e.content::text) + octet_length(e.metadata::text) + 400)
      from events e where e.tenant_id = p_tenant and e.seq between p_from and p_to), 0)::bigint
    + coalesce((
      select sum(octet_length(passage_text(c)) + octet_length(c.header) + 50)
      from chunks c where c.tenant_id = p_tenant and c.seq between p_from and p_to), 0)::bigint;
end;

-- As in 0025.
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

-- About a minute for a million passages.
do $$
declare
  v_tenant text;
begin
  for v_tenant in select t.tenant_id from list_tenants('', 2147483647) t loop
    perform enter_tenant(v_tenant);
    insert into chunks (
      tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
      text, header, token_count, terms, occurred_at, until_seq, until_at, valid, weight, blocked_in)
    select
      c.tenant_id, c.seq, c.ordinal, c.kind, c.session_id, c.channel, c.sensitivity, c.user_id, c.agent_id, c.project_id,
      nullif(c.text, said_in(e.content)), c.header, c.token_count,
      array(select term_key(l) from unnest(tsvector_to_array(c.tsv)) l), c.occurred_at, c.until_seq, c.until_at, c.valid, c.weight, c.blocked_in
    from larger_chunks c
    left join events e on e.tenant_id = c.tenant_id and e.seq = c.seq
      and not exists (select from overlays o where o.tenant_id = c.tenant_id and o.seq = c.seq)
    where c.tenant_id = v_tenant
    order by c.seq, c.ordinal;
  end loop;
  perform set_config('role', 'none', true);
end $$;
drop table larger_chunks;

-- One short list of the unmerged at a time: every search reads it once for each scan.
create index chunks__search on chunks
  using gin (chunk_places(tenant_id, seq, session_id, channel, user_id, agent_id, project_id), term_vector(terms))
  with (gin_pending_list_limit = 256);

-- A session of a tenant in eight bytes. Entries of two such columns are a third as wide, and their pages fill up: only of entries of one
-- short width does PostgreSQL see that a page grows at one place, and split it there.
create function session_key(p_tenant text, p_session text) returns bigint
language sql immutable parallel safe
return hashtextextended(p_tenant || '/' || p_session, 0);

-- a column, because the function is not leakproof: behind the wall an index over it would not be used
alter table events add column session_key bigint not null generated always as (session_key(tenant_id, session_id)) stored;
drop index events__session;
create index events__session on events (session_key, seq);

alter type passage drop attribute tsv, add attribute terms int[];
drop function survey(text, text, jsonb);
drop function survey_chunks(jsonb, tsquery[]);
drop function pool(text, jsonb, text[], jsonb);
drop function pool_chunks(jsonb, tsquery[], jsonb);
drop function term_query(text);

-- As in 0004; by the hashes of the terms.
create or replace function mask_expression(p_count int) returns text
language sql immutable parallel safe
return coalesce(
  (select string_agg(format('case when $2[%s] = any (c.terms) then %s else 0 end', i, 1 << (i - 1)), ' + ')
   from generate_series(1, p_count) i), '0');

grant create on schema public to agent_memory_searcher;
-- As in 0004.
create or replace function survey_chunks(p_scope jsonb, p_terms int[])
returns table (scale float8, sampled int, seqs json, masks json)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set plan_cache_mode = force_custom_plan set jit = off
as $$
declare
  v_last bigint := (p_scope ->> 'as_of_seq')::bigint;
  v_width bigint := greatest(16, ceil(v_last / 128.0)::bigint);
begin
  return query execute format($q$
    with stretch as materialized (
      select s.seq, s.ordinal, s.mask, g.low, count(*) over (partition by g.low) as taken, max(s.seq) over (partition by g.low) as high
      from generate_series(1, $3, $4) g (low)
      cross join lateral (
        select c.seq, c.ordinal, case when %1$s then %2$s end as mask
        from chunks c
        where c.tenant_id = (select current_tenant()) and c.seq >= g.low and c.seq < g.low + $4 and c.seq <= $3
        order by c.seq, c.ordinal
        limit case when $4 <= 16 then 512 else 16 end
      ) s
    ),
    covered as (
      select coalesce(sum(span), 0) as span
      from (
        select case when coalesce(max(t.taken), 0) >= 16 and $4 > 16 then max(t.high) - g.low + 1 else $4 end as span
        from generate_series(1, $3, $4) g (low) left join stretch t on t.low = g.low
        group by g.low
      ) spans
    )
    select
      greatest(1, $3 / greatest(1, (select span from covered)))::float8,
      count(*)::int,
      coalesce(array_to_json(array_agg(s.seq order by s.seq, s.ordinal) filter (where s.mask is not null)), '[]'),
      coalesce(array_to_json(array_agg(s.mask order by s.seq, s.ordinal) filter (where s.mask is not null)), '[]')
    from stretch s $q$, chunk_condition(p_scope), mask_expression(cardinality(p_terms)))
  using p_scope, p_terms, v_last, v_width;
end $$;
revoke execute on function survey_chunks(jsonb, int[]) from public;
grant execute on function survey_chunks(jsonb, int[]) to agent_memory_app;
alter function survey_chunks(jsonb, int[]) owner to agent_memory_searcher;

-- As in 0008.
create or replace function pool_chunks(p_scope jsonb, p_terms int[], p_plan jsonb)
returns table (seqs json, ordinals json, sessions json, masks json, decisions json, memories json, weights json, neighbours json)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set plan_cache_mode = force_custom_plan set jit = off set enable_seqscan = off
as $$
declare
  v_place constant text := 'chunk_places(c.tenant_id, c.seq, c.session_id, c.channel, c.user_id, c.agent_id, c.project_id)';
  v_mask text := mask_expression(cardinality(p_terms));
  v_condition text := chunk_condition(p_scope);
  v_score text;
  v_epochs uuid[];
begin
  select coalesce(string_agg(format('(mask >> %s & 1) * %s::float8', i - 1, w), ' + ' order by i), '0')
  into v_score
  from (select i, w::float8 as w from jsonb_array_elements_text(p_plan -> 'weights') with ordinality as t (w, i)) weighted;
  v_epochs := array(
    select place_key(current_tenant(), 'epoch', e::text)
    from generate_series((p_plan ->> 'recent_from')::bigint / 16384, (p_scope ->> 'as_of_seq')::bigint / 16384) e);
  return query execute format($q$
    with matched as materialized (
      select c.seq, c.ordinal, c.session_id, c.kind, c.weight, %1$s as mask
      from chunks c
      where %2$s @> $3 and ($4::uuid[] is null or %2$s && $4) and term_vector(c.terms) @@ $5 and %3$s
      union
      select c.seq, c.ordinal, c.session_id, c.kind, c.weight, %1$s
      from chunks c
      where $7::bigint is not null and ($9::uuid[] is null or %2$s @> $9) and %2$s && $8 and term_vector(c.terms) @@ $6 and c.seq + 0 >= $7 and %3$s
    ),
    ranked as (
      select *, (%4$s) * coalesce(weight, 1) as score
      from matched
      order by score desc, seq desc, ordinal
      limit 1600
    ),
    -- `offset 0` keeps it a look-up of each
    best as materialized (
      select r.*, v.memory_id, v.kind as memory_kind
      from ranked r
      left join lateral (
        select v.memory_id, m.kind, m.status
        from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
        where (r.kind in ('decision', 'task_update') or r.kind like 'memory.%%')
          and v.tenant_id = (select current_tenant()) and v.seq = r.seq and v.status <> 'superseded'
        limit 1 offset 0
      ) v on true
      where v.status is null or v.status not in ('proposed', 'rejected')
    ),
    leader as (
      select l.seq, l.session_id, max(l.score) as score
      from best l
      group by l.seq, l.session_id
      order by score desc, l.seq desc
      limit 100
    ),
    beside as materialized (
      select l.seq as centre, n.distance, n.seq
      from leader l
      cross join lateral (
        (select -row_number() over (order by e.seq desc) as distance, e.seq
         from events e
         where e.tenant_id = (select current_tenant()) and e.session_key = session_key((select current_tenant()), l.session_id)
           and e.session_id = l.session_id and e.seq < l.seq
         order by e.seq desc
         limit 2)
        union all
        (select row_number() over (order by e.seq), e.seq
         from events e
         where e.tenant_id = (select current_tenant()) and e.session_key = session_key((select current_tenant()), l.session_id)
           and e.session_id = l.session_id and e.seq > l.seq
         order by e.seq
         limit 2)
      ) n
    ),
    -- `limit 1` fixes the order of the join: on a table without statistics the planner walked the tenant for each leader (13 s)
    neighbour as (
      select b.centre, b.distance, b.seq, n.mask
      from beside b
      cross join lateral (
        select %1$s as mask
        from chunks c
        where c.tenant_id = (select current_tenant()) and c.seq = b.seq and c.ordinal = 0 and c.kind not like 'memory.%%' and %3$s
        limit 1
      ) n
    ),
    numbered as (
      select b.*, dense_rank() over (order by b.session_id) as session, dense_rank() over (order by b.memory_id) as memory
      from best b
    )
    select
      coalesce(array_to_json(array_agg(n.seq order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.ordinal order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.session order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.mask order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(distinct n.seq) filter (where n.kind = 'decision' or n.memory_kind = 'decision')), '[]'),
      coalesce(json_agg(distinct jsonb_build_array(n.seq, n.memory)) filter (where n.memory_id is not null), '[]'),
      coalesce(json_agg(jsonb_build_array(n.seq, n.ordinal, n.weight)) filter (where n.weight is not null), '[]'),
      (select coalesce(json_agg(json_build_array(b.centre, b.distance, b.seq, b.mask) order by b.centre, b.distance), '[]') from neighbour b)
    from numbered n $q$, v_mask, v_place, v_condition, v_score)
  using
    p_scope, p_terms, scope_places(p_scope),
    case when (p_plan ->> 'narrow_audience')::boolean then audience_places(p_scope) end,
    (p_plan ->> 'full')::tsquery, (p_plan ->> 'recent')::tsquery, (p_plan ->> 'recent_from')::bigint, v_epochs,
    -- the keys of stretches name the tenant already
    case when p_scope ?| array['session_id', 'user_id', 'agent_id', 'project_id'] then scope_places(p_scope) end;
end $$;
revoke execute on function pool_chunks(jsonb, int[], jsonb) from public;
grant execute on function pool_chunks(jsonb, int[], jsonb) to agent_memory_app;
alter function pool_chunks(jsonb, int[], jsonb) owner to agent_memory_searcher;
revoke create on schema public from agent_memory_searcher;

-- As in 0004; `keys`: the hashes of the terms.
create or replace function survey(p_tenant text, p_query text, p_scope jsonb)
returns table (as_of_seq bigint, partial_index boolean, terms text[], keys int[], scale float8, sampled int, seqs json, masks json)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  select least(k.last_seq, coalesce((p_scope ->> 'as_of_seq')::bigint, k.last_seq)), exists (select from chunk_rebuilds r where r.tenant_id = p_tenant)
  into as_of_seq, partial_index
  from tenant_clocks k
  where k.tenant_id = p_tenant;
  terms := array(
    select l.lexeme
    from tenants t cross join lateral unnest(to_tsvector(t.language, p_query)) l
    where t.tenant_id = p_tenant
    order by l.positions[1], l.lexeme
    limit 31);
  keys := array(select term_key(t) from unnest(terms) with ordinality u (t, i) order by i);
  select s.scale, s.sampled, s.seqs, s.masks
  into scale, sampled, seqs, masks
  from survey_chunks(p_scope || jsonb_build_object('as_of_seq', as_of_seq), keys) s;
  return next;
end $$;

-- As in 0008.
create or replace function pool(p_tenant text, p_scope jsonb, p_keys int[], p_plan jsonb)
returns table (seqs json, ordinals json, sessions json, masks json, decisions json, memories json, weights json, neighbours json)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select p.* from pool_chunks(p_scope, p_keys, p_plan) p;
end $$;

-- As in 0023.
create or replace function seen_events(p_tenant text, p_scope jsonb) returns setof events
language sql stable
as $$
  select
    e.tenant_id, e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, coalesce(o.content, e.content), e.user_id, e.agent_id,
    e.project_id, e.sensitivity, e.tags, e.refs, e.metadata, case when o.content is null then e.artifact_id end, e.chunk_count, e.byte_count,
    e.occurred_at, e.created_at, e.supersedes, e.erased_at, e.redactions, e.session_key
  from events e
  left join overlays o on o.tenant_id = p_tenant and o.seq = e.seq
  where e.tenant_id = p_tenant
    and e.channel = any (array(select jsonb_array_elements_text(p_scope -> 'channels')))
    and (e.channel <> 'private' or p_scope -> 'subjects' = 'null' or p_scope -> 'subjects' ? e.user_id)
    and e.sensitivity = any (array(select jsonb_array_elements_text(p_scope -> 'sensitivities')))
    and (p_scope ->> 'as_of' is null or e.occurred_at <= (p_scope ->> 'as_of')::timestamptz)
    and (o.blocked_in is null or not o.blocked_in @> array[p_scope ->> 'channel'])
$$;

-- As in 0023.
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
      u.ord, e.ord, c.ord - 1, nullif(c.doc ->> 'text', said_in(e.doc -> 'content')), c.doc ->> 'header', (c.doc ->> 'token_count')::int,
      passage_terms(t.language, c.doc ->> 'text', c.doc ->> 'header', coalesce((e.doc ->> 'occurred_at')::timestamptz, v_asked)))::passage
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
      tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
      text, header, token_count, terms, occurred_at, valid)
    select
      p_tenant, e.seq, c.ordinal, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
      c.text, c.header, c.token_count, c.terms, coalesce(e.occurred_at, v_asked), e.valid
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

-- As in 0008.
create or replace function rebuild_chunks(p_tenant text, p_from bigint, p_to bigint, p_chunks jsonb) returns void
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  delete from chunks c where c.tenant_id = p_tenant and c.seq between p_from and p_to;
  insert into chunks (
    tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
    text, header, token_count, terms, occurred_at)
  select
    p_tenant, e.seq, c.ordinal, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
    nullif(c.text, said_in(e.content)), c.header, c.token_count, passage_terms(t.language, c.text, c.header, e.occurred_at), e.occurred_at
  from jsonb_to_recordset(p_chunks) c (seq bigint, ordinal smallint, text text, header text, token_count int)
  join events e on e.tenant_id = p_tenant and e.seq = c.seq
  join tenants t on t.tenant_id = p_tenant;
  perform date_chunks(p_tenant, p_from, p_to);
  perform overlay_chunks(p_tenant, p_from, p_to);
  update chunk_rebuilds r set rebuilt_to = p_to where r.tenant_id = p_tenant;
end $$;

-- As in 0009.
create or replace function write_edited_passages(p_tenant text, p_event events, p_base jsonb) returns void
language plpgsql
as $$
begin
  delete from chunks c
  where c.tenant_id = p_tenant and c.seq = p_event.seq
    and c.ordinal >= (select count(*) from edited_passages(p_tenant, p_event.seq, p_base));
  insert into chunks (
    tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
    text, header, token_count, terms, occurred_at, until_seq, until_at, valid, weight, blocked_in)
  select
    p_tenant, p_event.seq, x.ordinal, p_event.kind, p_event.session_id, p_event.channel, p_event.sensitivity,
    p_event.user_id, p_event.agent_id, p_event.project_id, x.text, x.header, x.token_count,
    case
      when x.retracted then '{}'
      when x.text = coalesce(c.text, said_in(p_event.content)) and x.header = c.header then c.terms
      else passage_terms(t.language, x.text, x.header, p_event.occurred_at) end,
    p_event.occurred_at, f.until_seq, f.until_at, f.valid, x.weight, x.blocked_in
  from edited_passages(p_tenant, p_event.seq, p_base) x
  join tenants t on t.tenant_id = p_tenant
  left join chunks c on c.tenant_id = p_tenant and c.seq = p_event.seq and c.ordinal = x.ordinal
  left join chunks f on f.tenant_id = p_tenant and f.seq = p_event.seq and f.ordinal = 0
  -- not an update: a rebuild may take the rows away meanwhile, and this waits for those it puts back
  on conflict (tenant_id, seq, ordinal) do update
  set text = excluded.text, header = excluded.header, token_count = excluded.token_count, terms = excluded.terms, weight = excluded.weight,
    blocked_in = excluded.blocked_in;
end $$;

-- As in 0009.
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
  select o.base into v_base from overlays o where o.tenant_id = p_tenant and o.seq = p_seq;
  if v_base is null then
    select coalesce(jsonb_agg(jsonb_build_object('text', passage_text(c), 'header', c.header, 'token_count', c.token_count) order by c.ordinal), '[]')
    into v_base
    from chunks c
    where c.tenant_id = p_tenant and c.seq = p_seq;
  end if;
  perform write_edited_passages(p_tenant, v_event, v_base);
  delete from overlays o where o.tenant_id = p_tenant and o.seq = p_seq;
  insert into overlays (tenant_id, seq, content, blocked_in, chunk_count, weight, edit_ids, base)
  with active as materialized (
    select a.* from active_edits(p_tenant, p_seq) a
  ),
  whole as (
    select
      array_agg(a.edit_id order by a.n) as edit_ids,
      bool_or(a.op = 'retract' and a.ordinal is null) as retracted,
      bool_or(a.op in ('amend', 'retract') or (a.op = 'quarantine' and a.ordinal is not null)) as rewritten,
      bool_or(a.passages = '[]') as silent,
      -- what is read is one text unless passages were edited one by one since
      (array_agg(a.patch ->> 'text' order by a.n desc) filter (where a.op = 'amend' and a.ordinal is null))[1] as text,
      coalesce(max(a.n) filter (where a.op = 'amend' and a.ordinal is null), 0)
        > coalesce(max(a.n) filter (where a.op = 'amend' and a.ordinal is not null), 0)
        and not coalesce(bool_or(a.op in ('retract', 'quarantine') and a.ordinal is not null), false) as is_one
    from active a
    having count(*) > 0
  ),
  passage as (
    select
      coalesce(bool_and(x.retracted), false) as retracted,
      coalesce(bool_and(x.retracted or x.apart), false) as apart,
      count(*) as n,
      min(coalesce(x.weight, 1)) as weight,
      left(string_agg(rtrim(x.text, e' \n\t') || coalesce(x.gap, ''), '' order by x.ordinal) filter (where not (x.retracted or x.apart)), 65536) as text
    from edited_passages(p_tenant, p_seq, v_base) x
  ),
  place as (
    select array_agg(distinct c.channel order by c.channel) as channels
    from active a
    cross join lateral unnest(
      case
        when a.op = 'block' then array[a.patch ->> 'channel']
        when a.op = 'quarantine' and a.ordinal is null then array['private', 'public', 'team', 'agent'] end
    ) c (channel)
  )
  select
    p_tenant, p_seq,
    case
      when w.retracted or (p.retracted and w.silent is not true) then '{"withheld": true}'::jsonb
      when w.rewritten then edited_content(v_event.kind, v_event.content, case when w.is_one then w.text else coalesce(p.text, '') end)
    end,
    case when w.retracted or (p.apart and w.silent is not true) then array['agent', 'private', 'public', 'team'] else l.channels end,
    p.n, nullif(p.weight, 1), w.edit_ids, v_base
  from whole w cross join passage p cross join place l;
end $$;

-- As in 0024.
create or replace function beginning_of(p_tenant text, p_scope jsonb, p_event events) returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select jsonb_build_object('text', string_agg(coalesce(k.text, said_in(p_event.content)), '' order by k.ordinal), 'cut', p_event.chunk_count > 2)
    from chunks k
    where k.tenant_id = p_tenant and k.seq = p_event.seq and k.ordinal < 2
      and (k.blocked_in is null or not k.blocked_in @> array[p_scope ->> 'channel']));
end $$;

-- As in 0024.
create or replace function read_passages(p_tenant text, p_scope jsonb, p_seqs bigint[], p_ordinals int[])
returns table (
  seq bigint, ordinal int, event_id text, kind text, session_id text, text text, actor_id text, tags text[], artifact_id text,
  chunk_count int, occurred_at timestamptz, words text[], superseded boolean, memory jsonb)
language plpgsql
-- look-ups of single rows whatever the values: planned anew it took a third of its time
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  v_last bigint := coalesce((p_scope ->> 'as_of_seq')::bigint, 9223372036854775807);
  v_as_of timestamptz := p_scope ->> 'as_of';
  v_language regconfig;
begin
  perform enter_tenant(p_tenant);
  select t.language into v_language from tenants t where t.tenant_id = p_tenant;
  return query
  select
    c.seq, c.ordinal::int, e.event_id, c.kind, c.session_id, x.text, e.actor_id, e.tags, e.artifact_id,
    e.chunk_count::int, c.occurred_at, tsvector_to_array(to_tsvector(v_language, x.text)),
    coalesce(c.until_seq <= v_last and (v_as_of is null or c.until_at <= v_as_of), false),
    case when c.kind in ('decision', 'task_update') or c.kind like 'memory.%' then (
      select s.standing || claim_of(p_tenant, p_scope, m, s.standing, c.occurred_at)
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      cross join lateral (
        select memory_standing(p_tenant, m, c.seq, e.content, e.actor_type, e.actor_id, v_last, v_as_of) as standing
        -- worked out once
        offset 0
      ) s
      where v.tenant_id = p_tenant and v.seq = c.seq and v.status <> 'superseded'
      limit 1) end
  from unnest(p_seqs, p_ordinals) with ordinality as wanted (seq, ordinal, place)
  cross join lateral (
    select k.* from chunks k where k.tenant_id = p_tenant and k.seq = wanted.seq and k.ordinal = wanted.ordinal limit 1
  ) c
  cross join lateral (
    select s.event_id, s.actor_type, s.actor_id, s.tags, s.artifact_id, s.chunk_count, case when s.kind like 'memory.%' then s.content end as content, said_in(s.content) as said
    from seen_events(p_tenant, p_scope) s
    where s.seq = wanted.seq
    limit 1
  ) e
  -- worked out once
  cross join lateral (select coalesce(c.text, e.said) as text offset 0) x
  order by wanted.place;
end $$;

-- As in 0024.
create or replace function read_ledger(p_tenant text, p_scope jsonb, p_ask jsonb)
returns table (
  part text, as_of_seq bigint, partial_index boolean, seq bigint, event_id text, kind text, actor_id text, content jsonb, artifact_id text,
  superseded boolean, occurred_at timestamptz, words text[], memory jsonb)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  v_last bigint;
  v_language regconfig;
  v_filter jsonb := p_scope -> 'filter';
  v_named text[] := array(select jsonb_array_elements_text(coalesce(p_ask -> 'named', '[]')));
  v_hashes bytea[] := array(select decode(h, 'hex') from jsonb_array_elements_text(coalesce(p_ask -> 'hashes', '[]')) h);
  v_decisions bigint[] := array(select d::bigint from jsonb_array_elements_text(coalesce(p_ask -> 'decisions', '[]')) d);
  v_tools bigint[] := array(select t::bigint from jsonb_array_elements_text(coalesce(p_ask -> 'tools', '[]')) t);
  v_memories text[] := '{}';
  v_cited bigint[] := '{}';
  v_recent bigint[];
  v_pairs jsonb := '[]';
begin
  perform enter_tenant(p_tenant);
  select t.language into v_language from tenants t where t.tenant_id = p_tenant;
  select least(k.last_seq, coalesce((p_scope ->> 'as_of_seq')::bigint, k.last_seq)) into v_last
  from tenant_clocks k
  where k.tenant_id = p_tenant;
  v_recent := array(
    select s.seq
    from seen_events(p_tenant, p_scope) s
    where s.session_key = session_key(p_tenant, p_ask ->> 'session_id') and s.session_id = p_ask ->> 'session_id' and s.seq <= v_last
      and s.kind in ('message', 'tool_call', 'tool_result', 'decision', 'task_update', 'artifact')
      and (v_filter is null or event_matches(s, v_filter, false, p_scope ->> 'channel'))
      -- what was handed over is not told again
      and (not p_ask ? 'handoff_seq' or s.seq > (p_ask ->> 'handoff_seq')::bigint or s.agent_id = p_ask ->> 'agent_id')
    order by s.seq desc
    limit 60);
  if cardinality(v_named) + cardinality(v_hashes) > 0 then
    v_memories := array(
      select m.memory_id
      from unnest(v_named) n (id) join memories m on m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, n.id)
      union
      select m.memory_id
      from memories m
      where m.tenant_id = p_tenant and m.kind = 'decision' and m.status = 'active' and m.text_hash = any (v_hashes));
    v_cited := array(
      select e.seq
      from events e
      where e.tenant_id = p_tenant and e.kind not like 'memory.%'
        and e.event_id = any (array(
          select case when id ~ '^chk_' then 'evt_' || split_part(substr(id, 5), '_', 1) else id end from unnest(v_named) id)));
  end if;
  v_tools := v_tools || array(
    select e.seq
    from unnest(v_recent || v_cited) t (seq)
    cross join lateral (
      select e.seq from events e where e.tenant_id = p_tenant and e.seq = t.seq and e.kind in ('tool_call', 'tool_result') limit 1
    ) e);
  if cardinality(v_tools) > 0 then
    v_pairs := tool_pairs(p_tenant, p_scope, v_last, v_tools);
  end if;
  return query
  with chosen as (
    select
      case (h.memory).kind when 'task' then 'task' when 'decision' then 'decision' else 'rule' end as part, h.content_seq as seq, h.memory
    from held_memories(
      p_tenant, p_scope, p_ask, v_last, array['task', 'decision', 'rule', 'preference'], array[50, 40, 200, 200], 'active') h
    union all
    select 'superseded', h.content_seq, h.memory
    from held_memories(
      p_tenant, p_scope, p_ask, v_last, array['decision', 'fact', 'preference', 'rule', 'note', 'summary'], array[40, 10, 10, 10, 10, 10],
      'superseded') h
    union all
    select 'decision', v.seq, m
    from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
    where v.tenant_id = p_tenant and v.seq = any (v_decisions)
      and v.status <> 'superseded' and m.kind = 'decision'
    union all
    select case when m.kind = 'decision' then 'decision' else 'cited' end, m.content_seq, m
    from memories m
    where m.tenant_id = p_tenant and m.memory_id = any (v_memories) and m.status = 'active' and m.last_seq <= v_last
    union all
    select 'cited', c, null from unnest(v_cited) c
    union all
    select 'recent', r, null from unnest(v_recent) r
    union all
    select 'paired', (p ->> 'seq')::bigint, null from jsonb_array_elements(v_pairs) p where not (p ->> 'given')::boolean
  )
  select
    'clock', v_last, exists (select from chunk_rebuilds r where r.tenant_id = p_tenant), null::bigint, null, null, null,
    jsonb_build_object('pairs', v_pairs), null, null::boolean, null::timestamptz, null::text[], null::jsonb
  union all
  select
    c.part, null, null, s.seq, s.event_id, s.kind, s.actor_id,
    case when c.part = 'paired' then beginning_of(p_tenant, p_scope, s) else s.content end, s.artifact_id,
    c.part = 'superseded' or coalesce(
      c.part in ('decision', 'recent') and s.kind <> 'task_update' and k.until_seq <= v_last
        and (not p_scope ? 'as_of' or k.until_at <= (p_scope ->> 'as_of')::timestamptz), false),
    s.occurred_at,
    k.words,
    case when (c.memory).memory_id is not null then t.standing || claim_of(p_tenant, p_scope, c.memory, t.standing, s.occurred_at) end
  from chosen c
  cross join lateral (
    select o.*
    from seen_events(p_tenant, p_scope) o
    where o.seq = c.seq
      and (v_filter is null or c.part = 'rule' or (c.memory).memory_id is null or memory_matches(c.memory, o, v_filter))
    limit 1
  ) s
  left join lateral (
    select k.until_seq, k.until_at, k.blocked_in, tsvector_to_array(to_tsvector(v_language, coalesce(k.text, said_in(s.content)))) as words
    from chunks k
    where k.tenant_id = p_tenant and k.seq = s.seq and k.ordinal = 0
    limit 1
  ) k on true
  left join lateral (
    select memory_standing(
      p_tenant, c.memory, s.seq, case when s.kind like 'memory.%' then s.content end, s.actor_type, s.actor_id, v_last,
      (p_scope ->> 'as_of')::timestamptz) as standing
    where (c.memory).memory_id is not null
    offset 0
  ) t on true
  where (k.blocked_in is null or not k.blocked_in @> array[p_scope ->> 'channel']);
end $$;

-- As in 0032.
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

-- As in 0025.
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

-- As in 0012.
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

-- As in 0012.
create or replace function trim_step(p_tenant text, p_upto bigint, p_limit int) returns bigint
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
    delete from chunks c where c.tenant_id = p_tenant and c.seq between v_from and v_to returning octet_length(passage_text(c)) + octet_length(c.header) as bytes)
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

-- As in 0017.
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
  select case when c.importing is null then c.oldest_seq else (select min(e.seq) from events e where e.tenant_id = p_tenant) end into v_first
  from tenant_clocks c where c.tenant_id = p_tenant;
  select e.event_id into v_oldest from events e where e.tenant_id = p_tenant and e.seq = v_first and v_first > 1;

  return query
  select 'seq', p_to - p_from + 1, count(*), coalesce(jsonb_agg(to_jsonb(g.seq) order by g.seq) filter (where g.nth <= 5), '[]')
  from (
    select s.seq, row_number() over (order by s.seq) as nth
    from generate_series(p_from, p_to) s (seq)
    where not exists (select from events e where e.tenant_id = p_tenant and e.seq = s.seq)
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

drop function passage_vector(regconfig, text, text, timestamptz);
