-- Finding passages under the wall, in time that does not grow with the tenant.
-- min_code: 1

-- Rows stay whole in their page: a search reads `tsv` once for every term of the question, and unpacking it each time was the cost.
alter table chunks set (toast_tuple_target = 8160);

-- How far a rebuild of a tenant's passages has come. While there is a row, answers say that not every passage can be found.
create table chunk_rebuilds (
  tenant_id text not null,
  rebuilt_to bigint not null default 0,
  constraint chunk_rebuilds_pkey primary key (tenant_id),
  constraint chunk_rebuilds__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);
select wall('chunk_rebuilds', 'select, insert, update, delete');

-- which decisions were replaced
create index events__supersedes on events (tenant_id, supersedes) where supersedes is not null;

-- Where a passage lies, as keys a search can intersect with its words: the tenant, a stretch of 16,384 positions of the log, the scopes, the audience.
-- Every key names the tenant ('/' cannot be in its id), so one tenant's lists never hold another's rows.
create function place_key(p_tenant text, p_kind text, p_value text) returns uuid
language sql immutable parallel safe
return md5(p_tenant || '/' || p_kind || '/' || p_value)::uuid;

create function chunk_places(
  p_tenant text, p_seq bigint, p_session text, p_channel text, p_user text, p_agent text, p_project text) returns uuid[]
language sql immutable parallel safe
return array_remove(array[
  place_key(p_tenant, 'tenant', ''),
  place_key(p_tenant, 'epoch', (p_seq / 16384)::text),
  place_key(p_tenant, 'session', p_session),
  place_key(p_tenant, 'audience', case when p_channel = 'private' then 'private/' || p_user else p_channel end),
  place_key(p_tenant, 'user', p_user),
  place_key(p_tenant, 'agent', p_agent),
  place_key(p_tenant, 'project', p_project)], null);

-- One short list of the unmerged at a time: every search reads it once for each scan.
create index chunks__search on chunks
  using gin (chunk_places(tenant_id, seq, session_id, channel, user_id, agent_id, project_id), tsv)
  with (gin_pending_list_limit = 256);

-- `@@` is not leakproof: under the wall's policy it cannot use the index. So the searcher reads chunks by a policy of its own,
-- only inside these functions, which take the tenant from the transaction's setting and from nothing else.
grant select on chunks to agent_memory_searcher;
create policy searcher_reads on chunks for select to agent_memory_searcher using (true);
grant select (tenant_id, seq, session_id, channel, sensitivity, user_id) on events to agent_memory_searcher;
create policy searcher_reads on events for select to agent_memory_searcher using (true);
grant create on schema public to agent_memory_searcher;

-- What a search may see, as one condition on `c`; $1 is the scope. Only the parts that the scope has, so that each can be planned for.
-- `|| ''` and `+ 0` keep the primary key out of it: its bitmap of a whole tenant was 135 of 150 ms beside 6 for the words.
create function chunk_condition(p_scope jsonb) returns text
language sql immutable parallel safe
return 'c.tenant_id || '''' = (select current_tenant()) and c.seq + 0 <= ($1 ->> ''as_of_seq'')::bigint'
  || ' and c.channel = any (array(select jsonb_array_elements_text($1 -> ''channels'')))'
  || ' and c.sensitivity = any (array(select jsonb_array_elements_text($1 -> ''sensitivities'')))'
  || case when p_scope -> 'subjects' = 'null' then ''
     else ' and (c.channel <> ''private'' or c.user_id = any (array(select jsonb_array_elements_text($1 -> ''subjects''))))' end
  || case when p_scope ? 'session_id' then ' and c.session_id = $1 ->> ''session_id''' else '' end
  || case when p_scope ? 'user_id' then ' and c.user_id = $1 ->> ''user_id''' else '' end
  || case when p_scope ? 'agent_id' then ' and c.agent_id = $1 ->> ''agent_id''' else '' end
  || case when p_scope ? 'project_id' then ' and c.project_id = $1 ->> ''project_id''' else '' end
  || case when p_scope ? 'as_of' then ' and c.occurred_at <= ($1 ->> ''as_of'')::timestamptz' else '' end;

-- Which of the terms ($2) a passage has, as bits.
create function mask_expression(p_count int) returns text
language sql immutable parallel safe
return coalesce(
  (select string_agg(format('case when c.tsv @@ $2[%s] then %s else 0 end', i, 1 << (i - 1)), ' + ')
   from generate_series(1, p_count) i), '0');

-- An even sample of the log: 128 stretches of 16 passages, or all of a short log. Where each sampled passage of the scope lies, and what it has.
create function survey_chunks(p_scope jsonb, p_terms tsquery[])
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
revoke execute on function survey_chunks(jsonb, tsquery[]) from public;
grant execute on function survey_chunks(jsonb, tsquery[]) to agent_memory_app;
alter function survey_chunks(jsonb, tsquery[]) owner to agent_memory_searcher;

-- The keys of the scope itself. Without any, the tenant's.
create function scope_places(p_scope jsonb) returns uuid[]
language sql stable
return coalesce(
  (select array_agg(place_key(current_tenant(), k, p_scope ->> (k || '_id')))
   from unnest(array['session', 'user', 'agent', 'project']) k
   where p_scope ? (k || '_id')),
  array[place_key(current_tenant(), 'tenant', '')]);

-- Null where private passages of every subject may be seen: those have no common key.
create function audience_places(p_scope jsonb) returns uuid[]
language sql stable
return case when p_scope -> 'channels' ? 'private' and p_scope -> 'subjects' = 'null' then null else array(
  select place_key(current_tenant(), 'audience', c)
  from jsonb_array_elements_text(p_scope -> 'channels') c
  where c <> 'private'
  union all
  select place_key(current_tenant(), 'audience', 'private/' || u)
  from jsonb_array_elements_text(case when p_scope -> 'channels' ? 'private' then p_scope -> 'subjects' else '[]' end) u) end;

-- The pool: passages that match `full` anywhere in the scope, or `recent` since `recent_from`, the best 1,600 by the weights of their
-- terms; and the two passages before and after each of the best hundred in their sessions.
create function pool_chunks(p_scope jsonb, p_terms tsquery[], p_plan jsonb)
returns table (seqs json, ordinals json, sessions json, masks json, decisions json, neighbours json)
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
      select c.seq, c.ordinal, c.session_id, c.kind, %1$s as mask
      from chunks c
      where %2$s @> $3 and ($4::uuid[] is null or %2$s && $4) and c.tsv @@ $5 and %3$s
      union
      select c.seq, c.ordinal, c.session_id, c.kind, %1$s
      from chunks c
      where $7::bigint is not null and ($9::uuid[] is null or %2$s @> $9) and %2$s && $8 and c.tsv @@ $6 and c.seq + 0 >= $7 and %3$s
    ),
    best as materialized (
      select *, %4$s as score
      from matched
      order by score desc, seq desc, ordinal
      limit 1600
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
         where e.tenant_id = (select current_tenant()) and e.session_id = l.session_id and e.seq < l.seq
         order by e.seq desc
         limit 2)
        union all
        (select row_number() over (order by e.seq), e.seq
         from events e
         where e.tenant_id = (select current_tenant()) and e.session_id = l.session_id and e.seq > l.seq
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
        where c.tenant_id = (select current_tenant()) and c.seq = b.seq and c.ordinal = 0 and %3$s
        limit 1
      ) n
    ),
    numbered as (
      select b.*, dense_rank() over (order by b.session_id) as session
      from best b
    )
    select
      coalesce(array_to_json(array_agg(n.seq order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.ordinal order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.session order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.mask order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(distinct n.seq) filter (where n.kind = 'decision')), '[]'),
      (select coalesce(json_agg(json_build_array(b.centre, b.distance, b.seq, b.mask) order by b.centre, b.distance), '[]') from neighbour b)
    from numbered n $q$, v_mask, v_place, v_condition, v_score)
  using
    p_scope, p_terms, scope_places(p_scope),
    case when (p_plan ->> 'narrow_audience')::boolean then audience_places(p_scope) end,
    (p_plan ->> 'full')::tsquery, (p_plan ->> 'recent')::tsquery, (p_plan ->> 'recent_from')::bigint, v_epochs,
    -- the keys of stretches name the tenant already
    case when p_scope ?| array['session_id', 'user_id', 'agent_id', 'project_id'] then scope_places(p_scope) end;
end $$;
revoke execute on function pool_chunks(jsonb, tsquery[], jsonb) from public;
grant execute on function pool_chunks(jsonb, tsquery[], jsonb) to agent_memory_app;
alter function pool_chunks(jsonb, tsquery[], jsonb) owner to agent_memory_searcher;
revoke create on schema public from agent_memory_searcher;

-- A lexeme as a query for exactly it.
create function term_query(p_lexeme text) returns tsquery
language sql immutable parallel safe
return ('''' || replace(replace(p_lexeme, '\', '\\'), '''', '''''') || '''')::tsquery;

-- The two round trips of a search. The first: the clock, the question's terms (at most 31, in the order asked), the sample.
create function survey(p_tenant text, p_query text, p_scope jsonb)
returns table (as_of_seq bigint, partial_index boolean, terms text[], scale float8, sampled int, seqs json, masks json)
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
  select s.scale, s.sampled, s.seqs, s.masks
  into scale, sampled, seqs, masks
  from survey_chunks(
    p_scope || jsonb_build_object('as_of_seq', as_of_seq),
    array(select term_query(t) from unnest(terms) with ordinality u (t, i) order by i)) s;
  return next;
end $$;

-- The second: the pool.
create function pool(p_tenant text, p_scope jsonb, p_terms text[], p_plan jsonb)
returns table (seqs json, ordinals json, sessions json, masks json, decisions json, neighbours json)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select p.*
  from pool_chunks(p_scope, array(select term_query(t) from unnest(p_terms) with ordinality u (t, i) order by i), p_plan) p;
end $$;

-- What the found passages say, in the order asked, with the words they are compared by.
create function read_passages(p_tenant text, p_seqs bigint[], p_ordinals int[])
returns table (
  seq bigint, ordinal int, event_id text, kind text, session_id text, text text, actor_id text, tags text[], artifact_id text,
  chunk_count int, occurred_at timestamptz, words text[])
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select
    c.seq, c.ordinal::int, c.event_id, c.kind, c.session_id, c.text, e.actor_id, e.tags, e.artifact_id, e.chunk_count::int,
    c.occurred_at, tsvector_to_array(ts_filter(c.tsv, '{a}'))
  from unnest(p_seqs, p_ordinals) with ordinality as wanted (seq, ordinal, place)
  cross join lateral (
    select k.* from chunks k where k.tenant_id = p_tenant and k.seq = wanted.seq and k.ordinal = wanted.ordinal limit 1
  ) c
  cross join lateral (
    select v.actor_id, v.tags, v.artifact_id, v.chunk_count from events v where v.tenant_id = p_tenant and v.seq = wanted.seq limit 1
  ) e
  order by wanted.place;
end $$;

-- What a context holds beside what was found, in one round trip: open tasks, decisions (the given and the newest), the session's last
-- events; first a row that says where the log stands. Walks are bounded: a scope that sees next to nothing of a long log gets less.
create function read_ledger(p_tenant text, p_scope jsonb, p_session text, p_decisions bigint[])
returns table (
  part text, as_of_seq bigint, partial_index boolean, seq bigint, event_id text, kind text, actor_id text, content jsonb, artifact_id text,
  superseded boolean, occurred_at timestamptz, words text[])
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
declare
  v_channels text[] := array(select jsonb_array_elements_text(p_scope -> 'channels'));
  v_sensitivities text[] := array(select jsonb_array_elements_text(p_scope -> 'sensitivities'));
  v_subjects text[] := case when p_scope -> 'subjects' <> 'null' then array(select jsonb_array_elements_text(p_scope -> 'subjects')) end;
  v_project text := p_scope ->> 'project_id';
  v_as_of timestamptz := p_scope ->> 'as_of';
  v_last bigint;
begin
  perform enter_tenant(p_tenant);
  select least(k.last_seq, coalesce((p_scope ->> 'as_of_seq')::bigint, k.last_seq)) into v_last
  from tenant_clocks k
  where k.tenant_id = p_tenant;
  return query
  with seen as not materialized (
    select e.*
    from events e
    where e.tenant_id = p_tenant and e.seq <= v_last
      and e.channel = any (v_channels)
      and (e.channel <> 'private' or v_subjects is null or e.user_id = any (v_subjects))
      and e.sensitivity = any (v_sensitivities)
      and (v_as_of is null or e.occurred_at <= v_as_of)
  ),
  task as (
    select distinct on (coalesce(t.content ->> 'task_id', t.content ->> 'title')) t.*
    from (
      select s.*
      from seen s
      where s.kind = 'task_update' and (v_project is null or s.project_id = v_project)
      order by s.seq desc
      limit 1000
    ) t
    order by coalesce(t.content ->> 'task_id', t.content ->> 'title'), t.seq desc
  ),
  decision as (
    select s.seq from seen s where s.seq = any (p_decisions) and s.kind = 'decision'
    union
    (select s.seq
     from seen s
     where s.kind = 'decision' and (v_project is null or s.project_id = v_project)
     order by s.seq desc
     limit 40)
  ),
  chosen as (
    (select 'task' as part, t.seq from task t where t.content ->> 'status' in ('open', 'doing', 'blocked') order by t.seq desc limit 50)
    union all
    select 'decision', d.seq from decision d
    union all
    (select 'recent', s.seq from seen s where s.session_id = p_session order by s.seq desc limit 60)
  )
  select
    'clock', v_last, exists (select from chunk_rebuilds r where r.tenant_id = p_tenant), null::bigint, null, null, null, null::jsonb, null,
    null::boolean, null::timestamptz, null::text[]
  union all
  select
    c.part, null, null, s.seq, s.event_id, s.kind, s.actor_id, s.content, s.artifact_id,
    s.kind = 'decision' and exists (
      select from seen newer where newer.supersedes = s.event_id),
    s.occurred_at,
    (select tsvector_to_array(ts_filter(k.tsv, '{a}')) from chunks k where k.tenant_id = p_tenant and k.seq = s.seq and k.ordinal = 0)
  from chosen c cross join lateral (select o.* from seen o where o.seq = c.seq limit 1) s;
end $$;

-- One step of a rebuild: the passages of p_from..p_to again, from what the log says. p_chunks: [{"seq","ordinal","text","header","token_count"}].
create function rebuild_chunks(p_tenant text, p_from bigint, p_to bigint, p_chunks jsonb) returns void
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  delete from chunks c where c.tenant_id = p_tenant and c.seq between p_from and p_to;
  insert into chunks (
    tenant_id, seq, ordinal, event_id, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
    text, header, token_count, tsv, occurred_at)
  select
    p_tenant, e.seq, c.ordinal, e.event_id, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
    c.text, c.header, c.token_count, passage_vector(t.language, c.text, c.header, e.occurred_at), e.occurred_at
  from jsonb_to_recordset(p_chunks) c (seq bigint, ordinal smallint, text text, header text, token_count int)
  join events e on e.tenant_id = p_tenant and e.seq = c.seq
  join tenants t on t.tenant_id = p_tenant;
  update chunk_rebuilds r set rebuilt_to = p_to where r.tenant_id = p_tenant;
end $$;
