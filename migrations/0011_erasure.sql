-- Forgetting: a subject on request.
-- min_code: 1

-- The log is append-only for the serving role. Another role blanks the forgotten rows. It can do nothing else, acts only through
-- its own functions, and only while a job of the bound tenant that forgets is held by a daemon.
grant select (tenant_id, kind, state) on jobs to agent_memory_blanker;

create policy blanker_reads on jobs for select to agent_memory_blanker using (tenant_id = (select current_tenant()));

create function tenant_forgetting() returns text
language sql stable
as $$
  select j.tenant_id from jobs j
  where j.tenant_id = (select current_tenant()) and j.kind in ('erasure', 'retention') and j.state = 'running'
  limit 1
$$;

grant select, delete on events to agent_memory_blanker;

grant update (content, metadata, tags, refs, artifact_id, chunk_count, byte_count, session_id, user_id, agent_id, project_id, actor_id, erased_at)
  on events to agent_memory_blanker;

grant update (carried_at) on events to agent_memory_blanker;

create policy blanker_finds on events for select to agent_memory_blanker using (tenant_id = (select tenant_forgetting()));

create policy blanker_blanks on events for update to agent_memory_blanker
  using (tenant_id = (select tenant_forgetting())) with check (tenant_id = (select tenant_forgetting()));

create policy blanker_trims on events for delete to agent_memory_blanker using (tenant_id = (select tenant_forgetting()));

-- What a job that forgets has found, and not yet done: ids, no content. Gone with the job's end.
create table erasure_marks (
  tenant_id text not null,
  job_id text not null,
  -- event, ref (an event that only cites the name), artifact, memory, keep (a memory that loses a part of what it rests on), user
  what text not null,
  id text not null,
  seq bigint,
  constraint erasure_marks_pkey primary key (tenant_id, job_id, what, id),
  constraint erasure_marks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- whether an id is marked, as whatever
create index erasure_marks__id on erasure_marks (tenant_id, job_id, id);

select wall('erasure_marks', 'select, insert, update, delete');

select noun('erasure');
