-- Tenants, their clocks, the log, and the answers kept for retries.
-- min_code: 1

create table tenants (
  tenant_id text not null,
  state text not null default 'active',
  language regconfig not null default 'english',
  settings jsonb not null default '{}',
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  -- its name is free again only after no daemon can still trust a credential of the old tenant
  deleting_since timestamptz,
  constraint tenants_pkey primary key (tenant_id),
  constraint tenants__tenant_id check (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'),
  constraint tenants__state check (state in ('active', 'suspended', 'deleting'))
);

-- `Acme` beside `acme` would only serve to confuse.
create unique index tenants__lower_tenant_id on tenants (lower(tenant_id));

create function tenant_deleting() returns text
language sql stable
as $$ select t.tenant_id from tenants t where t.tenant_id = (select current_tenant()) and t.state = 'deleting' $$;

select wall('tenants', 'select, insert, update, delete');

-- One hot row a tenant: the log's counter and running sums. Space is left in its pages so that updates stay in them.
create table tenant_clocks (
  tenant_id text not null,
  last_seq bigint not null default 0,
  oldest_seq bigint not null default 1,
  event_count bigint not null default 0,
  stored_bytes bigint not null default 0,
  max_bytes bigint,
  -- the import under way: the imported rows bring their seqs, so the log may not grow meanwhile
  importing text,
  constraint tenant_clocks_pkey primary key (tenant_id),
  constraint tenant_clocks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
) with (fillfactor = 50);

select wall('tenant_clocks', 'select, insert, update, delete');

create function is_importing() returns boolean
language sql stable
as $$ select exists (select from tenant_clocks c where c.tenant_id = (select current_tenant()) and c.importing is not null) $$;

create function refuse_while_importing() returns trigger
language plpgsql
as $$
begin
  raise exception 'the tenant is being imported' using errcode = 'AM409';
end $$;

create trigger importing before update of last_seq on tenant_clocks
  for each row when (old.importing is not null and new.importing is not null and old.last_seq <> new.last_seq)
  execute function refuse_while_importing();

-- undoing an import asks is_importing
create policy eraser_sees_import on tenant_clocks for select to agent_memory_eraser
  using (tenant_id = (select current_tenant()) and importing is not null);

-- The overseer sees which tenants exist and where their logs stand, and nothing of what they hold.
grant select (tenant_id, state) on tenants to agent_memory_overseer;

grant select (tenant_id, last_seq) on tenant_clocks to agent_memory_overseer;

create policy overseer_reads on tenants for select to agent_memory_overseer using (true);

create policy overseer_reads on tenant_clocks for select to agent_memory_overseer using (true);

-- A session of a tenant in eight bytes. Entries of two such columns are a third as wide, and their pages fill up: only of entries of one
-- short width does PostgreSQL see that a page grows at one place, and split it there.
create function session_key(p_tenant text, p_session text) returns bigint
language sql immutable parallel safe
return hashtextextended(p_tenant || '/' || p_session, 0);

-- Append-only. A version of anything in the domain is one of these.
create table events (
  tenant_id text not null,
  seq bigint not null,
  event_id text not null,
  session_id text not null,
  channel text not null,
  actor_type text not null,
  actor_id text not null,
  kind text not null,
  content jsonb not null,
  -- whom it is about; in a private channel, whose it is
  user_id text,
  agent_id text,
  project_id text,
  sensitivity text not null,
  tags text[] not null default '{}',
  refs text[] not null default '{}',
  metadata jsonb not null default '{}',
  artifact_id text,
  chunk_count smallint not null default 0,
  -- size of content and metadata: a page of a list ends by it
  byte_count int not null default 0,
  occurred_at timestamptz not null,
  created_at timestamptz not null,
  -- a column, because `->>` is not leakproof: behind the wall an index over it would not be used
  supersedes text generated always as (case when kind = 'decision' then content ->> 'supersedes' end) stored,
  -- when the content was erased; what a content says of itself proves nothing, clients write it
  erased_at timestamptz,
  -- how many spans were cut out of what the event was to say
  redactions int,
  -- a column, because the function is not leakproof: behind the wall an index over it would not be used
  session_key bigint not null generated always as (session_key(tenant_id, session_id)) stored,
  -- Null for the events of the log. An event that a trim kept lies before the log's beginning: lists and followers do not show it; whoever
  -- needs it finds it by its id and seq as before.
  carried_at timestamptz,
  -- rows come in the order of seq: pages are filled and not split
  constraint events_pkey primary key (tenant_id, seq) with (fillfactor = 100),
  constraint events__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint events__channel check (channel in ('private', 'public', 'team', 'agent')),
  constraint events__sensitivity check (sensitivity in ('none', 'low', 'high', 'secret')),
  constraint events__private_subject check (channel <> 'private' or user_id is not null),
  constraint events__redactions check (redactions > 0),
  -- what is erased holds nothing, wherever the row came from: an import may not hide a content from erasures
  constraint events__erased check (erased_at is null or (
    (content = '{"erased": true, "retention": true}'
      or (content - 'erasure' = '{"erased": true}' and coalesce(content ->> 'erasure' ~ '^erased_[0-9a-f]{32}$', false)))
    and metadata = '{}' and tags = '{}' and refs = '{}' and artifact_id is null and chunk_count = 0))
);

-- GET by id, refs
create unique index events__event_id on events (tenant_id, event_id);

create index events__session on events (session_key, seq);

-- lists of a project
create index events__project on events (tenant_id, project_id, seq) where project_id is not null;

-- decisions and task_state of a context
create index events__ledger on events (tenant_id, kind, seq) where kind in ('decision', 'task_update');

-- Whether something was forgotten (has_forgotten), which consistency asks for each stretch: without it each look reads the whole log.
create index events__forgotten on events (tenant_id) where kind in ('erasure.completed', 'retention.forgot');

-- which decisions were replaced
create index events__supersedes on events (tenant_id, supersedes) where supersedes is not null;

-- A result finds its call by this. Older releases took a `call_id` of any length.
create index events__call on events (tenant_id, session_id, left(content ->> 'call_id', 255), seq)
where kind in ('tool_call', 'tool_result') and content ->> 'call_id' is not null;

select wall('events', 'select, insert');

select noun('events', prefix => 'evt');

select portable('events', part => 'event', keys => array['seq'], bound => 't.seq <= $3', weight => 't.byte_count');

-- What a retry is answered with: where the outcome stands, never its text, so that today's visibility and erasures apply.
create table idempotency_keys (
  tenant_id text not null,
  key_hash bytea not null,
  body_hash bytea not null,
  outcome jsonb not null,
  created_at timestamptz not null,
  constraint idempotency_keys_pkey primary key (tenant_id, key_hash),
  constraint idempotency_keys__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- the sweeper; brin because rows arrive in time order and every write pays for this index
create index idempotency_keys__created_at on idempotency_keys using brin (created_at);

select wall('idempotency_keys', 'select, insert, delete');

grant update (outcome) on idempotency_keys to agent_memory_app;

select noun('idempotency');

-- What a job that forgets has found, and not yet done: ids, no content. Gone with the job's end.
create table erasure_marks (
  tenant_id text not null,
  job_id text not null,
  -- Of an erasure: event, artifact, memory (they go), ref (an event that only cites the name), keep (a memory that loses a part of what it rests
  -- on), user (an account of the subject); where shared acts are kept: shared, kin (events that stay), name (a word that stands for the subject).
  -- Of retention: pin, event, memory. Of a trim: carry, ground (events that stay), hold (memories that stay).
  what text not null,
  id text not null,
  seq bigint,
  constraint erasure_marks_pkey primary key (tenant_id, job_id, what, id),
  constraint erasure_marks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- whether an id is marked, as whatever
create index erasure_marks__id on erasure_marks (tenant_id, job_id, id);

select wall('erasure_marks', 'select, insert, update, delete');

-- The group commit, commit_units in src/db/functions.sql. `unit` and `event` are places from 1 on, of a unit in its batch and of an event in
-- its unit.

-- Where a unit stands before it is written. `leader`: the first unit of the batch with its key. `seq`: of its first event, if it is new.
-- `outcome`, `at`: of the commit that it repeats; of a refusal.
create type verdict as (
  unit int, status text, key_hash bytea, body_hash bytea, bytes bigint, count int, leader int, seq bigint, outcome jsonb, at timestamptz);

-- What a noun made of an effect before the clock was locked: any number of parts of an event.
create type prepared as (noun text, unit int, event int, part int, numbers int[], doc jsonb);

-- What a noun says of a unit that it does not leave as it is: it is refused, or written as `doc` says.
create type judgement as (unit int, refusal jsonb, doc jsonb);

-- What a noun changes with an event that is in the log now: `doc` is the noun's own.
create type effect as (
  noun text, unit int, event int, seq bigint, event_id text, kind text, actor_type text, actor_id text, session_id text, channel text,
  sensitivity text, user_id text, agent_id text, project_id text, tags text[], occurred_at timestamptz, doc jsonb);

-- What a noun tells of an effect that it applied; `kept` where a retry could not find it out again.
create type answer as (noun text, unit int, event int, doc jsonb, kept boolean);

-- What one unit came to.
create type unit_outcome as (status text, outcome jsonb, at timestamptz);

-- Outside the wall: a walk belongs to no tenant. One row. The lease is an expiry time, because a session lock neither passes a
-- transaction pooler nor outlives its daemon in a known way.
create table sweep_walks (
  only_row boolean not null default true,
  -- grows with each lease: a daemon that lost its lease can no longer renew or finish it
  token bigint not null default 0,
  held_until timestamptz not null default '-infinity',
  -- of the walk under way; null between two walks
  begun_at timestamptz,
  -- the last tenant that was dealt with
  after text not null default '',
  -- tenants that could not be swept
  failed int not null default 0,
  -- the next walk begins then, or earlier when a daemon starts
  due_at timestamptz not null default '-infinity',
  -- the last walk that reached the end, and how many tenants it could not sweep
  succeeded_at timestamptz not null default now(),
  last_failed int not null default 0,
  constraint sweep_walks_pkey primary key (only_row),
  constraint sweep_walks__only_row check (only_row)
) with (fillfactor = 50);

insert into sweep_walks default values;

grant select, update on sweep_walks to agent_memory_app;

select let_back_up('sweep_walks');

-- Outside the wall: one row, where the data belongs. The first daemon that serves the database writes it; a dump takes it along, and in
-- another cluster or another database it names a place that is not this one. A server that was recovered to an earlier moment keeps its
-- identity: there scripts/pitr.sh writes the setting agent_memory.restored, which differs from the one that was confirmed last.
create table installation (
  only_row boolean not null default true,
  place text not null,
  restored text not null default '',
  confirmed_at timestamptz not null default now(),
  -- The transaction that wrote the row. A logical restore writes rows anew; a physical copy, a failover, vacuum full and cluster keep theirs.
  -- An alter table that rewrites the table does not, and closes the database too: a migration that touches this table sets `written` to its
  -- own transaction, where the database was confirmed before.
  written text not null default pg_current_xact_id()::text,
  constraint installation_pkey primary key (only_row),
  constraint installation__only_row check (only_row)
);

grant select, insert, update on installation to agent_memory_app;

select let_back_up('installation');

-- What a check found: rows that were looked at, how many are wrong, at most five of these. `vital`: nothing of a tenant is imported where
-- it is wrong.
create type finding as (name text, checked bigint, wrong bigint, sample jsonb, vital boolean);
