-- Creates a snapshot at the end of the log, which expires after p_lasting seconds. Locks the clock, so that the log cannot grow, or be trimmed
-- past the snapshot, before the row is visible. p_key, p_body: hashes in hex of an Idempotency-Key and its body, or null.
create or replace function create_snapshot(p_tenant text, p_name text, p_lasting int, p_key text, p_body text)
returns table (name text, seq bigint, created_at timestamptz, expires_at timestamptz, replay boolean)
language plpgsql
as $$
declare
  v_clock tenant_clocks;
  v_known jsonb;
  v_new snapshots;
begin
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_known := recall_key(p_tenant, p_key, p_body);
  if v_known is not null then
    v_new := jsonb_populate_record(null::snapshots, v_known);
  elsif v_clock.importing is not null then
    raise exception 'the tenant is being imported' using errcode = 'AM409';
  else
    delete from snapshots s where s.tenant_id = p_tenant and s.expires_at <= clock_timestamp();
    if (select count(*) from snapshots s where s.tenant_id = p_tenant) >= 100 then
      raise exception 'a tenant can have at most 100 snapshots; delete one first' using errcode = 'AM409';
    end if;
    v_new := row(p_tenant, p_name, v_clock.last_seq, clock_timestamp(), clock_timestamp() + p_lasting * interval '1 second')::snapshots;
    insert into snapshots values (v_new.*);
    if p_key is not null then
      perform remember_key(p_tenant, p_key, p_body, to_jsonb(v_new) - 'tenant_id');
    end if;
  end if;
  return query select v_new.name, v_new.seq, v_new.created_at, v_new.expires_at, v_known is not null;
end $$;

-- Returns the position and time of a snapshot by its name. No row: there is none, or it has expired.
create or replace function snapshots_moment(p_tenant text, p_name text) returns table (seq bigint, at timestamptz)
language sql stable
begin atomic
  select s.seq, s.created_at from snapshots s where s.tenant_id = p_tenant and s.name = p_name and s.expires_at > now();
end;

-- Returns the oldest snapshot; a trim ends at its position at the latest. It does so until it expires, whatever p_floor is.
create or replace function snapshots_awaits(p_tenant text, p_floor bigint) returns jsonb
language sql stable
begin atomic
  select jsonb_build_object('reason', 'snapshot', 'seq', s.seq + 1, 'snapshot', s.name)
  from snapshots s
  where s.tenant_id = p_tenant and s.expires_at > now()
  order by s.seq, s.name
  limit 1;
end;

-- Returns the versions of state that a living snapshot needs: the last ones up to its position. The importance is above every limit of a rule.
create or replace function snapshots_held(p_tenant text, p_seqs bigint[]) returns table (seq bigint, live boolean, importance numeric)
language sql stable
begin atomic
  select v.seq, true, 'infinity'::numeric
  from unnest(p_seqs) s (seq)
  cross join lateral (select * from state_versions w where w.tenant_id = p_tenant and w.seq = s.seq offset 0) v
  where exists (
    select
    from snapshots n
    where n.tenant_id = p_tenant and n.expires_at > now() and n.seq >= v.seq and not exists (
      select from state_versions w
      where w.tenant_id = p_tenant and w.namespace = v.namespace and w.key = v.key and w.version > v.version and w.seq <= n.seq));
end;

-- Erases a subject: its pseudonym replaces its name between `.`, `_` and `-` in names of snapshots. If the new name is taken, the snapshot is deleted.
create or replace function snapshots_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_form text := '(^|[._-])' || regexp_replace(p_erasure ->> 'subject', '(\W)', '\\\1', 'g') || '(?=$|[._-])';
  v_names text[] := array(select s.name from snapshots s where s.tenant_id = p_tenant and s.name ~ v_form);
begin
  if not p_erasure ? 'dry_run' then
    with gone as (
      delete from snapshots s where s.tenant_id = p_tenant and s.name = any (v_names) returning s.name, s.seq, s.created_at, s.expires_at
    )
    insert into snapshots (tenant_id, name, seq, created_at, expires_at)
    select p_tenant, left(regexp_replace(g.name, v_form, '\1' || (p_erasure ->> 'name'), 'g'), 128), g.seq, g.created_at, g.expires_at
    from gone g
    on conflict do nothing;
  end if;
  counts := jsonb_build_object('snapshots', cardinality(v_names));
  return next;
end $$;

-- Import: finds too many snapshots, or one before the beginning of the log. The schema of the row excludes those after its end.
create or replace function snapshots_stray(p_tenant text, p_first bigint, p_after text, p_limit int) returns table (last text, fault text)
language plpgsql stable
as $$
begin
  return query
  select
    max(s.name),
    case when count(*) > 100 then 'A tenant can have at most 100 snapshots.'
    else 'The snapshot ' || min(s.name) filter (where s.seq < p_first - 1 and s.expires_at > now()) || ' is outside the log.' end
  from snapshots s
  where s.tenant_id = p_tenant and s.name > p_after;
end $$;

-- Checks that the position of each snapshot is in the log.
create or replace function snapshots_check_rows(p_tenant text, p_after text, p_limit int)
returns table (name text, checked bigint, wrong bigint, sample jsonb, vital boolean, last text)
language sql stable
begin atomic
  select 'snapshots', count(*), count(*) filter (where w.wrong), sample_of(jsonb_build_object('snapshot', s.name) order by s.name) filter (where w.wrong),
    false, null
  from snapshots s
  join tenant_clocks c on c.tenant_id = s.tenant_id
  cross join lateral (select s.seq > c.last_seq or (s.seq < c.oldest_seq - 1 and s.expires_at > now())) w (wrong)
  where s.tenant_id = p_tenant;
end;

-- Compares the objects of a namespace (null: all) at two moments, for the next p_scan keys after p_after that the caller can see. Returns those that
-- differ in body, tags or expiry; the version is null if there was no object. An object whose last change is older than both moments is not looked up.
create or replace function compare_state(
  p_tenant text, p_namespace text, p_channels text[], p_subjects text[], p_after text[], p_scan int,
  p_from bigint, p_from_at timestamptz, p_to bigint, p_to_at timestamptz)
returns table (
  namespace text, key text, channel text, life text, from_version int, from_seq bigint, from_expires_at timestamptz, to_version int)
language sql stable
begin atomic
  select o.namespace, o.key, o.channel, o.life, f.version, f.seq, f.expires_at, t.version
  from (
    select x.namespace, x.key, x.channel, x.life, x.seq, x.expires_at
    from state_objects x
    where x.tenant_id = p_tenant and (p_namespace is null or x.namespace = p_namespace) and (x.namespace, x.key) > (p_after[1], p_after[2])
      and visible(x.channel, x.user_id, 'none', p_channels, p_subjects, '{none}')
    order by x.namespace, x.key
    limit p_scan
  ) o
  left join lateral state_object_at(p_tenant, o.namespace, o.key, p_from, p_from_at) f on true
  left join lateral state_object_at(p_tenant, o.namespace, o.key, p_to, p_to_at) t on true
  where (o.seq > least(p_from, p_to) or o.expires_at <= greatest(p_from_at, p_to_at))
    and f.seq is distinct from t.seq
    and (f.body, f.tags, f.expires_at) is distinct from (t.body, t.tags, t.expires_at);
end;

-- The objects that a restore or a fork may write at once. The tenant's other writers wait for it.
create or replace function max_copies() returns int
language sql immutable parallel safe
return 100000;

-- Returns the changes that restore the objects of a namespace (null: all) as of a seq: `seq` is the version to put back. An object whose value at the
-- seq has expired or was erased since then stays as it is, because that value cannot be put back. p_scope: {"channels", "subjects" (null: all)} that the caller can see.
create or replace function restore_plan(p_tenant text, p_namespace text, p_seq bigint, p_scope jsonb, p_at timestamptz) returns state_versions[]
language plpgsql stable
-- a plan for the namespace, because one for any parameters reads all objects of the tenant
set plan_cache_mode = force_custom_plan
as $$
declare
  v_channels text[] := texts_of(p_scope -> 'channels');
  v_subjects text[] := texts_of(p_scope -> 'subjects');
  v_last bigint := (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant);
  v_then timestamptz := (select e.created_at from events e where e.tenant_id = p_tenant and e.seq <= p_seq order by e.seq desc limit 1);
begin
  return array(
    select row(
      p_tenant, d.namespace, d.key, coalesce(d.from_version, d.to_version), d.from_seq, case when d.from_seq is null then 'deleted' else 'put' end,
      d.from_expires_at)::state_versions
    from compare_state(p_tenant, p_namespace, v_channels, v_subjects, '{"",""}', null, p_seq, p_at, v_last, p_at) d
    where d.life <> 'erased' and (d.from_seq is not null or not exists (
      select
      from (
        select * from state_versions w
        where w.tenant_id = p_tenant and w.namespace = d.namespace and w.key = d.key and w.seq <= p_seq
        order by w.version desc
        limit 1
      ) v
      where v.change = 'erased' or (v.change = 'put' and v.expires_at > v_then)))
    order by d.namespace, d.key
    limit max_copies() + 1);
end $$;

-- Returns the events of the next changes of a plan, complete with effects. A put copies the body and tags of the event at its seq. The audience is that
-- of the object, or for a new object that of that event. p_event: the event without what depends on the object; its id has the time of the new ids.
create or replace function copied_events(p_tenant text, p_plan state_versions[], p_event jsonb, p_at timestamptz) returns jsonb
language plpgsql
as $$
begin
  return (select jsonb_agg(
    state_event(
      p_event || jsonb_build_object('event_id', left(p_event ->> 'event_id', 14) || right(replace(gen_random_uuid()::text, '-', ''), 16), 'kind', 'state.' || c.kind),
      c.slot, c.effect)
    order by p.place, c.kind)
  from unnest(p_plan) with ordinality p (tenant_id, namespace, key, version, seq, change, expires_at, place)
  left join lateral (select * from events x where x.tenant_id = p_tenant and x.seq = p.seq limit 1) e on true
  left join state_floors w on w.tenant_id = p_tenant
  left join lateral (
    select * from state_objects x where x.tenant_id = p_tenant and x.namespace = p.namespace and x.key = p.key limit 1
  ) o on true
  cross join lateral (select coalesce(o.life = 'live' and o.expires_at <= p_at, false)) l (has_expired)
  cross join lateral (
    select row(
      p.namespace, p.key, o.channel, o.user_id, o.agent_id, o.session_id, o.project_id, o.life, coalesce(o.version, w.version, 0), o.created_at,
      p.expires_at)::state_slot
  ) b (slot)
  cross join lateral (
    select jsonb_build_object(
      'op', case p.change when 'put' then 'put' else 'delete' end, 'n', null, 'keep_expiry', true, 'body', e.content -> 'body', 'tags', e.content -> 'tags',
      'audience', jsonb_build_object(
        'channel', e.channel, 'user_id', e.user_id, 'agent_id', e.agent_id, 'session_id', nullif(e.session_id, 'state'), 'project_id', e.project_id))
  ) f (effect)
  cross join lateral (
    select 'expired', expired_slot(b.slot), '{}'::jsonb where l.has_expired
    union all
    select p.change, changed_slot(case when l.has_expired then expired_slot(b.slot) else b.slot end, f.effect, p_at), f.effect
  ) c (kind, slot, effect));
end $$;

-- Writes the changes of a plan in units of 1,000 objects, so that no list holds all bodies. The caller has locked the clock. p_bytes is added to the
-- stored bytes. Raises AM403 for an object in a channel outside p_writable. Returns the number of events.
create or replace function write_plan(p_tenant text, p_plan state_versions[], p_event jsonb, p_writable text[], p_bytes bigint, p_at timestamptz)
returns bigint
language plpgsql
as $$
declare
  v_first int;
  v_events jsonb;
  v_channel text;
  v_seq bigint;
  v_count bigint := 0;
begin
  for v_first in 1 .. cardinality(p_plan) by 1000 loop
    v_events := copied_events(p_tenant, p_plan[v_first:v_first + 999], p_event, p_at);
    select e.doc ->> 'channel' into v_channel from jsonb_array_elements(v_events) e (doc) where not e.doc ->> 'channel' = any (p_writable) limit 1;
    if found then
      raise exception 'the credential cannot use the channel "%"', v_channel using errcode = 'AM403';
    end if;
    select c.last_seq + 1 into v_seq from tenant_clocks c where c.tenant_id = p_tenant;
    perform apply_effects(p_tenant, '{state}', write_units(
      p_tenant, '{state}', jsonb_build_array(jsonb_build_object('events', v_events)),
      array[row(1, 'new', null, null, case v_first when 1 then p_bytes else 0 end, jsonb_array_length(v_events), 1, v_seq, null, null)::verdict],
      p_at, p_at), null, p_at);
    v_count := v_count + jsonb_array_length(v_events);
  end loop;
  return v_count;
end $$;

-- Commits a plan and remembers the Idempotency-Key. p_made: counts for the answer, to which the last seq is added. The caller has locked the clock.
create or replace function commit_plan(
  p_tenant text, p_clock tenant_clocks, p_plan state_versions[], p_scope jsonb, p_event jsonb, p_key text, p_body text, p_made jsonb, p_at timestamptz)
returns unit_outcome
language plpgsql
as $$
declare
  v_bytes bigint := (
    select coalesce(sum(octet_length(e.content::text)), 0) + 400 * count(*)
    from unnest(p_plan) p left join events e on e.tenant_id = p_tenant and e.seq = p.seq);
  v_count bigint;
  v_outcome jsonb;
begin
  if p_clock.stored_bytes + v_bytes > p_clock.max_bytes then
    return row('quota', '{"seq": 0, "count": 0}', p_at)::unit_outcome;
  end if;
  v_count := write_plan(p_tenant, p_plan, p_event, texts_of(p_scope -> 'writable'), v_bytes, p_at);
  v_outcome := jsonb_build_object('seq', p_clock.last_seq + 1, 'count', v_count, 'made', jsonb_build_object(
    'snapshots/0', p_made || jsonb_build_object('commit_seq', p_clock.last_seq + v_count)));
  if p_key is not null then
    perform remember_key(p_tenant, p_key, p_body, v_outcome);
  end if;
  return row('new', v_outcome, p_at)::unit_outcome;
end $$;

-- Raises AM413 if a plan is too large for one transaction.
create or replace function limit_plan(p_plan state_versions[]) returns void
language plpgsql
as $$
begin
  if cardinality(p_plan) > max_copies() then
    raise exception 'more than % objects would change at once; restore or fork smaller namespaces', max_copies() using errcode = 'AM413';
  end if;
end $$;

-- Raises AM410 if a trim removes or has removed the state as of a seq. The caller has locked the clock, so that no trim follows. Null: now.
create or replace function require_retained(p_clock tenant_clocks, p_seq bigint) returns void
language plpgsql
as $$
declare
  v_first bigint := state_since(p_clock.tenant_id);
begin
  if p_seq < v_first - 1 then
    raise exception 'the log begins at seq %', v_first using errcode = 'AM410', detail = jsonb_build_object('oldest_seq', v_first);
  end if;
end $$;

-- Counts what a restore changes, and the objects that it leaves as they are.
create or replace function count_plan(p_tenant text, p_namespace text, p_plan state_versions[], p_scope jsonb, p_at timestamptz) returns jsonb
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  v_channels text[] := texts_of(p_scope -> 'channels');
  v_subjects text[] := texts_of(p_scope -> 'subjects');
  v_live bigint := (
    select count(*)
    from state_objects x
    where x.tenant_id = p_tenant and (p_namespace is null or x.namespace = p_namespace) and is_live(x.life, x.expires_at, p_at)
      and visible(x.channel, x.user_id, 'none', v_channels, v_subjects, '{none}'));
begin
  return (
    select jsonb_build_object(
      'restored', count(*) filter (where p.change = 'put'), 'deleted', count(*) filter (where p.change = 'deleted'),
      'unchanged', v_live - count(*) filter (where is_live(o.life, o.expires_at, p_at)))
    from unnest(p_plan) p
    left join state_objects o on o.tenant_id = p_tenant and o.namespace = p.namespace and o.key = p.key);
end $$;

-- Restores the objects of a namespace (null: all) that the caller can see as of a seq, in one commit; p_dry: only counts.
create or replace function restore_state(
  p_tenant text, p_namespace text, p_seq bigint, p_scope jsonb, p_event jsonb, p_key text, p_body text, p_dry boolean)
returns unit_outcome
language plpgsql
as $$
declare
  v_clock tenant_clocks;
  v_known jsonb;
  v_at timestamptz;
  v_plan state_versions[];
  v_counts jsonb;
begin
  perform enter_tenant(p_tenant);
  if not p_dry then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
    v_known := recall_key(p_tenant, p_key, p_body);
  end if;
  if v_known is not null then
    return row('replay', v_known, clock_timestamp())::unit_outcome;
  end if;
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant;
  perform require_retained(v_clock, p_seq);
  v_at := clock_timestamp();
  v_plan := restore_plan(p_tenant, p_namespace, p_seq, p_scope, v_at);
  perform limit_plan(v_plan);
  v_counts := count_plan(p_tenant, p_namespace, v_plan, p_scope, v_at);
  if p_dry then
    return row('new', jsonb_build_object('seq', v_clock.last_seq + 1, 'count', 0, 'made', jsonb_build_object(
      'snapshots/0', v_counts || jsonb_build_object('commit_seq', v_clock.last_seq))), v_at)::unit_outcome;
  end if;
  return commit_plan(p_tenant, v_clock, v_plan, p_scope, p_event, p_key, p_body, v_counts, v_at);
end $$;

-- Returns whether one of the keys of a plan has a live object, or had one with another audience.
create or replace function is_taken(p_tenant text, p_plan state_versions[], p_at timestamptz) returns boolean
language plpgsql stable
as $$
begin
  return exists (
    select
    from unnest(p_plan) p
    join state_objects o on o.tenant_id = p_tenant and o.namespace = p.namespace and o.key = p.key
    join events e on e.tenant_id = p_tenant and e.seq = p.seq
    where is_live(o.life, o.expires_at, p_at) or (o.channel, o.user_id, o.agent_id, coalesce(o.session_id, 'state'), o.project_id)
      is distinct from (e.channel, e.user_id, e.agent_id, e.session_id, e.project_id));
end $$;

-- Returns the changes that copy the objects of a namespace as of a seq into the namespace p_to.
create or replace function fork_plan(p_tenant text, p_namespace text, p_to text, p_seq bigint, p_scope jsonb, p_at timestamptz) returns state_versions[]
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  v_channels text[] := texts_of(p_scope -> 'channels');
  v_subjects text[] := texts_of(p_scope -> 'subjects');
begin
  return array(
    select row(p_tenant, p_to, s.key, 0, s.seq, 'put', s.expires_at)::state_versions
    from state_at(p_tenant, p_namespace, p_seq, p_at) s
    where visible(s.channel, s.user_id, 'none', v_channels, v_subjects, '{none}')
    order by s.key
    limit max_copies() + 1);
end $$;

-- Copies the objects of a namespace that the caller can see as of a seq (null: now) into the namespace p_to, in one commit.
create or replace function fork_state(
  p_tenant text, p_namespace text, p_to text, p_seq bigint, p_scope jsonb, p_event jsonb, p_key text, p_body text)
returns unit_outcome
language plpgsql
as $$
declare
  v_clock tenant_clocks;
  v_known jsonb;
  v_at timestamptz;
  v_plan state_versions[];
begin
  perform enter_tenant(p_tenant);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_known := recall_key(p_tenant, p_key, p_body);
  if v_known is not null then
    return row('replay', v_known, clock_timestamp())::unit_outcome;
  end if;
  perform require_retained(v_clock, p_seq);
  v_at := clock_timestamp();
  v_plan := fork_plan(p_tenant, p_namespace, p_to, coalesce(p_seq, v_clock.last_seq), p_scope, v_at);
  perform limit_plan(v_plan);
  if is_taken(p_tenant, v_plan, v_at) then
    raise exception 'some of these keys already exist in the namespace "%"', p_to using errcode = 'AM409';
  end if;
  return commit_plan(p_tenant, v_clock, v_plan, p_scope, p_event, p_key, p_body, jsonb_build_object('copied', cardinality(v_plan)), v_at);
end $$;

-- Returns the last of the p_scan keys that compare_state looks at, if there are that many.
create or replace function end_of_scan(p_tenant text, p_namespace text, p_channels text[], p_subjects text[], p_after text[], p_scan int)
returns table (namespace text, key text)
language sql stable
begin atomic
  select x.namespace, x.key
  from state_objects x
  where x.tenant_id = p_tenant and (p_namespace is null or x.namespace = p_namespace) and (x.namespace, x.key) > (p_after[1], p_after[2])
    and visible(x.channel, x.user_id, 'none', p_channels, p_subjects, '{none}')
  order by x.namespace, x.key
  offset p_scan - 1 limit 1;
end;
