-- Kills end open actions by predicate, and mandates count their open actions.
-- min_code: 1

-- open actions under it and its descendants
alter table mandates add column open_actions bigint not null default 0;

alter type mandate_state add attribute open_actions bigint, add attribute busy boolean;

-- Kills that are not yet written into all actions that they ended: those of the agent, or under a mandate that was delegated from one of the
-- agent's, that were open at killed_at.
create table mandate_kills (
  tenant_id text not null,
  -- hash of the agent's name; that of `*`: all agents
  agent_hash text not null,
  killed_at timestamptz not null,
  constraint mandate_kills_pkey primary key (tenant_id, agent_hash, killed_at),
  constraint mandate_kills__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('mandate_kills', 'select, insert, delete');
