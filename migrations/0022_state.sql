-- State: values of agents under a namespace and a key, with their versions.
-- min_code: 1

-- Hashes the tags of an object to one number each: a GIN index over them is narrow and does not mix tenants, and its conditions are exact after a
-- comparison of the tags themselves. Null if there are no tags.
create function state_tag_keys(p_tenant text, p_namespace text, p_tags jsonb) returns bigint[]
language sql immutable parallel safe
return (select array_agg(hashtextextended(p_tenant || '/' || p_namespace || '/' || t.key || '=' || t.value, 0)) from jsonb_each_text(p_tags) t);

-- One row per key, which stays when the object is deleted: versions only grow, and the audience is fixed by the first write.
create table state_objects (
  tenant_id text not null,
  namespace text collate "C" not null,
  key text collate "C" not null,
  -- the audience
  channel text not null,
  user_id text,
  agent_id text,
  session_id text,
  project_id text,
  sensitivity text not null default 'none',
  -- Only `live` objects have a body. An expired object stays `live` until its event is written; every read judges the expiry itself.
  life text not null,
  version int not null,
  -- the event of this version
  seq bigint not null,
  -- null also for the JSON value null
  body jsonb,
  tags jsonb not null default '{}',
  created_at timestamptz not null,
  updated_at timestamptz not null,
  expires_at timestamptz,
  tag_keys bigint[] generated always as (state_tag_keys(tenant_id, namespace, tags)) stored,
  constraint state_objects_pkey primary key (tenant_id, namespace, key),
  constraint state_objects__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint state_objects__channel check (channel in ('private', 'public', 'team', 'agent')),
  constraint state_objects__private_subject check (channel <> 'private' or user_id is not null),
  constraint state_objects__life check (life in ('live', 'deleted', 'expired', 'erased')),
  constraint state_objects__body check (life = 'live' or body is null)
);

-- queries by tags; without the pending list of fast updates, which every search would have to scan
create index state_objects__tags on state_objects using gin (tag_keys) with (fastupdate = off) where tag_keys is not null;

-- queries in the order of their last change
create index state_objects__seq on state_objects (tenant_id, namespace, seq) where life = 'live';

-- the sweep, over all tenants
create index state_objects__expires on state_objects (expires_at) where life = 'live' and expires_at is not null;

select wall('state_objects', 'select, insert, update, delete');

-- for queries by tags: `@>` is not leakproof, so under row-level security the index would not be used
grant select on state_objects to agent_memory_searcher;

create policy searcher_reads on state_objects for select to agent_memory_searcher using (true);

-- for the sweep
grant select (tenant_id, life, expires_at) on state_objects to agent_memory_overseer;

create policy overseer_reads on state_objects for select to agent_memory_overseer using (true);

-- The versions. Body and tags of a version are in the content of its event.
create table state_versions (
  tenant_id text not null,
  namespace text collate "C" not null,
  key text collate "C" not null,
  version int not null,
  seq bigint not null,
  -- `erased`: the event was blanked, so nothing is known of this version
  change text not null,
  expires_at timestamptz,
  constraint state_versions_pkey primary key (tenant_id, namespace, key, version),
  constraint state_versions__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint state_versions__change check (change in ('put', 'deleted', 'expired', 'erased'))
);

-- consistency checks, trims and erasures
create unique index state_versions__seq on state_versions (tenant_id, seq);

select wall('state_versions', 'select, insert, update, delete');

-- An object while a batch of writes is judged; `life` is null if the key was never written.
create type state_slot as (
  namespace text, key text, channel text, user_id text, agent_id text, session_id text, project_id text, life text, version int,
  created_at timestamptz, expires_at timestamptz);

select noun('state');

select portable('state_objects', part => 'state_object', keys => array['namespace', 'key'], weight => 'coalesce(pg_column_size(t.body), 0)');

select portable('state_versions', part => 'state_version', keys => array['namespace', 'key', 'version'], bound => 't.seq <= $3');
