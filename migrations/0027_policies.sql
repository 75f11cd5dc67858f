-- Policies, from which mandates are composed, and the rules that select them for a context.
-- min_code: 1

-- A version never changes. Mandates contain their terms, so nothing refers to a version.
create table policies (
  tenant_id text not null,
  policy_id text not null,
  version int not null,
  name text not null,
  description text,
  -- terms of a mandate
  definition jsonb not null,
  -- validity of a mandate composed from it; null: the default
  expires_in_ms bigint,
  made_by text,
  created_at timestamptz not null default now(),
  constraint policies_pkey primary key (tenant_id, policy_id, version),
  constraint policies__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('policies', 'select, insert, update, delete');

select noun('policies', prefix => 'pol', part => 'policy', keys => array['policy_id', 'version']);

create table policy_rules (
  tenant_id text not null,
  rule_id text not null,
  version int not null,
  name text not null,
  conditions jsonb not null,
  policy_ids text[] not null,
  -- null: all agents
  agent_ids text[],
  made_by text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint policy_rules_pkey primary key (tenant_id, rule_id),
  constraint policy_rules__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('policy_rules', 'select, insert, update, delete');

select portable('policy_rules', part => 'rule', keys => array['rule_id']);
