-- Passages of the log, and their search index, which works under row-level security in a time that does not grow with the tenant.
-- min_code: 1

-- A passage before it is inserted into chunks.
create type passage as (seq bigint, ordinal smallint, text text, header text, token_count int, traits smallint, terms int[]);

-- Returns keys that a search can intersect with its terms: the tenant, a section of 16,384 seqs of the log, the scopes, the audience. Every key
-- contains the tenant id, in which '/' is not allowed, so that the posting lists of tenants are disjoint.
create function place_key(p_tenant text, p_kind text, p_value text) returns uuid
language sql immutable parallel safe
return md5(p_tenant || '/' || p_kind || '/' || p_value)::uuid;

create function chunk_places(
  p_tenant text, p_seq bigint, p_session text, p_channel text, p_user text, p_agent text, p_project text) returns uuid[]
language sql immutable parallel safe
return array_remove(array[
  place_key(p_tenant, 'tenant', ''),
  place_key(p_tenant, 'epoch', (p_seq / 16384)::text),
  place_key(p_tenant, 'session', p_session),
  place_key(p_tenant, 'audience', case when p_channel = 'private' then 'private/' || p_user else p_channel end),
  place_key(p_tenant, 'user', p_user),
  place_key(p_tenant, 'agent', p_agent),
  place_key(p_tenant, 'project', p_project)], null);

-- Converts terms for the index, because arrays have no operator for "contains this and one of these".
create function term_vector(p_terms int[]) returns tsvector
language sql immutable parallel safe
return array_to_tsvector(p_terms::text[]);

-- Passages, derived from the log and disposable. Scope and visibility are copied, so that a search filters without a join. The id of a passage
-- is the id of its event with its ordinal, so that a rebuild produces the same ids. Fixed-width columns come first to avoid padding.
create table chunks (
  seq bigint not null,
  occurred_at timestamptz not null,
  -- an estimate, because an exact count would cost more than the insert
  token_count int not null,
  -- actor_key() of the event's actor
  actor int not null default 0,
  ordinal smallint not null,
  -- bits: the text ends with a question (1), contains a date (2), a number (4), a proper name (8)
  traits smallint not null default 0,
  tenant_id text not null,
  kind text not null,
  session_id text not null,
  channel text not null,
  sensitivity text not null,
  user_id text,
  agent_id text,
  project_id text,
  -- additional searchable text: speaker, tags, parts of names
  header text not null,
  -- null: event_text() of the event's content
  text text,
  terms int[] not null,
  -- For a memory: until when it was current, and its validity. From edits: its weight, and the channels in which it is hidden.
  until_seq bigint,
  until_at timestamptz,
  valid tstzrange,
  weight real,
  blocked_in text[],
  constraint chunks_pkey primary key (tenant_id, seq, ordinal) with (fillfactor = 100),
  constraint chunks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
)
-- no TOAST, because a search reads `terms` for every term of the query
with (toast_tuple_target = 8160);

-- a small pending list, because every scan reads all of it
create index chunks__search on chunks
  using gin (chunk_places(tenant_id, seq, session_id, channel, user_id, agent_id, project_id), term_vector(terms))
  with (gin_pending_list_limit = 256);

select wall('chunks', 'select, insert, update, delete');

-- Passages have no data that their events lack, no other rows depend on them, and `npm run rebuild` rebuilds them.
select noun('passages', prefix => 'chk', without => '{forget,held,needs,repair}');

-- The progress of a rebuild of passages. While a tenant has a row, responses report that search is incomplete.
create table chunk_rebuilds (
  tenant_id text not null,
  rebuilt_to bigint not null default 0,
  constraint chunk_rebuilds_pkey primary key (tenant_id),
  constraint chunk_rebuilds__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('chunk_rebuilds', 'select, insert, update, delete');

grant select on chunks to agent_memory_searcher;

create policy searcher_reads on chunks for select to agent_memory_searcher using (true);

grant select (tenant_id, seq, session_id, channel, sensitivity, user_id) on events to agent_memory_searcher;

create policy searcher_reads on events for select to agent_memory_searcher using (true);
