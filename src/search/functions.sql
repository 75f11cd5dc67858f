-- Returns true if the event created or changed a memory that has since been deleted.
create or replace function is_of_deleted_memory(p_tenant text, p_seq bigint) returns boolean
language sql stable
return coalesce((
  select m.status = 'deleted'
  from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
  where v.tenant_id = p_tenant and v.seq = p_seq and v.status <> 'superseded'
  limit 1), false);

-- Returns the condition on the chunk `c` that limits a search to what the caller may see and asked for; $1 is the scope. It contains only the
-- parts that the scope needs, so that the planner sees each of them: versions of memories that were current at that time, passages that were
-- valid then, nothing that is blocked in the channel.
-- `|| ''` and `+ 0` keep the planner from using the primary key: its bitmap of a whole tenant took 135 of 150 ms, the full-text index 6 ms.
create or replace function chunk_condition(p_scope jsonb) returns text
language sql immutable parallel safe
return array_to_string(array[
  $$c.tenant_id || '' = (select current_tenant()) and c.seq + 0 <= ($1 ->> 'as_of_seq')::bigint$$,
  $$visible(
    c.channel, c.user_id, c.sensitivity, array(select jsonb_array_elements_text($1 -> 'channels')),
    case when $1 -> 'subjects' = 'null' then null else array(select jsonb_array_elements_text($1 -> 'subjects')) end,
    array(select jsonb_array_elements_text($1 -> 'sensitivities')))$$,
  $$is_shown_in(c.blocked_in, $1 ->> 'channel')$$,
  case when p_scope ? 'session_id' then $$c.session_id = $1 ->> 'session_id'$$ end,
  case when p_scope ? 'user_id' then $$c.user_id = $1 ->> 'user_id'$$ end,
  case when p_scope ? 'agent_id' then $$c.agent_id = $1 ->> 'agent_id'$$ end,
  case when p_scope ? 'project_id' then $$c.project_id = $1 ->> 'project_id'$$ end,
  case when p_scope ? 'as_of' then $$c.occurred_at <= ($1 ->> 'as_of')::timestamptz$$ end,
  $$(c.valid is null or c.valid @> coalesce(($1 ->> 'as_of')::timestamptz, now()))$$,
  case
    when (p_scope ->> 'history')::boolean then null
    when p_scope ? 'as_of' then $$(c.until_seq is null or c.until_seq > ($1 ->> 'as_of_seq')::bigint or c.until_at > ($1 ->> 'as_of')::timestamptz)$$
    else $$(c.until_seq is null or c.until_seq > ($1 ->> 'as_of_seq')::bigint)$$ end,
  -- only admins find deleted memories, as of an earlier time
  case when not coalesce((p_scope ->> 'deleted')::boolean, false) then $$(c.until_seq is null or not is_of_deleted_memory(c.tenant_id, c.seq))$$ end,
  -- a subquery that the planner does not flatten: as a join it read every event of the tenant
  case when p_scope ? 'filter' then $$(
    select event_matches(
      e, $1 -> 'filter',
      exists (select from overlays o where o.tenant_id = c.tenant_id and o.seq = c.seq and not is_shown_in(o.blocked_in, $1 ->> 'channel')),
      $1 ->> 'channel')
    from events e
    where e.tenant_id = c.tenant_id and e.seq = c.seq)$$ end], ' and ');

-- Returns an expression for the bit mask of the terms $2[p_first] to $2[p_last] that a passage contains: at most 52, so that it is an
-- exact integer in JavaScript.
create or replace function mask_expression(p_first int, p_last int) returns text
language sql immutable parallel safe
return coalesce(
  (select string_agg(format('case when $2[%s] = any (c.terms) then %s::bigint else 0 end', i, 1::bigint << (i - p_first)), ' + ')
   from generate_series(p_first, p_last) i), '0::bigint');

-- Returns an expression for those of p_keys that p_terms, a column of terms, contains. As a list of constants the keys are hashed once per search: for
-- 2,000 passages and 52 keys it took 7 ms, and comparing each key with each term 9 ms.
create or replace function held_expression(p_terms text, p_keys int[]) returns text
language sql immutable parallel safe
return case
  when cardinality(p_keys) = 0 then $$'{}'::int[]$$
  else format('array(select t from unnest(%s) t where t = any (%L::int[]))', p_terms, p_keys) end;

-- Returns an expression for the sum of the weights of the terms in `mask`.
create or replace function score_expression(p_weights jsonb) returns text
language sql immutable parallel safe
return (
  select coalesce(string_agg(format('(mask >> %s & 1) * %s::float8', i - 1, w::float8), ' + ' order by i), '0')
  from jsonb_array_elements_text(p_weights) with ordinality t (w, i));

-- Returns the expression by which a passage's score is divided: it grows with three quarters of the length above p_least × 30 terms. Recall@10 on
-- long dialogues is 48 % with it and 46 % without.
create or replace function length_divisor(p_size text, p_least float8) returns text
language sql immutable parallel safe
return format('(0.25 + 0.75 * greatest(%s, %s / 30.0))', p_least, p_size);

-- Returns the number of the UTC day since 1970; 0 for an infinite time, which only a change by other means than the service can have left.
create or replace function day_number(p_at timestamptz) returns int
language sql immutable parallel safe
return case when isfinite(p_at) then floor(extract(epoch from p_at) / 86400)::int else 0 end;

-- Replaces each {name} in a statement with the part of that name. Parts are SQL generated in this file, never input of a client.
create or replace function fill_template(p_statement text, p_parts jsonb) returns text
language plpgsql immutable parallel safe
as $$
declare
  v_part record;
begin
  for v_part in select p.key, p.value from jsonb_each_text(p_parts) p loop
    p_statement := replace(p_statement, '{' || v_part.key || '}', v_part.value);
  end loop;
  return p_statement;
end $$;

-- Samples the log evenly: 128 ranges of 16 passages, or all of a short log. Returns the seq and the term mask of each sampled passage in scope;
-- `rest` has those of its terms that are beyond the first 52, and is empty if there are none.
create or replace function sample_chunks(p_scope jsonb, p_terms int[])
returns table (scale float8, sampled int, seqs json, masks json, rest json)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set plan_cache_mode = force_custom_plan set jit = off
as $$
declare
  v_last bigint := (p_scope ->> 'as_of_seq')::bigint;
  v_width bigint := greatest(16, ceil(v_last / 128.0)::bigint);
begin
  return query execute fill_template($q$
    with log_range as materialized (
      select s.seq, s.ordinal, s.mask, s.rest, g.low, count(*) over (partition by g.low) as taken, max(s.seq) over (partition by g.low) as high
      from generate_series(1, {last}, {width}) g (low)
      cross join lateral (
        select c.seq, c.ordinal, case when {in_scope} then {mask} end as mask, case when {in_scope} then {rest} end as rest
        from chunks c
        where c.tenant_id = (select current_tenant()) and c.seq >= g.low and c.seq < g.low + {width} and c.seq <= {last}
        order by c.seq, c.ordinal
        limit {most}
      ) s
    ),
    -- for a range with more passages than were sampled: the part of it that the sample covers
    covered as (
      select coalesce(sum(span), 0) as span
      from (
        select case when coalesce(max(t.taken), 0) >= 16 and {width} > 16 then max(t.high) - g.low + 1 else {width} end as span
        from generate_series(1, {last}, {width}) g (low) left join log_range t on t.low = g.low
        group by g.low
      ) spans
    )
    select
      greatest(1, {last} / greatest(1, (select span from covered)))::float8,
      count(*)::int,
      coalesce(array_to_json(array_agg(s.seq order by s.seq, s.ordinal) filter (where s.mask is not null)), '[]'),
      coalesce(array_to_json(array_agg(s.mask order by s.seq, s.ordinal) filter (where s.mask is not null)), '[]'),
      coalesce(json_agg(s.rest order by s.seq, s.ordinal) filter (where s.rest is not null), '[]')
    from log_range s $q$,
    jsonb_build_object(
      'in_scope', chunk_condition(p_scope), 'mask', mask_expression(1, least(52, cardinality(p_terms))),
      'rest', case when cardinality(p_terms) > 52 then held_expression('c.terms', p_terms[53:]) else 'null::int[]' end,
      'last', v_last || '::bigint', 'width', v_width || '::bigint', 'most', case when v_width <= 16 then 512 else 16 end))
  using p_scope, p_terms;
end $$;
revoke execute on function sample_chunks(jsonb, int[]) from public;
grant execute on function sample_chunks(jsonb, int[]) to agent_memory_app;
alter function sample_chunks(jsonb, int[]) owner to agent_memory_searcher;

-- Returns the index keys of the scope's session, user, agent and project; the key of the tenant if the scope names none of them.
create or replace function scope_keys(p_scope jsonb) returns uuid[]
language sql stable
return coalesce(
  (select array_agg(place_key(current_tenant(), k, p_scope ->> (k || '_id')))
   from unnest(array['session', 'user', 'agent', 'project']) k
   where p_scope ? (k || '_id')),
  array[place_key(current_tenant(), 'tenant', '')]);

-- Returns the index keys of the channels in scope. Returns null if private passages of every subject are in scope, because they share no key.
create or replace function audience_keys(p_scope jsonb) returns uuid[]
language sql stable
return case when p_scope -> 'channels' ? 'private' and p_scope -> 'subjects' = 'null' then null else array(
  select place_key(current_tenant(), 'audience', c)
  from jsonb_array_elements_text(p_scope -> 'channels') c
  where c <> 'private'
  union all
  select place_key(current_tenant(), 'audience', 'private/' || u)
  from jsonb_array_elements_text(case when p_scope -> 'channels' ? 'private' then p_scope -> 'subjects' else '[]' end) u) end;

-- Returns a tsquery for the passages that have one of the words.
create or replace function near_query(p_words jsonb) returns text
language sql stable
return (select string_agg(format('''%s''', term_key(w)), ' | ') from jsonb_array_elements_text(p_words) w);

-- Returns the two index conditions on `c` that select the pool. `anywhere`: passages of the whole scope that match the plan's `full` or have one of the
-- words `near_full`. `lately`:
-- passages since `recent_from` that match the plan's `recent`; the keys of their epochs include the tenant. The values are written as literals,
-- so that the planner sees them.
create or replace function index_conditions(p_scope jsonb, p_plan jsonb) returns jsonb
language plpgsql stable
as $$
declare
  -- the same expression as in the index chunks__search
  v_keys constant text := 'chunk_places(c.tenant_id, c.seq, c.session_id, c.channel, c.user_id, c.agent_id, c.project_id)';
  v_in_scope constant text := format('%s @> %L::uuid[]', v_keys, scope_keys(p_scope));
  v_audience uuid[];
  v_epochs uuid[];
begin
  if (p_plan ->> 'narrow_audience')::boolean then
    v_audience := audience_keys(p_scope);
  end if;
  if p_plan ->> 'recent_from' is not null then
    v_epochs := array(
      select place_key(current_tenant(), 'epoch', e::text)
      from generate_series((p_plan ->> 'recent_from')::bigint / 16384, (p_scope ->> 'as_of_seq')::bigint / 16384) e);
  end if;
  return jsonb_build_object(
    'closest_seqs', format('%L::bigint[]', array(select jsonb_array_elements_text(p_plan -> 'closest_seqs'))),
    'closest_ordinals', format('%L::smallint[]', array(select jsonb_array_elements_text(p_plan -> 'closest_ordinals'))),
    'anywhere', concat_ws(' and ',
      v_in_scope,
      v_keys || ' && ' || quote_literal(v_audience),
      format('term_vector(c.terms) @@ %L::tsquery', concat_ws(' | ', p_plan ->> 'full', near_query(p_plan -> 'near_full')))),
    'lately', case when v_epochs is null then 'false' else concat_ws(' and ',
      case when p_scope ?| array['session_id', 'user_id', 'agent_id', 'project_id'] then v_in_scope end,
      v_keys || ' && ' || quote_literal(v_epochs),
      format('term_vector(c.terms) @@ %L::tsquery and c.seq + 0 >= %L::bigint', p_plan ->> 'recent', p_plan ->> 'recent_from')) end);
end $$;

-- Returns the p_most passages in scope whose vectors by the model are closest to that of the query, by the Hamming distance of their signs. Reads all
-- vectors of the tenant and sorts them. The scope is compared in that order until p_most passages are in it, which takes about 5 µs each: passages
-- outside of the scope displace none.
create or replace function closest_chunks(p_scope jsonb, p_model text, p_signs bit varying, p_most int) returns table (seq bigint, ordinal smallint)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set jit = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  return query execute fill_template($q$
    select c.seq, c.ordinal
    from (
      select v.seq, v.ordinal, case when length(v.signs) = length($3) then bit_count(v.signs # $3) end as distance
      from embeddings v
      where v.tenant_id = (select current_tenant()) and v.model = $2 and length(v.signs) = length($3)
      order by distance, v.seq desc, v.ordinal
    ) n
    cross join lateral (
      select c.seq, c.ordinal from chunks c
      where c.tenant_id = (select current_tenant()) and c.seq = n.seq and c.ordinal = n.ordinal and {in_scope}
      limit 1
    ) c
    order by n.distance, n.seq desc, n.ordinal
    limit $4 $q$,
    jsonb_build_object('in_scope', chunk_condition(p_scope)))
  using p_scope, p_model, p_signs, p_most;
end $$;
revoke execute on function closest_chunks(jsonb, text, bit varying, int) from public;
grant execute on function closest_chunks(jsonb, text, bit varying, int) to agent_memory_app;
alter function closest_chunks(jsonb, text, bit varying, int) owner to agent_memory_searcher;

create or replace function closest_passages(p_tenant text, p_scope jsonb, p_model text, p_signs bit varying, p_most int)
returns table (seq bigint, ordinal smallint)
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  return query select n.seq, n.ordinal from closest_chunks(p_scope, p_model, p_signs, p_most) n;
end $$;

-- As closest_chunks, by the index of pgvector in the schema p_schema: approximate, in the time that p_most passages take. The scan continues until
-- p_most passages are in scope or it has read 40,000 vectors, so a tenant with few of all vectors, or a narrow scope, may get fewer.
create or replace function nearest_chunks(p_scope jsonb, p_model text, p_signs bit varying, p_most int, p_schema text)
returns table (seq bigint, ordinal smallint)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  -- not as options of the function: only a superuser may create a function with settings of an extension
  perform set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '200', true), set_config('hnsw.max_scan_tuples', '40000', true);
  return query execute fill_template($q$
    with nearest as materialized (
      select n.seq, n.ordinal, n.distance
      from (
        select v.seq, v.ordinal, v.signs::bit({size}) operator({schema}.<~>) $3::bit({size}) as distance
        from embeddings v
        where v.tenant_id = (select current_tenant()) and v.model = {model} and length(v.signs) = {size}
        order by distance
      ) n
      cross join lateral (
        select from chunks c
        where c.tenant_id = (select current_tenant()) and c.seq = n.seq and c.ordinal = n.ordinal and {in_scope}
        limit 1
      ) c
      limit $4
    )
    select n.seq, n.ordinal from nearest n order by n.distance, n.seq desc, n.ordinal $q$,
    jsonb_build_object(
      'in_scope', chunk_condition(p_scope), 'size', length(p_signs), 'schema', quote_ident(p_schema), 'model', quote_literal(p_model)))
  using p_scope, p_model, p_signs, p_most;
end $$;
revoke execute on function nearest_chunks(jsonb, text, bit varying, int, text) from public;
grant execute on function nearest_chunks(jsonb, text, bit varying, int, text) to agent_memory_app;
alter function nearest_chunks(jsonb, text, bit varying, int, text) owner to agent_memory_searcher;

-- Returns one row, or none if the vectors of the model have no index.
create or replace function nearest_passages(p_tenant text, p_scope jsonb, p_model text, p_signs bit varying, p_most int)
returns table (seqs json, ordinals json)
language plpgsql stable
as $$
declare
  v_schema text := vector_index_schema(p_model);
begin
  if v_schema is null then
    return;
  end if;
  perform enter_tenant(p_tenant);
  return query
  select coalesce(json_agg(n.seq), '[]'), coalesce(json_agg(n.ordinal), '[]') from nearest_chunks(p_scope, p_model, p_signs, p_most, v_schema) n;
end $$;

-- Returns the first part of the query in search_pool_chunks: `best`, the 1,600 passages with the greatest sum of term weights and those with the closest
-- vectors, each with the memory that its event created or changed. Proposed and rejected memories are excluded. `offset 0` keeps the lateral join a
-- look-up per passage.
create or replace function pool_passages_query() returns text
language sql immutable parallel safe
return $q$
  matched as materialized (
    select c.seq, c.ordinal, c.session_id, c.kind, c.weight, c.actor, c.traits, c.occurred_at, c.terms, {mask} as mask
    from chunks c
    where {anywhere} and {in_scope}
    union
    select c.seq, c.ordinal, c.session_id, c.kind, c.weight, c.actor, c.traits, c.occurred_at, c.terms, {mask}
    from chunks c
    where {lately} and {in_scope}
  ),
  closest as (
    select n.*
    from unnest({closest_seqs}, {closest_ordinals}) w (seq, ordinal)
    cross join lateral (
      select c.seq, c.ordinal, c.session_id, c.kind, c.weight, c.actor, c.traits, c.occurred_at, c.terms, {mask} as mask
      from chunks c
      where c.tenant_id = (select current_tenant()) and c.seq = w.seq and c.ordinal = w.ordinal and {in_scope}
      limit 1
    ) n
  ),
  ranked as (
    (
      select *, cardinality(terms) as size, ({score}) * coalesce(weight, 1) / {length} as score
      from matched
      order by score desc, seq desc, ordinal
      limit 1600
    )
    union
    select *, cardinality(terms), ({score}) * coalesce(weight, 1) / {length} from closest
  ),
  best as materialized (
    select r.*, v.memory_id, v.kind as memory_kind, {near} as near
    from ranked r
    left join lateral (
      select v.memory_id, m.kind, m.status
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      where (r.kind in ('decision', 'task_update') or r.kind like 'memory.%')
        and v.tenant_id = (select current_tenant()) and v.seq = r.seq and v.status <> 'superseded'
      limit 1 offset 0
    ) v on true
    where v.status is null or v.status not in ('proposed', 'rejected')
  ) $q$;

-- Returns the two events before and the two events after an event of a session.
create or replace function adjacent_events(p_session text, p_seq bigint) returns table (distance bigint, seq bigint)
language sql stable
begin atomic
  (select -row_number() over (order by e.seq desc), e.seq
   from events e
   where e.tenant_id = (select current_tenant()) and e.session_key = session_key((select current_tenant()), p_session)
     and e.session_id = p_session and e.seq < p_seq
   order by e.seq desc
   limit 2)
  union all
  (select row_number() over (order by e.seq), e.seq
   from events e
   where e.tenant_id = (select current_tenant()) and e.session_key = session_key((select current_tenant()), p_session)
     and e.session_id = p_session and e.seq > p_seq
   order by e.seq
   limit 2);
end;

-- Returns the pool: the best passages that match the plan, and the neighbours of the best hundred in their sessions. Passages of the same
-- session, or of the same memory, have the same number. `near_keys` are the keys of the plan's words `near`, and `near` has those that each passage
-- contains.
create or replace function search_pool_chunks(p_scope jsonb, p_terms int[], p_plan jsonb)
returns table (
  seqs json, ordinals json, sessions json, masks json, near_keys json, near json, sizes json, actors json, traits json, days json, decisions json,
  memories json, weights json, neighbours json)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set plan_cache_mode = force_custom_plan set jit = off set enable_seqscan = off
as $$
declare
  v_near int[] := array(select term_key(w) from jsonb_array_elements_text(p_plan -> 'near') with ordinality n (w, i) order by i);
begin
  return query execute fill_template('with' || pool_passages_query() || $q$,
    leader as (
      select l.seq, l.session_id, max(l.score) as score
      from best l
      group by l.seq, l.session_id
      order by score desc, l.seq desc
      limit 100
    ),
    beside as materialized (
      select l.seq as centre, n.distance, n.seq from leader l cross join lateral adjacent_events(l.session_id, l.seq) n
    ),
    -- `limit 1` fixes the order of the join: on a table without statistics the planner scanned the tenant once per leader (13 s)
    neighbour as (
      select b.centre, b.distance, b.seq, n.*
      from beside b
      cross join lateral (
        select {mask} as mask, array_to_json({near}) as near, cardinality(c.terms) as size, c.actor, c.traits, day_number(c.occurred_at) as day
        from chunks c
        where c.tenant_id = (select current_tenant()) and c.seq = b.seq and c.ordinal = 0 and c.kind not like 'memory.%' and {in_scope}
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
      array_to_json({near_keys}::int[]),
      coalesce(json_agg(n.near order by n.seq, n.ordinal), '[]'),
      coalesce(array_to_json(array_agg(n.size order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.actor order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.traits order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(day_number(n.occurred_at) order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(distinct n.seq) filter (where n.kind = 'decision' or n.memory_kind = 'decision')), '[]'),
      coalesce(json_agg(distinct jsonb_build_array(n.seq, n.memory)) filter (where n.memory_id is not null), '[]'),
      coalesce(json_agg(jsonb_build_array(n.seq, n.ordinal, n.weight)) filter (where n.weight is not null), '[]'),
      (select coalesce(json_agg(json_build_array(b.centre, b.distance, b.seq, b.mask, b.size, b.actor, b.traits, b.day, b.near) order by b.centre, b.distance), '[]')
       from neighbour b)
    from numbered n $q$,
    jsonb_build_object(
      'mask', mask_expression(1, cardinality(p_terms)), 'score', score_expression(p_plan -> 'weights'), 'in_scope', chunk_condition(p_scope),
      'length', length_divisor('cardinality(terms)', coalesce((p_plan ->> 'least_length')::float8, 1)),
      'near', held_expression('terms', v_near), 'near_keys', quote_literal(v_near))
      || index_conditions(p_scope, p_plan))
  using p_scope, p_terms;
end $$;
revoke execute on function search_pool_chunks(jsonb, int[], jsonb) from public;
grant execute on function search_pool_chunks(jsonb, int[], jsonb) to agent_memory_app;
alter function search_pool_chunks(jsonb, int[], jsonb) owner to agent_memory_searcher;

-- First round trip of a search: returns the last seq, the terms of the query (at most 256: words in the order of the query, then the pairs and the
-- characters of unspaced scripts), the hashes of p_names as actors, and the sample.
create or replace function survey_query(p_tenant text, p_query text, p_scope jsonb, p_names text[])
returns table (
  as_of_seq bigint, partial_index boolean, terms text[], keys int[], name_keys int[], min_score float8, scale float8, sampled int, seqs json,
  masks json, rest json)
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  select least(k.last_seq, coalesce((p_scope ->> 'as_of_seq')::bigint, k.last_seq)), exists (select from chunk_rebuilds r where r.tenant_id = p_tenant)
  into as_of_seq, partial_index
  from tenant_clocks k
  where k.tenant_id = p_tenant;
  terms := array(
    select l.lexeme
    from tenants t cross join lateral unnest(text_lexemes(t.language, p_query)) l
    where t.tenant_id = p_tenant
    order by l.positions[1], length(l.lexeme) desc, l.lexeme
    limit 256);
  keys := array(select term_key(t) from unnest(terms) with ordinality u (t, i) order by i);
  select coalesce((t.settings ->> 'min_score')::float8, 0) into min_score from tenants t where t.tenant_id = p_tenant;
  name_keys := array(select actor_key(n) from unnest(p_names) with ordinality u (n, i) order by i);
  select s.scale, s.sampled, s.seqs, s.masks, s.rest
  into scale, sampled, seqs, masks, rest
  from sample_chunks(p_scope || jsonb_build_object('as_of_seq', as_of_seq), keys) s;
  return next;
end $$;

-- Second round trip of a search: returns the pool.
create or replace function search_pool(p_tenant text, p_scope jsonb, p_keys int[], p_plan jsonb)
returns table (
  seqs json, ordinals json, sessions json, masks json, near_keys json, near json, sizes json, actors json, traits json, days json, decisions json,
  memories json, weights json, neighbours json)
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  -- near words are English stems
  if (select t.language from tenants t where t.tenant_id = p_tenant) <> 'pg_catalog.english'::regconfig then
    p_plan := p_plan - array['near', 'near_full'];
  end if;
  return query
  select p.* from search_pool_chunks(p_scope, p_keys, p_plan) p;
end $$;

-- Returns a text as phrases are compared: in lower case, without accents, with one kind of quotation mark and single spaces.
create or replace function phrase_form(p_text text) returns text
language sql immutable parallel safe
return lower(regexp_replace(
  case when octet_length(p_text) = length(p_text) then p_text else translate(fold_accents(p_text), '’‘‚“”„«»', '''''''"""""') end, '\s+', ' ', 'g'));

-- Returns a regular expression that matches a phrase between the ends of words. Unspaced scripts have no ends of words.
create or replace function phrase_pattern(p_phrase text) returns text
language sql immutable parallel safe
return (
  select concat(
    case when left(f.form, 1) ~ '[[:alnum:]]' and left(f.form, 1) !~ unspaced_scripts() then '(?<![[:alnum:]])' end,
    regexp_replace(f.form, '[][\\^$.*+?(){}|]', '\\\&', 'g'),
    case when right(f.form, 1) ~ '[[:alnum:]]' and right(f.form, 1) !~ unspaced_scripts() then '(?![[:alnum:]])' end)
  from (select phrase_form(p_phrase) as form) f);

-- Returns the hashes of the terms of each phrase: [[key, …], …].
create or replace function phrase_keys(p_tenant text, p_phrases text[]) returns jsonb
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  return (
    select coalesce(jsonb_agg(to_jsonb(array(
      select term_key(l) from unnest(tsvector_to_array(text_lexemes(t.language, p.phrase))) l)) order by p.position), '[]')
    from tenants t
    cross join unnest(p_phrases) with ordinality p (phrase, position)
    where t.tenant_id = p_tenant);
end $$;

-- Returns the number of phrases that each of these passages contains; passages without any are left out.
create or replace function count_phrases(p_tenant text, p_seqs bigint[], p_ordinals int[], p_phrases text[])
returns table (seq bigint, ordinal int, phrases int)
language plpgsql stable
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_patterns text[] := array(select phrase_pattern(p) from unnest(p_phrases) p);
begin
  perform enter_tenant(p_tenant);
  return query
  select x.seq, x.ordinal, n.phrases
  from (
    select c.seq, c.ordinal::int as ordinal, phrase_form(passage_text(c)) as form
    from unnest(p_seqs, p_ordinals) w (seq, ordinal)
    cross join lateral (
      select k.* from chunks k where k.tenant_id = p_tenant and k.seq = w.seq and k.ordinal = w.ordinal limit 1
    ) c
    -- evaluated once
    offset 0
  ) x
  cross join lateral (select count(*)::int as phrases from unnest(v_patterns) v where x.form ~ v) n
  where n.phrases > 0;
end $$;

-- Returns the words of p_shortest to p_longest letters in the first two passages of each of these events that are in scope: at most 4,000, the most
-- frequent first.
create or replace function scope_words(p_scope jsonb, p_seqs bigint[], p_shortest int, p_longest int) returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set plan_cache_mode = force_custom_plan set jit = off
as $$
declare
  v_words text[];
begin
  execute fill_template($q$
    with words as (
      select distinct c.seq, c.ordinal, w.word
      from unnest($2) s (seq)
      cross join lateral (
        select c.seq, c.ordinal, lower(c.header || ' ' || passage_text(c)) as text
        from chunks c
        where c.tenant_id = (select current_tenant()) and c.seq = s.seq and {in_scope}
        order by c.ordinal
        limit 2
      ) c
      cross join lateral regexp_split_to_table(c.text, '[^[:alpha:]]+') w (word)
      where length(w.word) between $3 and $4
    )
    select array(select w.word from words w group by w.word order by count(*) desc, w.word limit 4000) $q$,
    jsonb_build_object('in_scope', chunk_condition(p_scope)))
  into v_words
  using p_scope, p_seqs, p_shortest, p_longest;
  return v_words;
end $$;
revoke execute on function scope_words(jsonb, bigint[], int, int) from public;
grant execute on function scope_words(jsonb, bigint[], int, int) to agent_memory_app;
alter function scope_words(jsonb, bigint[], int, int) owner to agent_memory_searcher;

-- Returns the words of p_words whose terms all are in p_absent, and the words in scope that may be meant by them.
create or replace function spellings(p_tenant text, p_scope jsonb, p_seqs bigint[], p_words text[], p_absent int[])
returns table (missing text[], known text[])
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  missing := array(
    select w
    from tenants t
    cross join unnest(p_words) w
    cross join lateral (select array(select term_key(l) from unnest(tsvector_to_array(text_lexemes(t.language, w))) l) as keys) k
    where t.tenant_id = p_tenant and k.keys <> '{}' and k.keys <@ p_absent);
  known := '{}';
  if missing <> '{}' then
    known := scope_words(p_scope, p_seqs, (select min(length(m)) - 2 from unnest(missing) m), (select max(length(m)) + 2 from unnest(missing) m));
  end if;
  return next;
end $$;

-- Third round trip of a search: returns the passages in the order given, with their lexemes for comparison, and with what claims state.
create or replace function read_search_hits(p_tenant text, p_scope jsonb, p_seqs bigint[], p_ordinals int[])
returns table (
  seq bigint, ordinal int, event_id text, kind text, session_id text, text text, actor_id text, tags text[], artifact_id text,
  chunk_count int, occurred_at timestamptz, lexemes text[], superseded boolean, memory jsonb)
language plpgsql stable
-- always look-ups of single rows: planning each call again took a third of its time
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
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
    e.chunk_count::int, c.occurred_at, tsvector_to_array(text_lexemes(v_language, x.text)),
    coalesce(c.until_seq <= v_last and (v_as_of is null or c.until_at <= v_as_of), false),
    case when c.kind in ('decision', 'task_update') or c.kind like 'memory.%' then (
      select s.details || claim_fields(p_tenant, p_scope, m, s.details, c.occurred_at)
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      cross join lateral (
        select memory_details(p_tenant, m, c.seq, e.content, e.actor_type, e.actor_id, v_last, v_as_of) as details
        -- evaluated once
        offset 0
      ) s
      where v.tenant_id = p_tenant and v.seq = c.seq and v.status <> 'superseded'
      limit 1) end
  from unnest(p_seqs, p_ordinals) with ordinality as wanted (seq, ordinal, position)
  cross join lateral (
    select k.* from chunks k where k.tenant_id = p_tenant and k.seq = wanted.seq and k.ordinal = wanted.ordinal limit 1
  ) c
  cross join lateral (
    select s.event_id, s.actor_type, s.actor_id, s.tags, s.artifact_id, s.chunk_count, case when s.kind like 'memory.%' then s.content end as content, event_text(s.content) as said
    from seen_events(p_tenant, p_scope) s
    where s.seq = wanted.seq
    limit 1
  ) e
  -- evaluated once
  cross join lateral (select coalesce(c.text, e.said) as text offset 0) x
  order by wanted.position;
end $$;
