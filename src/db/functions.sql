-- The tenant's clock, the group commit of its log, and the removal of a whole tenant, and the registry of nouns.

-- Nouns that have a function `<noun>_<hook>`, each after those it depends on. Callers loop over them:
--   for v_noun in select * from hooks('forget') loop execute format('select * from %I($1)', v_noun || '_forget') using …
-- A hook has one signature, whichever noun it belongs to. Whoever introduces a hook adds its line here and in docs/decisions/nouns.md:
--
--   hook | arguments and result | called by | what it does
--   check | p_tenant text, p_from bigint, p_to bigint → setof finding | check_log | compares a stretch of the log with what is derived from it
--   check_rows | p_tenant text, p_after text, p_limit int → table (name, checked, wrong, sample, vital, last) | check_rows | compares a page of its rows with the log; `last` is where the next page begins, null after the last
--   edited | p_tenant text, p_edit edits → void | enact_edit | follows an edit that holds from now on in its rows
--   missing | p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean → table (id text, gone boolean) | missing_ids | those of p_ids, all of its prefix, that name nothing; `gone`: by right, as they are older than the log or something was forgotten
--   reached | p_tenant text, p_edit edits → setof bigint | reach_of | events beside its own that an edit of one of its rows holds for; refuses an edit of what the row no longer says
--   repair | p_tenant text, p_from bigint, p_to bigint → bigint | repair_log | makes again what `check` compares, where it can be derived; how many rows changed
--   repair_rows | p_tenant text, p_after text, p_limit int → table (changed bigint, last text) | repair_rows | the same for `check_rows`
--   rewritten | p_tenant text, p_from bigint, p_to bigint → setof bigint | rewritten_seqs | seqs whose passages are made by the noun, not from the log
--   stored | p_tenant text → bigint | read_standing | bytes that it keeps beside the log
--   stray | p_tenant text, p_first bigint, p_after text, p_limit int → table (last text, fault text) | find_stray | of a page of imported rows what is wrong with the first that does not fit the log, which begins at p_first; `last` is where the next page begins
--   revoke | p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int → table (last text, counts jsonb) | erase_step | ends the access of the subject before anything is looked for, or refuses the erasure
--   stay | p_tenant text, p_seqs bigint[] → setof bigint | find_events | of events of the subject those that stay where shared acts are kept
--   mark | p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int → table (last text, counts jsonb) | erase_step | marks the rows, and events, that go along with marked events; `found` in counts: so many that were not marked before
--   clear | p_tenant text, p_seqs bigint[], p_dry boolean → jsonb | clear_events | removes what it has about events that lose their content, or go; counts by table, and the `bytes` that went
--   forget | p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int → table (last text, counts jsonb) | erase_step | removes the rows that are marked, or name the subject whatever event they are about
--   kept | p_tenant text, p_job text, p_limit int → jsonb | list_shared | the rows that stay where shared acts are kept: how many, and p_limit ids
--   words | p_event events → jsonb | named_parts | what it has of an event and can hold a name
--   rename | p_tenant text, p_seq bigint, p_parts jsonb → void | rename_parts | writes what `words` read, with the names replaced
--   measure | p_tenant text, p_from bigint, p_to bigint → bigint | measure_log | bytes that it adds to a stretch of the log
--   pin | p_tenant text → setof bigint | retain_pins | events that stay whatever a rule of retention says
--   held | p_tenant text, p_seqs bigint[] → table (seq bigint, live boolean, importance numeric) | mark_old | of these events those that it has rows of: whether these hold, and how much they weigh
--   lapse | p_tenant text, p_job text, p_seqs bigint[] → void | mark_old | marks the rows that end when these events lose their content
--   expire | p_tenant text, p_job text, p_by bigint, p_dry boolean → jsonb | expire_marked | ends these rows, by the event p_by; counts
--   awaits | p_tenant text, p_floor bigint → jsonb | furthest_behind | the first event after p_floor that a reader has yet to be told: {"reason", "seq", …}
--   needs | p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit int → bigint | mark_needs | marks the events up to p_upto that its next rows need, by their seqs; the last one it looked at, null after the last
--   trim | p_tenant text, p_job text, p_seqs bigint[], p_drop bigint[] → void | trim_step | removes the rows that end with these events of the log, of which p_drop are dropped
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

-- Where the logs of the followed tenants stand, in one statement however many there are.
create or replace function read_clocks(p_tenants text[]) returns table (tenant_id text, last_seq bigint)
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$ select c.tenant_id, c.last_seq from public.tenant_clocks c where c.tenant_id = any (p_tenants) $$;
revoke execute on function read_clocks(text[]) from public;
grant execute on function read_clocks(text[]) to agent_memory_app;
alter function read_clocks(text[]) owner to agent_memory_overseer;

-- A running sum of what still fits: a unit that is too large for the room that is left does not take its neighbours' room.
create or replace function add_fitting(p_used bigint, p_bytes bigint, p_room bigint) returns bigint
language sql immutable parallel safe
as $$ select case when p_bytes is null or p_used + p_bytes > p_room then p_used else p_used + p_bytes end $$;

create or replace aggregate sum_fitting(bigint, bigint) (sfunc = add_fitting, stype = bigint, initcond = '0');

-- Units with events that are only counted: their outcomes say so, also to a retry, as no version names the memory.
create or replace function note_repeats(p_tenant text, p_units jsonb, p_outcomes unit_outcome[]) returns unit_outcome[]
language plpgsql
as $$
declare
  v_notes jsonb;
begin
  select coalesce(jsonb_object_agg(o.outcome ->> 'seq', jsonb_build_object('memories', o.memories, 'counted', c.places)), '{}') into v_notes
  from unnest(p_outcomes) with ordinality as o (status, outcome, at, memories, ord)
  cross join lateral (
    select jsonb_agg(e.place - 1 order by e.place) as places
    from jsonb_array_elements(p_units -> (o.ord - 1)::int -> 'events') with ordinality as e (doc, place)
    where e.doc -> 'memory' ? 'counted'
  ) c
  where o.status = 'new' and c.places is not null;
  update idempotency_keys k set outcome = k.outcome || (v_notes -> (k.outcome ->> 'seq'))
  from jsonb_array_elements(p_units) u (doc)
  where k.tenant_id = p_tenant and k.key_hash = decode(u.doc ->> 'key', 'hex') and v_notes ? (k.outcome ->> 'seq');
  return array(
    select row(o.status, o.outcome || coalesce(v_notes -> (o.outcome ->> 'seq'), '{}'), o.at, o.memories)::unit_outcome
    from unnest(p_outcomes) with ordinality as o (status, outcome, at, memories, ord)
    order by o.ord);
end $$;

-- Writes units of one tenant in order, in one transaction.
-- p_units: [{ "key": hex sha256 | null, "body": hex sha256, "bytes": n, "events": [{…, "chunks": [{"text","header","token_count"}], "memory": {…}}] }]
-- `memory` is what write_memories takes; a unit whose memory cannot be written is refused whole with AM409.
-- Returns one row a unit, in order: its outcome {"seq","count"} (and of note_repeats), the ids of the memories that its events made (null: none), and whether it is `new`, a `replay`, a `conflict`
-- (same key, other body) or over the tenant's `quota`; only `new` units wrote anything.
-- The clock is locked before any other row: idempotency rows first gave 51 deadlocks in 2.5 s, after it none.
create or replace function commit_units(p_tenant text, p_units jsonb)
returns table (status text, outcome jsonb, at timestamptz, memories text[])
language plpgsql
as $$
declare
  v_clock tenant_clocks;
  v_passages passage[];
  v_room bigint;
  v_asked timestamptz := clock_timestamp();
  -- of the commit: taken under the lock, so that it grows with seq
  v_now timestamptz;
  v_outcomes unit_outcome[];
  v_remembers constant boolean := p_units @? '$[*].events[*].memory';
begin
  perform enter_tenant(p_tenant);
  -- Words are half of the work and need no clock: found before it is locked, they do not hold up the tenant's other batches.
  v_passages := array(
    select row(
      u.ord, e.ord, c.ord - 1, nullif(c.doc ->> 'text', said_in(e.doc -> 'content')), c.doc ->> 'header', (c.doc ->> 'token_count')::int,
      passage_terms(t.language, c.doc ->> 'text', c.doc ->> 'header', coalesce((e.doc ->> 'occurred_at')::timestamptz, v_asked)))::passage
    from tenants t
    cross join lateral jsonb_array_elements(p_units) with ordinality as u (doc, ord)
    cross join lateral jsonb_array_elements(u.doc -> 'events') with ordinality as e (doc, ord)
    cross join lateral jsonb_array_elements(e.doc -> 'chunks') with ordinality as c (doc, ord)
    where t.tenant_id = p_tenant);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  if not found then
    raise exception 'no such tenant' using errcode = 'AM404';
  end if;
  v_now := clock_timestamp();
  if v_remembers and (exists (select from memories m where m.tenant_id = p_tenant and m.worn)
    or (select sum(jsonb_array_length(u.doc -> 'events')) from jsonb_array_elements(p_units) u (doc)) > 256) then
    p_units := hush_repeats(p_tenant, p_units);
  end if;
  v_room := coalesce(v_clock.max_bytes - v_clock.stored_bytes, 1::bigint << 60);

  with unit as materialized (
    select
      u.ord,
      u.doc,
      decode(u.doc ->> 'key', 'hex') as key_hash,
      decode(u.doc ->> 'body', 'hex') as body_hash,
      (u.doc ->> 'bytes')::bigint as bytes,
      jsonb_array_length(u.doc -> 'events') as n
    from jsonb_array_elements(p_units) with ordinality as u (doc, ord)
  ),
  -- equal keys that meet inside this batch: the first one writes
  ranked as materialized (
    select
      unit.*,
      known.outcome as known_outcome,
      known.created_at as known_at,
      known.body_hash as known_body,
      case when unit.key_hash is null then unit.ord else first_value(unit.ord) over (partition by unit.key_hash order by unit.ord) end as leader
    from unit
    -- `limit` keeps it a look-up of each key: a plan made while the table was small read every key of the tenant, for each batch
    left join lateral (
      select k.body_hash, k.outcome, k.created_at
      from idempotency_keys k
      where k.tenant_id = p_tenant and k.key_hash = unit.key_hash
      limit 1
    ) known on true
  ),
  sized as materialized (
    select *, sum_fitting(case when known_outcome is null and leader = ord then bytes end, v_room) over (order by ord) as used
    from ranked
  ),
  judged as materialized (
    select *, known_outcome is null and leader = ord and used - lag(used, 1, 0::bigint) over (order by ord) = bytes as fresh
    from sized
  ),
  placed as materialized (
    select *, v_clock.last_seq + sum(case when fresh then n else 0 end) over (order by ord) - n + 1 as seq
    from judged
  ),
  event as materialized (
    select
      p.ord as unit, e.ord as place, p.seq + e.ord - 1 as seq, jsonb_array_length(e.doc -> 'chunks') as chunk_count, r.*,
      case when e.doc ? 'memory' then validity(e.doc -> 'memory') end as valid
    from placed p
    cross join lateral jsonb_array_elements(p.doc -> 'events') with ordinality as e (doc, ord)
    cross join lateral jsonb_to_record(e.doc) as r (
      event_id text, session_id text, channel text, actor_type text, actor_id text, kind text, content jsonb,
      user_id text, agent_id text, project_id text, sensitivity text, tags text[], refs text[], metadata jsonb,
      artifact_id text, redactions int, occurred_at timestamptz)
    where p.fresh
  ),
  written as (
    insert into events (
      tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, agent_id, project_id,
      sensitivity, tags, refs, metadata, artifact_id, redactions, chunk_count, byte_count, occurred_at, created_at)
    select
      p_tenant, e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id,
      e.project_id, e.sensitivity, e.tags, e.refs, e.metadata, e.artifact_id, e.redactions, e.chunk_count,
      pg_column_size(e.content) + pg_column_size(e.metadata), coalesce(e.occurred_at, v_asked), v_now
    from event e
  ),
  indexed as (
    insert into chunks (
      tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
      text, header, token_count, terms, occurred_at, valid)
    select
      p_tenant, e.seq, c.ordinal, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
      c.text, c.header, c.token_count, c.terms, coalesce(e.occurred_at, v_asked), e.valid
    from event e
    join unnest(v_passages) c on c.unit = e.unit and c.event = e.place and c.ordinal < e.chunk_count
  ),
  linked as (
    update artifacts a set event_id = e.event_id
    from event e
    where a.tenant_id = p_tenant and a.artifact_id = e.artifact_id and a.event_id is null
  ),
  remembered as (
    insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
    select p_tenant, p.key_hash, p.body_hash, jsonb_build_object('seq', p.seq, 'count', p.n), v_now
    from placed p
    where p.fresh and p.key_hash is not null
  ),
  ticked as (
    update tenant_clocks c
    set
      last_seq = c.last_seq + s.n,
      event_count = c.event_count + s.n,
      stored_bytes = c.stored_bytes + s.bytes
    from (select coalesce(sum(n), 0) as n, coalesce(sum(bytes), 0) as bytes from placed where fresh) s
    where c.tenant_id = p_tenant and s.n > 0
  )
  select array_agg(row(
    case
      when p.fresh then 'new'
      when p.known_outcome is not null then case when p.known_body = p.body_hash then 'replay' else 'conflict' end
      when p.leader = p.ord then 'quota'
      when lead.body_hash <> p.body_hash then 'conflict'
      when lead.fresh then 'replay'
      else 'quota'
    end,
    coalesce(p.known_outcome, jsonb_build_object('seq', lead.seq, 'count', lead.n)),
    coalesce(p.known_at, v_now),
    null)::unit_outcome order by p.ord)
  into v_outcomes
  from placed p join placed lead on lead.ord = p.leader;

  if v_remembers then
    v_outcomes := with_memories(p_tenant, p_units, v_outcomes);
    if p_units @? '$[*].events[*].memory.counted' then
      v_outcomes := note_repeats(p_tenant, p_units, v_outcomes);
    end if;
  end if;
  return query select o.status, o.outcome, o.at, o.memories from unnest(v_outcomes) o;
end $$;

-- What the service itself must be able to say, however full the tenant is. The clock is locked.
create or replace function say(p_tenant text, p_event jsonb) returns bigint
language plpgsql
as $$
declare
  v_max bigint;
  v_seq bigint;
begin
  select c.max_bytes into v_max from tenant_clocks c where c.tenant_id = p_tenant for update;
  update tenant_clocks c set max_bytes = null where c.tenant_id = p_tenant;
  select (u.outcome ->> 'seq')::bigint into v_seq
  from commit_units(p_tenant, jsonb_build_array(jsonb_build_object('key', null, 'body', null, 'bytes', octet_length(p_event::text), 'events', jsonb_build_array(p_event)))) u;
  update tenant_clocks c set max_bytes = v_max where c.tenant_id = p_tenant;
  return v_seq;
end $$;

-- Deletes for at most p_ms of the bound tenant's rows and returns whether any table still has some. Clocks first: then nothing can
-- be written any more. Values outside the row (artifacts) go a few at a time, or one batch would delete gigabytes.
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

-- One batch: 'more', 'empty' (its name is not free yet) or 'gone'. Can be stopped and taken up again anywhere.
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

-- A text of a log as a time; null where it is none, because nothing in the database checks what JSON says.
create or replace function time_of(p_text text) returns timestamptz
language plpgsql stable strict
as $$
begin
  return p_text::timestamptz;
exception when data_exception then
  return null;
end $$;

-- A time as a text that sorts as times do, to the microsecond; null where it is infinite.
create or replace function sortable_time(p_at timestamptz) returns text
language sql stable parallel safe
return to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- A member of a content where it is of this type; null where it is not.
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

-- The cluster and the database in it. On a server where even this is not for everybody, the database alone.
create or replace function this_place() returns text
language plpgsql stable
as $$
declare
  v_database oid := (select d.oid from pg_database d where d.datname = current_database());
begin
  return format('%s/%s', (select c.system_identifier from pg_control_system() c), v_database);
exception when insufficient_privilege then
  return format('-/%s', v_database);
end $$;

create or replace function this_restore() returns text
language sql stable
return coalesce(current_setting('agent_memory.restored', true), '');

create or replace function is_as_written(p_xmin xid, p_written text) returns boolean
language sql immutable
return p_xmin::text = mod(p_written::numeric, 4294967296)::text;

-- Whether what the row says is said of this database as it is now.
create or replace function is_in_place() returns boolean
language sql stable
begin atomic
  select i.place = this_place() and i.restored = this_restore() and is_as_written(i.xmin, i.written) from installation i;
end;

-- Whether daemons may serve this database. One that nobody has served yet is taken as it is.
create or replace function is_confirmed() returns boolean
language plpgsql
as $$
begin
  if not exists (select from installation) then
    insert into installation (place, restored) values (this_place(), this_restore()) on conflict do nothing;
  end if;
  return is_in_place();
end $$;

-- After a restore: the erasures were replayed, or there are none.
create or replace function confirm_restore() returns void
language sql
begin atomic
  insert into installation (place, restored) values (this_place(), this_restore())
  on conflict (only_row) do update
  set place = excluded.place, restored = excluded.restored, written = excluded.written, confirmed_at = clock_timestamp();
end;

-- Before that: scripts/restore.sh also restores what an older release dumped, which says nothing of its place.
create or replace function await_replay() returns void
language sql
begin atomic
  insert into installation (place) values ('restored') on conflict (only_row) do update set place = excluded.place;
end;

-- Whether something was erased or trimmed: then ids may name what is gone, and versions be missing, by right.
create or replace function has_forgotten(p_tenant text) returns boolean
language sql stable
begin atomic
  select not exists (select from events e where e.tenant_id = p_tenant and e.seq = 1 and e.carried_at is null)
    or exists (select from events e where e.tenant_id = p_tenant and e.kind in ('erasure.completed', 'retention.forgot'));
end;

-- Whether a time is one that answers can express.
create or replace function is_readable_time(p_at timestamptz) returns boolean
language sql immutable parallel safe
return p_at >= '0001-01-01 00:00:00+00' and p_at <= '9999-12-31 23:59:59.999999+00';

-- In ms, with microseconds as the fraction.
create or replace function epoch_ms(p_at timestamptz) returns numeric
language sql immutable parallel safe
return case when is_readable_time(p_at) then extract(epoch from p_at) * 1000 end;

-- The last seq of what was recorded before then: times grow with seq.
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

-- Where the log begins. Of what is being imported the clock tells nothing yet.
create or replace function log_begin(p_tenant text) returns bigint
language sql stable
begin atomic
  select case when c.importing is null then c.oldest_seq else (
    select e.seq from events e where e.tenant_id = p_tenant and e.carried_at is null order by e.seq limit 1) end
  from tenant_clocks c
  where c.tenant_id = p_tenant;
end;

-- The import under way; null: there is none.
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

-- The clock as its rows were counted.
create or replace function set_clock(p_tenant text, p_last_seq bigint, p_oldest_seq bigint, p_event_count bigint, p_stored_bytes bigint) returns void
language sql
begin atomic
  update tenant_clocks c
  set last_seq = p_last_seq, oldest_seq = p_oldest_seq, event_count = p_event_count, stored_bytes = p_stored_bytes
  where c.tenant_id = p_tenant;
end;

create or replace function keep_five(p_sample jsonb, p_one jsonb) returns jsonb
language sql immutable parallel safe
return case when jsonb_array_length(p_sample) < 5 then p_sample || jsonb_build_array(p_one) else p_sample end;

-- The first five of what is wrong, for a finding.
create or replace aggregate sample_of(jsonb) (sfunc = keep_five, stype = jsonb, initcond = '[]');

-- The log is append-only for the serving role; another one blanks, renames, carries and drops events (migrations/0011_erasure.sql).

create or replace function carry_events(p_seqs bigint[]) returns void
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
  update public.events e set carried_at = clock_timestamp()
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs) and e.carried_at is null
$$;
revoke execute on function carry_events(bigint[]) from public;
grant execute on function carry_events(bigint[]) to agent_memory_app;
alter function carry_events(bigint[]) owner to agent_memory_blanker;

-- An event keeps its place, its kind and its times. p_subject: names that hold it become p_name, and the session's name where the event is
-- about that user, for clients put anything into it; null: no name changes. The words of a person are theirs also where the event says of
-- nobody that it is about them.
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

-- Other people's events that cite a name: the citation is replaced, the rest is theirs.
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

-- What left the log: how much it weighed, and of a trim how many events, up to which seq.
create or replace function shrink_log(p_tenant text, p_bytes bigint, p_events bigint default 0, p_upto bigint default 0) returns void
language sql
begin atomic
  update tenant_clocks c
  set oldest_seq = greatest(c.oldest_seq, p_upto + 1), event_count = c.event_count - p_events, stored_bytes = greatest(0, c.stored_bytes - p_bytes)
  where c.tenant_id = p_tenant;
end;

-- About what a row weighs when it is appended: text, the fields around it, and what nouns derive from it.
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

-- What a job that forgets has found is marked: ids of a kind (`what`), and of events their seqs.

-- Marks events, those up to p_upto. Returns the seqs that were not marked so before.
create or replace function mark_seqs(p_tenant text, p_job text, p_what text, p_seqs bigint[], p_upto bigint default null) returns bigint[]
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_new bigint[];
begin
  with made as (
    insert into erasure_marks (tenant_id, job_id, what, id, seq)
    select p_tenant, p_job, p_what, e.event_id, e.seq
    from events e
    where e.tenant_id = p_tenant and e.seq = any (p_seqs) and (p_upto is null or e.seq <= p_upto)
    on conflict do nothing
    returning seq
  )
  select coalesce(array_agg(m.seq), '{}') into v_new from made m;
  return v_new;
end $$;

-- Marks ids of other things. Returns how many were not marked so before.
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

create or replace function unmark_ids(p_tenant text, p_job text, p_what text, p_ids text[]) returns void
language sql
begin atomic
  delete from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = p_what and k.id = any (p_ids);
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

-- Answers kept for retries go with the events that they tell of.
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

-- Of several that ask for a name at once one makes the tenant; false for the others.
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

-- What a request came to that is no unit of the log, the first time; null: this is the first time. p_key, p_body: hex SHA-256.
create or replace function recall_key(p_tenant text, p_key text, p_body text) returns jsonb
language plpgsql
as $$
declare
  v_known idempotency_keys;
begin
  select * into v_known from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = decode(p_key, 'hex');
  if v_known.body_hash <> decode(p_body, 'hex') then
    raise exception 'this Idempotency-Key was used with another body' using errcode = 'AM409';
  end if;
  return v_known.outcome;
end $$;

create or replace function remember_key(p_tenant text, p_key text, p_body text, p_outcome jsonb) returns void
language sql
begin atomic
  insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
  values (p_tenant, decode(p_key, 'hex'), decode(p_body, 'hex'), p_outcome, clock_timestamp());
end;
