-- Tenants, their clocks, the log, and the outcomes stored for retries.
-- min_code: 1

create table tenants (
  tenant_id text not null,
  state text not null default 'active',
  language regconfig not null default 'english',
  settings jsonb not null default '{}',
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  -- the name is reserved until no daemon can still accept a credential of the old tenant
  deleting_since timestamptz,
  constraint tenants_pkey primary key (tenant_id),
  constraint tenants__tenant_id check (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'),
  constraint tenants__state check (state in ('active', 'suspended', 'deleting'))
);

-- `Acme` and `acme` would be confused.
create unique index tenants__lower_tenant_id on tenants (lower(tenant_id));

create function tenant_deleting() returns text
language sql stable
as $$ select t.tenant_id from tenants t where t.tenant_id = (select current_tenant()) and t.state = 'deleting' $$;

select wall('tenants', 'select, insert, update, delete');

-- The clock of a tenant: one hot row with the log's counter and running sums. Its fill factor keeps updates within the page.
create table tenant_clocks (
  tenant_id text not null,
  last_seq bigint not null default 0,
  oldest_seq bigint not null default 1,
  event_count bigint not null default 0,
  stored_bytes bigint not null default 0,
  max_bytes bigint,
  -- the import in progress: imported rows keep their seqs, so the log must not grow meanwhile
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

-- for is_importing(), when an import is undone
create policy eraser_sees_import on tenant_clocks for select to agent_memory_eraser
  using (tenant_id = (select current_tenant()) and importing is not null);

-- The overseer role sees the ids and clocks of all tenants, but no data.
grant select (tenant_id, state) on tenants to agent_memory_overseer;

grant select (tenant_id, last_seq) on tenant_clocks to agent_memory_overseer;

create policy overseer_reads on tenants for select to agent_memory_overseer using (true);

create policy overseer_reads on tenant_clocks for select to agent_memory_overseer using (true);

-- Hashes a session of a tenant to eight bytes. Index entries are a third as wide, and pages fill up: only for entries of the same short width
-- does PostgreSQL detect that a page grows at one position and split it there.
create function session_key(p_tenant text, p_session text) returns bigint
language sql immutable parallel safe
return hashtextextended(p_tenant || '/' || p_session, 0);

-- The append-only log. Each version of a memory, edit or capsule is an event.
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
  -- the subject; in a private channel also the owner
  user_id text,
  agent_id text,
  project_id text,
  sensitivity text not null,
  tags text[] not null default '{}',
  refs text[] not null default '{}',
  metadata jsonb not null default '{}',
  artifact_id text,
  chunk_count smallint not null default 0,
  -- size of content and metadata, which limits the pages of lists
  byte_count int not null default 0,
  occurred_at timestamptz not null,
  created_at timestamptz not null,
  -- A column, because `->>` is not leakproof: under row-level security an expression index would not be used.
  supersedes text generated always as (case when kind = 'decision' then content ->> 'supersedes' end) stored,
  -- when the content was erased; the content itself proves nothing, because clients write it
  erased_at timestamptz,
  -- number of redacted spans
  redactions int,
  -- A column, because the function is not leakproof: under row-level security an expression index would not be used.
  session_key bigint not null generated always as (session_key(tenant_id, session_id)) stored,
  -- When a trim kept the event although it lies before the beginning of the log; null for events of the log. Lists and followers omit it, but
  -- it can still be found by its id and seq.
  carried_at timestamptz,
  -- rows are inserted in the order of seq, so pages are filled and not split
  constraint events_pkey primary key (tenant_id, seq) with (fillfactor = 100),
  constraint events__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint events__channel check (channel in ('private', 'public', 'team', 'agent')),
  constraint events__sensitivity check (sensitivity in ('none', 'low', 'high', 'secret')),
  constraint events__private_subject check (channel <> 'private' or user_id is not null),
  constraint events__redactions check (redactions > 0),
  -- An erased event has no content, also if it was imported: an import must not hide content from erasures.
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

-- for has_forgotten(), which consistency calls for each section of the log
create index events__forgotten on events (tenant_id) where kind in ('erasure.completed', 'retention.forgot');

-- for finding replaced decisions
create index events__supersedes on events (tenant_id, supersedes) where supersedes is not null;

-- for finding the call of a result; older releases accepted a `call_id` of any length
create index events__call on events (tenant_id, session_id, left(content ->> 'call_id', 255), seq)
where kind in ('tool_call', 'tool_result') and content ->> 'call_id' is not null;

select wall('events', 'select, insert');

select noun('events', prefix => 'evt');

select portable('events', part => 'event', keys => array['seq'], bound => 't.seq <= $3', weight => 't.byte_count');

-- Outcomes for idempotent replays. They refer to events and do not contain text, so that current visibility and erasures apply.
create table idempotency_keys (
  tenant_id text not null,
  key_hash bytea not null,
  body_hash bytea not null,
  outcome jsonb not null,
  created_at timestamptz not null,
  constraint idempotency_keys_pkey primary key (tenant_id, key_hash),
  constraint idempotency_keys__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- for the sweeper; brin, because rows arrive in time order and every write updates this index
create index idempotency_keys__created_at on idempotency_keys using brin (created_at);

select wall('idempotency_keys', 'select, insert, delete');

grant update (outcome) on idempotency_keys to agent_memory_app;

select noun('idempotency');

-- Rows that an erasure or retention job has found and not yet processed: ids without content. Deleted when the job ends.
create table erasure_marks (
  tenant_id text not null,
  job_id text not null,
  -- Erasure: event, artifact, memory (erased), ref (an event that only cites the name), keep (a memory that loses some of its sources), user (an
  -- account of the subject); if shared acts are kept: shared, kin (events that remain), name (a word that identifies the subject).
  -- Retention: pin, event, memory. Trim: carry, ground (events that remain), hold (memories that remain).
  what text not null,
  id text not null,
  seq bigint,
  constraint erasure_marks_pkey primary key (tenant_id, job_id, what, id),
  constraint erasure_marks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- for finding any mark of an id
create index erasure_marks__id on erasure_marks (tenant_id, job_id, id);

select wall('erasure_marks', 'select, insert, update, delete');

-- Types of the group commit, commit_units in src/db/functions.sql. `unit` and `event` are indexes from 1: of a unit in its batch, and of an event
-- in its unit.

-- The status of a unit before it is written. `leader`: the first unit of the batch with the same key. `seq`: of its first event, if it is new.
-- `outcome`, `at`: of the commit that it repeats, or of a refusal.
create type verdict as (
  unit int, status text, key_hash bytea, body_hash bytea, bytes bigint, count int, leader int, seq bigint, outcome jsonb, at timestamptz);

-- Data that a noun prepared for an effect before the clock was locked: any number of parts per event.
create type prepared as (noun text, unit int, event int, part int, numbers int[], doc jsonb);

-- The result of a `judge` hook for a unit: a refusal, or `doc` as its replacement.
create type judgement as (unit int, refusal jsonb, doc jsonb);

-- An effect of an event that has been appended. The noun defines the form of `doc`.
create type effect as (
  noun text, unit int, event int, seq bigint, event_id text, kind text, actor_type text, actor_id text, session_id text, channel text,
  sensitivity text, user_id text, agent_id text, project_id text, tags text[], occurred_at timestamptz, doc jsonb);

-- The result of an applied effect. `kept`: a retry could not derive it again.
create type answer as (noun text, unit int, event int, doc jsonb, kept boolean);

-- The outcome of a unit.
create type unit_outcome as (status text, outcome jsonb, at timestamptz);

-- The state of the sweeper, in one row. No row-level security, because a run covers all tenants. The lease is an expiry time, because a session
-- lock does not work behind a transaction pooler, and how long it outlives its daemon is unknown.
create table sweep_walks (
  only_row boolean not null default true,
  -- increases with each lease, so that a daemon that lost its lease can no longer renew or finish it
  token bigint not null default 0,
  held_until timestamptz not null default '-infinity',
  -- start of the current run; null between runs
  begun_at timestamptz,
  -- the last tenant processed
  after text not null default '',
  -- number of tenants whose sweep failed
  failed int not null default 0,
  -- when the next run is due; a starting daemon may begin earlier
  due_at timestamptz not null default '-infinity',
  -- the last completed run, and the number of tenants whose sweep failed
  succeeded_at timestamptz not null default now(),
  last_failed int not null default 0,
  constraint sweep_walks_pkey primary key (only_row),
  constraint sweep_walks__only_row check (only_row)
) with (fillfactor = 50);

insert into sweep_walks default values;

grant select, update on sweep_walks to agent_memory_app;

select let_back_up('sweep_walks');

-- Identifies the database that the data belongs to, in one row without row-level security. The first daemon that serves the database writes it.
-- A dump contains the row, which then identifies a different cluster or database. A server recovered to an earlier time keeps its identity, so
-- scripts/pitr.sh sets agent_memory.restored, which then differs from the last confirmed value.
create table installation (
  only_row boolean not null default true,
  place text not null,
  restored text not null default '',
  confirmed_at timestamptz not null default now(),
  -- The transaction that wrote the row. It changes with a logical restore, but not with a physical copy, a failover, vacuum full or cluster. An
  -- alter table that rewrites the table also changes it and thus closes the database: a migration that does so must set `written` to its own
  -- transaction if the database was confirmed before.
  written text not null default pg_current_xact_id()::text,
  constraint installation_pkey primary key (only_row),
  constraint installation__only_row check (only_row)
);

grant select, insert, update on installation to agent_memory_app;

select let_back_up('installation');

-- The result of a consistency check: rows checked, number of wrong ones, at most five samples. `vital`: an import fails if any is wrong.
create type finding as (name text, checked bigint, wrong bigint, sample jsonb, vital boolean);
