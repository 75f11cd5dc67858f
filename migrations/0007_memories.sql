-- Memories: statements that currently hold. A version of a memory is an event; these tables have the current state and the events of versions.
-- min_code: 1

-- Returns the subject that two equal memories must share; shared tasks are equal regardless of their subject.
create function same_subject(p_kind text, p_channel text, p_user_id text) returns text
language sql immutable parallel safe
return case when p_kind = 'task' and p_channel <> 'private' then '' else p_user_id end;

create table memories (
  tenant_id text not null,
  memory_id text not null,
  kind text not null,
  scope text not null,
  -- the id that the scope refers to: of a project, a session or a user
  scope_id text,
  -- an active memory past its `expires_at` also counts as `expired`, before the sweeper has updated it
  status text not null,
  version int not null,
  -- the event with the content of the newest version, and the event of the newest version
  content_seq bigint not null,
  last_seq bigint not null,
  user_id text,
  agent_id text,
  session_id text,
  project_id text,
  channel text not null,
  sensitivity text not null,
  -- sha256 of the text; for a task, of the key that its updates use
  text_hash bytea not null,
  importance real not null,
  pinned boolean not null,
  -- how often its text was repeated; once `worn`, repetitions are only counted
  repeats int not null default 0,
  worn boolean not null generated always as (repeats >= 256) stored,
  tags text[] not null,
  valid_from timestamptz,
  valid_to timestamptz,
  expires_at timestamptz,
  superseded_by text,
  task_status text,
  -- the agent of a task in progress, if the tenant allows each agent only one
  doing_agent text,
  -- changes of its sources: `evidence_erased`
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

-- At most one active memory has the same content. A task is the same regardless of the sensitivity of an update and, if it is shared, of the
-- user who updates it.
create unique index memories__same on memories (
  tenant_id, text_hash, kind, scope, scope_id, same_subject(kind, channel, user_id), channel, (case when kind = 'task' then '' else sensitivity end))
  nulls not distinct where status = 'active';

-- An agent has one task in progress. Private tasks count per subject, so that nobody is refused because of a task that they cannot see.
create unique index memories__one_doing on memories (tenant_id, doing_agent, (case when channel = 'private' then user_id else '' end))
  where doing_agent is not null;

-- for finding worn memories, of which there are nearly always none
create index memories__worn on memories (tenant_id) where worn;

-- For the sections of a context. The kind comes first: with the tenant first the planner chose it instead of the unique index while there were few
-- memories, and each new memory then read all of them.
create index memories__kind on memories (kind, status, tenant_id, content_seq);

-- for the sweeper, and for recording the same text again after expiry
create index memories__expires on memories (tenant_id, expires_at) where status = 'active' and expires_at is not null;

-- for superseded memories
create index memories__superseded on memories (tenant_id, kind, content_seq) where status = 'superseded';

-- for the predecessors of a memory
create index memories__superseded_by on memories (tenant_id, superseded_by) where superseded_by is not null;

create index memories__open_tasks on memories (tenant_id, content_seq) where status = 'active' and kind = 'task' and task_status <> 'done';

select wall('memories', 'select, insert, update, delete');

-- No `clear` hook: whether a memory survives the erasure of its events depends on its other versions and its sources, in `mark` and `lapse`.
select noun('memories', prefix => 'mem', part => 'memory', keys => array['memory_id'], without => '{clear}');

-- A memory effect of an event, resolved against the current memories by resolve_effects(). 0015_memory_effect.sql renames the type to
-- `memory_effect`, and some attributes. `id`: the memory that it creates, updates or repeats; `memory_id`: the id that a new memory would have.
-- `ended`: the memory that it superseded. `counted`: repeated too often to make a version. `held_…`: the memory before the batch, if it exists.
-- `nth`, `versions`, `said` and `first_seq`, among the effects of a batch with the same memory: the position of this one, how many make
-- versions, how many there are, and the seq of the first.
create type wish as (
  unit int, event int, seq bigint, id text, memory_id text, kind text, scope text, scope_id text, status text, text_hash bytea, importance real,
  pinned boolean, valid_from timestamptz, valid_to timestamptz, expires_at timestamptz, task_status text, channel text, sensitivity text,
  user_id text, agent_id text, session_id text, project_id text, tags text[], ended text, counted boolean, only_new boolean,
  held_version int, held_content_seq bigint, held_at tid, nth int, versions int, said int, first_seq bigint);

-- The event of each version, and the event with its content. Citations are the refs of the events from `content_seq` on.
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

-- for finding the memory of an event
create index memory_versions__seq on memory_versions (tenant_id, seq);

select wall('memory_versions', 'select, insert, update, delete');

select portable('memory_versions', part => 'memory_version', keys => array['memory_id', 'version'], bound => 't.seq <= $3');

-- Search filters read the event of a passage and its memory.
grant select on events, memories, memory_versions to agent_memory_searcher;

create policy searcher_reads on memories for select to agent_memory_searcher using (true);

create policy searcher_reads on memory_versions for select to agent_memory_searcher using (true);
