-- The effect of a change, as src/state/write.ts sends it:
--   op               put, delete or expire (the sweep)
--   n                its index in the request; null for the sweep
--   namespace, key
--   expiry_event_id  id of the event that is written first if the object has expired
--   audience, given  the audience of a new object, and the names of the fields that the client sent, which must be those of an existing one
--   may              {"channels", "subjects" (null: all)}: what the caller can see, as array literals; "writable": the channels that it can write
--   if_match         accepted versions, or "any" for any live object
--   if_none_match    there must be no live object
--   expected         the version that a patch was applied to
--   body, tags, sealed, ttl_seconds   of a put; keep_expiry instead of a TTL for a patch

create or replace function texts_of(p_list jsonb) returns text[]
language sql immutable parallel safe
return case when jsonb_typeof(p_list) = 'array' then array(select jsonb_array_elements_text(p_list)) end;

create or replace function is_live(p_life text, p_expires_at timestamptz, p_at timestamptz) returns boolean
language sql immutable parallel safe
return coalesce(p_life = 'live' and (p_expires_at is null or p_expires_at > p_at), false);

-- Reads the objects that these units change: the slots, and the position of each name. The clock is locked, and all writers of the table lock it
-- first, so the rows need no lock.
create or replace function state_slots(p_tenant text, p_units jsonb, out slots state_slot[], out positions jsonb)
language plpgsql
as $$
begin
  -- materialized: under row-level security, a name that is extracted from JSON within the condition would not use the index
  with named as materialized (
    select distinct d.doc ->> 'namespace' as namespace, d.doc ->> 'key' as key
    from jsonb_path_query(p_units, '$[*].events[*].effects.state') d (doc)
  ),
  found as materialized (
    select row_number() over () as place, n.namespace, n.key, o.channel, o.user_id, o.agent_id, o.session_id, o.project_id, o.life,
      coalesce(o.version, l.version, 0) as version, o.created_at, o.expires_at
    from named n
    left join state_floors l on l.tenant_id = p_tenant
    -- `limit` forces an index look-up per key
    left join lateral (
      select * from state_objects x where x.tenant_id = p_tenant and x.namespace = n.namespace and x.key = n.key limit 1
    ) o on true
  )
  select
    array_agg(row(
      f.namespace, f.key, f.channel, f.user_id, f.agent_id, f.session_id, f.project_id, f.life, f.version, f.created_at,
      f.expires_at)::state_slot order by f.place),
    jsonb_object_agg(jsonb_build_array(f.namespace, f.key)::text, f.place)
  into slots, positions
  from found f;
end $$;

-- Returns why a change must not be made, or null. `stale`: the object was changed after the patch was applied to it; the caller repeats it. This and the
-- next functions run once per change with the clock locked: expressions without a query cost a tenth of those with one.
create or replace function refuse_change(p_slot state_slot, p_effect jsonb, p_at timestamptz) returns jsonb
language plpgsql stable
as $$
declare
  v_is_live boolean := is_live(p_slot.life, p_slot.expires_at, p_at);
  v_may jsonb := p_effect -> 'may';
  v_channel text := coalesce(p_slot.channel, p_effect #>> '{audience,channel}');
  v_match jsonb := p_effect -> 'if_match';
  v_audience jsonb;
begin
  if p_effect ->> 'op' = 'expire' then
    return case when p_slot.life is distinct from 'live' or v_is_live then '{"code": "AM412", "detail": "the object has not expired"}'::jsonb end;
  end if;
  if (p_slot.life is not null
      and not visible(p_slot.channel, p_slot.user_id, 'none', (v_may ->> 'channels')::text[], (v_may ->> 'subjects')::text[], '{none}'))
    or (not v_is_live and (p_effect ->> 'op' = 'delete' or p_effect ? 'expected')) then
    return '{"code": "AM404", "detail": "there is no object with this key"}';
  elsif not v_may -> 'writable' ? v_channel then
    return jsonb_build_object('code', 'AM403', 'detail', format('the credential cannot use the channel "%s"', v_channel));
  elsif (p_effect ->> 'if_none_match')::boolean and v_is_live then
    return jsonb_build_object('code', 'AM412', 'detail', format('the object exists and has version %s', p_slot.version));
  elsif v_match is not null and not (v_is_live and (v_match = '"any"' or v_match @> to_jsonb(p_slot.version))) then
    return jsonb_build_object('code', 'AM412', 'detail', case when v_is_live
      then format('the object has version %s, which does not match If-Match', p_slot.version) else 'the object does not exist' end);
  elsif p_slot.life is not null and p_effect -> 'given' <> '[]' then
    v_audience := to_jsonb(p_slot);
    if exists (
      select from jsonb_array_elements_text(p_effect -> 'given') g (field)
      where v_audience ->> g.field is distinct from p_effect -> 'audience' ->> g.field) then
      return '{"code": "AM409", "detail": "the audience of an object is fixed by its first write"}';
    end if;
  end if;
  if (p_effect ->> 'expected')::int <> p_slot.version then
    return '{"code": "AM409", "detail": "concurrent requests are changing the object; try again", "stale": true}';
  end if;
  return null;
end $$;

-- Returns the slot after a permitted change.
create or replace function changed_slot(p_slot state_slot, p_effect jsonb, p_at timestamptz) returns state_slot
language plpgsql immutable
as $$
declare
  v_audience jsonb := p_effect -> 'audience';
begin
  if p_slot.life is null then
    p_slot.channel := v_audience ->> 'channel';
    p_slot.user_id := v_audience ->> 'user_id';
    p_slot.agent_id := v_audience ->> 'agent_id';
    p_slot.session_id := v_audience ->> 'session_id';
    p_slot.project_id := v_audience ->> 'project_id';
  end if;
  p_slot.version := p_slot.version + 1;
  if p_effect ->> 'op' = 'delete' then
    p_slot.life := 'deleted';
    p_slot.expires_at := null;
  else
    if p_slot.life is distinct from 'live' then
      p_slot.created_at := p_at;
    end if;
    p_slot.life := 'live';
    if not p_effect ? 'keep_expiry' then
      p_slot.expires_at := p_at + interval '1 second' * (p_effect ->> 'ttl_seconds')::float8;
    end if;
  end if;
  return p_slot;
end $$;

create or replace function expired_slot(p_slot state_slot) returns state_slot
language plpgsql immutable
as $$
begin
  p_slot.version := p_slot.version + 1;
  p_slot.life := 'expired';
  p_slot.expires_at := null;
  return p_slot;
end $$;

-- Completes the event of a change: its audience, its content, and the effect that state_apply reads. p_effect has n, is_new, body, tags and sealed.
-- Each jsonb value is built at once, because copying one costs as much as building it.
create or replace function state_event(p_event jsonb, p_slot state_slot, p_effect jsonb) returns jsonb
language plpgsql stable
as $$
declare
  v_content jsonb;
begin
  if p_slot.life = 'live' then
    v_content := jsonb_build_object(
      'namespace', p_slot.namespace, 'key', p_slot.key, 'version', p_slot.version, 'body', p_effect -> 'body', 'tags', p_effect -> 'tags',
      'created_at', sortable_time(p_slot.created_at));
    if p_slot.expires_at is not null then
      v_content := v_content || jsonb_build_object('expires_at', sortable_time(p_slot.expires_at));
    end if;
    if p_effect ? 'sealed' then
      v_content := v_content || jsonb_build_object('sealed', p_effect -> 'sealed');
    end if;
  else
    v_content := jsonb_build_object('namespace', p_slot.namespace, 'key', p_slot.key, 'version', p_slot.version);
    p_effect := p_effect - '{body,tags}'::text[];
  end if;
  return (p_event - '{effects,content}'::text[]) || jsonb_build_object(
    'session_id', coalesce(p_slot.session_id, 'state'), 'channel', p_slot.channel, 'user_id', p_slot.user_id, 'agent_id', p_slot.agent_id,
    'project_id', p_slot.project_id, 'content', v_content, 'effects', jsonb_set(p_event -> 'effects', '{state}', to_jsonb(p_slot) || p_effect));
end $$;

-- Judges the changes of a unit in order. Returns a refusal, or the events as they are to be written and the slots after them.
create or replace function judge_changes(
  p_events jsonb, p_positions jsonb, p_at timestamptz, inout slots state_slot[], out refusal jsonb, out events jsonb)
language plpgsql
as $$
declare
  v_event jsonb;
  v_effect jsonb;
  v_place int;
  v_slot state_slot;
  v_is_new boolean;
  v_events jsonb[] := '{}';
begin
  for i in 0 .. jsonb_array_length(p_events) - 1 loop
    v_event := p_events -> i;
    v_effect := v_event #> '{effects,state}';
    if v_effect is null then
      v_events := array_append(v_events, v_event);
      continue;
    end if;
    v_place := p_positions ->> jsonb_build_array(v_effect ->> 'namespace', v_effect ->> 'key')::text;
    v_slot := slots[v_place];
    refusal := refuse_change(v_slot, v_effect, p_at) || jsonb_build_object('event', i);
    exit when refusal is not null;
    -- the write that finds an expired object first also records its end
    if v_slot.life = 'live' and v_slot.expires_at <= p_at then
      v_slot := expired_slot(v_slot);
      v_events := array_append(v_events, state_event((v_event - '{occurred_at,redactions}'::text[]) || jsonb_build_object(
        'event_id', v_effect -> 'expiry_event_id', 'kind', 'state.expired', 'actor_type', 'agent', 'actor_id', 'agent-memory'), v_slot, '{}'));
    end if;
    if v_effect ->> 'op' <> 'expire' then
      v_is_new := v_slot.life is distinct from 'live';
      v_slot := changed_slot(v_slot, v_effect, p_at);
      v_events := array_append(v_events, state_event(v_event, v_slot, jsonb_build_object(
        'n', v_effect -> 'n', 'is_new', v_is_new, 'body', v_effect -> 'body', 'tags', v_effect -> 'tags')
        || case when v_effect ? 'sealed' then jsonb_build_object('sealed', v_effect -> 'sealed') else '{}' end));
    end if;
    slots[v_place] := v_slot;
  end loop;
  events := to_jsonb(v_events);
end $$;

-- Refuses or completes the units that change objects. Each unit sees the changes of earlier ones.
create or replace function state_judge(p_tenant text, p_units jsonb, p_at timestamptz) returns setof judgement
language plpgsql
as $$
declare
  v_slots state_slot[];
  v_positions jsonb;
  v_unit record;
  v_judged record;
begin
  select s.slots, s.positions into v_slots, v_positions from state_slots(p_tenant, p_units) s;
  for v_unit in
    select u.doc, u.ord
    from jsonb_array_elements(p_units) with ordinality u (doc, ord)
    where jsonb_path_exists(u.doc, '$.events[*].effects.state')
    order by u.ord
  loop
    v_judged := judge_changes(v_unit.doc -> 'events', v_positions, p_at, v_slots);
    if v_judged.refusal is not null then
      return next row(v_unit.ord, v_judged.refusal, null)::judgement;
    else
      v_slots := v_judged.slots;
      return next row(v_unit.ord, null, jsonb_set(v_unit.doc, '{events}', v_judged.events))::judgement;
    end if;
  end loop;
end $$;

create or replace function state_apply(p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
as $$
begin
  with change as materialized (
    select f.seq, nullif(f.doc -> 'body', 'null') as body, d.*
    from unnest(p_effects) f
    cross join lateral jsonb_to_record(f.doc) d (
      namespace text, key text, channel text, user_id text, agent_id text, session_id text, project_id text, life text, version int,
      created_at timestamptz, expires_at timestamptz, tags jsonb)
  ),
  recorded as (
    insert into state_versions (tenant_id, namespace, key, version, seq, change, expires_at)
    select p_tenant, c.namespace, c.key, c.version, c.seq, case c.life when 'live' then 'put' else c.life end, c.expires_at from change c
  )
  insert into state_objects (
    tenant_id, namespace, key, channel, user_id, agent_id, session_id, project_id, life, version, seq, body, tags, created_at, updated_at, expires_at)
  -- the last change of a batch wins
  select distinct on (c.namespace, c.key)
    p_tenant, c.namespace, c.key, c.channel, c.user_id, c.agent_id, c.session_id, c.project_id, c.life, c.version, c.seq, c.body, coalesce(c.tags, '{}'),
    c.created_at, p_at, c.expires_at
  from change c
  order by c.namespace, c.key, c.seq desc
  on conflict (tenant_id, namespace, key) do update
  set life = excluded.life, version = excluded.version, seq = excluded.seq, body = excluded.body, tags = excluded.tags,
    created_at = excluded.created_at, updated_at = excluded.updated_at, expires_at = excluded.expires_at;
  return array(
    select row('state', f.unit, f.event, (f.doc - '{body,tags,sealed}'::text[]) || jsonb_build_object('seq', f.seq), false)::answer
    from unnest(p_effects) f
    where f.doc -> 'n' <> 'null');
end $$;

-- Returns the versions that are live as of a seq, in a namespace (null: in all); the expiry is judged at p_at.
create or replace function state_versions_at(p_tenant text, p_namespace text, p_seq bigint, p_at timestamptz)
returns table (namespace text, key text, version int, seq bigint, expires_at timestamptz)
language sql stable
begin atomic
  select v.namespace, v.key, v.version, v.seq, v.expires_at
  from (
    select distinct on (w.namespace, w.key) w.namespace, w.key, w.version, w.seq, w.change, w.expires_at
    from state_versions w
    where w.tenant_id = p_tenant and (p_namespace is null or w.namespace = p_namespace) and w.seq <= p_seq
    -- the primary key, read backwards
    order by w.namespace desc, w.key desc, w.version desc
  ) v
  where v.change = 'put' and (v.expires_at is null or v.expires_at > p_at);
end;

-- Returns the objects of a namespace (null: of all) as of a seq; the expiry is judged at p_at. Callers filter by the audience.
create or replace function state_at(p_tenant text, p_namespace text, p_seq bigint, p_at timestamptz)
returns table (
  namespace text, key text, version int, seq bigint, body jsonb, tags jsonb, created_at timestamptz, updated_at timestamptz, expires_at timestamptz,
  channel text, user_id text, agent_id text, session_id text, project_id text, sensitivity text)
language sql stable
begin atomic
  select v.namespace, v.key, v.version, v.seq, e.content -> 'body', e.content -> 'tags', time_of(e.content ->> 'created_at'), e.created_at, v.expires_at,
    o.channel, o.user_id, o.agent_id, o.session_id, o.project_id, o.sensitivity
  from state_versions_at(p_tenant, p_namespace, p_seq, p_at) v
  join state_objects o on o.tenant_id = p_tenant and o.namespace = v.namespace and o.key = v.key
  join events e on e.tenant_id = p_tenant and e.seq = v.seq;
end;

-- Returns one object as of a seq, like state_at.
create or replace function state_object_at(p_tenant text, p_namespace text, p_key text, p_seq bigint, p_at timestamptz)
returns table (
  namespace text, key text, version int, seq bigint, body jsonb, tags jsonb, created_at timestamptz, updated_at timestamptz, expires_at timestamptz,
  channel text, user_id text, agent_id text, session_id text, project_id text, sensitivity text)
language sql stable
begin atomic
  select v.namespace, v.key, v.version, v.seq, e.content -> 'body', e.content -> 'tags', time_of(e.content ->> 'created_at'), e.created_at, v.expires_at,
    o.channel, o.user_id, o.agent_id, o.session_id, o.project_id, o.sensitivity
  from (
    select * from state_versions w
    where w.tenant_id = p_tenant and w.namespace = p_namespace and w.key = p_key and w.seq <= p_seq
    order by w.version desc
    limit 1
  ) v
  join state_objects o on o.tenant_id = p_tenant and o.namespace = v.namespace and o.key = v.key
  join events e on e.tenant_id = p_tenant and e.seq = v.seq
  where v.change = 'put' and (v.expires_at is null or v.expires_at > p_at);
end;

-- Reads several objects by `id`, [namespace, key] as JSON. Leaves out bodies of more than p_most_bytes and compressed ones, which are read alone; null reads
-- all.
create or replace function read_state(
  p_tenant text, p_ids text[], p_channels text[], p_subjects text[], p_sensitivities text[], p_most_bytes int)
returns table (
  id text, namespace text, key text, body jsonb, tags jsonb, version int, seq bigint, created_at timestamptz, updated_at timestamptz,
  expires_at timestamptz, channel text, user_id text, agent_id text, session_id text, project_id text)
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_tenant text := enter_tenant(p_tenant);
begin
  return query
  select
    n.id, o.namespace, o.key, o.body, o.tags, o.version, o.seq, o.created_at, o.updated_at, o.expires_at, o.channel, o.user_id, o.agent_id, o.session_id,
    o.project_id
  -- `offset 0`: under row-level security, a name that is extracted from JSON within the condition would not use the index
  from (select i.id, i.id::jsonb ->> 0 as namespace, i.id::jsonb ->> 1 as key from unnest(p_ids) i (id) offset 0) n
  -- `limit` forces a look-up per key
  cross join lateral (
    select * from state_objects x where x.tenant_id = v_tenant and x.namespace = n.namespace and x.key = n.key limit 1
  ) o
  where visible(o.channel, o.user_id, o.sensitivity, p_channels, p_subjects, p_sensitivities) and is_live(o.life, o.expires_at, now())
    and (p_most_bytes is null or o.body is null or (pg_column_size(o.body) <= p_most_bytes and pg_column_compression(o.body) is null));
end $$;

-- Returns the keys of objects of the tenant with all these tags: p_limit rows if there may be more. The inner query has the condition of the GIN index
-- alone, so that no statistics can choose another plan. A row of other tags with the same hash returns null, so that it counts towards the limit.
-- In plpgsql, which keeps the plan: in SQL, each call costs 60 µs more.
create or replace function tagged_keys(p_namespace text, p_tags jsonb, p_limit int) returns setof text
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set jit = off set enable_seqscan = off set enable_indexscan = off set enable_indexonlyscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_tenant text := current_tenant();
  v_hashes bigint[] := public.state_tag_keys(v_tenant, p_namespace, p_tags);
begin
  return query
  with hit as materialized (
    select o.tenant_id, o.namespace, o.key, o.tags
    from public.state_objects o
    where o.tag_keys @> v_hashes
    limit p_limit
  )
  select case when h.tenant_id = v_tenant and h.namespace = p_namespace and h.tags @> p_tags then h.key end from hit h;
end $$;
revoke execute on function tagged_keys(text, jsonb, int) from public;
grant execute on function tagged_keys(text, jsonb, int) to agent_memory_app;
alter function tagged_keys(text, jsonb, int) owner to agent_memory_searcher;

-- Returns an object as the API does, as JSON. Text, because an object that is only passed on need not be parsed.
create or replace function state_object_json(
  p_namespace text, p_key text, p_body jsonb, p_tags jsonb, p_version int, p_seq bigint, p_created_at timestamptz, p_updated_at timestamptz,
  p_expires_at timestamptz, p_channel text, p_user_id text, p_agent_id text, p_session_id text, p_project_id text)
returns text
language sql stable parallel safe
return format(
  '{"namespace":%s,"key":%s,"body":%s,"tags":%s,"version":%s,"commit_seq":%s,"created_at":"%s","updated_at":"%s","channel":"%s"%s%s%s%s%s}',
  to_json(p_namespace), to_json(p_key), coalesce(p_body, 'null'), p_tags, p_version, p_seq, canonical_time(p_created_at), canonical_time(p_updated_at),
  p_channel, ',"user_id":' || to_json(p_user_id), ',"agent_id":' || to_json(p_agent_id), ',"session_id":' || to_json(p_session_id),
  ',"project_id":' || to_json(p_project_id), ',"expires_at":"' || canonical_time(p_expires_at) || '"');

-- Returns the first p_limit keys after p_after of the objects with these tags that the caller sees, among the next p_scan objects of the namespace. Null if
-- there may be more.
create or replace function scan_tagged(
  p_tenant text, p_namespace text, p_tags jsonb, p_after text, p_scan int, p_limit int, p_channels text[], p_subjects text[], p_sensitivities text[])
returns text[]
language plpgsql stable
as $$
declare
  v_keys text[];
  v_scanned int;
begin
  select array_agg(s.key order by s.key) filter (where s.tags @> p_tags and is_live(s.life, s.expires_at, now())
    and visible(s.channel, s.user_id, s.sensitivity, p_channels, p_subjects, p_sensitivities)), count(*)
  into v_keys, v_scanned
  from (
    select o.* from state_objects o where o.tenant_id = p_tenant and o.namespace = p_namespace and o.key > p_after order by o.key limit p_scan
  ) s;
  return case when v_scanned < p_scan or cardinality(v_keys) >= p_limit then coalesce(v_keys[:p_limit], '{}') end;
end $$;

-- Answers several queries by tags, {"namespace", "tags", "after", "limit"}, in the order of the keys; with the tags {}, lists. `objects` is a list as JSON,
-- `last_key` the key of the last one, and `more` whether others follow. `objects` is null if the query must be answered by itself: the matching objects are
-- many but rare, one of them is large, compressed or unreadable, or the list is longer than 64 KiB. A tag that most objects have is found by a scan: the
-- index would return the positions of all of them. Stable: all steps see one snapshot.
create or replace function find_tagged(
  p_tenant text, p_queries text[], p_channels text[], p_subjects text[], p_sensitivities text[])
returns table (query text, objects text, last_key text, more boolean)
language plpgsql stable
-- the primary key, also without statistics
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_sort = off
as $$
declare
  v_tenant text := enter_tenant(p_tenant);
  v_query jsonb;
  v_namespace text;
  v_tags jsonb;
  v_after text;
  v_limit int;
  v_keys text[];
begin
  foreach query in array p_queries loop
    v_query := query;
    v_namespace := v_query ->> 'namespace';
    v_tags := v_query -> 'tags';
    v_after := coalesce(v_query ->> 'after', '');
    v_limit := v_query -> 'limit';
    v_keys := scan_tagged(v_tenant, v_namespace, v_tags, v_after, least(2 * v_limit, 200), v_limit, p_channels, p_subjects, p_sensitivities);
    if v_keys is null and v_tags <> '{}' then
      v_keys := array(select k from tagged_keys(v_namespace, v_tags, 101) k);
      if cardinality(v_keys) > 100 then
        -- a longer page exceeds 64 KiB
        v_keys := case when v_limit <= 200 then scan_tagged(
          v_tenant, v_namespace, v_tags, v_after, 2000, v_limit, p_channels, p_subjects, p_sensitivities) end;
      end if;
    end if;
    select p.objects, p.last_key, p.more into objects, last_key, more
    from page_of_keys(v_tenant, v_namespace, v_keys, v_after, v_limit, p_channels, p_subjects, p_sensitivities) p;
    return next;
  end loop;
end $$;

-- Returns the page of find_tagged for these keys.
create or replace function page_of_keys(
  p_tenant text, p_namespace text, p_keys text[], p_after text, p_limit int, p_channels text[], p_subjects text[], p_sensitivities text[],
  out objects text, out last_key text, out more boolean)
language plpgsql stable
as $$
begin
  if p_keys is null then
    return;
  end if;
  select
    case when coalesce(bool_and(o.is_small), true) then '[' || coalesce(string_agg(state_object_json(
      o.namespace, o.key, o.body, o.tags, o.version, o.seq, o.created_at, o.updated_at, o.expires_at, o.channel, o.user_id, o.agent_id, o.session_id,
      o.project_id), ',' order by o.key) filter (where o.is_small and o.place < p_limit), '') || ']' end,
    max(o.key) filter (where o.place < p_limit), count(*) >= p_limit
  into objects, last_key, more
  from (
    select x.*, row_number() over (order by x.key) as place,
      pg_column_compression(x.body) is null and coalesce(pg_column_size(x.body), 0) + pg_column_size(x.tags) <= 2048 and is_readable_time(x.created_at)
        and is_readable_time(x.updated_at) and coalesce(is_readable_time(x.expires_at), true) as is_small
    from unnest(p_keys) k (key)
    -- `limit` forces a look-up per key
    cross join lateral (
      select * from state_objects y where y.tenant_id = p_tenant and y.namespace = p_namespace and y.key = k.key limit 1
    ) x
    where x.key > p_after and is_live(x.life, x.expires_at, now())
      and visible(x.channel, x.user_id, x.sensitivity, p_channels, p_subjects, p_sensitivities)
    order by x.key
    limit p_limit
  ) o;
  if octet_length(objects) > 65536 then
    objects := null;
  end if;
end $$;

-- Returns whether an object matches a filter, {"path", "vars"} of compileFilter.
create or replace function state_matches(
  p_key text, p_version int, p_seq bigint, p_created_at timestamptz, p_updated_at timestamptz, p_expires_at timestamptz, p_tags jsonb, p_body jsonb,
  p_filter jsonb)
returns boolean
language sql stable parallel safe
return coalesce(jsonb_path_match(
  jsonb_build_object(
    'key', p_key, 'version', p_version, 'commit_seq', p_seq, 'created_at', sortable_time(p_created_at), 'updated_at', sortable_time(p_updated_at),
    'tags', p_tags, 'body', coalesce(p_body, 'null'))
    || case when p_expires_at is null then '{}' else jsonb_build_object('expires_at', sortable_time(p_expires_at)) end,
  (p_filter ->> 'path')::jsonpath, p_filter -> 'vars', true), false);

-- Returns the first seq of the log: past state is complete from just before it. During a trim, or after one that was interrupted, the one at its end:
-- versions that newer ones before the end replaced leave step by step.
create or replace function state_since(p_tenant text) returns bigint
language sql stable
begin atomic
  select greatest(c.oldest_seq, c.trimming_to + 1) from tenant_clocks c where c.tenant_id = p_tenant;
end;

-- Resolves `at`: a seq, a time, or a name that a noun knows (the hook `moment`). `seq` is null if no noun knows the name. Also returns the ends of the log.
create or replace function find_moment(p_tenant text, p_seq bigint, p_time timestamptz, p_name text)
returns table (seq bigint, at timestamptz, oldest_seq bigint, last_seq bigint)
language plpgsql stable
as $$
declare
  v_noun text;
begin
  select state_since(p_tenant), c.last_seq into oldest_seq, last_seq from tenant_clocks c where c.tenant_id = p_tenant;
  seq := p_seq;
  if p_time is not null then
    at := p_time;
    seq := seq_before(p_tenant, p_time + interval '1 microsecond');
  elsif p_name is not null then
    for v_noun in select * from hooks('moment') loop
      execute format('select seq, at from %I($1, $2)', v_noun || '_moment') into seq, at using p_tenant, p_name;
      exit when seq is not null;
    end loop;
  end if;
  -- the time of a seq is that of its event; a trim may have dropped it
  at := coalesce(at, (select e.created_at from events e where e.tenant_id = p_tenant and e.seq <= find_moment.seq order by e.seq desc limit 1));
  return next;
end $$;

-- Returns tenants with objects that have expired and whose end is not recorded yet, except p_except: tenants in which that failed.
create or replace function list_expired_state(p_except text[], p_limit int) returns setof text
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
  select distinct d.tenant_id
  from (
    select o.tenant_id
    from public.state_objects o
    where o.life = 'live' and o.expires_at <= now() and o.tenant_id <> all (p_except)
    order by o.expires_at
    limit p_limit
  ) d
$$;
revoke execute on function list_expired_state(text[], int) from public;
grant execute on function list_expired_state(text[], int) to agent_memory_app;
alter function list_expired_state(text[], int) owner to agent_memory_overseer;

-- Erasure, retention and trim: the content of these events goes. Their versions stay as `erased`, so that no earlier one takes their place in a past
-- read, and an object whose current version is among them is gone.
create or replace function state_clear(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_seqs bigint[] := array(
    select v.seq
    from unnest(p_seqs) s (seq)
    cross join lateral (select w.seq from state_versions w where w.tenant_id = p_tenant and w.seq = s.seq and w.change <> 'erased' offset 0) v);
  v_objects bigint := (
    select count(*)
    from unnest(v_seqs) s (seq)
    cross join lateral (select * from state_versions w where w.tenant_id = p_tenant and w.seq = s.seq offset 0) v
    join state_objects o on o.tenant_id = p_tenant and o.namespace = v.namespace and o.key = v.key and o.seq = v.seq and o.life = 'live');
begin
  if not p_dry then
    update state_objects o set life = 'erased', body = null, tags = '{}', expires_at = null
    from unnest(v_seqs) s (seq)
    cross join lateral (select * from state_versions w where w.tenant_id = p_tenant and w.seq = s.seq offset 0) v
    where o.tenant_id = p_tenant and o.namespace = v.namespace and o.key = v.key and o.seq = v.seq;
    update state_versions v set change = 'erased', expires_at = null where v.tenant_id = p_tenant and v.seq = any (v_seqs);
  end if;
  return jsonb_build_object('state_objects', v_objects, 'state_versions', cardinality(v_seqs));
end $$;

-- Returns a pattern that matches a subject as a whole segment of a namespace or key, between `/` or `:`.
create or replace function segment_pattern(p_subject text) returns text
language sql immutable parallel safe
return '(^|[/:])' || regexp_replace(p_subject, '(\W)', '\\\1', 'g') || '(?=$|[/:])';

-- Returns the name that replaces a namespace or key in which the subject is a segment: p_name replaces the subject. A result that is too long or, with
-- p_is_taken, exists already gets a random end.
create or replace function renamed_segment(p_text text, p_subject text, p_name text, p_is_taken boolean default false) returns text
language sql volatile
return (
  select case
    when p_is_taken or length(r.text) > 255 then p_name || '/' || gen_random_uuid()
    else r.text end
  from (select regexp_replace(p_text, segment_pattern(p_subject), '\1' || p_name, 'g')) r (text));

-- Renames an object in its row, its versions and their events.
create or replace function rename_object(p_tenant text, p_namespace text, p_key text, p_subject text, p_name text) returns void
language plpgsql
as $$
declare
  v_namespace text := renamed_segment(p_namespace, p_subject, p_name);
  v_key text := renamed_segment(p_key, p_subject, p_name);
begin
  if exists (select from state_objects o where o.tenant_id = p_tenant and o.namespace = v_namespace and o.key = v_key) then
    v_key := renamed_segment(p_key, p_subject, p_name, true);
  end if;
  perform rename_event(e.seq, jsonb_build_object(
    'fields', jsonb_build_object(
      'session_id', e.session_id, 'user_id', e.user_id, 'agent_id', e.agent_id, 'project_id', e.project_id, 'actor_id', e.actor_id,
      'tags', e.tags, 'refs', e.refs),
    'content', e.content || jsonb_build_object('namespace', v_namespace, 'key', v_key),
    'metadata', e.metadata))
  from state_versions v join events e on e.tenant_id = p_tenant and e.seq = v.seq and e.erased_at is null
  where v.tenant_id = p_tenant and v.namespace = p_namespace and v.key = p_key;
  update state_versions v set namespace = v_namespace, key = v_key
  where v.tenant_id = p_tenant and v.namespace = p_namespace and v.key = p_key;
  update state_objects o set namespace = v_namespace, key = v_key
  where o.tenant_id = p_tenant and o.namespace = p_namespace and o.key = p_key;
end $$;

-- Returns the next objects for an erasure, from p_limit * 20 after p_after, a JSON array of namespace and key: `own` if their audience names the subject
-- and their events are blanked, `named` if the subject is a segment of their name. Ends early after some thousand versions, because writers wait.
create or replace function erasable_objects(p_tenant text, p_erasure jsonb, p_after text, p_limit int)
returns table (namespace text, key text, own boolean, named boolean, cursor text)
language plpgsql stable
as $$
declare
  v_after jsonb := coalesce(nullif(p_after, ''), '["", ""]')::jsonb;
  v_subject text := p_erasure ->> 'subject';
begin
  return query
  select n.namespace, n.key, n.own, n.named, jsonb_build_array(n.namespace, n.key)::text
  from (
    select p.*, coalesce(sum(case when p.own or p.named then p.version end) over (
      order by p.namespace, p.key rows between unbounded preceding and 1 preceding), 0) as before
    from (
      select o.namespace, o.key, o.version,
        coalesce(case p_erasure ->> 'kind'
          when 'user_id' then o.user_id when 'agent_id' then o.agent_id when 'session_id' then o.session_id else o.project_id end = v_subject, false)
          and case when p_erasure ? 'dry_run' then o.seq <= (p_erasure ->> 'upto')::bigint else o.life = 'erased' end as own,
        o.namespace ~ segment_pattern(v_subject) or o.key ~ segment_pattern(v_subject) as named
      from state_objects o
      where o.tenant_id = p_tenant and (o.namespace, o.key) > (v_after ->> 0, v_after ->> 1)
      order by o.namespace, o.key
      limit p_limit * 20
    ) p
  ) n
  where n.before < 2000
  order by n.namespace, n.key;
end $$;

-- Erasure: deletes the rows of objects whose audience names the subject, and replaces it in the names of others.
create or replace function state_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_object record;
  v_deleted bigint := 0;
  v_renamed bigint := 0;
begin
  if not p_erasure ? 'dry_run' then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  end if;
  for v_object in select * from erasable_objects(p_tenant, p_erasure, p_after, p_limit) loop
    last := v_object.cursor;
    v_deleted := v_deleted + v_object.own::int;
    v_renamed := v_renamed + (v_object.named and not v_object.own)::int;
    if v_object.own and not p_erasure ? 'dry_run' then
      delete from state_versions v where v.tenant_id = p_tenant and v.namespace = v_object.namespace and v.key = v_object.key;
      delete from state_objects o where o.tenant_id = p_tenant and o.namespace = v_object.namespace and o.key = v_object.key;
    elsif v_object.named and not p_erasure ? 'dry_run' then
      perform rename_object(p_tenant, v_object.namespace, v_object.key, p_erasure ->> 'subject', p_erasure ->> 'name');
    end if;
  end loop;
  counts := jsonb_build_object('state_keys', v_deleted, 'state_keys_renamed', v_renamed);
  return next;
end $$;

create or replace function state_held(p_tenant text, p_seqs bigint[]) returns table (seq bigint, live boolean, importance numeric)
language sql stable
begin atomic
  select v.seq, v.seq = o.seq and is_live(o.life, o.expires_at, now()), 1::numeric
  from unnest(p_seqs) s (seq)
  cross join lateral (select * from state_versions w where w.tenant_id = p_tenant and w.seq = s.seq offset 0) v
  join state_objects o on o.tenant_id = p_tenant and o.namespace = v.namespace and o.key = v.key;
end;

-- Trim: marks the versions that are current at p_upto, so that every `at` from there on can be read: live objects, and what replaced or ended later.
create or replace function state_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit int) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_seqs bigint[] := array(
    select v.seq from state_versions v where v.tenant_id = p_tenant and v.seq > p_after and v.seq <= p_upto order by v.seq limit p_limit);
  v_at timestamptz := (select e.created_at from events e where e.tenant_id = p_tenant and e.seq <= p_upto order by e.seq desc limit 1);
begin
  perform mark_seqs(p_tenant, p_job, 'carry', array(
    select v.seq
    from unnest(v_seqs) s (seq)
    cross join lateral (select * from state_versions w where w.tenant_id = p_tenant and w.seq = s.seq offset 0) v
    join state_objects o on o.tenant_id = p_tenant and o.namespace = v.namespace and o.key = v.key
    where v.change = 'put' and (v.expires_at is null or v.expires_at > v_at or (o.seq = v.seq and o.life = 'live'))
      and not exists (
        select from state_versions n
        where n.tenant_id = p_tenant and n.namespace = v.namespace and n.key = v.key and n.version > v.version and n.seq <= p_upto)), p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;

-- Trim: marks the current version at p_upto of each key that has an earlier version among p_seqs. Without it, that version would be read as the current
-- one, and the key could get another audience.
create or replace function state_carried(p_tenant text, p_job text, p_upto bigint, p_seqs bigint[]) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
begin
  return cardinality(mark_seqs(p_tenant, p_job, 'carry', array(
    select n.seq
    from (
      select v.namespace, v.key, min(v.version) as version
      from unnest(p_seqs) s (seq)
      cross join lateral (select * from state_versions w where w.tenant_id = p_tenant and w.seq = s.seq offset 0) v
      group by v.namespace, v.key
    ) k
    cross join lateral (
      select w.seq, w.version from state_versions w
      where w.tenant_id = p_tenant and w.namespace = k.namespace and w.key = k.key and w.seq <= p_upto
      order by w.version desc
      limit 1
    ) n
    where n.version > k.version)));
end $$;

-- Trim: the versions leave with their events, and the row of an object with the event of its end, the last of its versions. Its version becomes the
-- floor of new keys, because versions only grow.
create or replace function state_trim(p_tenant text, p_job text, p_seqs bigint[], p_drop bigint[]) returns void
language plpgsql
as $$
begin
  with gone as (
    delete from state_versions v where v.tenant_id = p_tenant and v.seq = any (p_drop)
    returning v.namespace, v.key, v.seq
  ),
  removed as (
    delete from state_objects o
    using gone g
    where o.tenant_id = p_tenant and o.namespace = g.namespace and o.key = g.key and o.seq = g.seq and o.life <> 'live'
    returning o.version
  )
  insert into state_floors as f (tenant_id, version)
  select p_tenant, max(r.version) from removed r having count(*) > 0
  on conflict (tenant_id) do update set version = greatest(f.version, excluded.version);
end $$;

-- Returns the versions that the events of a stretch of the log describe. The names of a blanked event are null.
create or replace function versions_in_log(p_tenant text, p_from bigint, p_to bigint)
returns table (seq bigint, namespace text, key text, version int, change text, expires_at timestamptz)
language sql stable
begin atomic
  select e.seq, e.content ->> 'namespace', e.content ->> 'key', member_of(e.content, 'version', 'number')::int,
    case when e.erased_at is null then substr(e.kind, 7) else 'erased' end, time_of(e.content ->> 'expires_at')
  from events e
  where e.tenant_id = p_tenant and e.seq between p_from and p_to and e.kind in ('state.put', 'state.deleted', 'state.expired');
end;

-- Compares the versions with the events of a stretch of the log. An event that was blanked before its import has no version.
create or replace function state_version_faults(p_tenant text, p_from bigint, p_to bigint) returns table (seq bigint, is_wrong boolean)
language sql stable
begin atomic
  select coalesce(l.seq, v.seq),
    v.seq is null and l.change <> 'erased' or l.seq is null or v.change <> l.change
      or l.change <> 'erased' and ((v.namespace, v.key, v.version) <> (l.namespace, l.key, l.version) or v.expires_at is distinct from l.expires_at)
      or exists (
        select from state_versions n
        where n.tenant_id = p_tenant and n.namespace = v.namespace and n.key = v.key and n.version < v.version and n.seq > v.seq)
  from (select * from versions_in_log(p_tenant, p_from, p_to)) l
  full join (select * from state_versions w where w.tenant_id = p_tenant and w.seq between p_from and p_to) v on v.seq = l.seq;
end;

-- Compares the objects whose current version lies in a stretch of the log with the event of that version.
create or replace function state_object_faults(p_tenant text, p_from bigint, p_to bigint)
returns table (seq bigint, namespace text, key text, is_wrong boolean)
language sql stable
begin atomic
  select v.seq, v.namespace, v.key,
    (o.version, o.seq) is distinct from (v.version, v.seq) or o.life <> case v.change when 'put' then 'live' else v.change end
      or o.expires_at is distinct from v.expires_at
      or (v.change = 'put' and ((o.body, o.tags) is distinct from (nullif(e.content -> 'body', 'null'), e.content -> 'tags')
        or (o.channel, o.user_id, o.agent_id, coalesce(o.session_id, 'state'), o.project_id)
          is distinct from (e.channel, e.user_id, e.agent_id, e.session_id, e.project_id)))
  from state_versions v
  join events e on e.tenant_id = p_tenant and e.seq = v.seq
  left join state_objects o on o.tenant_id = p_tenant and o.namespace = v.namespace and o.key = v.key
  where v.tenant_id = p_tenant and v.seq between p_from and p_to and not exists (
    select from state_versions n where n.tenant_id = p_tenant and n.namespace = v.namespace and n.key = v.key and n.version > v.version);
end;

create or replace function state_check(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
begin
  return query
  select 'state_versions', count(*), count(*) filter (where f.is_wrong),
    sample_of(jsonb_build_object('seq', f.seq) order by f.seq) filter (where f.is_wrong), true
  from state_version_faults(p_tenant, p_from, p_to) f;
  return query
  select 'state_objects', count(*), count(*) filter (where f.is_wrong),
    sample_of(jsonb_build_object('seq', f.seq) order by f.seq) filter (where f.is_wrong), true
  from state_object_faults(p_tenant, p_from, p_to) f;
end $$;

-- Rebuilds the versions of a stretch of the log, then the objects whose current version lies in it.
create or replace function state_repair(p_tenant text, p_from bigint, p_to bigint) returns bigint
language plpgsql
as $$
declare
  v_wrong bigint[] := array(select f.seq from state_version_faults(p_tenant, p_from, p_to) f where f.is_wrong);
  v_objects bigint;
begin
  update state_versions v set change = 'erased', expires_at = null
  from versions_in_log(p_tenant, p_from, p_to) l
  where v.tenant_id = p_tenant and v.seq = l.seq and v.seq = any (v_wrong) and l.change = 'erased';
  delete from state_versions v where v.tenant_id = p_tenant and v.seq = any (v_wrong) and v.change <> 'erased';
  insert into state_versions (tenant_id, namespace, key, version, seq, change, expires_at)
  select p_tenant, l.namespace, l.key, l.version, l.seq, l.change, l.expires_at
  from versions_in_log(p_tenant, p_from, p_to) l
  where l.seq = any (v_wrong) and l.change <> 'erased' and l.namespace is not null and l.key is not null and l.version is not null
  on conflict (tenant_id, namespace, key, version) do update set seq = excluded.seq, change = excluded.change, expires_at = excluded.expires_at;
  v_objects := repair_objects(p_tenant, array(select f.seq from state_object_faults(p_tenant, p_from, p_to) f where f.is_wrong));
  return cardinality(v_wrong) + v_objects;
end $$;

-- Writes the objects whose current versions are at these seqs. Returns their number.
create or replace function repair_objects(p_tenant text, p_seqs bigint[]) returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  insert into state_objects (
    tenant_id, namespace, key, channel, user_id, agent_id, session_id, project_id, life, version, seq, body, tags, created_at, updated_at, expires_at)
  select
    p_tenant, v.namespace, v.key, e.channel, e.user_id, e.agent_id, nullif(e.session_id, 'state'), e.project_id,
    case v.change when 'put' then 'live' else v.change end, v.version, v.seq, case when v.change = 'put' then nullif(e.content -> 'body', 'null') end,
    case when v.change = 'put' then object_of(e.content -> 'tags') else '{}' end,
    coalesce(time_of(e.content ->> 'created_at'), e.created_at), e.created_at, v.expires_at
  from state_versions v join events e on e.tenant_id = p_tenant and e.seq = v.seq
  where v.tenant_id = p_tenant and v.seq = any (p_seqs)
  on conflict (tenant_id, namespace, key) do update
  set channel = excluded.channel, user_id = excluded.user_id, agent_id = excluded.agent_id, session_id = excluded.session_id,
    project_id = excluded.project_id, life = excluded.life, version = excluded.version, seq = excluded.seq, body = excluded.body,
    tags = excluded.tags, updated_at = excluded.updated_at, expires_at = excluded.expires_at;
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- Import: finds an object without a version at its seq, unless a trim dropped that version.
create or replace function state_stray(p_tenant text, p_first bigint, p_after text, p_limit int) returns table (last text, fault text)
language plpgsql stable
as $$
declare
  v_after jsonb := coalesce(nullif(p_after, ''), '["", ""]')::jsonb;
begin
  return query
  select (array_agg(jsonb_build_array(d.namespace, d.key)::text order by d.namespace desc, d.key desc))[1],
    'The object ' || min(d.key) filter (where d.is_wrong) || ' does not match the log.'
  from (
    select o.namespace, o.key, (o.life = 'live' or o.seq >= p_first) and not exists (
      select from state_versions v
      where v.tenant_id = p_tenant and v.namespace = o.namespace and v.key = o.key and v.version = o.version and v.seq = o.seq) as is_wrong
    from state_objects o
    where o.tenant_id = p_tenant and (o.namespace, o.key) > (v_after ->> 0, v_after ->> 1)
    order by o.namespace, o.key
    limit p_limit
  ) d;
end $$;
