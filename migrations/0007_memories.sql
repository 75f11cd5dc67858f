-- Memories: what is held to be true now. A version of a memory is an event; these tables say which, and what stands.
-- min_code: 7

create table memories (
  tenant_id text not null,
  memory_id text not null,
  kind text not null,
  scope text not null,
  -- what the scope is of: a project, a session, a user
  scope_id text,
  -- `expired` is also what an active one is past its `expires_at`, whether the sweeper has come by or not
  status text not null,
  version int not null,
  -- the event whose content the newest version has, and the event of the newest version
  content_seq bigint not null,
  last_seq bigint not null,
  user_id text not null,
  agent_id text,
  session_id text,
  project_id text,
  channel text not null,
  sensitivity text not null,
  -- sha256 of the text; of a task: of what its updates name it by
  text_hash bytea not null,
  importance real not null,
  pinned boolean not null,
  -- how often its text was said again since it stands; at `worn` more of it is only counted
  repeats int not null default 0,
  worn boolean not null generated always as (repeats >= 256) stored,
  tags text[] not null,
  valid_from timestamptz,
  valid_to timestamptz,
  expires_at timestamptz,
  superseded_by text,
  task_status text,
  -- the agent of a task in work, where the tenant allows each agent one
  doing_agent text,
  -- what became of what it rests on: `evidence_erased`
  marks text[] not null default '{}',
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint memories_pkey primary key (tenant_id, memory_id),
  constraint memories__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint memories__kind check (kind in ('decision', 'task', 'fact', 'preference', 'rule', 'note', 'summary', 'handoff')),
  constraint memories__scope check (scope in ('policy', 'project', 'user', 'session', 'global')),
  constraint memories__status check (status in ('active', 'proposed', 'rejected', 'superseded', 'deleted', 'expired')),
  constraint memories__channel check (channel in ('private', 'public', 'team', 'agent')),
  constraint memories__sensitivity check (sensitivity in ('none', 'low', 'high', 'secret'))
);
-- One active memory says the same thing. A task is the same task however sensitive an update is.
create unique index memories__same on memories (
  tenant_id, text_hash, kind, scope, scope_id, user_id, channel, (case when kind = 'task' then '' else sensitivity end))
  nulls not distinct where status = 'active';
-- An agent's one task in work. Private ones are counted by subject: nobody is refused for what is not shown to them.
create unique index memories__one_doing on memories (tenant_id, doing_agent, (case when channel = 'private' then user_id else '' end))
  where doing_agent is not null;
-- whether anything is said too often: nearly always nothing
create index memories__worn on memories (tenant_id) where worn;
-- The sections of a context. The kind leads: led by the tenant it cost about as much as the index of equal texts while there were few,
-- and each new memory then read all of them.
create index memories__kind on memories (kind, status, tenant_id, content_seq);
-- the sweeper, and a text that may be said again
create index memories__expires on memories (tenant_id, expires_at) where status = 'active' and expires_at is not null;
select wall('memories', 'select, insert, update, delete');

-- Version by version, which event made it and which holds its content. Citations are the refs of the events from `content_seq` on.
create table memory_versions (
  tenant_id text not null,
  memory_id text not null,
  version int not null,
  seq bigint not null,
  content_seq bigint not null,
  status text not null,
  constraint memory_versions_pkey primary key (tenant_id, memory_id, version),
  constraint memory_versions__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);
-- which memory an event made
create index memory_versions__seq on memory_versions (tenant_id, seq);
select wall('memory_versions', 'select, insert, update, delete');

-- What a passage of a memory needs beside its text: until when it was current, and when it is valid; and of edits, how much it counts
-- and in which channels it is not shown. Null for nearly all, which costs no byte.
alter table chunks
  add column until_seq bigint,
  add column until_at timestamptz,
  add column valid tstzrange,
  add column weight real,
  add column blocked_in text[];

-- The memory that an id of a memory, an event or a passage means.
create function memory_of(p_tenant text, p_ref text) returns text
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
  v_seq bigint;
begin
  if p_ref ~ '^(evt|chk)_' then
    select e.seq into v_seq
    from events e
    where e.tenant_id = p_tenant and e.event_id = case when p_ref ~ '^chk_' then 'evt_' || split_part(substr(p_ref, 5), '_', 1) else p_ref end;
    return (
      select v.memory_id from memory_versions v where v.tenant_id = p_tenant and v.seq = v_seq and v.status || '' <> 'superseded' limit 1);
  end if;
  return (select m.memory_id from memories m where m.tenant_id = p_tenant and m.memory_id = p_ref);
end $$;

-- How many may see it: private < team < agent < public.
create function breadth(p_channel text) returns int
language sql immutable parallel safe
return array_position(array['private', 'team', 'agent', 'public'], p_channel);

-- Passages of a memory's versions up to p_seq are no longer current. What was said before the content that stood at p_from (null: p_seq)
-- has ended already and is not looked at: with 100,000 versions that took seconds.
create function end_passages(p_tenant text, p_memory_id text, p_seq bigint, p_at timestamptz, p_from bigint default null) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  v_said int;
begin
  select said.version into v_said
  from (
    select w.content_seq
    from memory_versions w
    where w.tenant_id = p_tenant and w.memory_id = p_memory_id and w.seq + 0 < coalesce(p_from, p_seq)
    order by w.version desc
    limit 1
  ) stood
  join memory_versions said on said.tenant_id = p_tenant and said.seq = stood.content_seq and said.memory_id || '' = p_memory_id
  limit 1;
  update chunks c set until_seq = p_seq, until_at = p_at
  where c.tenant_id = p_tenant and c.until_seq is null and c.seq = any (array(
    select v.seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version >= coalesce(v_said, 0) and v.seq + 0 < p_seq));
end $$;

-- The memory is no longer held, because of the event p_seq: the newer p_by, a deletion, a retraction.
-- The clock is locked by the caller. AM409 where it is not active any more.
create function end_memory(p_tenant text, p_memory_id text, p_status text, p_seq bigint) returns void
language plpgsql
as $$
declare
  v_memory memories;
begin
  update memories m
  set status = p_status, version = m.version + 1, last_seq = p_seq, doing_agent = null, updated_at = clock_timestamp()
  where m.tenant_id = p_tenant and m.memory_id = p_memory_id and m.status = any (array['active', 'proposed'])
    and (m.expires_at is null or m.expires_at > clock_timestamp())
  returning * into v_memory;
  if not found then
    raise exception 'the memory is not active' using errcode = 'AM409';
  end if;
  insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
  values (p_tenant, p_memory_id, v_memory.version, p_seq, v_memory.content_seq, p_status);
  perform end_passages(p_tenant, p_memory_id, p_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = p_seq;
end $$;

-- What the event p_seq replaces, if it may: its own visibility may not be narrower.
create function supersede(p_tenant text, p_ref text, p_seq bigint) returns text
language plpgsql
as $$
declare
  v_old memories;
  v_new events;
begin
  select * into v_new from events e where e.tenant_id = p_tenant and e.seq = p_seq;
  select * into v_old from memories m where m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, p_ref);
  if not found then
    raise exception 'what is to be superseded is no memory' using errcode = 'AM409';
  end if;
  -- who may replace a rule is asked where rules are made; a recorded decision has not been asked
  if v_old.kind = 'rule' and (v_new.kind not like 'memory.%' or v_new.content ->> 'kind' <> 'rule') then
    raise exception 'only a rule supersedes a rule' using errcode = 'AM409';
  end if;
  if breadth(v_new.channel) < breadth(v_old.channel)
    or (v_old.channel = 'private' and v_new.channel = 'private' and v_new.user_id <> v_old.user_id)
    or (v_new.sensitivity in ('high', 'secret') and v_old.sensitivity in ('none', 'low')) then
    raise exception 'fewer may see the new memory than see the one it supersedes' using errcode = 'AM409';
  end if;
  perform end_memory(p_tenant, v_old.memory_id, 'superseded', p_seq);
  return v_old.memory_id;
end $$;

-- What follows from updates of tasks: only the newest of each is current; and if the tenant's settings say so, an agent has one task in
-- work. Those that ended make room first, so that one request may end a task and begin the next. p_from: the first event of this change.
create function settle_tasks(p_tenant text, p_memory_ids text[], p_from bigint) returns void
language plpgsql
as $$
begin
  perform end_passages(p_tenant, m.memory_id, m.content_seq, e.occurred_at, p_from)
  from memories m join events e on e.tenant_id = p_tenant and e.seq = m.content_seq
  where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) and m.kind = 'task' and m.version > 1;
  update memories m set doing_agent = null
  where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) and m.doing_agent is not null;
  if exists (select from tenants t where t.tenant_id = p_tenant and (t.settings ->> 'one_doing_per_agent')::boolean) then
    update memories m set doing_agent = null
    where m.tenant_id = p_tenant and m.expires_at <= clock_timestamp() and m.doing_agent = any (array(
      select t.agent_id from memories t where t.tenant_id = p_tenant and t.memory_id = any (p_memory_ids)));
    update memories m set doing_agent = m.agent_id
    where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) and m.kind = 'task' and m.task_status = 'doing' and m.status = 'active';
  end if;
end $$;

-- Memories past their time, of those that these wishes name or say again: what they say makes a new one. The sweeper does the others,
-- which may be very many.
create function expire_named(p_tenant text, p_docs jsonb[]) returns void
language plpgsql
as $$
begin
  update memories m set status = 'expired', doing_agent = null
  from (
    select o.memory_id
    from unnest(p_docs) w (doc)
    cross join lateral (
      -- by the hash, as `known` in write_memories
      (select t.memory_id
       from memories t
       where t.tenant_id = p_tenant and t.status = 'active' and t.expires_at + interval '0' <= clock_timestamp()
         and t.text_hash >= decode(w.doc #>> '{memory,text_hash}', 'hex') and t.text_hash <= decode(w.doc #>> '{memory,text_hash}', 'hex')
         and t.user_id = w.doc ->> 'user_id' and t.channel = w.doc ->> 'channel'
       order by t.text_hash
       limit 1000)
      union all
      select t.memory_id
      from memories t
      where t.tenant_id = p_tenant and t.memory_id = w.doc #>> '{memory,task_ref}' and t.status || '' = 'active'
        and t.expires_at + interval '0' <= clock_timestamp()
    ) o
  ) past
  where m.tenant_id = p_tenant and m.memory_id = past.memory_id;
end $$;

-- The memories that events of this transaction make, move or say again; the clock is locked. p_docs, one an event p_seqs[i]: the event
-- without its content, and in "memory" what it wishes for: {"memory_id", "kind", "scope", "text_hash": hex, "status", "importance", "pinned", "valid_from", "valid_to", "expires_at", "supersedes", "task_status",
-- "task_ref": a memory's id where an update names its task by that, "counted": by hush_repeats}.
-- Returns the id of each event's memory.
create function write_memories(p_tenant text, p_seqs bigint[], p_docs jsonb[], p_at timestamptz) returns text[]
language plpgsql
-- planned anew each time, the large statement cost twice its execution; every join is a look-up by key
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  -- as long as p_seqs: the first that is assigned to an array without bounds becomes its first
  v_ended text[] := array_fill(null::text, array[cardinality(p_seqs)]);
  v_ids text[];
  v_known boolean;
  v_wish record;
begin
  if exists (select from memories m where m.tenant_id = p_tenant and m.status = 'active' and m.expires_at <= clock_timestamp()) then
    perform expire_named(p_tenant, p_docs);
  end if;
  for v_wish in
    select w.seq, w.doc #>> '{memory,supersedes}' as ref, w.place
    from unnest(p_seqs, p_docs) with ordinality as w (seq, doc, place)
    where w.doc -> 'memory' ? 'supersedes'
    order by w.place
  loop
    v_ended[v_wish.place] := supersede(p_tenant, v_wish.ref, v_wish.seq);
  end loop;

  with wish as materialized (
    select
      w.place, w.seq, e.channel, e.user_id, e.agent_id, nullif(e.session_id, r.memory_id) as session_id, e.project_id, e.sensitivity, e.tags,
      r.memory_id, r.kind, r.scope, r.status, r.importance, r.pinned, r.valid_from, r.valid_to,
      r.expires_at, r.task_status, coalesce(r.counted, false) as counted, r.only_new, same.*,
      -- what it is the same as: one memory may say it
      case when r.status = 'active' then row(same.text_hash, r.kind, same.scope_id, r.scope, e.user_id, e.channel, same.apart)::text else r.memory_id end as key
    from unnest(p_seqs, p_docs) with ordinality as w (seq, doc, place)
    cross join lateral jsonb_to_record(w.doc) e (
      channel text, user_id text, agent_id text, session_id text, project_id text, sensitivity text, tags text[])
    cross join lateral jsonb_to_record(w.doc -> 'memory') r (
      memory_id text, kind text, scope text, text_hash text, status text, importance real, pinned boolean, valid_from timestamptz,
      valid_to timestamptz, expires_at timestamptz, task_status text, task_ref text, counted boolean, only_new boolean)
    cross join lateral (
      select
        -- `||` leaves the primary key as the only way: by the kind it walked all tasks of the tenant. Another's task is no task here, or
        -- a guess of its name were told right from wrong.
        coalesce(
          (select t.text_hash
           from memories t
           where t.tenant_id = p_tenant and t.memory_id = r.task_ref and t.kind || t.status = 'taskactive'
             and t.channel || '' = e.channel and t.user_id || '' = e.user_id),
          decode(r.text_hash, 'hex')) as text_hash,
        case r.scope when 'project' then e.project_id when 'session' then e.session_id when 'user' then e.user_id end as scope_id,
        case when r.kind = 'task' then '' else e.sensitivity end as apart
    ) same
  ),
  -- Known by a look-up, which the locked clock makes safe; the unique index stands behind it. Equal ones that meet in this batch: the
  -- first one makes it.
  matched as materialized (
    select
      w.*, known.version as known_version, known.content_seq as known_content_seq,
      coalesce(known.memory_id, first_value(w.memory_id) over same) as id,
      row_number() over same as nth,
      -- versions; those that are only counted come last
      greatest(count(*) filter (where not w.counted) over (partition by w.key), (known.memory_id is null)::int) as n,
      count(*) over (partition by w.key) as said,
      first_value(w.seq) over same as first_seq
    from wish w
    left join lateral (
      -- By the hash, in its order, which only the index of equal texts gives: asked for by equality alone, a plan of an empty table took
      -- another index for as good, and read every memory of the tenant for each new one as long as its session lived.
      select m.memory_id, m.version, m.content_seq
      from memories m
      where w.status = 'active' and m.tenant_id = p_tenant and m.status = 'active'
        and m.text_hash >= w.text_hash and m.text_hash <= w.text_hash and m.kind || '' = w.kind and m.scope = w.scope
        and m.scope_id is not distinct from w.scope_id and m.user_id = w.user_id and m.channel = w.channel
        and (case when m.kind = 'task' then '' else m.sensitivity end) = w.apart
      order by m.text_hash
      limit 1
    ) known on true
    window same as (partition by w.key order by w.seq)
  ),
  -- the last of equal ones counts them all
  made as (
    insert into memories (
      tenant_id, memory_id, kind, scope, scope_id, status, version, content_seq, last_seq, user_id, agent_id, session_id, project_id, channel,
      sensitivity, text_hash, importance, pinned, repeats, tags, valid_from, valid_to, expires_at, task_status, created_at, updated_at)
    select
      p_tenant, m.id, m.kind, m.scope, m.scope_id, m.status, m.n, case when m.kind = 'task' then m.seq else m.first_seq end, m.seq, m.user_id, m.agent_id,
      m.session_id, m.project_id, m.channel, m.sensitivity, m.text_hash, m.importance, m.pinned,
      case when m.kind = 'task' then 0 else m.said - 1 end, m.tags, m.valid_from, m.valid_to, m.expires_at, m.task_status, p_at, p_at
    from matched m
    where m.known_version is null and m.nth = m.n
    order by m.seq
  ),
  moved as (
    update memories k
    set
      version = m.known_version + m.n,
      last_seq = case when m.n = 0 then k.last_seq else m.seq end,
      updated_at = case when m.n = 0 then k.updated_at else p_at end,
      repeats = case when m.kind = 'task' then 0 else k.repeats + m.said end,
      content_seq = case when m.kind = 'task' then m.seq else k.content_seq end,
      task_status = m.task_status,
      agent_id = case when m.kind = 'task' then m.agent_id else k.agent_id end,
      sensitivity = m.sensitivity,
      tags = case when m.kind = 'task' then m.tags else k.tags end,
      -- the newest update of a task says when it holds; what was pinned stays so
      pinned = k.pinned or (m.kind = 'task' and m.pinned),
      valid_from = case when m.kind = 'task' then m.valid_from else k.valid_from end,
      valid_to = case when m.kind = 'task' then m.valid_to else k.valid_to end,
      expires_at = case when m.kind = 'task' then m.expires_at else k.expires_at end
    from matched m
    where m.known_version is not null and m.nth = greatest(m.n, 1) and k.tenant_id = p_tenant and k.memory_id = m.id
      -- or all of the tenant's were joined, mostly for none
      and k.memory_id = any (array(select x.id from matched x where x.known_version is not null))
  ),
  versioned as (
    insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
    select
      p_tenant, m.id, coalesce(m.known_version, 0) + m.nth, m.seq,
      case when m.kind = 'task' then m.seq else coalesce(m.known_content_seq, m.first_seq) end, m.status
    from matched m
    where m.nth <= m.n
  )
  select array_agg(m.id order by m.place), bool_or(m.only_new and (m.known_version is not null or m.nth > 1)) into v_ids, v_known
  from matched m;
  if v_known then
    raise exception 'The memory exists.' using errcode = 'AM412';
  end if;

  if cardinality(array_remove(v_ended, null)) > 0 then
    update memories m set superseded_by = w.id
    from unnest(v_ids, v_ended) w (id, ended)
    where m.tenant_id = p_tenant and m.memory_id = w.ended;
  end if;
  if exists (select from unnest(p_docs) w (doc) where w.doc #>> '{memory,kind}' = 'task') then
    perform settle_tasks(p_tenant, v_ids, p_seqs[1]);
  end if;
  return v_ids;
end $$;

-- What edits make of events that say a memory again; there are none yet.
create function say_again(p_tenant text, p_seqs bigint[], p_docs jsonb[], p_ids text[]) returns void
language plpgsql
as $$ begin end $$;

create type unit_outcome as (status text, outcome jsonb, at timestamptz, memories text[]);

-- When a memory holds, if it says so.
create function validity(p_memory jsonb) returns tstzrange
language sql stable
return case when p_memory ?| array['valid_from', 'valid_to', 'expires_at'] then tstzrange(
  (p_memory ->> 'valid_from')::timestamptz,
  least((p_memory ->> 'valid_to')::timestamptz, (p_memory ->> 'expires_at')::timestamptz)) end;

-- The outcomes with the memories that their new events wish for.
create function with_memories(p_tenant text, p_units jsonb, p_outcomes unit_outcome[]) returns unit_outcome[]
language plpgsql
as $$
declare
  v_units bigint[];
  v_places bigint[];
  v_seqs bigint[];
  v_docs jsonb[];
  v_at timestamptz;
  v_ids text[];
begin
  select array_agg(o.ord order by o.ord, e.place), array_agg(e.place order by o.ord, e.place),
    array_agg((o.outcome ->> 'seq')::bigint + e.place - 1 order by o.ord, e.place), array_agg(e.doc - '{content,metadata,chunks}'::text[] order by o.ord, e.place), max(o.at)
  into v_units, v_places, v_seqs, v_docs, v_at
  from unnest(p_outcomes) with ordinality as o (status, outcome, at, memories, ord)
  cross join lateral jsonb_array_elements(p_units -> (o.ord - 1)::int -> 'events') with ordinality as e (doc, place)
  where o.status = 'new' and e.doc ? 'memory';
  if v_seqs is null then
    return p_outcomes;
  end if;
  v_ids := write_memories(p_tenant, v_seqs, v_docs, v_at);
  perform say_again(p_tenant, v_seqs, v_docs, v_ids);
  return array(
    select row(o.status, o.outcome, o.at, made.ids)::unit_outcome
    from unnest(p_outcomes) with ordinality as o (status, outcome, at, memories, ord)
    left join lateral (
      select array_agg(m.id order by g.place) as ids
      from generate_series(1, (o.outcome ->> 'count')::bigint) g (place)
      left join unnest(v_units, v_places, v_ids) m (unit, place, id) on m.unit = o.ord and m.place = g.place
      where o.ord = any (v_units)
    ) made on true
    order by o.ord);
end $$;

-- The units as they are written: what says a text that has been said 256 times more is only counted. Its event has no passages, and one
-- that only made the memory no text of its own; so that to change, end or hide a memory stays short however often it is said.
create function hush_repeats(p_tenant text, p_units jsonb) returns jsonb
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  -- what this commit takes the place of is not there to be said again
  v_ending text[] := array(
    select memory_of(p_tenant, r.ref #>> '{}') from jsonb_path_query(p_units, '$[*].events[*].memory.supersedes') r (ref));
begin
  return (
    with wish as (
      select u.ord as unit, w.ord as place, r.memory_id, known.memory_id as known_id, known.repeats,
        row(same.hash, r.kind, same.scope_id, r.scope, e.user_id, e.channel, e.sensitivity)::text as key
      from jsonb_array_elements(p_units) with ordinality as u (doc, ord)
      cross join lateral jsonb_array_elements(u.doc -> 'events') with ordinality as w (doc, ord)
      cross join lateral jsonb_to_record(w.doc) e (channel text, user_id text, session_id text, project_id text, sensitivity text)
      cross join lateral jsonb_to_record(w.doc -> 'memory') r (memory_id text, kind text, scope text, text_hash text, status text)
      cross join lateral (
        select decode(r.text_hash, 'hex') as hash,
          case r.scope when 'project' then e.project_id when 'session' then nullif(e.session_id, r.memory_id) when 'user' then e.user_id end as scope_id
      ) same
      left join lateral (
        -- what an edit (0009) withholds is stated anew
        select m.memory_id, case when exists (
          select from overlays o where o.tenant_id = p_tenant and o.seq = m.content_seq and o.content ? 'withheld') then -1 else m.repeats end as repeats
        from memories m
        where m.tenant_id = p_tenant and m.status = 'active' and m.text_hash >= same.hash and m.text_hash <= same.hash
          and m.kind || '' = r.kind and m.scope = r.scope and m.scope_id is not distinct from same.scope_id and m.user_id = e.user_id
          and m.channel = e.channel and m.sensitivity = e.sensitivity and m.memory_id <> all (v_ending)
          and (m.expires_at is null or m.expires_at > clock_timestamp())
        order by m.text_hash
        limit 1
      ) known on true
      where r.status = 'active' and r.kind <> 'task'
        -- a retry says nothing
        and not exists (select from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = decode(u.doc ->> 'key', 'hex'))
    ),
    counted as materialized (
      select n.unit, n.place, n.id
      from (
        select w.unit, w.place, coalesce(w.repeats, -1) + row_number() over same as nth, coalesce(w.known_id, first_value(w.memory_id) over same) as id
        from wish w
        window same as (partition by w.key order by w.unit, w.place)
      ) n
      where n.nth > 256
    ),
    hushed as (
      select u.ord, (
        select jsonb_agg(
          case when c.id is null then w.doc else w.doc || jsonb_build_object('chunks', '[]'::jsonb, 'memory', (w.doc -> 'memory') || '{"counted": true}') || case
            when w.doc ->> 'kind' = 'memory.created' then jsonb_build_object(
              'content', ((w.doc -> 'content') - '{text,body,sealed}'::text[]) || jsonb_build_object('memory_id', c.id, 'repeated', true))
            else '{}' end end
          order by w.ord)
        from jsonb_array_elements(u.doc -> 'events') with ordinality as w (doc, ord)
        left join counted c on c.unit = u.ord and c.place = w.ord) as events
      from jsonb_array_elements(p_units) with ordinality as u (doc, ord)
      where u.ord in (select n.unit from counted n)
    )
    select jsonb_agg(
      case when h.ord is null then u.doc else u.doc || jsonb_build_object('events', h.events, 'bytes', greatest(0,
        (u.doc ->> 'bytes')::bigint - octet_length((u.doc -> 'events')::text) + octet_length(h.events::text))) end
      order by u.ord)
    from jsonb_array_elements(p_units) with ordinality as u (doc, ord)
    left join hushed h on h.ord = u.ord);
end $$;

grant update (outcome) on idempotency_keys to agent_memory_app;

-- Units with events that are only counted: their outcomes say so, also to a retry, as no version names the memory.
create function note_repeats(p_tenant text, p_units jsonb, p_outcomes unit_outcome[]) returns unit_outcome[]
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

-- As in 0003, and the memories of the events.
drop function commit_units(text, jsonb);
-- p_units: [{ "key": hex sha256 | null, "body": hex sha256, "bytes": n, "events": [{…, "chunks": [{"text","header","token_count"}], "memory": {…}}] }]
-- `memory` is what write_memories takes; a unit whose memory cannot be written is refused whole with AM409.
-- Returns one row a unit, in order: its outcome {"seq","count"} (and of note_repeats), the ids of the memories that its events made (null: none), and whether it is `new`, a `replay`, a `conflict`
-- (same key, other body) or over the tenant's `quota`; only `new` units wrote anything.
-- The clock is locked before any other row: idempotency rows first gave 51 deadlocks in 2.5 s, after it none.
create function commit_units(p_tenant text, p_units jsonb)
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
      u.ord, e.ord, c.ord - 1, c.doc ->> 'text', c.doc ->> 'header', (c.doc ->> 'token_count')::int,
      passage_vector(t.language, c.doc ->> 'text', c.doc ->> 'header', coalesce((e.doc ->> 'occurred_at')::timestamptz, v_asked)))::passage
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
      artifact_id text, occurred_at timestamptz)
    where p.fresh
  ),
  written as (
    insert into events (
      tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, agent_id, project_id,
      sensitivity, tags, refs, metadata, artifact_id, chunk_count, byte_count, occurred_at, created_at)
    select
      p_tenant, e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id,
      e.project_id, e.sensitivity, e.tags, e.refs, e.metadata, e.artifact_id, e.chunk_count,
      pg_column_size(e.content) + pg_column_size(e.metadata), coalesce(e.occurred_at, v_asked), v_now
    from event e
  ),
  indexed as (
    insert into chunks (
      tenant_id, seq, ordinal, event_id, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
      text, header, token_count, tsv, occurred_at, valid)
    select
      p_tenant, e.seq, c.ordinal, e.event_id, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
      c.text, c.header, c.token_count, c.tsv, coalesce(e.occurred_at, v_asked), e.valid
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

-- What a decision or task_update asks of write_memories, with the event. src/memories/wish.ts says the same for those that come in.
create function memory_doc(p_event events) returns jsonb
language sql stable
return to_jsonb(p_event) || jsonb_build_object('memory', jsonb_strip_nulls(jsonb_build_object(
  'memory_id', 'mem_' || substr(p_event.event_id, 5),
  'kind', case p_event.kind when 'decision' then 'decision' else 'task' end,
  'scope', coalesce(case when p_event.kind = 'decision' then p_event.content ->> 'scope' end,
    case when p_event.project_id is null then 'global' else 'project' end),
  'status', 'active',
  'text_hash', encode(sha256(convert_to(case p_event.kind
    when 'decision' then p_event.content ->> 'decision'
    else coalesce(p_event.content ->> 'task_id', p_event.content ->> 'title') end, 'UTF8')), 'hex'),
  'task_ref', case when p_event.kind = 'task_update' then p_event.content ->> 'task_id' end,
  'importance', case p_event.kind when 'decision' then 1.0 else 0.8 end,
  'pinned', false,
  'supersedes', p_event.content ->> 'supersedes',
  'task_status', case when p_event.kind = 'task_update' then p_event.content ->> 'status' end)));

-- Decisions and tasks of logs that are older than this: every one of them makes its memory.
do $$
declare
  v_tenant text;
  v_event events;
begin
  for v_tenant in select t.tenant_id from list_tenants('', 2147483647) t loop
    perform enter_tenant(v_tenant);
    for v_event in
      select e.* from events e
      where e.tenant_id = v_tenant and e.kind in ('decision', 'task_update') and e.actor_type <> 'tool' and e.sensitivity <> 'secret'
      order by e.seq
    loop
      begin
        perform write_memories(v_tenant, array[v_event.seq], array[memory_doc(v_event)], v_event.created_at);
      -- what it says it replaces was no decision, or replaced before: it stands beside it
      exception when sqlstate 'AM409' then
        perform write_memories(v_tenant, array[v_event.seq], array[memory_doc(v_event) #- '{memory,supersedes}'], v_event.created_at);
      end;
    end loop;
  end loop;
  perform set_config('role', 'none', true);
end $$;
