-- For each key: charges the tokens that a daemon granted locally (p_owed), grants what waiting requests need (p_needs), and up to p_spares more
-- as a reserve, at most a quarter of the rest, so that the last tokens reach every daemon. src/limits/counter.ts and src/limits/redis.ts
-- apply the same rule.
create or replace function take_tokens(p_keys text[], p_maxes int[], p_owed int[], p_needs int[], p_spares int[], p_window_ms int)
returns table (key text, granted int, left_over int, ends_in_ms float8)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
  v_window interval := p_window_ms * interval '1 millisecond';
begin
  -- Inserts missing rows and locks the others, in the same order on all daemons. `where false` locks without writing.
  insert into rate_windows as w (key, used, granted, ends_at)
  select k.key, 0, 0, v_now + v_window
  from unnest(p_keys) as k (key)
  order by k.key
  on conflict (key) do update set used = w.used where false;

  v_now := clock_timestamp();
  return query
  with ask as (
    select a.key, a.max, a.need, a.spare, w.ends_at > v_now as running, a.owed + case when w.ends_at > v_now then w.used else 0 end as used
    from unnest(p_keys, p_maxes, p_owed, p_needs, p_spares) as a (key, max, owed, need, spare)
    join rate_windows w on w.key = a.key
  ),
  served as (
    select a.*, greatest(a.max - a.used, 0) as free, least(a.need, greatest(a.max - a.used, 0)) as due from ask a
  ),
  lent as (
    select s.*, s.due + least(s.spare, ceil((s.free - s.due) / 4.0)) as n from served s
  )
  update rate_windows w
  set
    used = l.used + l.n,
    granted = l.n,
    ends_at = case when l.running then w.ends_at else v_now + v_window end
  from lent l
  where w.key = l.key
  returning w.key, w.granted, greatest(l.max - w.used, 0)::int, (extract(epoch from w.ends_at - v_now) * 1000)::float8;
end $$;

-- Takes a token from a bucket that is refilled with p_rate tokens per second and holds those of p_burst_s seconds. Returns 0, or the seconds until
-- the next token. `ends_at` is the time at which the bucket will be full again (generic cell rate algorithm, ITU-T I.371).
create or replace function spend_token(p_tenant text, p_key text, p_rate int, p_burst_s int) returns float8
language plpgsql
as $$
declare
  v_token interval := interval '1 second' / p_rate;
  v_burst interval := interval '1 second' * p_burst_s;
  v_wait float8;
begin
  perform enter_tenant(p_tenant);
  insert into rate_windows as w (key, used, granted, ends_at)
  values (p_key, 0, 0, clock_timestamp() + v_token)
  on conflict (key) do update set ends_at = greatest(w.ends_at, clock_timestamp()) + v_token
  where greatest(w.ends_at, clock_timestamp()) + v_token <= clock_timestamp() + v_burst;
  if found then
    return 0;
  end if;
  select extract(epoch from w.ends_at + v_token - v_burst - clock_timestamp()) into v_wait from rate_windows w where w.key = p_key;
  return greatest(coalesce(v_wait, 0), 0.001);
end $$;
