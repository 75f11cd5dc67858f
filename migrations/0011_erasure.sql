-- Erasure of a subject on request.
-- min_code: 1

-- The log is append-only for the serving role. Another role blanks erased events. It has no other privileges, acts only through its own
-- functions, and only while an erasure or retention job of the tenant is running.
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
