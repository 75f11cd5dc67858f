-- The effect of an event: { "agent_id": `*` for the whole tenant, "state", "reason" }.

-- Returns the hash by which an agent is found. The prefix keeps it apart from hashes of other names.
create or replace function agent_hash(p_agent text) returns text
language sql immutable strict parallel safe
return encode(sha256(convert_to('agent:' || p_agent, 'UTF8')), 'hex');

-- Returns whether one of these agents or the whole tenant is killed. Under the lock of the clock the answer holds until the transaction ends.
create or replace function agent_is_killed(p_tenant text, p_agents text[]) returns boolean
language sql stable
begin atomic
  select exists (
    select from agent_states s
    where s.tenant_id = p_tenant and s.state = 'killed' and s.agent_hash = any (array(select agent_hash(a) from unnest(p_agents || '*'::text) u (a))));
end;

-- Returns those of these agents that are killed, by themselves or with the tenant.
create or replace function killed_among(p_tenant text, p_agents text[]) returns table (agent_id text)
language plpgsql stable
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  return query select u.a from unnest(p_agents) u (a) where agent_is_killed(p_tenant, array[u.a]);
end $$;

-- Refuses writes with a credential that is bound to a killed agent.
create or replace function agents_guard(p_tenant text, p_units jsonb, p_at timestamptz) returns setof judgement
language plpgsql
as $$
declare
  v_killed text[] := array(
    select k.agent_id from killed_among(p_tenant, array(select distinct a #>> '{}' from jsonb_path_query(p_units, '$[*].guards.agents.agent_id') g (a))) k);
begin
  return query
  select u.ord::int, killed_refusal(), null::jsonb
  from jsonb_array_elements(p_units) with ordinality u (doc, ord)
  where u.doc #>> '{guards,agents,agent_id}' = any (v_killed);
end $$;

create or replace function killed_refusal() returns jsonb
language sql immutable parallel safe
return '{"code": "AM403", "detail": "the agent of this credential is killed", "members": {"code": "AGENT_KILLED", "hard": true}}'::jsonb;

-- Locks what the kills of a batch end and others lock before the clock.
create or replace function agents_prepare(p_tenant text, p_units jsonb, p_asked timestamptz) returns prepared[]
language plpgsql
as $$
declare
  v_killed text[] := array(
    select a.id #>> '{}' from jsonb_path_query(p_units, '$[*].events[*].effects.agents ? (@.state == "killed").agent_id') a (id));
  v_noun text;
begin
  if cardinality(v_killed) > 0 then
    for v_noun in select * from hooks('killing') loop
      execute format('select %I($1, $2)', v_noun || '_killing') using p_tenant, case when '*' = any (v_killed) then null else v_killed end;
    end loop;
  end if;
  return '{}';
end $$;

-- Drops the event of a change to the state that the agent has for this reason. Its unit is written without it, so that a retry finds the key.
create or replace function agents_judge(p_tenant text, p_units jsonb, p_at timestamptz) returns setof judgement
language plpgsql
as $$
begin
  return query
  select u.ord::int, null::jsonb, jsonb_set(u.doc, '{events}', '[]')
  from jsonb_array_elements(p_units) with ordinality u (doc, ord)
  cross join lateral jsonb_to_record(u.doc #> '{events,0,effects,agents}') d (agent_id text, state text, reason text)
  left join agent_states s on s.tenant_id = p_tenant and s.agent_hash = agent_hash(d.agent_id)
  where d.agent_id is not null and coalesce(s.state, 'active') = d.state and s.reason is not distinct from d.reason;
end $$;

-- Writes the states, and ends what killed agents hold.
create or replace function agents_apply(p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
as $$
declare
  v_killed text[];
  v_noun text;
begin
  insert into agent_states as s (tenant_id, agent_hash, agent_id, state, reason, made_by, killed_at, updated_at)
  -- the last change of a batch wins
  select distinct on (d.agent_id)
    p_tenant, agent_hash(d.agent_id), d.agent_id, d.state, d.reason, f.actor_id, case when d.state = 'killed' then p_at end, p_at
  from unnest(p_effects) f
  cross join lateral jsonb_to_record(f.doc) d (agent_id text, state text, reason text)
  order by d.agent_id, f.seq desc
  on conflict (tenant_id, agent_hash) do update
  set agent_id = excluded.agent_id, state = excluded.state, reason = excluded.reason, made_by = excluded.made_by, updated_at = excluded.updated_at,
    -- a repeated kill keeps the time of the first
    killed_at = case when excluded.state = 'killed' then coalesce(s.killed_at, excluded.killed_at) end;
  v_killed := array(select f.doc ->> 'agent_id' from unnest(p_effects) f where f.doc ->> 'state' = 'killed');
  if cardinality(v_killed) > 0 then
    perform end_holdings(p_tenant, case when '*' = any (v_killed) then null else v_killed end, p_at);
  end if;
  return array(select row('agents', f.unit, f.event, state_of_agent(p_tenant, f.doc ->> 'agent_id'), true)::answer from unnest(p_effects) f);
end $$;

-- Calls the `killed` hooks.
create or replace function end_holdings(p_tenant text, p_agents text[], p_at timestamptz) returns void
language plpgsql
as $$
declare
  v_noun text;
begin
  for v_noun in select * from hooks('killed') loop
    execute format('select %I($1, $2, $3)', v_noun || '_killed') using p_tenant, p_agents, p_at;
  end loop;
end $$;

-- Returns the state of an agent as the API shows it; `*`: of the tenant. An agent of a killed tenant is killed.
create or replace function state_of_agent(p_tenant text, p_agent text) returns jsonb
language plpgsql stable
as $$
declare
  v_own agent_states;
begin
  select * into v_own
  from agent_states s
  where s.tenant_id = p_tenant and s.agent_hash in (agent_hash(p_agent), agent_hash('*'))
  order by s.state = 'killed' desc, s.agent_hash = agent_hash(p_agent) desc
  limit 1;
  return jsonb_strip_nulls(jsonb_build_object(
    'state', case when v_own.state = 'killed' then 'killed' else 'active' end, 'reason', v_own.reason,
    'killed_at', to_char(v_own.killed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')));
end $$;

-- Adds up the `used` hooks: what an agent has used; `*`: all agents.
create or replace function agent_usage(p_tenant text, p_agent text) returns jsonb
language plpgsql stable
as $$
declare
  v_noun text;
  v_total jsonb := '{"mandates": 0, "spent_micros": 0}';
  v_more jsonb;
begin
  for v_noun in select * from hooks('used') loop
    execute format('select %I($1, $2)', v_noun || '_used') into v_more using p_tenant, case when p_agent <> '*' then array[p_agent] end;
    v_total := add_counts(v_total, v_more);
  end loop;
  return v_total;
end $$;

-- An admin confirms that what came back with a restore, or was imported, may be used again.
create or replace function confirm_restored(p_tenant text) returns void
language plpgsql
as $$
declare
  v_noun text;
begin
  perform confirm_tenant_restore(p_tenant);
  for v_noun in select * from hooks('confirmed') loop
    execute format('select %I($1)', v_noun || '_confirmed') using p_tenant;
  end loop;
end $$;

-- Removes the name of an erased agent; a kill stays in force, because the agent is found by its hash. Removes what an erased user wrote.
create or replace function agents_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_subject text := p_erasure ->> 'subject';
  v_accounts text[] := array(select jsonb_array_elements_text(p_erasure -> 'users')) || v_subject;
  v_hashes text[] := array(
    select s.agent_hash
    from agent_states s
    where s.tenant_id = p_tenant and s.agent_hash > p_after and case p_erasure ->> 'kind'
      when 'agent_id' then s.agent_id = v_subject or s.made_by = v_subject
      when 'user_id' then s.made_by = any (v_accounts) end
    order by s.agent_hash
    limit p_limit);
begin
  if not p_erasure ? 'dry_run' then
    update agent_states s
    set agent_id = case when p_erasure ->> 'kind' = 'agent_id' then nullif(s.agent_id, v_subject) else s.agent_id end, reason = null,
      made_by = case when s.made_by = any (v_accounts) then p_erasure ->> 'name' else s.made_by end
    where s.tenant_id = p_tenant and s.agent_hash = any (v_hashes);
  end if;
  last := v_hashes[cardinality(v_hashes)];
  counts := jsonb_build_object('agent_states', cardinality(v_hashes));
  return next;
end $$;

-- Import: finds a row whose hash is not that of its agent, which would leave a killed agent active.
create or replace function agents_stray(p_tenant text, p_first bigint, p_after text, p_limit int) returns table (last text, fault text)
language plpgsql stable
as $$
begin
  return query
  select max(d.agent_hash), 'The state of the agent ' || min(d.agent_id) filter (where d.agent_hash <> agent_hash(d.agent_id)) || ' has the hash of another agent.'
  from (
    select s.agent_hash, s.agent_id from agent_states s where s.tenant_id = p_tenant and s.agent_hash > p_after order by s.agent_hash limit p_limit) d;
end $$;

-- Returns the kills of the last p_back seconds in all tenants, a page of those after the given one. One comparison, so that the
-- index finds them.
create or replace function recent_kills(p_back float8, p_after_at text, p_after_tenant text, p_after_hash text, p_limit int)
returns table (tenant_id text, agent_hash text, killed_at timestamptz, exact_at text, age_s float8)
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
  select s.tenant_id, s.agent_hash, s.killed_at, s.killed_at::text, extract(epoch from clock_timestamp() - s.killed_at)::float8
  from public.agent_states s
  where s.state = 'killed'
    and (s.killed_at, s.tenant_id, s.agent_hash) > (greatest(p_after_at::timestamptz, now() - interval '1 second' * p_back), p_after_tenant, p_after_hash)
  order by s.killed_at, s.tenant_id, s.agent_hash
  limit p_limit
$$;
revoke execute on function recent_kills(float8, text, text, text, int) from public;
grant execute on function recent_kills(float8, text, text, text, int) to agent_memory_app;
alter function recent_kills(float8, text, text, text, int) owner to agent_memory_overseer;
