-- The effects of the noun:
--   {"op": "acquire", "key", "owner", "ttl_ms", "principal", "agent_id", "admin": whether the principal is an admin, "place": in the queue, if it waited}
--   {"op": "release", "key", "owner", "token", "principal", "admin"}
-- A guard is the fence of a request: {"key", "token"}. Everything that changes a lease locks the clock of the tenant.

-- Refuses units that a lease does not permit. Units see the effects of earlier units of the batch: after an acquisition, the previous token is stale.
create or replace function leases_judge(p_tenant text, p_units jsonb, p_at timestamptz) returns setof judgement
language plpgsql
as $$
declare
  v_leases jsonb := read_leases(p_tenant, p_units, p_at);
  v_unit record;
  v_refusal jsonb;
begin
  for v_unit in
    select u.ord::int as unit, u.doc #> '{guards,leases}' as fence, e.doc as change
    from jsonb_array_elements(p_units) with ordinality u (doc, ord)
    left join lateral jsonb_path_query_first(u.doc, '$.events[*].effects.leases') e (doc) on true
    where u.doc #> '{guards,leases}' is not null or e.doc is not null
    order by u.ord
  loop
    v_refusal := coalesce(
      fence_refusal(v_leases -> (v_unit.fence ->> 'key'), v_unit.fence),
      lease_refusal(v_leases -> (v_unit.change ->> 'key'), v_unit.change));
    if v_refusal is not null then
      return next row(v_unit.unit, v_refusal, null)::judgement;
    elsif v_unit.change is not null then
      v_leases := v_leases || lease_after(v_leases -> (v_unit.change ->> 'key'), v_unit.change, p_at);
    end if;
  end loop;
end $$;

-- Checks the fences before anything else about the units is judged.
create or replace function leases_guard(p_tenant text, p_units jsonb, p_at timestamptz) returns setof judgement
language sql
as $$ select * from leases_judge(p_tenant, p_units, p_at) $$;

-- Returns the leases that units change or fence with, by key. `held`: at p_at. `next`: the request that waits longest.
create or replace function read_leases(p_tenant text, p_units jsonb, p_at timestamptz) returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_keys text[] := array(
    select distinct k.key #>> '{}'
    from (
      select jsonb_path_query(p_units, '$[*].events[*].effects.leases.key')
      union all
      select jsonb_path_query(p_units, '$[*].guards.leases.key')
    ) k (key));
  v_void_before timestamptz := void_before(p_tenant);
begin
  return (
    select coalesce(jsonb_object_agg(k.key, jsonb_build_object(
      'owner', l.owner, 'principal', l.principal, 'token', l.token, 'expires_at', lease_time(l.expires_at),
      'held', coalesce(l.expires_at > p_at and (v_void_before is null or l.acquired_at >= v_void_before), false),
      'next', (
        select jsonb_build_object('owner', w.owner, 'place', w.place, 'expires_at', lease_time(w.expires_at))
        from lease_waiters w
        where w.tenant_id = p_tenant and w.key = k.key and w.expires_at > p_at
        order by w.place
        limit 1))), '{}')
    from unnest(v_keys) k (key)
    left join lateral (select * from leases x where x.tenant_id = p_tenant and x.key = k.key offset 0) l on true);
end $$;

-- Returns the refusal of a stale fence; null if it is current or there is none.
create or replace function fence_refusal(p_lease jsonb, p_fence jsonb) returns jsonb
language sql immutable parallel safe
return case when p_fence is not null and ((p_lease ->> 'held')::boolean and p_lease -> 'token' = p_fence -> 'token') is not true then
  '{"code": "AMFEN", "detail": "the lease in the `Lease` header is not held with this token"}'::jsonb end;

-- Returns the refusal of a change; null if the lease permits it.
create or replace function lease_refusal(p_lease jsonb, p_change jsonb) returns jsonb
language plpgsql immutable parallel safe
as $$
declare
  v_held boolean := (p_lease ->> 'held')::boolean;
  v_may boolean := p_lease -> 'principal' = p_change -> 'principal' or (p_change ->> 'admin')::boolean;
  v_owns boolean := v_held and p_lease -> 'owner' = p_change -> 'owner';
begin
  if p_change ->> 'op' = 'acquire' then
    if v_owns and v_may then
      return null;
    elsif v_held then
      return held_refusal('the lease is held', p_lease);
    elsif (p_lease #>> '{next,place}')::bigint < coalesce((p_change ->> 'place')::bigint, 1::bigint << 62) then
      return held_refusal('other requests wait for the lease', p_lease -> 'next');
    end if;
  elsif p_change is not null then
    if v_held and not v_may then
      return '{"code": "AM403", "detail": "another principal holds the lease"}';
    elsif not (v_owns and p_lease -> 'token' = p_change -> 'token') then
      return '{"code": "AMFEN", "detail": "the lease is not held by this owner with this token"}';
    end if;
  end if;
  return null;
end $$;

create or replace function held_refusal(p_detail text, p_by jsonb) returns jsonb
language sql immutable parallel safe
return jsonb_build_object(
  'code', 'AMHLD', 'detail', p_detail, 'members', jsonb_build_object('owner', p_by -> 'owner', 'expires_at', p_by -> 'expires_at'));

-- Times of leases have milliseconds, like their tokens.
create or replace function lease_end(p_at timestamptz, p_ms int) returns timestamptz
language sql stable
return date_trunc('milliseconds', p_at) + interval '1 millisecond' * p_ms;

create or replace function lease_time(p_at timestamptz) returns text
language sql stable
return to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- Returns a lease after a change, by its key. Its new token does not exist yet, so no fence of the batch can have it.
create or replace function lease_after(p_lease jsonb, p_change jsonb, p_at timestamptz) returns jsonb
language sql stable
return jsonb_build_object(p_change ->> 'key', p_lease || case when p_change ->> 'op' = 'release' then '{"held": false}'::jsonb else
  jsonb_build_object(
    'held', true, 'owner', p_change -> 'owner', 'principal', p_change -> 'principal', 'token', null,
    'expires_at', lease_time(lease_end(p_at, (p_change ->> 'ttl_ms')::int))) end);

-- A new token is larger than every earlier one of the key and at least the time in ms. The time alone would not suffice: it can be set back, and a key
-- can be acquired twice within a millisecond.
create or replace function leases_apply(p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_answers answer[];
begin
  with change as materialized (
    select
      f.unit, f.event, f.seq, d.*, lease_end(p_at, d.ttl_ms) as expires_at, row_number() over (partition by d.key order by f.seq desc) as nth_last,
      greatest(coalesce(l.token, o.token, 0), floor(extract(epoch from p_at) * 1000)::bigint - 1)
        + count(*) filter (where d.op = 'acquire') over (partition by d.key order by f.seq) as token
    from unnest(p_effects) f
    cross join lateral jsonb_to_record(f.doc) d (op text, key text, owner text, ttl_ms int, principal text, agent_id text, place bigint)
    left join lateral (select x.token from leases x where x.tenant_id = p_tenant and x.key = d.key offset 0) l on true
    left join lease_floors o on o.tenant_id = p_tenant
  ),
  acquired as (
    insert into leases (tenant_id, key, seq, owner, principal, agent_id, token, acquired_at, expires_at)
    select p_tenant, c.key, c.seq, c.owner, c.principal, c.agent_id, c.token, p_at, c.expires_at from change c where c.nth_last = 1 and c.op = 'acquire'
    on conflict (tenant_id, key) do update
    set seq = excluded.seq, owner = excluded.owner, principal = excluded.principal, agent_id = excluded.agent_id, token = excluded.token,
      acquired_at = excluded.acquired_at, expires_at = excluded.expires_at
  ),
  released as (
    update leases l set seq = c.seq, expires_at = p_at
    from change c
    where c.nth_last = 1 and c.op = 'release' and l.tenant_id = p_tenant and l.key = c.key
  ),
  served as (
    delete from lease_waiters w using change c where w.tenant_id = p_tenant and w.key = c.key and w.place = c.place
  )
  select array_agg(row('leases', c.unit, c.event, jsonb_build_object(
    'key', c.key, 'owner', c.owner, 'token', c.token, 'expires_at', lease_time(c.expires_at)), true)::answer)
  into v_answers
  from change c
  where c.op = 'acquire';
  return v_answers;
end $$;

-- Acquires a lease, or queues the request if it must wait: then the outcome has its `place`. The clock is locked over both, so that places follow
-- the order of arrival. They are times in µs, because a request may leave after its row was swept, and must not remove the row of a later one.
create or replace function acquire_or_wait(p_tenant text, p_unit jsonb, p_wait_ms int) returns unit_outcome
language plpgsql
as $$
declare
  v_result unit_outcome;
  v_change jsonb := p_unit #> '{events,0,effects,leases}';
  -- a variable, because `->>` is not leakproof: under row-level security, it would not use the index
  v_key text := v_change ->> 'key';
  v_now timestamptz;
  v_place bigint;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_result := commit_unit(p_tenant, p_unit);
  if v_result.outcome #>> '{refusal,code}' = 'AMHLD' then
    v_now := clock_timestamp();
    if (select count(*) from lease_waiters w where w.tenant_id = p_tenant and w.key = v_key and w.expires_at > v_now) >= 100 then
      raise exception 'the lease already has the maximum number of waiting requests' using errcode = 'AM429', detail = '{"retry_after_ms": 1000}';
    end if;
    insert into lease_waiters (tenant_id, key, place, owner, expires_at)
    select p_tenant, v_key, greatest(max(w.place) + 1, floor(extract(epoch from v_now) * 1000000)::bigint), v_change ->> 'owner', lease_end(v_now, p_wait_ms)
    from lease_waiters w
    where w.tenant_id = p_tenant and w.key = v_key
    returning place into v_place;
    v_result.outcome := v_result.outcome || jsonb_build_object('place', v_place);
  end if;
  return v_result;
end $$;

-- Returns, for requests in queues, whether it is their turn, and otherwise after how many ms it could be without anyone saying so: when the lease
-- or the first request expires.
create or replace function lease_turns(p_tenant text, p_keys text[], p_places bigint[]) returns table (key text, due boolean, wait_ms bigint)
language plpgsql stable
as $$
#variable_conflict use_column
declare
  v_now timestamptz;
  v_void_before timestamptz;
begin
  perform enter_tenant(p_tenant);
  v_now := clock_timestamp();
  v_void_before := void_before(p_tenant);
  return query
  select r.key, l.expires_at is null and f.place is null,
    ceil(extract(epoch from least(l.expires_at, f.expires_at) - v_now) * 1000)::bigint
  from unnest(p_keys, p_places) r (key, place)
  left join lateral (
    select x.expires_at from leases x
    where x.tenant_id = p_tenant and x.key = r.key and x.expires_at > v_now and (v_void_before is null or x.acquired_at >= v_void_before)
    offset 0
  ) l on true
  left join lateral (
    select w.place, w.expires_at from lease_waiters w
    where w.tenant_id = p_tenant and w.key = r.key and w.place < r.place and w.expires_at > v_now
    order by w.place
    limit 1
  ) f on true;
end $$;

-- Removes requests that no longer wait.
create or replace function leave_queues(p_tenant text, p_keys text[], p_places bigint[]) returns void
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  delete from lease_waiters w using unnest(p_keys, p_places) r (key, place) where w.tenant_id = p_tenant and w.key = r.key and w.place = r.place;
end $$;

-- Extends a lease. p_renewal has the members of a release, and `ttl_ms`. Appends no event: outcome.made has the token and the new expiry, which a
-- retry gets too. Nothing that names a person is stored for it.
create or replace function renew_lease(p_tenant text, p_renewal jsonb, p_retry_key text, p_retry_body text) returns unit_outcome
language plpgsql
as $$
declare
  v_key text := p_renewal ->> 'key';
  v_outcome jsonb;
  v_refusal jsonb;
  v_seq bigint;
  v_now timestamptz;
begin
  perform enter_tenant(p_tenant);
  select c.last_seq + 1 into v_seq from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_now := clock_timestamp();
  v_outcome := recall_key(p_tenant, p_retry_key, p_retry_body);
  if v_outcome is not null then
    return row('replay', v_outcome, v_now)::unit_outcome;
  end if;
  v_refusal := lease_refusal(
    read_leases(p_tenant, jsonb_build_array(jsonb_build_object('guards', jsonb_build_object('leases', p_renewal))), v_now) -> v_key, p_renewal);
  if v_refusal is not null then
    return row('refused', jsonb_build_object('seq', 0, 'count', 0, 'refusal', v_refusal), v_now)::unit_outcome;
  end if;
  update leases l set expires_at = lease_end(v_now, (p_renewal ->> 'ttl_ms')::int)
  where l.tenant_id = p_tenant and l.key = v_key
  returning jsonb_build_object('seq', v_seq, 'count', 0, 'made', jsonb_build_object(
    'leases/0', jsonb_build_object('token', l.token, 'expires_at', lease_time(l.expires_at)))) into v_outcome;
  if p_retry_key is not null then
    perform remember_key(p_tenant, p_retry_key, p_retry_body, v_outcome);
  end if;
  return row('new', v_outcome, v_now)::unit_outcome;
end $$;

-- Deletes leases and keeps their tokens in the floor.
create or replace function drop_leases(p_tenant text, p_keys text[]) returns bigint
language sql
as $$
  with gone as (
    delete from leases l where l.tenant_id = p_tenant and l.key = any (p_keys) returning l.token
  ),
  raised as (
    insert into lease_floors as f (tenant_id, token) select p_tenant, max(g.token) from gone g having count(*) > 0
    on conflict (tenant_id) do update set token = greatest(f.token, excluded.token)
  )
  select count(*) from gone
$$;

-- Removes at most p_limit leases that ended, and as many requests whose wait has ended. Returns how many.
create or replace function sweep_leases(p_tenant text, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_waiters bigint;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  delete from lease_waiters w where w.ctid = any (array(
    select x.ctid from lease_waiters x where x.tenant_id = p_tenant and x.expires_at <= clock_timestamp() limit p_limit));
  get diagnostics v_waiters = row_count;
  return greatest(v_waiters, drop_leases(p_tenant, array(
    select l.key from leases l where l.tenant_id = p_tenant and l.expires_at <= clock_timestamp() limit p_limit)));
end $$;

-- Kill: ends the leases that credentials of these agents acquired; null: of all agents.
create or replace function leases_killed(p_tenant text, p_agents text[], p_at timestamptz) returns void
language sql
as $$
  update leases l set expires_at = least(l.expires_at, p_at)
  where l.tenant_id = p_tenant and l.expires_at > p_at and l.agent_id is not null and (p_agents is null or l.agent_id = any (p_agents))
$$;

-- Erasure, trim and retention: ends leases whose event is blanked or dropped, and removes who held them. The row stays for the sweep, with its token.
create or replace function leases_clear(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_count bigint := (select count(*) from leases l where l.tenant_id = p_tenant and l.seq = any (p_seqs));
begin
  if not p_dry then
    update leases l set seq = 0, owner = '', principal = '', agent_id = null, expires_at = least(l.expires_at, clock_timestamp())
    where l.tenant_id = p_tenant and l.seq = any (p_seqs);
  end if;
  return jsonb_build_object('leases', v_count);
end $$;

-- Returns true if a name contains the subject as a whole word: `jobs/alice` and `alice@host`, but not `malice`.
create or replace function is_named_in(p_name text, p_subject text) returns boolean
language sql immutable parallel safe
return p_name ~ ('(^|[^[:alnum:]])' || regexp_replace(p_subject, '([^[:alnum:]])', '\\\1', 'g') || '([^[:alnum:]]|$)');

-- Erasure: marks events of leases whose key or owner contains the name, although someone else caused them.
create or replace function leases_mark(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int) returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_subject text := p_erasure ->> 'subject';
  v_seqs bigint[] := array(
    select e.seq
    from events e
    where e.tenant_id = p_tenant and e.kind in ('lease.acquired', 'lease.released') and e.seq > coalesce(nullif(p_after, '')::bigint, 0)
      and e.seq <= (p_erasure ->> 'upto')::bigint
    order by e.seq
    limit p_limit);
begin
  counts := jsonb_build_object('found', coalesce(cardinality(mark_seqs(p_tenant, p_job, 'event', array(
    select e.seq
    from unnest(v_seqs) s (seq)
    join events e on e.tenant_id = p_tenant and e.seq = s.seq
    where is_named_in(e.content ->> 'key', v_subject) or is_named_in(e.content ->> 'owner', v_subject)))), 0));
  last := v_seqs[cardinality(v_seqs)]::text;
  return next;
end $$;

-- Erasure: deletes the leases, and the requests that wait, whose key or owner contains the name.
create or replace function leases_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int) returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_subject text := p_erasure ->> 'subject';
  v_keys text[];
begin
  select array_agg(l.key) filter (where is_named_in(l.key, v_subject) or is_named_in(l.owner, v_subject) or l.agent_id = v_subject), max(l.key)
  into v_keys, last
  from (select x.key, x.owner, x.agent_id from leases x where x.tenant_id = p_tenant and x.key > p_after order by x.key limit p_limit) l;
  if not p_erasure ? 'dry_run' then
    perform drop_leases(p_tenant, v_keys);
    delete from lease_waiters w where w.tenant_id = p_tenant and (is_named_in(w.key, v_subject) or is_named_in(w.owner, v_subject));
  end if;
  counts := jsonb_build_object('named_leases', coalesce(cardinality(v_keys), 0));
  return next;
end $$;

-- Held leases are exempt from every rule.
create or replace function leases_held(p_tenant text, p_seqs bigint[]) returns table (seq bigint, live boolean, importance numeric)
language sql stable
begin atomic
  select l.seq, l.expires_at > clock_timestamp(), 'Infinity'::numeric from leases l where l.tenant_id = p_tenant and l.seq = any (p_seqs);
end;

-- Marks the events of leases that are held to be kept whole.
create or replace function leases_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_seqs bigint[] := array(select l.seq from leases l where l.tenant_id = p_tenant and l.seq > p_after order by l.seq limit p_limit);
begin
  perform mark_seqs(p_tenant, p_job, 'carry', array(select h.seq from leases_held(p_tenant, v_seqs) h where h.live), p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;

-- Checks that the last event of each lease is about its key and owner.
create or replace function leases_check(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
as $$
begin
  return query
  select 'leases', count(*), count(*) filter (where w.wrong),
    sample_of(jsonb_build_object('seq', l.seq, 'key', l.key) order by l.seq) filter (where w.wrong), false
  from leases l
  join events e on e.tenant_id = l.tenant_id and e.seq = l.seq
  cross join lateral (select (e.kind ~ '^lease\.' and e.content ->> 'key' = l.key and e.content ->> 'owner' = l.owner) is not true) w (wrong)
  where l.tenant_id = p_tenant and l.seq between p_from and p_to;
end $$;
