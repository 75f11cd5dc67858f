-- Search and context know memories: what was believed when, what is valid, what a filter asks for.
-- min_code: 7

-- What a filter is asked of, as one document; src/filter/compile.ts writes the predicate. Times are milliseconds, as answers show them.
-- What is absent has no key, an empty list is absent. These are written so that the planner takes them in: only fields are read, no content.
create function event_doc(p_event events) returns jsonb
language sql stable parallel safe
return jsonb_strip_nulls(jsonb_build_object(
  'kinds', case
    when p_event.kind like 'memory.%' then jsonb_build_array(p_event.kind, p_event.content ->> 'kind')
    when p_event.kind = 'task_update' then '["task_update", "task"]'
    else jsonb_build_array(p_event.kind) end,
  'session_id', p_event.session_id, 'user_id', p_event.user_id, 'agent_id', p_event.agent_id, 'project_id', p_event.project_id,
  'channel', p_event.channel, 'sensitivity', p_event.sensitivity, 'actor_type', p_event.actor_type, 'actor_id', p_event.actor_id,
  'tags', nullif(p_event.tags, '{}'), 'refs', nullif(p_event.refs, '{}'), 'seq', p_event.seq,
  'occurred_at', floor(extract(epoch from p_event.occurred_at) * 1000), 'created_at', floor(extract(epoch from p_event.created_at) * 1000)))
  || jsonb_build_object('metadata', p_event.metadata);

-- Of one that is withheld from a request: no more than its answer shows, or a filter would read what it hides.
create function withheld_doc(p_event events) returns jsonb
language sql stable parallel safe
return (event_doc(p_event) - array['tags', 'refs']) || jsonb_build_object(
  'kinds', case p_event.kind when 'task_update' then '["task_update", "task"]' else jsonb_build_array(p_event.kind) end, 'metadata', '{}'::jsonb);

-- What an event has besides where it made or changed a memory. p_channel: of the request, for 0009.
create function memory_fields(p_tenant text, p_seq bigint, p_channel text) returns jsonb
language sql stable
begin atomic
  select coalesce((
    select jsonb_build_object('importance', m.importance, 'scope', m.scope, 'pinned', m.pinned,
      'status', case when m.status = 'active' and m.expires_at <= now() then 'expired' else m.status end)
    from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
    where v.tenant_id = p_tenant and v.seq = p_seq
    order by v.status = 'superseded'
    limit 1), '{}');
end;

-- p_filter: {"path", "vars", "memory"}, what compileFilter makes. p_withheld: from requests in p_channel; named once, so that a subquery may be given.
create function event_matches(p_event events, p_filter jsonb, p_withheld boolean, p_channel text) returns boolean
language sql stable
return coalesce(jsonb_path_match(
  case when p_withheld then withheld_doc(p_event) else event_doc(p_event)
    || case when (p_filter ->> 'memory')::boolean then memory_fields(p_event.tenant_id, p_event.seq, p_channel) else '{}' end end,
  (p_filter ->> 'path')::jsonpath, p_filter -> 'vars', true), false);

-- A memory, with the event that holds its content, which is not withheld.
create function memory_matches(p_memory memories, p_event events, p_filter jsonb) returns boolean
language sql stable
return coalesce(jsonb_path_match(
  jsonb_strip_nulls(jsonb_build_object(
    'kinds', jsonb_build_array(p_memory.kind),
    'session_id', p_memory.session_id, 'user_id', p_memory.user_id, 'agent_id', p_memory.agent_id, 'project_id', p_memory.project_id,
    'channel', p_memory.channel, 'sensitivity', p_memory.sensitivity, 'actor_type', p_event.actor_type, 'actor_id', p_event.actor_id,
    'tags', nullif(p_event.tags, '{}'), 'refs', nullif(p_event.refs, '{}'), 'seq', p_memory.last_seq,
    'occurred_at', floor(extract(epoch from p_event.occurred_at) * 1000), 'created_at', floor(extract(epoch from p_memory.created_at) * 1000),
    'importance', p_memory.importance, 'scope', p_memory.scope, 'pinned', p_memory.pinned,
    'status', case when p_memory.status = 'active' and p_memory.expires_at <= now() then 'expired' else p_memory.status end))
    || jsonb_build_object('metadata', p_event.metadata),
  (p_filter ->> 'path')::jsonpath, p_filter -> 'vars', true), false);

-- What superseded what; and the tasks that are not done, of however many that are.
create index memories__superseded on memories (tenant_id, kind, content_seq) where status = 'superseded';
create index memories__open_tasks on memories (tenant_id, content_seq) where status = 'active' and kind = 'task' and task_status <> 'done';

-- A filter is asked of the event that a passage is from, and of the memory that the event made.
grant select on events, memories, memory_versions to agent_memory_searcher;
create policy searcher_reads on memories for select to agent_memory_searcher using (true);
create policy searcher_reads on memory_versions for select to agent_memory_searcher using (true);

-- Whether the event made or changed a memory that was deleted since.
create function is_deleted(p_tenant text, p_seq bigint) returns boolean
language sql stable
return coalesce((
  select m.status = 'deleted'
  from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
  where v.tenant_id = p_tenant and v.seq = p_seq and v.status <> 'superseded'
  limit 1), false);

-- As in 0004; and of memories what was believed then, of what has a time what is valid then, nothing that is blocked in the channel.
create or replace function chunk_condition(p_scope jsonb) returns text
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
  || case when p_scope ? 'as_of' then ' and c.occurred_at <= ($1 ->> ''as_of'')::timestamptz' else '' end
  || case when (p_scope ->> 'history')::boolean then ''
     else ' and (c.until_seq is null or c.until_seq > ($1 ->> ''as_of_seq'')::bigint'
       || case when p_scope ? 'as_of' then ' or c.until_at > ($1 ->> ''as_of'')::timestamptz' else '' end || ')' end
  -- what was deleted admins alone find, as of then
  || case when (p_scope ->> 'deleted')::boolean then '' else ' and (c.until_seq is null or not is_deleted(c.tenant_id, c.seq))' end
  || ' and (c.valid is null or c.valid @> coalesce(($1 ->> ''as_of'')::timestamptz, now()))'
  || ' and (c.blocked_in is null or not c.blocked_in @> array[$1 ->> ''channel''])'
  -- a subquery, which stays one: as a join it read every event of the tenant
  || case when p_scope ? 'filter'
     then ' and (select event_matches(e, $1 -> ''filter'', exists (select from overlays o where o.tenant_id = c.tenant_id and o.seq = c.seq'
       || ' and o.blocked_in @> array[$1 ->> ''channel'']), $1 ->> ''channel'') from events e where e.tenant_id = c.tenant_id and e.seq = c.seq)'
     else '' end;

-- As in 0004; and how much the attenuated count, and which passages are versions of which memory: those of one that is not approved are left out.
drop function pool(text, jsonb, text[], jsonb);
drop function pool_chunks(jsonb, tsquery[], jsonb);
grant create on schema public to agent_memory_searcher;
create function pool_chunks(p_scope jsonb, p_terms tsquery[], p_plan jsonb)
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
      where %2$s @> $3 and ($4::uuid[] is null or %2$s && $4) and c.tsv @@ $5 and %3$s
      union
      select c.seq, c.ordinal, c.session_id, c.kind, c.weight, %1$s
      from chunks c
      where $7::bigint is not null and ($9::uuid[] is null or %2$s @> $9) and %2$s && $8 and c.tsv @@ $6 and c.seq + 0 >= $7 and %3$s
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
revoke execute on function pool_chunks(jsonb, tsquery[], jsonb) from public;
grant execute on function pool_chunks(jsonb, tsquery[], jsonb) to agent_memory_app;
alter function pool_chunks(jsonb, tsquery[], jsonb) owner to agent_memory_searcher;
revoke create on schema public from agent_memory_searcher;

create function pool(p_tenant text, p_scope jsonb, p_terms text[], p_plan jsonb)
returns table (seqs json, ordinals json, sessions json, masks json, decisions json, memories json, weights json, neighbours json)
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select p.*
  from pool_chunks(p_scope, array(select term_query(t) from unnest(p_terms) with ordinality u (t, i) order by i), p_plan) p;
end $$;

-- Events as a request may see them now: the one place where contexts read them.
create function seen_events(p_tenant text, p_scope jsonb) returns setof events
language sql stable
as $$
  select e.*
  from events e
  where e.tenant_id = p_tenant
    and e.channel = any (array(select jsonb_array_elements_text(p_scope -> 'channels')))
    and (e.channel <> 'private' or p_scope -> 'subjects' = 'null' or p_scope -> 'subjects' ? e.user_id)
    and e.sensitivity = any (array(select jsonb_array_elements_text(p_scope -> 'sensitivities')))
    and (p_scope ->> 'as_of' is null or e.occurred_at <= (p_scope ->> 'as_of')::timestamptz)
$$;

-- What a memory rests on: what the events of its versions cite, from the one with its content on.
-- In plpgsql with a plan that is kept: as SQL, or where the caller asks for custom plans, it was planned for each memory (0.6 ms).
create function memory_refs(p_tenant text, p_memory_id text, p_content_seq bigint, p_last bigint) returns text[]
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select coalesce(array_agg(r.ref order by r.seq, r.place), '{}')
    from (
      select distinct on (u.ref) u.ref, v.seq, u.place
      from memory_versions v
      -- `limit 1` keeps it a look-up of each
      cross join lateral (select x.event_id, x.refs from events x where x.tenant_id = p_tenant and x.seq = v.seq limit 1) e
      cross join lateral unnest(e.refs) with ordinality u (ref, place)
      where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.seq between p_content_seq and p_last
        and v.status in ('active', 'proposed') and u.ref not in (p_memory_id, e.event_id)
      order by u.ref, v.seq, u.place
    ) r);
end $$;

-- Whether any of these is there: something recorded, or a memory that rests on something itself. A memory's own events do not ground it.
create function is_grounded(p_tenant text, p_memory_id text, p_refs text[]) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (with recursive cited (ref, depth) as (
    select r, 1 from unnest(p_refs) r
    union
    select inner_ref, c.depth + 1
    from cited c
    cross join lateral (select memory_of(p_tenant, c.ref) as memory_id) o
    join memories m on m.tenant_id = p_tenant and m.memory_id = o.memory_id and m.memory_id <> p_memory_id and m.status <> 'deleted'
    cross join lateral unnest(memory_refs(p_tenant, m.memory_id, m.content_seq, m.last_seq)) inner_ref
    where c.depth < 4
  )
  select exists (
    select from cited c
    where exists (
        select from events e
        where e.tenant_id = p_tenant and e.kind not like 'memory.%'
          and e.event_id = case when c.ref ~ '^chk_' then 'evt_' || split_part(substr(c.ref, 5), '_', 1) else c.ref end)
      or exists (select from artifacts a where a.tenant_id = p_tenant and a.artifact_id = c.ref)
      or exists (
        select from memories m
        where m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, c.ref) and m.memory_id <> p_memory_id
          and m.status <> 'deleted' and m.kind in ('decision', 'task', 'rule', 'preference', 'handoff'))));
end $$;

-- What answers say of a memory beside its words, as it stood at p_last. Acts ground themselves; claims need something that they rest on.
create function memory_standing(
  p_tenant text, p_memory memories, p_content_seq bigint, p_content jsonb, p_actor_type text, p_actor_id text, p_last bigint) returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refs text[] := memory_refs(p_tenant, p_memory.memory_id, p_content_seq, p_last);
begin
  return jsonb_build_object(
    'memory_id', p_memory.memory_id, 'kind', p_memory.kind, 'scope', p_memory.scope,
    'refs', to_jsonb(v_refs[1:256]),
    'grounded', p_memory.kind in ('decision', 'task', 'rule', 'preference', 'handoff') or is_grounded(p_tenant, p_memory.memory_id, v_refs),
    'trust', coalesce(p_content ->> 'trust', case p_actor_type when 'human' then 'stated' when 'agent' then 'inferred' else 'observed' end),
    'origin', coalesce(p_content -> 'origin', jsonb_build_object('type', p_actor_type, 'id', p_actor_id)),
    'body', coalesce(p_content -> 'body', '{}'));
end $$;

-- As in 0004; and whose version each is. What may not be seen any more since the pool was read is not there.
drop function read_passages(text, bigint[], int[]);
create function read_passages(p_tenant text, p_scope jsonb, p_seqs bigint[], p_ordinals int[])
returns table (
  seq bigint, ordinal int, event_id text, kind text, session_id text, text text, actor_id text, tags text[], artifact_id text,
  chunk_count int, occurred_at timestamptz, words text[], superseded boolean, memory jsonb)
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
declare
  v_last bigint := coalesce((p_scope ->> 'as_of_seq')::bigint, 9223372036854775807);
  v_as_of timestamptz := p_scope ->> 'as_of';
begin
  perform enter_tenant(p_tenant);
  return query
  select
    c.seq, c.ordinal::int, c.event_id, c.kind, c.session_id, c.text, e.actor_id, e.tags, e.artifact_id,
    e.chunk_count::int, c.occurred_at, tsvector_to_array(ts_filter(c.tsv, '{a}')),
    coalesce(c.until_seq <= v_last and (v_as_of is null or c.until_at <= v_as_of), false),
    case when c.kind in ('decision', 'task_update') or c.kind like 'memory.%' then (
      select memory_standing(p_tenant, m, c.seq, e.content, e.actor_type, e.actor_id, v_last)
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      where v.tenant_id = p_tenant and v.seq = c.seq and v.status <> 'superseded'
      limit 1) end
  from unnest(p_seqs, p_ordinals) with ordinality as wanted (seq, ordinal, place)
  cross join lateral (
    select k.* from chunks k where k.tenant_id = p_tenant and k.seq = wanted.seq and k.ordinal = wanted.ordinal limit 1
  ) c
  cross join lateral (
    select s.actor_type, s.actor_id, s.tags, s.artifact_id, s.chunk_count, case when s.kind like 'memory.%' then s.content end as content
    from seen_events(p_tenant, p_scope) s
    where s.seq = wanted.seq
    limit 1
  ) e
  order by wanted.place;
end $$;

-- What edits make of passages; there are none yet.
create function overlay_chunks(p_tenant text, p_from bigint, p_to bigint) returns void
language plpgsql
as $$ begin end $$;

-- Until when passages of p_from..p_to were current, and when they are valid: a version is over when its memory is, or has other content.
create function date_chunks(p_tenant text, p_from bigint, p_to bigint) returns void
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

-- As in 0004; and what is known of passages beside their text.
create or replace function rebuild_chunks(p_tenant text, p_from bigint, p_to bigint, p_chunks jsonb) returns void
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
  perform date_chunks(p_tenant, p_from, p_to);
  perform overlay_chunks(p_tenant, p_from, p_to);
  update chunk_rebuilds r set rebuilt_to = p_to where r.tenant_id = p_tenant;
end $$;

-- Memories of some kinds with the standing p_status, newest first, p_limits of each; as of p_last and of the scope's `as_of`. Exact where
-- only p_last is asked: of what has changed since, the version of then is taken.
create function held_memories(p_tenant text, p_scope jsonb, p_ask jsonb, p_last bigint, p_kinds text[], p_limits int[], p_status text)
returns table (memory memories, content_seq bigint)
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  v_as_of timestamptz := p_scope ->> 'as_of';
begin
  return query
  with unchanged as (
    select k.m, (k.m).content_seq as seq
    from unnest(p_kinds, p_limits) kind (name, most)
    cross join lateral (
      select m
      from memories m
      where v_as_of is null and m.tenant_id = p_tenant and m.kind = kind.name and m.status = p_status and m.last_seq <= p_last
        and (m.kind <> 'task' or m.task_status <> 'done')
        and (p_status <> 'active' or m.expires_at is null or m.expires_at > now())
        and concerns(m, p_scope, p_ask)
        and exists (select from seen_events(p_tenant, p_scope) e where e.seq = m.content_seq)
      order by m.content_seq desc
      limit kind.most
    ) k
  ),
  changed as (
    select distinct on (v.memory_id) v.memory_id, v.content_seq, v.status
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq <= p_last
      and v.memory_id in (
        select w.memory_id
        from memory_versions w
        where w.tenant_id = p_tenant and (v_as_of is not null or w.seq > p_last)
        order by w.seq desc
        limit 20000)
      and (v_as_of is null or exists (
        select from events e where e.tenant_id = p_tenant and e.seq = v.seq and e.occurred_at <= v_as_of))
    order by v.memory_id, v.version desc
  ),
  past as (
    select m, c.content_seq as seq
    from changed c join memories m on m.tenant_id = p_tenant and m.memory_id = c.memory_id
    where c.status = p_status and m.kind = any (p_kinds)
      and (m.status <> 'deleted' or (p_scope ->> 'deleted')::boolean)
      and (p_status <> 'active' or m.expires_at is null or m.expires_at > coalesce(v_as_of, now()))
      and concerns(m, p_scope, p_ask)
      and exists (
        select from seen_events(p_tenant, p_scope) e
        where e.seq = c.content_seq and (m.kind <> 'task' or coalesce(e.content #>> '{body,status}', e.content ->> 'status') <> 'done'))
  )
  select distinct on ((h.m).memory_id) h.m, h.seq
  from (select * from unchanged union all select * from past) h
  where ((h.m).valid_from is null or (h.m).valid_from <= coalesce(v_as_of, now()))
    and ((h.m).valid_to is null or (h.m).valid_to > coalesce(v_as_of, now()));
end $$;

-- Whether a memory is for this request. p_ask: {"session_id", "users": whose preferences | null, "project_id"}. A rule or preference holds within its
-- scope; of the rest a project's request sees the project's, and policy.
create function concerns(p_memory memories, p_scope jsonb, p_ask jsonb) returns boolean
language sql stable
return case
  when p_memory.kind in ('rule', 'preference') then case p_memory.scope
    when 'project' then p_memory.project_id = p_ask ->> 'project_id'
    when 'user' then p_ask -> 'users' ? p_memory.user_id
    when 'session' then p_memory.session_id = p_ask ->> 'session_id'
    else true end
  else not p_scope ? 'project_id' or p_memory.project_id = p_scope ->> 'project_id'
    or (p_memory.scope = 'policy' and p_memory.project_id is null) end;

-- The newest handoff to an agent that stands, of the newest 200.
create function read_handoff(p_tenant text, p_scope jsonb, p_ask jsonb)
returns table (seq bigint, event_id text, session_id text, content jsonb, occurred_at timestamptz, memory jsonb)
language plpgsql
as $$
declare
  v_last bigint := coalesce((p_scope ->> 'as_of_seq')::bigint, 9223372036854775807);
begin
  perform enter_tenant(p_tenant);
  return query
  select e.seq, e.event_id, e.session_id, e.content, e.occurred_at,
    memory_standing(p_tenant, h.memory, e.seq, e.content, e.actor_type, e.actor_id, v_last)
  from held_memories(p_tenant, p_scope, p_ask, v_last, array['handoff'], array[200], 'active') h
  cross join lateral (select s.* from seen_events(p_tenant, p_scope) s where s.seq = h.content_seq limit 1) e
  where e.content #>> '{body,to_agent}' = p_ask ->> 'agent_id'
  order by e.seq desc
  limit 1;
end $$;

-- What a context holds beside what was found, in one round trip: open tasks, decisions (the given, the named and the newest), rules and
-- preferences, what is superseded, the session's last events, what a handoff cites; first a row that says where the log stands.
-- p_ask: that of `concerns` and {"agent_id", "decisions": seqs found, "named": ids, "hashes": of texts, "handoff_seq"}.
drop function read_ledger(text, jsonb, text, bigint[]);
create function read_ledger(p_tenant text, p_scope jsonb, p_ask jsonb)
returns table (
  part text, as_of_seq bigint, partial_index boolean, seq bigint, event_id text, kind text, actor_id text, content jsonb, artifact_id text,
  superseded boolean, occurred_at timestamptz, words text[], memory jsonb)
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
declare
  v_last bigint;
  v_filter jsonb := p_scope -> 'filter';
  v_named text[] := array(select jsonb_array_elements_text(coalesce(p_ask -> 'named', '[]')));
begin
  perform enter_tenant(p_tenant);
  select least(k.last_seq, coalesce((p_scope ->> 'as_of_seq')::bigint, k.last_seq)) into v_last
  from tenant_clocks k
  where k.tenant_id = p_tenant;
  return query
  with named as (
    select distinct m.memory_id
    from unnest(v_named) r (id) join memories m on m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, r.id)
    union
    select m.memory_id
    from memories m
    where m.tenant_id = p_tenant and m.kind = 'decision' and m.status = 'active'
      and m.text_hash in (select decode(h, 'hex') from jsonb_array_elements_text(coalesce(p_ask -> 'hashes', '[]')) h)
  ),
  chosen as (
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
    where v.tenant_id = p_tenant and v.seq in (select d::bigint from jsonb_array_elements_text(p_ask -> 'decisions') d)
      and v.status <> 'superseded' and m.kind = 'decision'
    union all
    select case when m.kind = 'decision' then 'decision' else 'cited' end, m.content_seq, m
    from named n join memories m on m.tenant_id = p_tenant and m.memory_id = n.memory_id
    where m.status = 'active' and m.last_seq <= v_last
    union all
    select 'cited', e.seq, null
    from events e
    where e.tenant_id = p_tenant and e.kind not like 'memory.%'
      and e.event_id in (select case when id ~ '^chk_' then 'evt_' || split_part(substr(id, 5), '_', 1) else id end from unnest(v_named) id)
    union all
    (select 'recent', s.seq, null
     from seen_events(p_tenant, p_scope) s
     where s.session_id = p_ask ->> 'session_id' and s.seq <= v_last
       and s.kind in ('message', 'tool_call', 'tool_result', 'decision', 'task_update', 'artifact')
       and (v_filter is null or event_matches(s, v_filter, false, p_scope ->> 'channel'))
       -- what was handed over is not told again
       and (not p_ask ? 'handoff_seq' or s.seq > (p_ask ->> 'handoff_seq')::bigint or s.agent_id = p_ask ->> 'agent_id')
     order by s.seq desc
     limit 60)
  )
  select
    'clock', v_last, exists (select from chunk_rebuilds r where r.tenant_id = p_tenant), null::bigint, null, null, null, null::jsonb, null,
    null::boolean, null::timestamptz, null::text[], null::jsonb
  union all
  select
    c.part, null, null, s.seq, s.event_id, s.kind, s.actor_id, s.content, s.artifact_id,
    c.part = 'superseded' or coalesce(
      c.part in ('decision', 'recent') and s.kind <> 'task_update' and k.until_seq <= v_last
        and (not p_scope ? 'as_of' or k.until_at <= (p_scope ->> 'as_of')::timestamptz), false),
    s.occurred_at,
    k.words,
    case when (c.memory).memory_id is not null then memory_standing(
      p_tenant, c.memory, s.seq, case when s.kind like 'memory.%' then s.content end, s.actor_type, s.actor_id, v_last) end
  from chosen c
  cross join lateral (
    select o.*
    from seen_events(p_tenant, p_scope) o
    where o.seq = c.seq
      and (v_filter is null or c.part = 'rule' or (c.memory).memory_id is null or memory_matches(c.memory, o, v_filter))
    limit 1
  ) s
  left join lateral (
    select k.until_seq, k.until_at, k.blocked_in, tsvector_to_array(ts_filter(k.tsv, '{a}')) as words
    from chunks k
    where k.tenant_id = p_tenant and k.seq = s.seq and k.ordinal = 0
    limit 1
  ) k on true
  where (k.blocked_in is null or not k.blocked_in @> array[p_scope ->> 'channel']);
end $$;
