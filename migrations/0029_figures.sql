-- Figures over all tenants that a sweep adds up, and an index of kills by which each daemon finds those that did not reach it.
-- min_code: 1

alter table sweep_walks
  -- the sums of the current run
  add column tallies jsonb not null default '{}',
  -- the sums of the last completed run; null before the first
  add column last_tallies jsonb;

grant select (tenant_id, agent_hash, state, killed_at) on agent_states to agent_memory_overseer;

create policy overseer_reads on agent_states for select to agent_memory_overseer using (true);

create index agent_states__killed on agent_states (killed_at, tenant_id, agent_hash) where state = 'killed';
