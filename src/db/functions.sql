-- The registry of nouns, tenant clocks, the group commit, and the deletion of tenants.

-- Returns the nouns that have a function `<noun>_<hook>`, in dependency order. Callers loop over them:
--   for v_noun in select * from hooks('forget') loop execute format('select * from %I($1)', v_noun || '_forget') using …
-- A hook has the same signature for every noun. A new hook needs a line here and in docs/decisions/nouns.md:
--
--   hook | arguments and result | called by | what it does
--   apply | p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz → answer[] | commit_units | applies the effects to its tables; returns what only the noun knows of each, or null
--   awaits | p_tenant text, p_floor bigint → jsonb | slowest_reader | the first event that a trim must keep, because it is not yet delivered to a reader (events up to p_floor are not waited for) or a snapshot ends before it: {"reason", "seq", …}
--   carried | p_tenant text, p_job text, p_upto bigint, p_seqs bigint[] → bigint | keep_carried | marks the events up to p_upto that stay because these are carried; returns how many were newly marked
--   check | p_tenant text, p_from bigint, p_to bigint → setof finding | check_log | compares a stretch of the log with what is derived from it
--   check_rows | p_tenant text, p_after text, p_limit int → table (name, checked, wrong, sample, vital, last) | check_rows | compares a page of its rows with the log; `last` is where the next page begins, null after the last
--   clear | p_tenant text, p_seqs bigint[], p_dry boolean → jsonb | clear_events | deletes its data about events that are blanked or dropped; returns counts by table and the `bytes` freed
--   confirmed | p_tenant text → void | the confirmation of a restore | ends what a restore or an import suspended
--   edited | p_tenant text, p_edit edits → void | enact_edit | updates its rows for an edit that has just taken effect
--   expire | p_tenant text, p_job text, p_by bigint, p_dry boolean → jsonb | expire_marked | expires the marked rows, with the event p_by as the cause; returns counts
--   forget | p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int → table (last text, counts jsonb) | erase_step | deletes rows that are marked, and removes the subject's name from rows about other events
--   guard | p_tenant text, p_units jsonb, p_at timestamptz → setof judgement | commit_units, assert_guards | returns the units that the guards of their requests refuse; called before `judge`, for units that name the noun in `guards`
--   held | p_tenant text, p_seqs bigint[] → table (seq bigint, live boolean, importance numeric) | mark_expired | for each of these events that it has a row for: whether the row is current, and its importance
--   judge | p_tenant text, p_units jsonb, p_at timestamptz → setof judgement | commit_units | returns the units that it refuses or rewrites; called with the clock locked, before a seq is assigned; each unit sees the effects of earlier ones
--   kept | p_tenant text, p_job text, p_limit int → jsonb | list_shared | the rows that remain if shared acts are kept: their number, and p_limit ids
--   killed | p_tenant text, p_agents text[], p_at timestamptz → void | agents_apply | ends what these agents hold or have begun, in the transaction of their kill; null: all agents
--   killing | p_tenant text, p_agents text[] → void | agents_prepare | locks the rows that `killed` ends and that others lock before the clock; null: all agents
--   lapse | p_tenant text, p_job text, p_seqs bigint[] → void | mark_expired | marks the rows that expire when these events are blanked
--   mark | p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int → table (last text, counts jsonb) | erase_step | marks the rows and events that must go with marked events; `found` in counts: how many were newly marked
--   measure | p_tenant text, p_from bigint, p_to bigint → bigint | measure_log | bytes that it adds to a stretch of the log
--   missing | p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean → table (id text, gone boolean) | missing_ids | the p_ids, all with its prefix, that do not exist; `gone`: legitimately, because they predate the log or were erased
--   moment | p_tenant text, p_name text → table (seq bigint, at timestamptz) | find_moment | the seq and the time that a name stands for in `at`; no row if it has no such name
--   needs | p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit int → bigint | mark_needs | marks the events up to p_upto that its next rows need, in the order of seq; returns the last seq examined, null at the end
--   pin | p_tenant text → setof bigint | retain_pins | events that are exempt from every retention rule
--   prepare | p_tenant text, p_units jsonb, p_asked timestamptz → prepared[] | commit_units | work that needs no clock, done before it is locked
--   reached | p_tenant text, p_edit edits → setof bigint | events_of_edit | other events that an edit of one of its rows also applies to; refuses an edit of content that the row no longer has
--   rebuilt | p_tenant text, p_from bigint, p_to bigint → void | rebuild_chunks | restores what it knows about passages that were just rebuilt from the log
--   rename | p_tenant text, p_seq bigint, p_parts jsonb → void | rename_parts | writes what `words` read, with the names replaced
--   repair | p_tenant text, p_from bigint, p_to bigint → bigint | repair_log | rebuilds what `check` compares, where it can be derived; returns how many rows changed
--   repair_rows | p_tenant text, p_after text, p_limit int → table (changed bigint, last text) | repair_rows | the same for `check_rows`
--   revoke | p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int → table (last text, counts jsonb) | erase_step | ends the access of the subject before anything is looked for, or refuses the erasure
--   reworded | p_tenant text, p_seq bigint → void | rewrite_passages | drops what it derived from the text of the passages of an event, which an edit changed
--   rewritten | p_tenant text, p_from bigint, p_to bigint → setof bigint | rewritten_seqs | seqs whose passages come from the noun, not from the log
--   stay | p_tenant text, p_seqs bigint[] → setof bigint | mark_subject_events | the events of the subject that remain if shared acts are kept
--   stored | p_tenant text → bigint | read_log_state | bytes that it stores in addition to the log
--   stray | p_tenant text, p_first bigint, p_after text, p_limit int → table (last text, fault text) | find_stray | the fault of the first row in a page of imported rows that does not match the log, which begins at p_first; `last` is where the next page begins
--   tally | p_tenant text → jsonb | tally_rows | numbers of its rows by name, which a sweep adds up over all tenants for the metrics
--   trim | p_tenant text, p_job text, p_seqs bigint[], p_drop bigint[] → void | trim_step | deletes the rows that end with these events; of them, p_drop leave the log
--   used | p_tenant text, p_agents text[] → jsonb | agent_usage | what these agents have used: {"mandates", "spent_micros"}; null: all agents
--   words | p_event events → jsonb | nameable_parts | the data it has about an event that may contain a name
create or replace function hooks(p_hook text) returns setof text
language sql stable
begin atomic
  select n.noun from nouns n where to_regproc(format('public.%I', n.noun || '_' || p_hook)) is not null order by n.place;
end;

create or replace function list_tenants(p_after text, p_limit int) returns table (tenant_id text, state text)
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$ select t.tenant_id, t.state from public.tenants t where t.tenant_id > p_after order by t.tenant_id limit p_limit $$;
revoke execute on function list_tenants(text, int) from public;
grant execute on function list_tenants(text, int) to agent_memory_app;
alter function list_tenants(text, int) owner to agent_memory_overseer;

-- Returns the last seq of each followed tenant.
create or replace function read_clocks(p_tenants text[]) returns table (tenant_id text, last_seq bigint)
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$ select c.tenant_id, c.last_seq from public.tenant_clocks c where c.tenant_id = any (p_tenants) $$;
revoke execute on function read_clocks(text[]) from public;
grant execute on function read_clocks(text[]) to agent_memory_app;
alter function read_clocks(text[]) owner to agent_memory_overseer;

-- Adds a size to a running total if it fits. A unit that exceeds the rest of the quota is skipped and uses none of it.
create or replace function add_fitting(p_used bigint, p_bytes bigint, p_room bigint) returns bigint
language sql immutable parallel safe
as $$ select case when p_bytes is null or p_used + p_bytes > p_room then p_used else p_used + p_bytes end $$;

create or replace aggregate sum_fitting(bigint, bigint) (sfunc = add_fitting, stype = bigint, initcond = '0');

-- The group commit: judges and writes units of one tenant in order, in one transaction, and stores their outcomes
-- (docs/decisions/effects.md).
--
-- p_units: [{ "key": hex sha256 | null, "body": hex sha256 | null, "bytes": n, "guards": { "<noun>": {…} },
--   "events": [{…, "effects": { "<noun>": {…} } }] }]
-- An event has the columns of `events`. An effect is a change of one noun, in the noun's own form. A guard is a condition of the request that the
-- noun checks with its hook `guard`, regardless of what the request writes. Returns one row per unit, in order:
--   `new`       its events have the seqs from outcome.seq on; outcome.made has the results of its effects
--   `replay`    an earlier commit had this key and body
--   `conflict`  the key was used with a different body
--   `quota`     the unit exceeds the tenant's quota
--   `refused`   a noun refused it; outcome.refusal: { "code", "detail", "members": members of the problem, optional }
-- Only `new` units wrote anything. The clock is locked before any other row: locking idempotency rows first caused 51 deadlocks in 2.5 s,
-- locking them afterwards none.
create or replace function commit_units(p_tenant text, p_units jsonb) returns setof unit_outcome
language plpgsql
-- Also applies to the functions that it calls. With custom plans for each batch, a batch cost half a millisecond more.
set plan_cache_mode = force_generic_plan
as $$
declare
  v_asked timestamptz := clock_timestamp();
  -- time of the commit, read under the lock so that it increases with seq
  v_now timestamptz;
  v_nouns text[] := nouns_in(p_units);
  v_hook text;
  v_prepared prepared[];
  v_clock tenant_clocks;
  v_verdicts verdict[];
  v_effects effect[];
begin
  perform enter_tenant(p_tenant);
  v_prepared := prepare_effects(p_tenant, v_nouns, p_units, v_asked);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  if not found then
    raise exception 'the tenant does not exist' using errcode = 'AM404';
  end if;
  v_now := clock_timestamp();
  v_verdicts := judge_units(p_tenant, p_units, v_clock);
  foreach v_hook in array guards_in(p_units) || array(select n || '_judge' from unnest(v_nouns) with ordinality u (n, place) order by place) loop
    continue when to_regproc(v_hook) is null;
    select j.units, j.verdicts into p_units, v_verdicts from judge_with(p_tenant, v_hook, v_now, v_clock, p_units, v_verdicts) j;
  end loop;
  v_effects := write_units(p_tenant, v_nouns, p_units, v_verdicts, v_asked, v_now);
  return query
  select * from remember_units(p_tenant, v_verdicts, apply_effects(p_tenant, v_nouns, v_effects, v_prepared, v_now), v_now);
end $$;

create or replace function commit_unit(p_tenant text, p_unit jsonb) returns unit_outcome
language plpgsql
as $$
declare
  v_outcome unit_outcome;
begin
  select * into v_outcome from commit_units(p_tenant, jsonb_build_array(p_unit));
  return v_outcome;
end $$;

-- Returns the nouns whose effects these units have, in dependency order.
create or replace function nouns_in(p_units jsonb) returns text[]
language plpgsql stable
as $$
begin
  return array(
    select n.noun
    from nouns n
    where n.noun in (select jsonb_object_keys(e.effects) from jsonb_path_query(p_units, '$[*].events[*].effects') e (effects))
    order by n.place);
end $$;

-- Returns the names of the `guard` hooks for these units. A guard without a hook is a bug, and refuses the batch.
create or replace function guards_in(p_units jsonb) returns text[]
language plpgsql stable
as $$
declare
  v_hooks text[];
begin
  if not p_units @? '$[*].guards' then
    return '{}';
  end if;
  v_hooks := array(select distinct k.noun || '_guard' from jsonb_path_query(p_units, '$[*].guards') g (doc) cross join lateral jsonb_object_keys(g.doc) k (noun) order by 1);
  if exists (select from unnest(v_hooks) h where to_regproc(h) is null) then
    raise exception 'unknown guard among %', v_hooks;
  end if;
  return v_hooks;
end $$;

-- Raises the refusal of the guards of a request. p_key: hash in hex of its Idempotency-Key; a retry of a stored outcome passes.
create or replace function refuse_by_guards(p_tenant text, p_guards jsonb, p_key text) returns void
language plpgsql
as $$
declare
  v_units jsonb := jsonb_build_array(jsonb_build_object('guards', p_guards, 'events', '[]'::jsonb));
  v_hook text;
  v_refusal jsonb;
begin
  if exists (select from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = decode(p_key, 'hex')) then
    return;
  end if;
  foreach v_hook in array guards_in(v_units) loop
    execute format('select j.refusal from %I($1, $2, $3) j', v_hook) into v_refusal using p_tenant, v_units, clock_timestamp();
    if v_refusal is not null then
      raise exception '%', v_refusal ->> 'detail' using errcode = v_refusal ->> 'code', detail = coalesce(v_refusal -> 'members', '{}')::text;
    end if;
  end loop;
end $$;

-- Checks the guards of a request before it is served.
create or replace function check_guards(p_tenant text, p_guards jsonb, p_key text) returns void
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  perform refuse_by_guards(p_tenant, p_guards, p_key);
end $$;

-- Checks the guards of a request before its transaction writes. Returns whether its outcome is stored, in which case it passes. Waits for an equal request
-- that runs, and blocks later ones until the transaction ends, so that the answer stays true.
create or replace function check_guards_once(p_tenant text, p_guards jsonb, p_key text) returns boolean
language plpgsql
as $$
begin
  perform pg_advisory_xact_lock(hashtext(p_tenant), hashtext(p_key));
  perform refuse_by_guards(p_tenant, p_guards, p_key);
  return exists (select from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = decode(p_key, 'hex'));
end $$;

-- Checks the guards of a request in a transaction without commit_units. Locks the clock, so that whatever the guards check changes before or after the
-- whole transaction. Sent with the commit, because appends wait for the clock.
create or replace function assert_guards(p_tenant text, p_guards jsonb, p_key text) returns void
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  perform refuse_by_guards(p_tenant, p_guards, p_key);
end $$;

-- Calls the `prepare` hooks. This work needs no clock and is done before it is locked, so as not to delay the tenant's other batches.
create or replace function prepare_effects(p_tenant text, p_nouns text[], p_units jsonb, p_asked timestamptz) returns prepared[]
language plpgsql
as $$
declare
  v_noun text;
  v_own prepared[];
  v_all prepared[];
begin
  foreach v_noun in array p_nouns loop
    continue when to_regproc(v_noun || '_prepare') is null;
    execute format('select %I($1, $2, $3)', v_noun || '_prepare') into v_own using p_tenant, p_units, p_asked;
    v_all := v_all || v_own;
  end loop;
  return v_all;
end $$;

-- Determines the status of each unit by its key and the remaining quota. An `echo` has the key and the body of an earlier unit of the batch,
-- its leader, and gets the leader's outcome.
create or replace function judge_units(p_tenant text, p_units jsonb, p_clock tenant_clocks) returns verdict[]
language plpgsql
as $$
declare
  v_room bigint := coalesce(p_clock.max_bytes - p_clock.stored_bytes, 1::bigint << 60);
begin
  return array(
    -- materialized, because `decode` is not leakproof: under row-level security, a key decoded in place would not use the index
    with unit as materialized (
      select
        u.ord as unit, decode(u.doc ->> 'key', 'hex') as key_hash, decode(u.doc ->> 'body', 'hex') as body_hash,
        (u.doc ->> 'bytes')::bigint as bytes, jsonb_array_length(u.doc -> 'events') as count
      from jsonb_array_elements(p_units) with ordinality u (doc, ord)
    ),
    ranked as (
      select
        u.*, k.body_hash as known_body, k.outcome, k.created_at,
        case when u.key_hash is null then u.unit else first_value(u.unit) over same end as leader,
        first_value(u.body_hash) over same as leader_body
      from unit u
      -- `limit` forces an index lookup per key: a plan made for a small table read all keys of the tenant for each batch
      left join lateral (
        select i.body_hash, i.outcome, i.created_at
        from idempotency_keys i
        where i.tenant_id = p_tenant and i.key_hash = u.key_hash
        limit 1
      ) k on true
      window same as (partition by u.key_hash order by u.unit)
    ),
    sized as (
      select *, sum_fitting(case when outcome is null and leader = unit then bytes end, v_room) over (order by unit) as used
      from ranked
    ),
    classified as (
      select *,
        case
          when outcome is not null then case when known_body = body_hash then 'replay' else 'conflict' end
          when leader <> unit then case when leader_body = body_hash then 'echo' else 'conflict' end
          when used - lag(used, 1, 0::bigint) over (order by unit) = bytes then 'new'
          else 'quota'
        end as status
      from sized
    )
    select row(
      unit, status, key_hash, body_hash, bytes, count, leader,
      p_clock.last_seq + 1 + sum(case when status = 'new' then count else 0 end) over (order by unit) - count,
      outcome, created_at)::verdict
    from classified
    order by unit);
end $$;

-- Calls a hook `guard` or `judge`, which may refuse or rewrite new units. Its input is the batch as previous hooks left it, with null for units
-- that are not written.
create or replace function judge_with(
  p_tenant text, p_hook text, p_at timestamptz, p_clock tenant_clocks, inout units jsonb, inout verdicts verdict[])
language plpgsql
as $$
declare
  v_view jsonb := units;
  v_judged judgement;
  v_count int;
  v_moved boolean := false;
  v_docs jsonb[];
begin
  if exists (select from unnest(verdicts) v where v.status <> 'new') then
    v_view := (select jsonb_agg(case when v.status = 'new' then units -> (v.unit - 1) else 'null' end order by v.unit) from unnest(verdicts) v);
  end if;
  for v_judged in execute format('select * from %I($1, $2, $3)', p_hook) using p_tenant, v_view, p_at loop
    if v_judged.refusal is not null then
      verdicts[v_judged.unit].status := 'refused';
      verdicts[v_judged.unit].outcome := jsonb_build_object('seq', 0, 'count', 0, 'refusal', v_judged.refusal);
      v_moved := true;
    else
      v_docs := coalesce(v_docs, array(select jsonb_array_elements(units)));
      v_docs[v_judged.unit] := v_judged.doc;
      verdicts[v_judged.unit].bytes := (v_judged.doc ->> 'bytes')::bigint;
      v_count := jsonb_array_length(v_judged.doc -> 'events');
      v_moved := v_moved or v_count <> verdicts[v_judged.unit].count;
      verdicts[v_judged.unit].count := v_count;
    end if;
  end loop;
  -- all changes at once, because each update copies the whole batch
  if v_docs is not null then
    units := to_jsonb(v_docs);
  end if;
  if v_moved then
    verdicts := assign_seqs(verdicts, p_clock);
  end if;
end $$;

-- Assigns the seqs again, without the refused units and with the events that a rewritten unit gained.
create or replace function assign_seqs(p_verdicts verdict[], p_clock tenant_clocks) returns verdict[]
language plpgsql stable
as $$
begin
  return array(
    select row(
      v.unit, v.status, v.key_hash, v.body_hash, v.bytes, v.count, v.leader,
      p_clock.last_seq + 1 + sum(case when v.status = 'new' then v.count else 0 end) over (order by v.unit) - v.count,
      v.outcome, v.at)::verdict
    from unnest(p_verdicts) v
    order by v.unit);
end $$;

-- Writes the events and keys of the new units and advances the clock. Returns the effects to apply. Raises an error for the effect of an
-- unknown noun, which is a bug.
create or replace function write_units(
  p_tenant text, p_nouns text[], p_units jsonb, p_verdicts verdict[], p_asked timestamptz, p_at timestamptz)
returns effect[]
language plpgsql
as $$
declare
  v_effects effect[];
  v_unknown text;
begin
  with event as materialized (
    select v.unit, e.ord as place, v.seq + e.ord - 1 as seq, e.doc -> 'effects' as effects, r.*
    from unnest(p_verdicts) v
    cross join lateral jsonb_array_elements(p_units -> (v.unit - 1) -> 'events') with ordinality e (doc, ord)
    cross join lateral jsonb_to_record(e.doc) r (
      event_id text, session_id text, channel text, actor_type text, actor_id text, kind text, content jsonb,
      user_id text, agent_id text, project_id text, sensitivity text, tags text[], refs text[], metadata jsonb,
      artifact_id text, redactions int, chunk_count smallint, occurred_at timestamptz)
    where v.status = 'new'
  ),
  written as (
    insert into events (
      tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, agent_id, project_id,
      sensitivity, tags, refs, metadata, artifact_id, redactions, chunk_count, byte_count, occurred_at, created_at)
    select
      p_tenant, e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id,
      e.project_id, e.sensitivity, e.tags, e.refs, e.metadata, e.artifact_id, e.redactions, coalesce(e.chunk_count, 0),
      pg_column_size(e.content) + pg_column_size(e.metadata), coalesce(e.occurred_at, p_asked), p_at
    from event e
  ),
  ticked as (
    update tenant_clocks c
    set last_seq = c.last_seq + s.count, event_count = c.event_count + s.count, stored_bytes = c.stored_bytes + s.bytes
    from (select sum(v.count) as count, sum(v.bytes) as bytes from unnest(p_verdicts) v where v.status = 'new') s
    where c.tenant_id = p_tenant and s.count > 0
  ),
  remembered as (
    insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
    select p_tenant, v.key_hash, v.body_hash, jsonb_build_object('seq', v.seq, 'count', v.count), p_at
    from unnest(p_verdicts) v
    where v.status = 'new' and v.key_hash is not null
  )
  select array_agg(row(
    n.noun, e.unit, e.place, e.seq, e.event_id, e.kind, e.actor_type, e.actor_id, e.session_id, e.channel, e.sensitivity, e.user_id,
    e.agent_id, e.project_id, e.tags, coalesce(e.occurred_at, p_asked), n.doc)::effect order by e.seq),
    min(n.noun) filter (where n.noun <> all (p_nouns))
  into v_effects, v_unknown
  from event e cross join lateral jsonb_each(e.effects) n (noun, doc);
  if v_unknown is not null then
    raise exception 'unknown noun % in an effect', v_unknown;
  end if;
  return v_effects;
end $$;

-- Calls the `apply` hooks, with which the nouns change their own tables. Returns their results.
create or replace function apply_effects(p_tenant text, p_nouns text[], p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
as $$
declare
  v_noun text;
  v_effects effect[] := p_effects;
  v_prepared prepared[] := p_prepared;
  v_own answer[];
  v_all answer[];
begin
  foreach v_noun in array p_nouns loop
    if cardinality(p_nouns) > 1 then
      v_effects := array(select e from unnest(p_effects) e where e.noun = v_noun);
      v_prepared := array(select p from unnest(p_prepared) p where p.noun = v_noun);
    end if;
    -- empty if all units of the noun are retries or refused
    continue when coalesce(cardinality(v_effects), 0) = 0;
    execute format('select %I($1, $2, $3, $4)', v_noun || '_apply') into v_own using p_tenant, v_effects, v_prepared, p_at;
    v_all := v_all || v_own;
  end loop;
  return v_all;
end $$;

-- Groups the results of effects by unit, with events numbered from 0: { "<unit>": { "made": { "<noun>/<event>": … } } }.
create or replace function results_by_unit(p_answers answer[]) returns jsonb
language plpgsql immutable
as $$
begin
  return (
    select coalesce(jsonb_object_agg(u.unit, u.result), '{}')
    from (
      select a.unit, jsonb_build_object('made', jsonb_object_agg(a.noun || '/' || a.event - 1, a.doc)) as result from unnest(p_answers) a group by a.unit
    ) u);
end $$;

-- Returns the outcomes of the units in order. Stores the results that a retry could not derive again with their keys.
create or replace function remember_units(p_tenant text, p_verdicts verdict[], p_answers answer[], p_at timestamptz) returns setof unit_outcome
language plpgsql
as $$
declare
  v_results jsonb := '{}';
  v_kept jsonb := '{}';
begin
  if p_answers is not null then
    v_results := results_by_unit(p_answers);
  end if;
  if exists (select from unnest(p_answers) a where a.kept) then
    v_kept := results_by_unit(array(select a from unnest(p_answers) a where a.kept));
    update idempotency_keys k set outcome = k.outcome || (v_kept -> v.unit::text)
    from unnest(p_verdicts) v
    where v_kept ? v.unit::text and k.tenant_id = p_tenant and k.key_hash = v.key_hash;
  end if;
  return query
  select
    case when v.status <> 'echo' then v.status when lead.status = 'new' then 'replay' else lead.status end,
    coalesce(
      lead.outcome,
      jsonb_build_object('seq', lead.seq, 'count', lead.count) || coalesce(case when v.status = 'new' then v_results else v_kept end -> lead.unit::text, '{}')),
    coalesce(lead.at, p_at)
  from unnest(p_verdicts) v
  cross join lateral (select (p_verdicts[v.leader]).*) lead
  order by v.unit;
end $$;

-- Appends an event of the service itself, regardless of the quota. Locks the clock.
create or replace function append_service_event(p_tenant text, p_event jsonb) returns bigint
language plpgsql
as $$
declare
  v_max bigint;
  v_seq bigint;
begin
  select c.max_bytes into v_max from tenant_clocks c where c.tenant_id = p_tenant for update;
  update tenant_clocks c set max_bytes = null where c.tenant_id = p_tenant;
  v_seq := (commit_unit(p_tenant, jsonb_build_object(
    'key', null, 'body', null, 'bytes', octet_length(p_event::text), 'events', jsonb_build_array(p_event)))).outcome ->> 'seq';
  update tenant_clocks c set max_bytes = v_max where c.tenant_id = p_tenant;
  return v_seq;
end $$;

-- Deletes rows of the bound tenant for at most p_ms. Returns true if rows are left. Deletes the clock first, so that nothing can be written
-- any more. Tables with external values (artifacts) have smaller batches, or one batch would delete gigabytes.
create or replace function erase_rows(p_ms int) returns boolean
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_end timestamptz := clock_timestamp() + interval '1 millisecond' * p_ms;
  v_tenant text := current_tenant();
  v_table record;
  v_count bigint;
begin
  for v_table in
    select
      c.oid::regclass as name,
      case when exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attstorage = 'e') then 4 else 500 end as batch
    from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid
    where p.polname = 'eraser_deletes' and c.relname <> 'tenants'
    order by c.relname <> 'tenant_clocks', c.relname
  loop
    loop
      if clock_timestamp() > v_end then
        return true;
      end if;
      execute format('delete from %s where ctid = any (array(select ctid from %1$s where tenant_id = $1 limit $2))', v_table.name)
      using v_tenant, v_table.batch;
      get diagnostics v_count = row_count;
      exit when v_count < v_table.batch;
    end loop;
  end loop;
  return false;
end $$;
revoke execute on function erase_rows(int) from public;
grant execute on function erase_rows(int) to agent_memory_app;
alter function erase_rows(int) owner to agent_memory_eraser;

create or replace function erase_tenant_row(p_after_s int) returns boolean
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
  with gone as (
    delete from public.tenants
    where tenant_id = current_tenant() and state = 'deleting' and deleting_since < now() - interval '1 second' * p_after_s
    returning 1)
  select exists (select from gone)
$$;
revoke execute on function erase_tenant_row(int) from public;
grant execute on function erase_tenant_row(int) to agent_memory_app;
alter function erase_tenant_row(int) owner to agent_memory_eraser;

-- Deletes one batch of a tenant. Returns 'more', 'empty' (the name is still reserved) or 'gone'. Can be interrupted and resumed at any point.
create or replace function erase_tenant(p_tenant text, p_ms int, p_keep_name_s int) returns text
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  if not exists (select from tenants t where t.tenant_id = p_tenant) then
    return 'gone';
  elsif erase_rows(p_ms) then
    return 'more';
  end if;
  return case when erase_tenant_row(p_keep_name_s) then 'gone' else 'empty' end;
end $$;

-- Parses a timestamp from JSON in the log. Returns null if it is invalid, because the database does not validate JSON.
create or replace function time_of(p_text text) returns timestamptz
language plpgsql stable strict
as $$
begin
  return p_text::timestamptz;
exception when data_exception then
  return null;
end $$;

-- Formats a time as text that sorts chronologically, to the microsecond. Returns null for infinity.
create or replace function sortable_time(p_at timestamptz) returns text
language sql stable parallel safe
return to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- Formats a time as the API does (src/time.ts): with three fractional digits, or six if it has microseconds.
create or replace function canonical_time(p_at timestamptz) returns text
language sql stable parallel safe
return to_char(p_at at time zone 'UTC', case when date_trunc('milliseconds', p_at) = p_at
  then 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"' else 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' end);

-- Returns a member of a content if it has this type, otherwise null.
create or replace function member_of(p_content jsonb, p_name text, p_type text) returns jsonb
language sql immutable parallel safe
return case when jsonb_typeof(p_content -> p_name) = p_type then p_content -> p_name end;

create or replace function object_of(p_content jsonb) returns jsonb
language sql immutable parallel safe
return case when jsonb_typeof(p_content) = 'object' then p_content else '{}' end;

create or replace function add_counts(p_counts jsonb, p_more jsonb) returns jsonb
language sql immutable
return (
  select coalesce(jsonb_object_agg(k, coalesce((p_counts ->> k)::bigint, 0) + coalesce((p_more ->> k)::bigint, 0)), '{}')
  from (select jsonb_object_keys(p_counts) union select jsonb_object_keys(p_more)) keys (k));

-- Adds up the `tally` hooks.
create or replace function tally_rows(p_tenant text) returns jsonb
language plpgsql
as $$
declare
  v_noun text;
  v_tallies jsonb := '{}';
  v_more jsonb;
begin
  perform enter_tenant(p_tenant);
  for v_noun in select * from hooks('tally') loop
    execute format('select %I($1)', v_noun || '_tally') into v_more using p_tenant;
    v_tallies := add_counts(v_tallies, v_more);
  end loop;
  return v_tallies;
end $$;

-- Identifies the cluster and the database; only the database on a server that restricts pg_control_system().
create or replace function database_identity() returns text
language plpgsql stable
as $$
declare
  v_database oid := (select d.oid from pg_database d where d.datname = current_database());
begin
  return format('%s/%s', (select c.system_identifier from pg_control_system() c), v_database);
exception when insufficient_privilege then
  return format('-/%s', v_database);
end $$;

create or replace function restore_marker() returns text
language sql stable
return coalesce(current_setting('agent_memory.restored', true), '');

create or replace function has_original_xmin(p_xmin xid, p_written text) returns boolean
language sql immutable
return p_xmin::text = mod(p_written::numeric, 4294967296)::text;

-- Returns true if the row of `installation` was written in this database and not brought by a restore.
create or replace function is_same_database() returns boolean
language sql stable
begin atomic
  select i.place = database_identity() and i.restored = restore_marker() and has_original_xmin(i.xmin, i.written) from installation i;
end;

-- Returns true if daemons may serve this database. A database that was never served is confirmed implicitly.
create or replace function is_confirmed() returns boolean
language plpgsql
as $$
begin
  if not exists (select from installation) then
    insert into installation (place, restored) values (database_identity(), restore_marker()) on conflict do nothing;
  end if;
  return is_same_database();
end $$;

-- After a restore: the erasures were replayed, or there are none.
create or replace function confirm_restore() returns void
language sql
begin atomic
  insert into installation (place, restored) values (database_identity(), restore_marker())
  on conflict (only_row) do update
  set place = excluded.place, restored = excluded.restored, written = excluded.written, confirmed_at = clock_timestamp();
end;

-- Returns the time before which everything made came back with a restore that no admin of the tenant has confirmed: leases from before it are void.
-- Null if there was no restore since the last confirmation.
create or replace function void_before(p_tenant text) returns timestamptz
language sql stable
begin atomic
  select i.confirmed_at
  from installation i
  left join tenants t on t.tenant_id = p_tenant
  where t.restore_confirmed_at is null or t.restore_confirmed_at < i.confirmed_at;
end;

-- An admin confirms that what came back with the last restore may be used again.
create or replace function confirm_tenant_restore(p_tenant text) returns void
language sql
begin atomic
  update tenants t set restore_confirmed_at = clock_timestamp() where t.tenant_id = p_tenant;
end;

-- Requires a confirmation. scripts/restore.sh calls it, because dumps of older releases do not identify their database.
create or replace function await_replay() returns void
language sql
begin atomic
  insert into installation (place) values ('restored') on conflict (only_row) do update set place = excluded.place;
end;

-- Returns true if something was erased or trimmed. Then dangling ids and missing versions are legitimate.
create or replace function has_forgotten(p_tenant text) returns boolean
language sql stable
begin atomic
  select not exists (select from events e where e.tenant_id = p_tenant and e.seq = 1 and e.carried_at is null)
    or exists (select from events e where e.tenant_id = p_tenant and e.kind in ('erasure.completed', 'retention.forgot'));
end;

-- Returns true if a time can be expressed in responses.
create or replace function is_readable_time(p_at timestamptz) returns boolean
language sql immutable parallel safe
return p_at >= '0001-01-01 00:00:00+00' and p_at <= '9999-12-31 23:59:59.999999+00';

-- Returns Unix time in ms, with microseconds as the fraction; null if it cannot be expressed.
create or replace function epoch_ms(p_at timestamptz) returns numeric
language sql immutable parallel safe
return case when is_readable_time(p_at) then extract(epoch from p_at) * 1000 end;

-- Returns the last seq recorded before p_at. Times increase with seq.
create or replace function seq_before(p_tenant text, p_at timestamptz) returns bigint
language plpgsql stable
as $$
declare
  v_low bigint;
  v_high bigint;
  v_middle bigint;
begin
  select c.oldest_seq - 1, c.last_seq into v_low, v_high from tenant_clocks c where c.tenant_id = p_tenant;
  while v_low < v_high loop
    v_middle := (v_low + v_high + 1) / 2;
    if (select e.created_at < p_at from events e where e.tenant_id = p_tenant and e.seq = v_middle) then
      v_low := v_middle;
    else
      v_high := v_middle - 1;
    end if;
  end loop;
  return v_low;
end $$;

-- Returns the first seq of the log. During an import the clock does not have it yet.
create or replace function log_begin(p_tenant text) returns bigint
language sql stable
begin atomic
  select case when c.importing is null then c.oldest_seq else (
    select e.seq from events e where e.tenant_id = p_tenant and e.carried_at is null order by e.seq limit 1) end
  from tenant_clocks c
  where c.tenant_id = p_tenant;
end;

-- Sets the import in progress; null if there is none.
create or replace function mark_import(p_tenant text, p_import text) returns void
language sql
begin atomic
  update tenant_clocks c set importing = p_import where c.tenant_id = p_tenant;
end;

create or replace function configure_tenant(p_tenant text, p_language regconfig, p_settings jsonb) returns void
language sql
begin atomic
  update tenants t set language = p_language, settings = p_settings, version = t.version + 1 where t.tenant_id = p_tenant;
end;

-- Sets the clock to recomputed values.
create or replace function set_clock(p_tenant text, p_last_seq bigint, p_oldest_seq bigint, p_event_count bigint, p_stored_bytes bigint) returns void
language sql
begin atomic
  update tenant_clocks c
  set last_seq = p_last_seq, oldest_seq = p_oldest_seq, event_count = p_event_count, stored_bytes = p_stored_bytes
  where c.tenant_id = p_tenant;
end;

create or replace function append_sample(p_sample jsonb, p_one jsonb) returns jsonb
language sql immutable parallel safe
return case when jsonb_array_length(p_sample) < 5 then p_sample || jsonb_build_array(p_one) else p_sample end;

-- Collects the first five problems for a finding.
create or replace aggregate sample_of(jsonb) (sfunc = append_sample, stype = jsonb, initcond = '[]');

-- The log is append-only for the serving role. Another role blanks, renames, carries and drops events (migrations/0011_erasure.sql).

create or replace function carry_events(p_seqs bigint[]) returns void
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
  update public.events e set carried_at = clock_timestamp()
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs) and e.carried_at is null
$$;
revoke execute on function carry_events(bigint[]) from public;
grant execute on function carry_events(bigint[]) to agent_memory_app;
alter function carry_events(bigint[]) owner to agent_memory_blanker;

-- Blanks events, which keep their seq, kind and times. Names that contain p_subject become p_name; null: no name changes. The session id is
-- also replaced if the event is about that user or was said by them, because clients put anything into it.
create or replace function blank_events(p_seqs bigint[], p_content jsonb, p_subject text, p_name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count bigint;
begin
  update public.events e
  set content = p_content, metadata = '{}', tags = '{}', refs = '{}', artifact_id = null, chunk_count = 0,
    byte_count = pg_column_size(p_content), erased_at = coalesce(e.erased_at, clock_timestamp()),
    session_id = case
      when strpos(e.session_id, p_subject) > 0 or e.user_id = p_subject or (e.actor_type = 'human' and e.actor_id = p_subject) then p_name
      else e.session_id end,
    user_id = case when strpos(e.user_id, p_subject) > 0 then p_name else e.user_id end,
    agent_id = case when strpos(e.agent_id, p_subject) > 0 then p_name else e.agent_id end,
    project_id = case when strpos(e.project_id, p_subject) > 0 then p_name else e.project_id end,
    actor_id = case when strpos(e.actor_id, p_subject) > 0 or e.actor_id ~ '^usr_' then coalesce(p_name, e.actor_id) else e.actor_id end
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  if v_count <> cardinality(p_seqs) then
    raise exception '% of % events could be blanked', v_count, cardinality(p_seqs);
  end if;
  return v_count;
end $$;
revoke execute on function blank_events(bigint[], jsonb, text, text) from public;
grant execute on function blank_events(bigint[], jsonb, text, text) to agent_memory_app;
alter function blank_events(bigint[], jsonb, text, text) owner to agent_memory_blanker;

-- Replaces a cited name in the events of other people; nothing else in them changes.
create or replace function rename_refs(p_seqs bigint[], p_subject text, p_name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count bigint;
begin
  update public.events e set refs = array_replace(e.refs, p_subject, p_name)
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  return v_count;
end $$;
revoke execute on function rename_refs(bigint[], text, text) from public;
grant execute on function rename_refs(bigint[], text, text) to agent_memory_app;
alter function rename_refs(bigint[], text, text) owner to agent_memory_blanker;

create or replace function drop_events(p_seqs bigint[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count bigint;
begin
  delete from public.events e where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  return v_count;
end $$;
revoke execute on function drop_events(bigint[]) from public;
grant execute on function drop_events(bigint[]) to agent_memory_app;
alter function drop_events(bigint[]) owner to agent_memory_blanker;

create or replace function rename_event(p_seq bigint, p_parts jsonb) returns void
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
  update public.events e
  set session_id = f.session_id, user_id = f.user_id, agent_id = f.agent_id, project_id = f.project_id, actor_id = f.actor_id,
    tags = f.tags, refs = f.refs, content = p_parts -> 'content', metadata = p_parts -> 'metadata',
    byte_count = pg_column_size(p_parts -> 'content') + pg_column_size(p_parts -> 'metadata')
  from jsonb_to_record(p_parts -> 'fields') as f (
    session_id text, user_id text, agent_id text, project_id text, actor_id text, tags text[], refs text[])
  where e.tenant_id = (select public.current_tenant()) and e.seq = p_seq and e.erased_at is null
$$;
revoke execute on function rename_event(bigint, jsonb) from public;
grant execute on function rename_event(bigint, jsonb) to agent_memory_app;
alter function rename_event(bigint, jsonb) owner to agent_memory_blanker;

-- Reduces the counters by the bytes that left the log. After a trim: also by the number of events, and up to which seq they were.
create or replace function shrink_log(p_tenant text, p_bytes bigint, p_events bigint default 0, p_upto bigint default 0) returns void
language sql
begin atomic
  update tenant_clocks c
  set oldest_seq = greatest(c.oldest_seq, p_upto + 1), event_count = c.event_count - p_events, stored_bytes = greatest(0, c.stored_bytes - p_bytes)
  where c.tenant_id = p_tenant;
end;

-- Sets the end of a trim that is about to drop events; that of an earlier one that was interrupted stays if it is later.
create or replace function begin_trim(p_tenant text, p_to bigint) returns void
language sql
begin atomic
  update tenant_clocks c set trimming_to = greatest(c.trimming_to, p_to) where c.tenant_id = p_tenant and coalesce(c.trimming_to < p_to, true);
end;

create or replace function end_trim(p_tenant text, p_to bigint) returns void
language sql
begin atomic
  update tenant_clocks c set trimming_to = null where c.tenant_id = p_tenant and c.trimming_to <= p_to;
end;

-- Estimates the bytes that these events add to storage: text, other fields, and data that nouns derive from them.
create or replace function measure_log(p_tenant text, p_from bigint, p_to bigint) returns bigint
language plpgsql stable
as $$
declare
  v_noun text;
  v_bytes bigint := coalesce((
    select sum(octet_length(e.content::text) + octet_length(e.metadata::text) + 400)
    from events e where e.tenant_id = p_tenant and e.seq between p_from and p_to), 0);
  v_more bigint;
begin
  for v_noun in select * from hooks('measure') loop
    execute format('select %I($1, $2, $3)', v_noun || '_measure') into v_more using p_tenant, p_from, p_to;
    v_bytes := v_bytes + v_more;
  end loop;
  return v_bytes;
end $$;

-- A job that forgets marks the rows it has found: ids of a kind (`what`), with the seq for events.

-- Marks events up to p_upto. Returns the seqs that were not already marked.
create or replace function mark_seqs(p_tenant text, p_job text, p_what text, p_seqs bigint[], p_upto bigint default null) returns bigint[]
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_new bigint[];
begin
  with made as (
    insert into erasure_marks (tenant_id, job_id, what, id, seq)
    select p_tenant, p_job, p_what, e.event_id, s.seq
    from unnest(p_seqs) s (seq)
    -- `offset 0` forces an index lookup per seq: a plan without statistics read all events of the tenant for each batch
    cross join lateral (select x.event_id from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e
    where p_upto is null or s.seq <= p_upto
    on conflict do nothing
    returning seq
  )
  select coalesce(array_agg(m.seq), '{}') into v_new from made m;
  return v_new;
end $$;

-- Marks ids of other rows. Returns how many were not already marked.
create or replace function mark_ids(p_tenant text, p_job text, p_what text, p_ids text[]) returns bigint
language plpgsql
as $$
declare
  v_new bigint;
begin
  insert into erasure_marks (tenant_id, job_id, what, id)
  select p_tenant, p_job, p_what, i.id from unnest(p_ids) i (id)
  on conflict do nothing;
  get diagnostics v_new = row_count;
  return v_new;
end $$;

-- Removes the marks of ids after p_after and up to p_last.
create or replace function unmark_ids(p_tenant text, p_job text, p_what text, p_after text, p_last text) returns void
language sql
begin atomic
  delete from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = p_what and k.id > p_after and k.id <= p_last;
end;

create or replace function is_event_marked(p_tenant text, p_job text, p_seq bigint) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return exists (
    select
    from events e join erasure_marks k on k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id = e.event_id
    where e.tenant_id = p_tenant and e.seq = p_seq);
end $$;

create or replace function drop_marks(p_tenant text, p_job text, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  perform enter_tenant(p_tenant);
  delete from erasure_marks k where k.ctid = any (array(
    select m.ctid from erasure_marks m where m.tenant_id = p_tenant and m.job_id = p_job limit p_limit));
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- Deletes the stored outcomes of idempotent requests together with the events that they refer to.
create or replace function idempotency_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_marked bytea[];
begin
  select max(encode(k.key_hash, 'hex')), coalesce(array_agg(k.key_hash) filter (where exists (
    select from events e join erasure_marks m on m.tenant_id = p_tenant and m.job_id = p_job and m.what = 'event' and m.id = e.event_id
    where e.tenant_id = p_tenant and e.seq >= (k.outcome ->> 'seq')::bigint
      and e.seq < (k.outcome ->> 'seq')::bigint + (k.outcome ->> 'count')::bigint)), '{}')
  into last, v_marked
  from (
    select i.key_hash, i.outcome from idempotency_keys i
    where i.tenant_id = p_tenant and i.key_hash > decode(p_after, 'hex') order by i.key_hash limit p_limit) k;
  if not p_erasure ? 'dry_run' then
    delete from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = any (v_marked);
  end if;
  counts := jsonb_build_object('idempotency_keys', cardinality(v_marked));
  return next;
end $$;

-- Creates a tenant. Returns false if the name is taken, also by a concurrent call.
create or replace function make_tenant(p_tenant text, p_max_bytes bigint) returns boolean
language plpgsql
as $$
begin
  insert into tenants (tenant_id) values (p_tenant) on conflict do nothing;
  if not found then
    return false;
  end if;
  insert into tenant_clocks (tenant_id, max_bytes) values (p_tenant, p_max_bytes);
  return true;
end $$;

-- Returns the stored outcome of a request that is not a unit of the log; null if this is its first time. p_key, p_body: hashes in hex.
create or replace function recall_key(p_tenant text, p_key text, p_body text) returns jsonb
language plpgsql
as $$
declare
  v_known idempotency_keys;
begin
  select * into v_known from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = decode(p_key, 'hex');
  if v_known.body_hash <> decode(p_body, 'hex') then
    raise exception 'this Idempotency-Key was used with a different body' using errcode = 'AM409';
  end if;
  return v_known.outcome;
end $$;

create or replace function remember_key(p_tenant text, p_key text, p_body text, p_outcome jsonb) returns void
language sql
begin atomic
  insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
  values (p_tenant, decode(p_key, 'hex'), decode(p_body, 'hex'), p_outcome, clock_timestamp());
end;
