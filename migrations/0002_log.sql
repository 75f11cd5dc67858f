-- The log of each tenant, the passages searched in it, large contents beside it, and the answers kept for retries.
-- min_code: 1

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
  user_id text not null,
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
  constraint events_pkey primary key (tenant_id, seq),
  constraint events__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint events__channel check (channel in ('private', 'public', 'team', 'agent')),
  constraint events__sensitivity check (sensitivity in ('none', 'low', 'high', 'secret'))
);
-- GET by id, refs
create unique index events__event_id on events (tenant_id, event_id);
-- lists and the recent window of a session
create index events__session on events (tenant_id, session_id, seq);
-- lists of a project
create index events__project on events (tenant_id, project_id, seq) where project_id is not null;
-- decisions and task_state of a context
create index events__ledger on events (tenant_id, kind, seq) where kind in ('decision', 'task_update');
select wall('events', 'select, insert');

-- What a passage is found by: its own words first (weight A), then what surrounds them and the day in words (weight D).
-- to_char without TM knows English alone, whatever the locale: that is what makes it immutable here.
create function passage_vector(p_language regconfig, p_text text, p_header text, p_at timestamptz) returns tsvector
language sql immutable parallel safe
as $$
  select setweight(to_tsvector(p_language, p_text), 'A')
    || setweight(to_tsvector(p_language, p_header || to_char(p_at at time zone 'UTC', ' FMDay FMDD FMMonth FMYYYY')), 'D')
$$;

-- Passages, derived from the log and disposable. Scope and visibility are repeated here, so that a search filters without a join.
-- A chunk's id is its event's id and its ordinal: rebuilding gives the same ids.
create table chunks (
  tenant_id text not null,
  seq bigint not null,
  ordinal smallint not null,
  event_id text not null,
  kind text not null,
  session_id text not null,
  channel text not null,
  sensitivity text not null,
  user_id text not null,
  agent_id text,
  project_id text,
  text text not null,
  -- what a question may use beside the passage: speaker, tags, parts of names
  header text not null,
  -- about: counting exactly would cost more than the insert
  token_count int not null,
  tsv tsvector not null,
  occurred_at timestamptz not null,
  constraint chunks_pkey primary key (tenant_id, seq, ordinal),
  constraint chunks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);
select wall('chunks', 'select, insert, update, delete');

-- Bytes too large for an event. `event_id` is set in the event's own transaction: without one it is unseen and swept.
create table artifacts (
  tenant_id text not null,
  artifact_id text not null,
  event_id text,
  media_type text not null,
  byte_count bigint not null,
  sha256 bytea not null,
  bytes bytea not null,
  channel text not null,
  sensitivity text not null,
  user_id text not null,
  created_at timestamptz not null default now(),
  constraint artifacts_pkey primary key (tenant_id, artifact_id),
  constraint artifacts__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);
-- ranges are read as slices, which a compressed value would have to be unpacked for
alter table artifacts alter column bytes set storage external;
-- the sweeper of uploads whose event never came
create index artifacts__unlinked on artifacts (tenant_id, created_at) where event_id is null;
select wall('artifacts', 'select, insert, update, delete');

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
