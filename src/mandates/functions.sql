-- Mandates and the actions under them. An event has one effect:
--   { "op": "create", "mandate_id", "id_hash", "revision", "chain", "agent_id", "principal", "definition", "expires_at" }
--   { "op": "revoke", "mandate_id", "chain", "revision" }
--   { "op": "authorise", "mandate_id", "chain", "revision", "action_id", "request_hash", …, "reserve", "ttl_ms", "early", "per_call", "tool_rates", "agent_rates" }
--   { "op": "settle", "mandate_id", "chain", "revision", "action_id", "settle_hash", "outcome", "actual_micros", "tokens", "verified" }
--   { "op": "decide", "mandate_id", "chain", "revision", "action_id", "decision", "decider", "decider_user", "is_login" }
-- The terms of a mandate never change, so the daemon evaluates them before the transaction. `early` and `per_call` are the refusals that it
-- found; the judge applies them at their place in the order. mandates_judge replaces the effect by its verdict, which mandates_apply writes:
--   { "op", "chain", "action": the row, "spent", "reserved", "open", "calls": changes of the sums of the chain, "counts": calls to record, "answer" }

-- The largest integer that JSON carries exactly. Sums end there.
create or replace function most_micros() returns bigint
language sql immutable parallel safe
return 9007199254740991;

create or replace function mandate_refusal(p_code text, p_detail text, p_status text default 'AM403', p_members jsonb default '{"hard": true}') returns jsonb
language sql immutable parallel safe
return jsonb_build_object('code', p_status, 'detail', p_detail, 'members', jsonb_build_object('code', p_code) || p_members);

-- Returns why no action may begin under a mandate; null if it may be used. Kills come first, then ends, then suspensions.
create or replace function mandate_block(p_tenant text, p_chain text[], p_at timestamptz) returns jsonb
language plpgsql stable
as $$
declare
  v_agents text[];
  v_revoked boolean;
  v_expired boolean;
  v_suspended boolean;
  v_void_before timestamptz := void_before(p_tenant);
begin
  select array_agg(m.agent_id), bool_or(m.revoked_at is not null), bool_or(m.expires_at <= p_at),
    bool_or(m.suspended or m.created_at < v_void_before)
  into v_agents, v_revoked, v_expired, v_suspended
  from mandates m
  where m.tenant_id = p_tenant and m.mandate_id = any (p_chain);
  return case
    when agent_is_killed(p_tenant, v_agents) then mandate_refusal('AGENT_KILLED', 'the agent is killed')
    when v_revoked then mandate_refusal('MANDATE_EXPIRED', 'the mandate, or one that it was delegated from, is revoked')
    when v_expired then mandate_refusal('MANDATE_EXPIRED', 'the mandate, or one that it was delegated from, has expired')
    when v_suspended then
      mandate_refusal('MANDATE_SUSPENDED', 'the mandate comes from a backup or an import; an admin must call POST /v1/tenant/confirm-restore')
  end;
end $$;

-- Returns why a mandate has ended, and the ids of its actions; null if it has not ended, has more than p_limit actions, or its agent is
-- killed. No action is added later.
create or replace function mandate_end(p_tenant text, p_id text, p_limit int) returns jsonb
language plpgsql
as $$
declare
  v_block jsonb;
  v_revoked boolean;
  v_actions text[];
begin
  perform enter_tenant(p_tenant);
  -- waits for the batches that were judged before the end
  perform from tenant_clocks c where c.tenant_id = p_tenant for share;
  select mandate_block(p_tenant, m.chain, clock_timestamp()), exists (
    select from mandates a where a.tenant_id = p_tenant and a.mandate_id = any (m.chain) and a.revoked_at is not null)
  into v_block, v_revoked
  from mandates m
  where m.tenant_id = p_tenant and m.mandate_id = p_id;
  v_actions := array(select a.action_id from actions a where a.tenant_id = p_tenant and a.mandate_id = p_id limit p_limit + 1);
  if v_block #>> '{members,code}' is distinct from 'MANDATE_EXPIRED' or cardinality(v_actions) > p_limit then
    return null;
  end if;
  return jsonb_build_object('reason', case when v_revoked then 'revoked' else 'expired' end, 'actions', v_actions);
end $$;

-- The maximum number of open actions under a root mandate, and about that of actions that a batch ends, because it does so with the clock locked.
create or replace function most_open_actions() returns int
language sql immutable parallel safe
return 10000;

-- Returns the hashes under which kills name the agents of a mandate, of the mandates that it was delegated from, and of the whole tenant.
create or replace function agent_hashes(p_tenant text, p_mandate text) returns setof text
language sql stable
begin atomic
  select agent_hash('*')
  union
  select agent_hash(o.agent_id)
  from mandates m cross join lateral unnest(m.chain) i (id) join mandates o on o.tenant_id = p_tenant and o.mandate_id = i.id
  where m.tenant_id = p_tenant and m.mandate_id = p_mandate;
end;

-- Returns when a kill ended an action of this mandate that began at p_created; null if none did. Kills that were written into all open actions
-- have no row.
create or replace function kill_of(p_tenant text, p_mandate text, p_created timestamptz) returns timestamptz
language sql stable
begin atomic
  select min(k.killed_at)
  from mandate_kills k
  where k.tenant_id = p_tenant and k.killed_at >= p_created and k.agent_hash = any (array(select agent_hashes(p_tenant, p_mandate)));
end;

-- Returns the time of the last kill that has a row; null if none has.
create or replace function last_kill(p_tenant text) returns timestamptz
language sql stable
begin atomic
  select max(k.killed_at) from mandate_kills k where k.tenant_id = p_tenant;
end;

-- Returns the open actions of these trees that a kill ended before their expires_at, with the time of the first such kill. Evaluates the agents of
-- each mandate once, because a tree can have most_open_actions() under few mandates.
create or replace function killed_actions(p_tenant text, p_roots text[])
returns table (mandate_id text, action_id text, root_id text, expires_at timestamptz, lapse_micros bigint, reserved_micros bigint, killed_at timestamptz)
language sql stable
begin atomic
  select g.mandate_id, a.action_id, g.root_id, a.expires_at, a.lapse_micros, a.reserved_micros, f.killed_at
  from (
    select o.*, (
      select array_agg(h.hash)
      from agent_hashes(p_tenant, o.mandate_id) h (hash)
      where exists (select from mandate_kills k where k.tenant_id = p_tenant and k.agent_hash = h.hash)) as hashes
    from (
      select a.mandate_id, a.root_id, array_agg(a.action_id) as ids, array_agg(a.created_at) as created, array_agg(a.expires_at) as expire,
        array_agg(a.lapse_micros) as lapse, array_agg(a.reserved_micros) as reserved
      from actions a
      where (select last_kill(p_tenant) is not null) and a.tenant_id = p_tenant and a.root_id = any (p_roots) and a.state = 'open'
        and a.created_at <= (select last_kill(p_tenant))
      group by a.mandate_id, a.root_id
    ) o
    -- keeps the planner from evaluating the hashes after the unnest
    offset 0
  ) g
  cross join lateral unnest(g.ids, g.created, g.expire, g.lapse, g.reserved) a (action_id, created_at, expires_at, lapse_micros, reserved_micros)
  cross join lateral (
    select min(n.killed_at) as killed_at
    from unnest(g.hashes) h (hash)
    cross join lateral (
      select k.killed_at
      from mandate_kills k
      where k.tenant_id = p_tenant and k.agent_hash = h.hash and k.killed_at >= a.created_at
      order by k.killed_at
      limit 1) n
  ) f
  where g.hashes is not null and f.killed_at < a.expires_at;
end;

-- Returns the open actions of these trees that have ended: after their expires_at, or by a kill.
create or replace function ended_actions(p_tenant text, p_roots text[], p_at timestamptz)
returns table (mandate_id text, lapse_micros bigint, reserved_micros bigint)
language sql stable
begin atomic
  select a.mandate_id, a.lapse_micros, a.reserved_micros
  from actions a
  where a.tenant_id = p_tenant and a.root_id = any (p_roots) and a.state = 'open' and a.expires_at <= p_at
  union all
  select k.mandate_id, k.lapse_micros, k.reserved_micros
  from killed_actions(p_tenant, p_roots) k
  where k.expires_at > p_at and k.killed_at <= p_at;
end;

-- Writes the end of these actions, and charges them.
create or replace function lapse_open_actions(p_tenant text, p_roots text[], p_at timestamptz) returns void
language plpgsql
as $$
begin
  if last_kill(p_tenant) is not null then
    update actions a
    set expires_at = k.killed_at
    from killed_actions(p_tenant, p_roots) k
    where a.tenant_id = p_tenant and a.mandate_id = k.mandate_id and a.action_id = k.action_id;
  end if;
  with lapsed as (
    update actions a
    set state = 'lapsed', charged_micros = a.lapse_micros, ended_at = a.expires_at, args = null
    where a.tenant_id = p_tenant and a.root_id = any (p_roots) and a.state = 'open' and a.expires_at <= p_at
    returning a.mandate_id, a.lapse_micros, a.reserved_micros
  ),
  sums as (
    select i.id, sum(l.lapse_micros) as spent, sum(l.reserved_micros) as reserved, count(*) as open
    from lapsed l
    join mandates o on o.tenant_id = p_tenant and o.mandate_id = l.mandate_id
    cross join lateral unnest(o.chain) i (id)
    group by i.id
  )
  update mandates m
  set spent_micros = least(m.spent_micros + s.spent, most_micros()), reserved_micros = m.reserved_micros - s.reserved,
    open_actions = m.open_actions - s.open
  from sums s
  where m.tenant_id = p_tenant and m.mandate_id = s.id;
end $$;

-- Returns the first of these trees, up to the one with which most_open_actions() are reached. A tree has no more than that.
create or replace function trees_to_lapse(p_tenant text, p_roots text[], p_at timestamptz) returns text[]
language sql stable
return case when cardinality(p_roots) < 2 then p_roots else array(
  select t.id
  from (
    select r.id, e.count, sum(e.count) over (order by r.id rows unbounded preceding) as total
    from unnest(p_roots) r (id) cross join lateral (select count(*) from ended_actions(p_tenant, array[r.id], p_at)) e
  ) t
  where t.count = 0 or t.total - t.count < most_open_actions()) end;

-- Locks the mandates that these units name with their ancestors, in the order of their ids, after ending what has expired. `busy`: in its tree, too
-- much has expired for this batch.
create or replace function lock_mandates(p_tenant text, p_units jsonb, p_at timestamptz) returns mandate_state[]
language plpgsql
as $$
declare
  v_ids text[] := array(select distinct i.id #>> '{}' from jsonb_path_query(p_units, '$[*].events[*].effects.mandates.chain[*]') i (id));
  v_roots text[] := array(
    select distinct e.doc #>> '{chain,0}' from jsonb_path_query(p_units, '$[*].events[*].effects.mandates ? (exists (@.action_id))') e (doc));
  v_lapsed text[] := trees_to_lapse(p_tenant, v_roots, p_at);
begin
  perform lapse_open_actions(p_tenant, v_lapsed, p_at);
  return array(
    select row(
      m.mandate_id, m.chain, m.revision, m.limit_micros, m.spent_micros, m.reserved_micros,
      mandate_block(p_tenant, m.chain, p_at), m.open_actions, m.chain[1] = any (v_roots) and m.chain[1] <> all (v_lapsed))::mandate_state
    from mandates m
    where m.tenant_id = p_tenant and m.mandate_id = any (v_ids)
    order by m.mandate_id
    for update);
end $$;

-- Identifies an action in a batch. Ids have no line breaks.
create or replace function action_key(p_effect jsonb) returns text
language sql immutable parallel safe
return (p_effect ->> 'mandate_id') || chr(10) || (p_effect ->> 'action_id');

-- Returns the existing actions that these units name, by action_key.
create or replace function named_actions(p_tenant text, p_units jsonb) returns jsonb
language plpgsql stable
-- a plan from before the table grew would read all actions of the tenant
set plan_cache_mode = force_custom_plan
as $$
begin
  return (
    -- materialized, because `->>` is not leakproof: under row-level security, ids taken in place would not use the index
    with named as materialized (
      select e.effect ->> 'mandate_id' as mandate_id, e.effect ->> 'action_id' as action_id
      from jsonb_path_query(p_units, '$[*].events[*].effects.mandates ? (exists (@.action_id))') e (effect)
    )
    select coalesce(jsonb_object_agg(action_key(to_jsonb(a)), to_jsonb(a)), '{}')
    from named n
    cross join lateral (
      select * from actions x where x.tenant_id = p_tenant and x.mandate_id = n.mandate_id and x.action_id = n.action_id limit 1
    ) a);
end $$;

-- Judges the effects of a batch in order: each sees the sums, actions and calls as the earlier ones leave them.
create or replace function mandates_judge(p_tenant text, p_units jsonb, p_at timestamptz) returns setof judgement
language plpgsql
as $$
declare
  v_mandates mandate_state[] := lock_mandates(p_tenant, p_units, p_at);
  v_actions jsonb := named_actions(p_tenant, p_units);
  v_calls jsonb := '{}';
  v_unit record;
  v_verdict jsonb;
begin
  for v_unit in
    select u.ord, u.doc, e.ord - 1 as event, e.doc #> '{effects,mandates}' as effect,
      count(*) over (partition by action_key(e.doc #> '{effects,mandates}')) > 1 as repeated
    from jsonb_array_elements(p_units) with ordinality u (doc, ord)
    cross join lateral jsonb_array_elements(case when jsonb_typeof(u.doc) = 'object' then u.doc -> 'events' else '[]' end) with ordinality e (doc, ord)
    where e.doc #> '{effects,mandates}' is not null
    order by u.ord, e.ord
  loop
    v_verdict := judge_mandate_effect(p_tenant, v_unit.effect, v_mandates, v_actions -> action_key(v_unit.effect), v_calls, p_at);
    if v_verdict ? 'refusal' then
      return next row(v_unit.ord, v_verdict -> 'refusal', null)::judgement;
    elsif v_verdict ? 'unchanged' then
      return next row(v_unit.ord, null, v_unit.doc #- array['events', v_unit.event::text])::judgement;
    else
      v_mandates := after_verdict(v_mandates, v_verdict);
      v_calls := v_calls || coalesce(v_verdict -> 'counts', '{}');
      if v_unit.repeated and v_verdict ? 'action' then
        v_actions := v_actions || jsonb_build_object(action_key(v_unit.effect), v_verdict -> 'action');
      end if;
      return next row(
        v_unit.ord, null, jsonb_set(v_unit.doc, array['events', v_unit.event::text, 'effects', 'mandates'], v_verdict))::judgement;
    end if;
  end loop;
end $$;

-- Returns the mandates of a batch after an effect.
create or replace function after_verdict(p_mandates mandate_state[], p_verdict jsonb) returns mandate_state[]
language plpgsql immutable
as $$
declare
  v_chain text[] := array(select jsonb_array_elements_text(p_verdict -> 'chain'));
  v_id text := v_chain[cardinality(v_chain)];
begin
  if p_verdict ->> 'op' = 'create' then
    return p_mandates || row(v_id, v_chain, p_verdict ->> 'revision', (p_verdict #>> '{definition,max_cost_total_micros}')::bigint, 0, 0, null, 0, false)::mandate_state;
  end if;
  for i in 1 .. cardinality(p_mandates) loop
    if p_verdict ->> 'op' = 'revoke' then
      if v_id = any (p_mandates[i].chain) then
        p_mandates[i].block := coalesce(p_mandates[i].block, mandate_refusal('MANDATE_EXPIRED', 'the mandate, or one that it was delegated from, is revoked'));
      end if;
    elsif p_mandates[i].mandate_id = any (v_chain) then
      p_mandates[i].spent_micros := least(p_mandates[i].spent_micros + (p_verdict ->> 'spent')::bigint, most_micros());
      p_mandates[i].reserved_micros := p_mandates[i].reserved_micros + (p_verdict ->> 'reserved')::bigint;
      p_mandates[i].open_actions := p_mandates[i].open_actions + (p_verdict ->> 'open')::bigint;
    end if;
  end loop;
  return p_mandates;
end $$;

-- Returns the verdict on an effect, { "refusal" }, or { "unchanged" } if its event is to be dropped. p_action: the row of its action; null if there is none.
create or replace function judge_mandate_effect(
  p_tenant text, p_effect jsonb, p_mandates mandate_state[], p_action jsonb, p_calls jsonb, p_at timestamptz)
returns jsonb
language plpgsql stable
as $$
declare
  v_chain mandate_state[] := array(
    select m from unnest(p_mandates) m where p_effect -> 'chain' ? m.mandate_id order by cardinality(m.chain));
  v_leaf mandate_state := v_chain[cardinality(v_chain)];
  v_op text := p_effect ->> 'op';
begin
  if v_op = 'create' then
    return judge_creation(p_tenant, p_effect, v_chain);
  elsif v_leaf.mandate_id is distinct from p_effect ->> 'mandate_id' then
    return jsonb_build_object('refusal', jsonb_build_object('code', 'AM404', 'detail', 'there is no mandate with this id'));
  elsif to_jsonb(v_leaf.chain) <> p_effect -> 'chain' or v_leaf.revision <> p_effect ->> 'revision' then
    -- an erasure replaced an id of the chain, or the daemon has cached an earlier mandate with this id
    return '{"refusal": {"code": "stale", "detail": "the terms of the mandate have changed"}}';
  elsif v_op = 'revoke' then
    if exists (select from mandates m where m.tenant_id = p_tenant and m.mandate_id = v_leaf.mandate_id and m.revoked_at is not null) then
      return '{"unchanged": true}';
    end if;
    return jsonb_build_object('op', v_op, 'chain', p_effect -> 'chain', 'answer', jsonb_build_object('mandate_id', v_leaf.mandate_id));
  elsif v_leaf.busy then
    return '{"refusal": {"code": "AM503", "detail": "many actions have just expired and are being charged; try again"}}';
  elsif v_op = 'authorise' then
    return judge_authorisation(p_tenant, p_effect, v_chain, p_action, p_calls, p_at);
  elsif p_action is null then
    return jsonb_build_object('refusal', jsonb_build_object('code', 'AM404', 'detail', 'the mandate has no action with this id'));
  elsif v_op = 'settle' then
    return judge_settlement(p_effect, v_chain, p_action, p_at);
  end if;
  return judge_decision(p_effect, v_chain, p_action, p_at);
end $$;

-- An id stays taken: as itself, or as the hash that an erasure left.
create or replace function judge_creation(p_tenant text, p_effect jsonb, p_chain mandate_state[]) returns jsonb
language plpgsql stable
as $$
declare
  v_parents int := jsonb_array_length(p_effect -> 'chain') - 1;
  v_last mandate_state := p_chain[cardinality(p_chain)];
  -- a variable, as in named_actions
  v_hash text := p_effect ->> 'id_hash';
begin
  if v_last.mandate_id = p_effect ->> 'mandate_id'
    or exists (select from mandates m where m.tenant_id = p_tenant and m.mandate_id = v_hash) then
    return jsonb_build_object('refusal', jsonb_build_object('code', 'AM409', 'detail', 'a mandate with this id exists, or existed before'));
  elsif v_parents > 0 and to_jsonb(v_last.chain) is distinct from (p_effect -> 'chain') - v_parents then
    return '{"refusal": {"code": "stale", "detail": "the chain of the parent has changed"}}';
  elsif v_last.block is not null then
    return jsonb_build_object('refusal', v_last.block);
  end if;
  return p_effect || jsonb_build_object(
    'answer', jsonb_build_object('mandate_id', p_effect -> 'mandate_id') || coalesce(p_effect -> 'origin', '{}'));
end $$;

-- Returns what an authorisation that repeats an action id answers; null if it must be judged. An attempt that failed without a charge may be
-- repeated under its id.
create or replace function judge_repetition(p_effect jsonb, p_action jsonb) returns jsonb
language sql immutable
return case
  when p_action is null then null
  when p_action ->> 'request_hash' <> p_effect ->> 'request_hash' then
    mandate_refusal('DUPLICATE_ACTION', 'the action id was used with a different request', 'AM409')
  when p_action ->> 'state' = 'settled' and p_action #>> '{settlement,outcome}' = 'failure' and (p_action ->> 'charged_micros')::bigint = 0 then null
  when p_action ->> 'state' = 'denied' then mandate_refusal('TOOL_DENIED', 'the action was denied')
  else jsonb_build_object('code', 'replay', 'detail', 'the action has already been authorised', 'members', p_action -> 'answer') end;

-- Returns how much every mandate of the chain still permits; null if none has a limit. Negative if one is overdrawn.
create or replace function room_in(p_chain mandate_state[], p_change bigint) returns bigint
language sql immutable
return (select min(m.limit_micros - m.spent_micros - m.reserved_micros) - p_change from unnest(p_chain) m);

-- Returns the room, 0 if a limit is exceeded, and null if there is no limit.
create or replace function shown_room(p_room bigint) returns bigint
language sql immutable parallel safe
return case when p_room < 0 then 0 else p_room end;

create or replace function judge_total(p_chain mandate_state[], p_reserve bigint) returns jsonb
language sql immutable
return case
  when room_in(p_chain, p_reserve) < 0 then mandate_refusal('COST_LIMIT_EXCEEDED', 'the total of the mandate, or of one that it was delegated from, would be exceeded')
  when (select max(m.spent_micros + m.reserved_micros) from unnest(p_chain) m) + p_reserve > most_micros() then
    mandate_refusal('COST_LIMIT_EXCEEDED', 'the sums of the mandate have reached their maximum') end;

create or replace function judge_open(p_root mandate_state) returns jsonb
language sql immutable
return case when p_root.open_actions >= most_open_actions() then
  mandate_refusal('RATE_LIMIT_EXCEEDED', format('the mandate and those delegated from it have %s open actions; settle some', p_root.open_actions),
    'AM429', '{"hard": false, "retry_after_ms": 1000}') end;

-- Counts a call against each of these limits: [{ "mandate_id", "entry", "max_calls", "window_ms" }]. p_calls: what the batch has counted. Returns
-- { "refusal" } for the first limit that has no call left, otherwise the counts by key: { "ordinal", "used", "left" }.
create or replace function count_calls(p_tenant text, p_rates jsonb, p_calls jsonb, p_at timestamptz) returns jsonb
language plpgsql stable
as $$
declare
  v_counts jsonb := '{}';
  v_rate record;
  v_key text;
  v_last bigint;
  v_used bigint;
  v_free_at timestamptz;
begin
  for v_rate in
    select r.*, interval '1 millisecond' * r.window_ms as span
    from jsonb_to_recordset(p_rates) r (mandate_id text, entry text, max_calls bigint, window_ms bigint)
  loop
    v_key := v_rate.mandate_id || chr(10) || v_rate.entry;
    v_last := (p_calls -> v_key ->> 'ordinal')::bigint;
    v_used := (p_calls -> v_key ->> 'used')::bigint;
    if v_last is null then
      v_last := coalesce((
        select max(c.ordinal) from mandate_calls c
        where c.tenant_id = p_tenant and c.mandate_id = v_rate.mandate_id and c.entry = v_rate.entry), 0);
      v_used := coalesce(v_last + 1 - (
        select c.ordinal from mandate_calls c
        where c.tenant_id = p_tenant and c.mandate_id = v_rate.mandate_id and c.entry = v_rate.entry and c.called_at > p_at - v_rate.span
        order by c.called_at, c.ordinal limit 1), 0);
    end if;
    if v_used >= v_rate.max_calls then
      v_free_at := (
        select c.called_at + v_rate.span from mandate_calls c
        where c.tenant_id = p_tenant and c.mandate_id = v_rate.mandate_id and c.entry = v_rate.entry and c.ordinal = v_last + 1 - v_rate.max_calls);
      return jsonb_build_object('refusal', mandate_refusal('RATE_LIMIT_EXCEEDED', 'the rate limit is reached; retry after `retry_after_ms`', 'AM429', jsonb_build_object(
        'hard', false, 'retry_after_ms', greatest(1, ceil(1000 * extract(epoch from coalesce(v_free_at - p_at, v_rate.span)))::bigint))));
    end if;
    v_counts := v_counts || jsonb_build_object(v_key, jsonb_build_object('ordinal', v_last + 1, 'used', v_used + 1, 'left', v_rate.max_calls - v_used - 1));
  end loop;
  return v_counts;
end $$;

-- Judges an authorisation: replay, kill, expiry, deny, allow, arguments, tool cost, tool rate, cost per call, total, agent rate. Nothing is
-- counted or reserved until all have passed.
create or replace function judge_authorisation(
  p_tenant text, p_effect jsonb, p_chain mandate_state[], p_action jsonb, p_calls jsonb, p_at timestamptz)
returns jsonb
language plpgsql stable
as $$
declare
  v_leaf mandate_state := p_chain[cardinality(p_chain)];
  v_reserve bigint := (p_effect ->> 'reserve')::bigint;
  v_refusal jsonb := judge_repetition(p_effect, p_action);
  v_tools jsonb;
  v_agents jsonb;
  v_answer jsonb;
begin
  v_refusal := coalesce(v_refusal, v_leaf.block, p_effect -> 'early');
  if v_refusal is null then
    v_tools := count_calls(p_tenant, p_effect -> 'tool_rates', p_calls, p_at);
    v_refusal := coalesce(v_tools -> 'refusal', p_effect -> 'per_call', judge_total(p_chain, v_reserve));
  end if;
  if v_refusal is null then
    v_agents := count_calls(p_tenant, p_effect -> 'agent_rates', p_calls, p_at);
    v_refusal := coalesce(v_agents -> 'refusal', judge_open(p_chain[1]));
  end if;
  if v_refusal is not null then
    return jsonb_build_object('refusal', v_refusal);
  end if;
  v_answer := jsonb_build_object(
    'action_id', p_effect -> 'action_id', 'decision', p_effect -> 'decision', 'reserved_micros', v_reserve,
    'remaining_micros', shown_room(room_in(p_chain, v_reserve)),
    'expires_at', p_at + interval '1 millisecond' * (p_effect ->> 'ttl_ms')::bigint)
    || coalesce((select jsonb_build_object('remaining_calls', min((c.value ->> 'left')::bigint)) from jsonb_each(v_agents) c having count(*) > 0), '{}');
  return jsonb_build_object(
    'op', 'authorise', 'chain', p_effect -> 'chain', 'spent', 0, 'reserved', v_reserve, 'open', 1, 'calls', 1, 'counts', v_tools || v_agents, 'answer', v_answer,
    'action', action_of(p_effect, v_answer, p_at));
end $$;

-- Returns the row of an action that has just been authorised or deferred.
create or replace function action_of(p_effect jsonb, p_answer jsonb, p_at timestamptz) returns jsonb
language sql immutable
return jsonb_build_object(
  'mandate_id', p_effect -> 'mandate_id', 'action_id', p_effect -> 'action_id', 'root_id', p_effect #> '{chain,0}', 'decision', p_effect -> 'decision',
  'state', 'open', 'type', p_effect -> 'type', 'tool', p_effect -> 'tool', 'model', p_effect -> 'model', 'request_hash', p_effect -> 'request_hash',
  'args_hash', p_effect -> 'args_hash', 'args', p_effect -> 'args', 'asked_by', p_effect -> 'asked_by', 'asked_user', p_effect -> 'asked_user',
  'terms', p_effect -> 'terms', 'estimate_micros', p_effect -> 'estimate_micros', 'reserved_micros', p_effect -> 'reserve',
  'lapse_micros', case p_effect ->> 'decision' when 'allow' then p_effect #> '{terms,lapse_micros}' else '0' end,
  'answer', p_answer, 'created_at', p_at, 'expires_at', p_answer -> 'expires_at');

-- Returns what a settled action is charged. p_settle: { "outcome", "actual_micros", "tokens", "verified" }. The actual cost replaces the estimate;
-- the cost of tokens is rounded up.
create or replace function charge_of(p_action jsonb, p_settle jsonb) returns bigint
language plpgsql immutable
as $$
declare
  v_charging jsonb := p_action #> '{terms,charging}';
  v_tiered jsonb := v_charging -> 'tiered';
  v_price jsonb := p_action #> '{terms,price}';
  v_success boolean := p_settle ->> 'outcome' = 'success';
  v_verified boolean := (p_settle ->> 'verified')::boolean;
  v_cost bigint := coalesce(
    (p_settle ->> 'actual_micros')::bigint,
    ceil(((p_settle #>> '{tokens,input}')::numeric * (v_price ->> 'input_micros_per_million')::numeric
      + (p_settle #>> '{tokens,output}')::numeric * (v_price ->> 'output_micros_per_million')::numeric) / 1000000)::bigint,
    (p_action ->> 'estimate_micros')::bigint);
begin
  if v_tiered is not null then
    return (v_tiered ->> 'attempt_micros')::bigint
      + case when v_success then (v_tiered ->> 'success_micros')::bigint else 0 end
      + case when v_verified then coalesce((v_tiered ->> 'verification_micros')::bigint, 0) else 0 end;
  elsif v_charging = '"SUCCESS"' and not (v_success and coalesce(v_verified, not coalesce((p_action #>> '{terms,verify}')::boolean, false))) then
    return 0;
  end if;
  return v_cost;
end $$;

-- Returns why an action cannot be settled in this way; null if it can. A settlement that was made before answers again.
create or replace function settle_refusal(p_effect jsonb, p_action jsonb) returns jsonb
language sql immutable
return case
  when p_action ->> 'state' = 'settled' and p_action #>> '{settlement,hash}' = p_effect ->> 'settle_hash' then
    jsonb_build_object('code', 'replay', 'detail', 'the action has already been settled', 'members', p_action #> '{settlement,answer}')
  when p_action ->> 'state' = 'settled' then mandate_refusal('DUPLICATE_ACTION', 'the action was settled with a different outcome', 'AM409')
  when p_action ->> 'decision' <> 'allow' then jsonb_build_object('code', 'AM409', 'detail', 'the action cannot be settled, because it was not allowed')
  when p_effect ? 'actual_micros' then null
  when p_effect ? 'tokens' and p_action #> '{terms,price}' is null then
    jsonb_build_object('code', 'AM422', 'detail', 'the mandate has no price for this model; send actual_micros')
  when p_action #> '{terms,charging,custom}' is not null and not p_effect ? 'tokens' then
    jsonb_build_object('code', 'AM422', 'detail', 'this action is charged by actual_micros, which is required') end;

-- A settlement is never refused for its amount or its time: what exceeds the reservation, or comes after it ended, is charged.
create or replace function judge_settlement(p_effect jsonb, p_chain mandate_state[], p_action jsonb, p_at timestamptz) returns jsonb
language plpgsql stable
as $$
declare
  v_refusal jsonb := settle_refusal(p_effect, p_action);
  v_late boolean := p_action ->> 'state' = 'lapsed';
  v_charge bigint;
  v_spent bigint;
  v_reserved bigint;
  v_room bigint;
  v_answer jsonb;
begin
  if v_refusal is not null then
    return jsonb_build_object('refusal', v_refusal);
  end if;
  v_charge := charge_of(p_action, p_effect);
  -- an action that expired has been charged already
  v_spent := v_charge - case when v_late then (p_action ->> 'charged_micros')::bigint else 0 end;
  v_reserved := case when v_late then 0 else -(p_action ->> 'reserved_micros')::bigint end;
  v_room := room_in(p_chain, v_spent + v_reserved);
  v_answer := jsonb_strip_nulls(jsonb_build_object(
    'action_id', p_action -> 'action_id', 'charged_micros', v_charge, 'late', case when v_late then true end,
    'overdrawn_micros', case when v_room < 0 then -v_room end, 'code', settle_code(p_effect, p_action)))
    || jsonb_build_object('remaining_micros', shown_room(v_room));
  return jsonb_build_object(
    'op', 'settle', 'chain', p_effect -> 'chain', 'spent', v_spent, 'reserved', v_reserved, 'open', case when v_late then 0 else -1 end, 'calls', 0, 'answer', v_answer,
    'action', p_action || jsonb_build_object(
      'state', 'settled', 'charged_micros', v_charge, 'ended_at', p_at,
      'settlement', jsonb_build_object('outcome', p_effect -> 'outcome', 'hash', p_effect -> 'settle_hash', 'answer', v_answer)));
end $$;

-- Returns what was wrong with an action that is being settled; null if nothing was.
create or replace function settle_code(p_effect jsonb, p_action jsonb) returns text
language sql immutable
return case
  when p_action ->> 'state' = 'lapsed' then 'EXECUTION_TIMEOUT'
  when p_effect ->> 'outcome' <> 'success' then null
  when p_effect ->> 'verified' = 'false' then 'VERIFICATION_FAILED'
  when p_action #>> '{terms,verify}' = 'true' and not p_effect ? 'verified' then 'VERIFICATION_TIMEOUT' end;

-- Decides a deferred action once. A log-in may decide what a key of its user requested; a key may not.
create or replace function judge_decision(p_effect jsonb, p_chain mandate_state[], p_action jsonb, p_at timestamptz) returns jsonb
language plpgsql stable
as $$
declare
  v_leaf mandate_state := p_chain[cardinality(p_chain)];
  v_reserved bigint := (p_action ->> 'reserved_micros')::bigint;
  v_denied boolean := p_effect ->> 'decision' = 'deny';
  v_answer jsonb;
begin
  if p_action ->> 'asked_by' = p_effect ->> 'decider'
    or (p_effect -> 'is_login' = 'false' and p_action ->> 'asked_user' = p_effect ->> 'decider_user') then
    return jsonb_build_object('refusal', jsonb_build_object('code', 'AM403', 'detail', 'an action cannot be decided by the principal that requested it, or by an API key of the same user'));
  elsif p_action ->> 'decision' <> 'defer' or p_action ->> 'state' <> 'open' then
    return jsonb_build_object('refusal', jsonb_build_object('code', 'AM409', 'detail', 'the action has been decided or no longer awaits a decision'));
  elsif v_leaf.block is not null and not v_denied then
    return jsonb_build_object('refusal', v_leaf.block);
  end if;
  v_answer := (p_action -> 'answer') || jsonb_build_object(
    'decision', p_effect -> 'decision', 'reserved_micros', case when v_denied then 0 else v_reserved end,
    'remaining_micros', shown_room(room_in(p_chain, case when v_denied then -v_reserved else 0 end)),
    'expires_at', case when v_denied then p_at else p_at + interval '1 millisecond' * (p_action #>> '{terms,lease_ms}')::bigint end);
  return jsonb_build_object(
    'op', 'decide', 'chain', p_effect -> 'chain', 'spent', 0, 'reserved', case when v_denied then -v_reserved else 0 end,
    'open', case when v_denied then -1 else 0 end, 'calls', 0, 'answer', v_answer,
    'action', p_action || jsonb_build_object('decision', p_effect -> 'decision', 'args', null, 'answer', v_answer) || case
      when v_denied then jsonb_build_object('state', 'denied', 'ended_at', p_at, 'charged_micros', 0)
      else jsonb_build_object('lapse_micros', p_action #> '{terms,lapse_micros}', 'expires_at', v_answer -> 'expires_at') end);
end $$;

create or replace function mandates_apply(p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
as $$
begin
  insert into mandates (
    tenant_id, mandate_id, seq, revision, id_hash, chain, agent_id, principal, definition, created_at, expires_at)
  select p_tenant, d.mandate_id, f.seq, d.revision, d.id_hash, d.chain, d.agent_id, d.principal, d.definition, p_at, d.expires_at
  from unnest(p_effects) f
  cross join lateral jsonb_to_record(f.doc) d (
    mandate_id text, revision text, id_hash text, chain text[], agent_id text, principal text, definition jsonb, expires_at timestamptz)
  where f.doc ->> 'op' = 'create';
  update mandates m
  set revoked_at = coalesce(m.revoked_at, p_at), seq = f.seq
  from (select e.seq, e.doc #>> '{chain,-1}' as id from unnest(p_effects) e where e.doc ->> 'op' = 'revoke' offset 0) f
  where m.tenant_id = p_tenant and m.mandate_id = f.id;
  perform apply_actions(p_tenant, p_effects, p_at);
  return array(
    select row('mandates', f.unit, f.event, f.doc -> 'answer', true)::answer
    from unnest(p_effects) f);
end $$;

-- Writes the actions, the calls and the sums of a batch.
create or replace function apply_actions(p_tenant text, p_effects effect[], p_at timestamptz) returns void
language plpgsql
as $$
begin
  update mandates m
  set spent_micros = greatest(0, least(m.spent_micros + s.spent, most_micros())), reserved_micros = m.reserved_micros + s.reserved, calls = m.calls + s.calls,
    open_actions = m.open_actions + s.open
  from (
    select i.id, sum((f.doc ->> 'spent')::bigint) as spent, sum((f.doc ->> 'reserved')::bigint) as reserved, sum((f.doc ->> 'calls')::bigint) as calls,
      sum((f.doc ->> 'open')::bigint) as open
    from unnest(p_effects) f cross join lateral jsonb_array_elements_text(f.doc -> 'chain') i (id)
    where f.doc ? 'action'
    group by i.id
  ) s
  where m.tenant_id = p_tenant and m.mandate_id = s.id;
  insert into actions (
    tenant_id, mandate_id, action_id, seq, root_id, decision, state, type, tool, model, request_hash, args_hash, args, asked_by, asked_user, terms,
    estimate_micros, reserved_micros, lapse_micros, charged_micros, answer, settlement, created_at, expires_at, ended_at)
  -- the last of several effects on an action has its final state
  select distinct on (a.mandate_id, a.action_id)
    p_tenant, a.mandate_id, a.action_id, f.seq, a.root_id, a.decision, a.state, a.type, a.tool, a.model, a.request_hash, a.args_hash, a.args,
    a.asked_by, a.asked_user, a.terms, a.estimate_micros, a.reserved_micros, a.lapse_micros, a.charged_micros, a.answer, a.settlement, a.created_at,
    a.expires_at, a.ended_at
  from unnest(p_effects) f cross join lateral jsonb_populate_record(null::actions, f.doc -> 'action') a
  where f.doc ? 'action'
  order by a.mandate_id, a.action_id, f.seq desc
  on conflict (tenant_id, mandate_id, action_id) do update set
    seq = excluded.seq, decision = excluded.decision, state = excluded.state, args = excluded.args, asked_by = excluded.asked_by,
    asked_user = excluded.asked_user, terms = excluded.terms, lapse_micros = excluded.lapse_micros, charged_micros = excluded.charged_micros,
    answer = excluded.answer, settlement = excluded.settlement, created_at = excluded.created_at, expires_at = excluded.expires_at,
    ended_at = excluded.ended_at;
  insert into mandate_calls (tenant_id, mandate_id, entry, ordinal, called_at)
  select p_tenant, split_part(c.key, chr(10), 1), split_part(c.key, chr(10), 2), (c.value ->> 'ordinal')::bigint, p_at
  from unnest(p_effects) f cross join lateral jsonb_each(f.doc -> 'counts') c
  where f.doc ? 'counts';
end $$;

-- Returns the use of mandates as of now: open actions that have expired count as charged.
create or replace function mandate_usage(p_tenant text, p_ids text[])
returns table (mandate_id text, spent_micros bigint, reserved_micros bigint, remaining_micros bigint, calls bigint, overdrawn_micros bigint)
language plpgsql stable
as $$
declare
  v_roots text[] := array(select distinct m.chain[1] from mandates m where m.tenant_id = p_tenant and m.mandate_id = any (p_ids));
begin
  return query
  with wanted as (
    select m.mandate_id, m.chain, m.calls from mandates m where m.tenant_id = p_tenant and m.mandate_id = any (p_ids)
  ),
  lapsed as (
    select i.id, sum(a.lapse_micros) as spent, sum(a.reserved_micros) as reserved
    from ended_actions(p_tenant, v_roots, now()) a
    join mandates o on o.tenant_id = p_tenant and o.mandate_id = a.mandate_id
    cross join lateral unnest(o.chain) i (id)
    group by i.id
  ),
  used as (
    select m.mandate_id, m.limit_micros,
      least(m.spent_micros + coalesce(l.spent, 0), most_micros())::bigint as spent, (m.reserved_micros - coalesce(l.reserved, 0))::bigint as reserved
    from mandates m left join lapsed l on l.id = m.mandate_id
    where m.tenant_id = p_tenant and m.mandate_id in (select unnest(w.chain) from wanted w)
  )
  select w.mandate_id, u.spent, u.reserved, shown_room(r.room), w.calls, greatest(0, coalesce(-r.room, 0))
  from wanted w
  join used u on u.mandate_id = w.mandate_id
  cross join lateral (select min(c.limit_micros - c.spent - c.reserved) as room from used c where c.mandate_id = any (w.chain)) r;
end $$;

-- Kill: ends the open actions of these agents, and of mandates delegated from theirs, at the time of the kill. Null: of all agents. Their
-- charge follows from that; a later settlement is charged as late. Writes no action, of which there can be many.
create or replace function mandates_killed(p_tenant text, p_agents text[], p_at timestamptz) returns void
language plpgsql
as $$
begin
  insert into mandate_kills (tenant_id, agent_hash, killed_at)
  select p_tenant, agent_hash(a.id), p_at
  from unnest(coalesce(p_agents, '{*}')) a (id)
  where exists (
    select from mandates m where m.tenant_id = p_tenant and (p_agents is null or m.agent_id = a.id) and m.open_actions > 0)
  on conflict do nothing;
end $$;

-- Ends the suspension of all mandates of the tenant, when an admin confirms a restore or an import. Locks the clock first, as a batch does.
create or replace function mandates_confirmed(p_tenant text) returns void
language sql
begin atomic
  select from tenant_clocks c where c.tenant_id = p_tenant for update;
  update mandates m set suspended = false where m.tenant_id = p_tenant and m.suspended;
end;

-- Returns the number of mandates of these agents, and what was spent under them. Null: of all agents. A mandate that was delegated from another one
-- that counts is part of its sum.
create or replace function mandates_used(p_tenant text, p_agents text[]) returns jsonb
language plpgsql stable
as $$
declare
  v_roots text[] := array(
    select distinct m.chain[1] from mandates m where m.tenant_id = p_tenant and (p_agents is null or m.agent_id = any (p_agents)));
begin
  return (
    with own as (
      select m.mandate_id, m.spent_micros,
        cardinality(m.chain) = 1 or not is_under(p_tenant, m.chain[:cardinality(m.chain) - 1], p_agents) as is_top
      from mandates m
      where m.tenant_id = p_tenant and (p_agents is null or m.agent_id = any (p_agents))
    ),
    due as (
      select sum(a.lapse_micros) as spent
      from ended_actions(p_tenant, v_roots, now()) a
      join mandates m on m.tenant_id = p_tenant and m.mandate_id = a.mandate_id
      where p_agents is null or is_under(p_tenant, m.chain, p_agents)
    )
    select jsonb_build_object(
      'mandates', count(*),
      'spent_micros', least(coalesce(sum(o.spent_micros) filter (where o.is_top), 0) + coalesce((select d.spent from due d), 0), most_micros()))
    from own o);
end $$;

-- Returns whether one of these mandates is an agent's of the list; null: of any agent.
create or replace function is_under(p_tenant text, p_ids text[], p_agents text[]) returns boolean
language sql stable
begin atomic
  select exists (
    select from mandates m where m.tenant_id = p_tenant and m.mandate_id = any (p_ids) and (p_agents is null or m.agent_id = any (p_agents)));
end;

-- Erasure, trim and retention: deletes the actions of blanked or dropped events. An open action only loses its names, because its reservation must
-- end as its terms say.
create or replace function mandates_clear(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_count bigint := (select count(*) from actions a where a.tenant_id = p_tenant and a.seq = any (p_seqs));
begin
  if not p_dry then
    delete from actions a where a.tenant_id = p_tenant and a.seq = any (p_seqs) and a.state <> 'open';
    perform hash_actions(p_tenant, array(
      select a.seq from actions a where a.tenant_id = p_tenant and a.seq = any (p_seqs) and a.action_id not like 'erased\_%'));
  end if;
  return jsonb_build_object('actions', v_count);
end $$;

-- Removes the names from actions. Their ids become random, so that no request finds them.
create or replace function hash_actions(p_tenant text, p_seqs bigint[]) returns void
language sql
begin atomic
  update actions a
  set action_id = 'erased_' || replace(gen_random_uuid()::text, '-', ''), tool = null, model = null, args = null, args_hash = null,
    request_hash = '', answer = '{}', asked_by = 'erased', asked_user = 'erased'
  where a.tenant_id = p_tenant and a.seq = any (p_seqs);
end;

-- Returns the next mandates that are bound to the agent or principal that is being erased.
create or replace function mandates_of_subject(p_tenant text, p_erasure jsonb, p_after text, p_limit int) returns text[]
language sql stable
return array(
  select m.mandate_id
  from mandates m
  where m.tenant_id = p_tenant and m.mandate_id > p_after
    and case p_erasure ->> 'kind' when 'agent_id' then m.agent_id = p_erasure ->> 'subject' when 'user_id' then m.principal = p_erasure ->> 'subject' end
  order by m.mandate_id
  limit p_limit);

-- Erasure: revokes the mandates of the agent or principal.
create or replace function mandates_revoke(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_ids text[] := mandates_of_subject(p_tenant, p_erasure, p_after, p_limit);
begin
  if not p_erasure ? 'dry_run' then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
    update mandates m set revoked_at = clock_timestamp() where m.tenant_id = p_tenant and m.mandate_id = any (v_ids) and m.revoked_at is null;
  end if;
  last := v_ids[cardinality(v_ids)];
  counts := jsonb_build_object('mandates_revoked', cardinality(v_ids));
  return next;
end $$;

-- Erasure: replaces the names of mandates by hashes and drops their terms, except for the total. Sums stay, and so does the hash of the id.
create or replace function mandates_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_ids text[] := mandates_of_subject(p_tenant, p_erasure, p_after, p_limit);
  v_users text[] := array(select jsonb_array_elements_text(p_erasure -> 'users'));
begin
  if not p_erasure ? 'dry_run' then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
    -- while kills find their agent by its name
    perform lapse_open_actions(p_tenant, array(
      select distinct m.chain[1] from mandates m where m.tenant_id = p_tenant and m.mandate_id = any (v_ids)), clock_timestamp());
    perform hash_mandate(p_tenant, i.id, p_erasure) from unnest(v_ids) i (id);
    if p_after = '' then
      update actions a
      set asked_by = p_erasure ->> 'name', asked_user = p_erasure ->> 'name'
      where a.tenant_id = p_tenant and a.asked_user = any (v_users);
      update actions a
      set args = null
      where a.tenant_id = p_tenant and a.args is not null and strpos(a.args::text, p_erasure ->> 'subject') > 0;
    end if;
  end if;
  last := v_ids[cardinality(v_ids)];
  counts := jsonb_build_object('mandates', cardinality(v_ids));
  return next;
end $$;

create or replace function hash_mandate(p_tenant text, p_id text, p_erasure jsonb) returns void
language plpgsql
as $$
declare
  v_id text := (select coalesce(m.id_hash, m.mandate_id) from mandates m where m.tenant_id = p_tenant and m.mandate_id = p_id);
begin
  perform hash_actions(p_tenant, array(select a.seq from actions a where a.tenant_id = p_tenant and a.mandate_id = p_id and a.action_id not like 'erased\_%'));
  delete from mandate_calls c where c.tenant_id = p_tenant and c.mandate_id = p_id;
  update actions a
  set mandate_id = case a.mandate_id when p_id then v_id else a.mandate_id end, root_id = case a.root_id when p_id then v_id else a.root_id end
  where a.tenant_id = p_tenant and p_id in (a.mandate_id, a.root_id);
  update mandates m
  set mandate_id = v_id, chain = array_replace(m.chain, p_id, v_id),
    agent_id = case when p_erasure ->> 'kind' = 'agent_id' then p_erasure ->> 'name' else m.agent_id end,
    principal = case when p_erasure ->> 'kind' = 'user_id' then p_erasure ->> 'name' else m.principal end,
    definition = jsonb_strip_nulls(jsonb_build_object('max_cost_total_micros', m.definition -> 'max_cost_total_micros'))
  where m.tenant_id = p_tenant and m.mandate_id = p_id;
  update mandates m set chain = array_replace(m.chain, p_id, v_id) where m.tenant_id = p_tenant and p_id = any (m.chain);
end $$;

-- Mandates and open actions are exempt from every rule.
create or replace function mandates_held(p_tenant text, p_seqs bigint[]) returns table (seq bigint, live boolean, importance numeric)
language sql stable
begin atomic
  select m.seq, true, 'Infinity'::numeric from mandates m where m.tenant_id = p_tenant and m.seq = any (p_seqs)
  union all
  select a.seq, a.state = 'open', case a.state when 'open' then 'Infinity'::numeric else 0 end
  from actions a
  where a.tenant_id = p_tenant and a.seq = any (p_seqs);
end;

-- Trim: keeps the events of mandates and of open actions.
create or replace function mandates_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_seqs bigint[] := array(
    select s.seq
    from (
      (select m.seq from mandates m where m.tenant_id = p_tenant and m.seq > p_after order by m.seq limit p_limit)
      union all
      (select a.seq from actions a where a.tenant_id = p_tenant and a.seq > p_after and a.state = 'open' order by a.seq limit p_limit)
    ) s
    order by s.seq
    limit p_limit);
begin
  perform mark_seqs(p_tenant, p_job, 'carry', v_seqs, p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;

-- Checks that mandates and actions have the ids of their events, and that no mandate has spent less than its actions were charged. The log has no
-- amounts.
create or replace function mandates_check(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
as $$
begin
  return query
  select 'mandates', count(*), count(*) filter (where w.wrong),
    sample_of(jsonb_build_object('seq', r.seq, 'mandate_id', r.mandate_id) order by r.seq) filter (where w.wrong), true
  from (
    select m.seq, m.mandate_id, null as action_id from mandates m where m.tenant_id = p_tenant and m.seq between p_from and p_to
    union all
    select a.seq, a.mandate_id, a.action_id from actions a where a.tenant_id = p_tenant and a.seq between p_from and p_to and a.action_id not like 'erased\_%'
  ) r
  left join events e on e.tenant_id = p_tenant and e.seq = r.seq
  cross join lateral (
    select e.seq is null or (e.erased_at is null and (
      e.content ->> 'mandate_id' is distinct from r.mandate_id or e.content ->> 'action_id' is distinct from r.action_id))) w (wrong);
  -- the actions of the range are a part of what was charged: earlier ones may be trimmed or swept
  return query
  with own as materialized (
    select a.mandate_id, sum(a.charged_micros) as charged, count(*) as calls
    from actions a
    where a.tenant_id = p_tenant and a.seq between p_from and p_to
    group by a.mandate_id
  ),
  part as (
    select c.id, coalesce(sum(o.charged), 0) as charged, sum(o.calls) as calls
    from own o
    join mandates m on m.tenant_id = p_tenant and m.mandate_id = o.mandate_id
    cross join lateral unnest(m.chain) c (id)
    group by c.id
  )
  select 'mandate_sums', count(*), count(*) filter (where w.wrong),
    sample_of(jsonb_build_object('mandate_id', m.mandate_id, 'spent_micros', m.spent_micros, 'charged_micros', p.charged) order by m.mandate_id)
      filter (where w.wrong),
    true
  from part p
  join mandates m on m.tenant_id = p_tenant and m.mandate_id = p.id
  cross join lateral (select m.spent_micros < p.charged or m.calls < p.calls) w (wrong);
end $$;

-- Checks that each mandate counts the open actions under it and its descendants, and reserves what they have reserved.
create or replace function mandates_check_rows(p_tenant text, p_after text, p_limit int)
returns table (name text, checked bigint, wrong bigint, sample jsonb, vital boolean, last text)
language plpgsql stable
as $$
begin
  return query
  select 'mandate_reservations', count(*), count(*) filter (where not r.fits),
    sample_of(jsonb_build_object('mandate_id', r.mandate_id, 'reserved_micros', r.reserved_micros, 'expected', r.expected) order by r.mandate_id)
      filter (where not r.fits),
    true, case when count(*) = p_limit then max(r.mandate_id) end
  from (
    select m.mandate_id, m.reserved_micros, o.reserved_micros as expected,
      m.reserved_micros = o.reserved_micros and m.open_actions = o.open_actions as fits
    from mandates m cross join lateral open_sums(p_tenant, m.chain[1], m.mandate_id) o
    where m.tenant_id = p_tenant and m.mandate_id > p_after
    order by m.mandate_id
    limit p_limit
  ) r;
end $$;

create or replace function open_sums(p_tenant text, p_root text, p_id text) returns table (reserved_micros bigint, open_actions bigint)
language sql stable
begin atomic
  select coalesce(sum(a.reserved_micros), 0)::bigint, count(*)
  from actions a join mandates o on o.tenant_id = p_tenant and o.mandate_id = a.mandate_id
  where a.tenant_id = p_tenant and a.root_id = p_root and a.state = 'open' and p_id = any (o.chain);
end;

create or replace function mandates_repair_rows(p_tenant text, p_after text, p_limit int) returns table (changed bigint, last text)
language plpgsql
as $$
declare
  v_ids text[] := array(select m.mandate_id from mandates m where m.tenant_id = p_tenant and m.mandate_id > p_after order by m.mandate_id limit p_limit);
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  update mandates m
  set reserved_micros = s.reserved_micros, open_actions = s.open_actions
  from (select o.mandate_id, u.* from mandates o cross join lateral open_sums(p_tenant, o.chain[1], o.mandate_id) u where o.tenant_id = p_tenant and o.mandate_id = any (v_ids)) s
  where m.tenant_id = p_tenant and m.mandate_id = s.mandate_id and (m.reserved_micros, m.open_actions) <> (s.reserved_micros, s.open_actions);
  get diagnostics changed = row_count;
  last := case when cardinality(v_ids) = p_limit then v_ids[p_limit] end;
  return next;
end $$;

-- Import: finds a mandate that its event did not write, or whose chain does not continue that of its parent.
create or replace function mandates_stray(p_tenant text, p_first bigint, p_after text, p_limit int) returns table (last text, fault text)
language plpgsql stable
as $$
begin
  return query
  select max(d.mandate_id), 'The mandate ' || min(d.mandate_id) filter (where not d.fits) || ' does not match its event or its parent.'
  from (
    select m.mandate_id, m.chain[cardinality(m.chain)] = m.mandate_id
      and exists (
        select from events e
        where e.tenant_id = p_tenant and e.seq = m.seq and e.kind like 'mandate.%'
          and (e.erased_at is not null or e.content ->> 'mandate_id' = m.mandate_id))
      and (cardinality(m.chain) = 1 or exists (
        select from mandates p
        where p.tenant_id = p_tenant and p.mandate_id = m.chain[cardinality(m.chain) - 1] and p.chain || m.mandate_id = m.chain)) as fits
    from mandates m
    where m.tenant_id = p_tenant and m.mandate_id > p_after
    order by m.mandate_id
    limit p_limit) d;
end $$;

-- Ends what has expired in the trees of the first p_limit expired actions. Deletes the kills once they are written into all actions. Searches
-- before it locks the clock, because it reads all open actions of the tenant. An earlier kill ends no action that begins after the search.
create or replace function sweep_expired_actions(p_tenant text, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_at timestamptz := clock_timestamp();
  v_last timestamptz;
  v_found text[];
begin
  perform enter_tenant(p_tenant);
  v_last := last_kill(p_tenant);
  v_found := array(
    select f.root_id
    from (
      select a.root_id from actions a where a.tenant_id = p_tenant and a.state = 'open' and a.expires_at <= v_at
      union all
      select k.root_id
      from killed_actions(p_tenant, array(select distinct a.root_id from actions a where a.tenant_id = p_tenant and a.state = 'open')) k
      where k.expires_at > v_at and k.killed_at <= v_at
    ) f
    limit p_limit);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  perform lapse_open_actions(p_tenant, trees_to_lapse(p_tenant, array(select distinct r from unnest(v_found) r), v_at), v_at);
  if cardinality(v_found) < p_limit then
    delete from mandate_kills k where k.tenant_id = p_tenant and k.killed_at <= least(v_last, v_at);
  end if;
  return cardinality(v_found);
end $$;

create or replace function sweep_ended_actions(p_tenant text, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  delete from actions a
  where a.ctid = any (array(
    select o.ctid from actions o where o.tenant_id = p_tenant and o.ended_at < now() - interval '30 days' limit p_limit));
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- No window of a rate limit is longer than 31 days.
create or replace function sweep_mandate_calls(p_tenant text, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  delete from mandate_calls c
  where c.ctid = any (array(
    select o.ctid from mandate_calls o where o.tenant_id = p_tenant and o.called_at < now() - interval '31 days' limit p_limit));
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- Returns numbers for the metrics: of mandates that may be used, of those with a limit among them, and of open actions. Amounts are whole units of
-- the currency, and shares per mille, so that sums over all tenants stay integers.
create or replace function mandates_tally(p_tenant text) returns jsonb
language plpgsql stable
as $$
declare
  v_void_before timestamptz := void_before(p_tenant);
begin
  return (
    select jsonb_build_object(
      'mandates_active', count(*) filter (where not d.suspended), 'mandates_suspended', count(*) filter (where d.suspended),
      'mandates_limited', count(d.limit_micros), 'mandates_budget', coalesce(sum(d.limit_micros) / 1000000, 0)::bigint,
      'mandates_used_permille', coalesce(sum(d.used), 0)::bigint,
      'mandates_mostly_used', count(*) filter (where d.used between 800 and 999), 'mandates_used_up', count(*) filter (where d.used >= 1000))
    from (
      select m.limit_micros, m.suspended or coalesce(m.created_at < v_void_before, false) as suspended,
        case when m.limit_micros > 0 then trunc(1000.0 * (m.spent_micros + m.reserved_micros) / m.limit_micros) end as used
      from mandates m
      where m.tenant_id = p_tenant and m.revoked_at is null and (m.expires_at is null or m.expires_at > now())
    ) d
  ) || (
    select jsonb_build_object('actions_open', count(*), 'actions_overdue', count(*) filter (where a.expires_at <= now()))
    from actions a
    where a.tenant_id = p_tenant and a.state = 'open');
end $$;
