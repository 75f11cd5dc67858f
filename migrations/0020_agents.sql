-- The kill switch: agents that an admin or member has stopped, and the tenant's confirmation of a restore.
-- min_code: 1

-- An agent without a row is active. The agent `*` is the whole tenant. The log does not name rows, and rows do not name the log: a trim or an
-- erasure of events never ends a kill.
create table agent_states (
  tenant_id text not null,
  -- hash of the name, by which the agent is found: a killed agent stays killed after its name was erased
  agent_hash text not null,
  -- null once the agent was erased
  agent_id text,
  state text not null,
  reason text,
  -- the actor of the last change
  made_by text,
  killed_at timestamptz,
  updated_at timestamptz not null,
  constraint agent_states_pkey primary key (tenant_id, agent_hash),
  constraint agent_states__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint agent_states__state check (state in ('active', 'killed'))
);

select wall('agent_states', 'select, insert, update, delete');

select noun('agents');

select portable('agent_states', part => 'agent_state', keys => array['agent_hash']);
