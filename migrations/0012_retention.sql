-- Retention policies, one per tenant.
-- min_code: 1

create table retention_policies (
  tenant_id text not null,
  rules jsonb not null,
  trim jsonb,
  version int not null default 1,
  updated_at timestamptz not null default now(),
  last_run_at timestamptz,
  constraint retention_policies_pkey primary key (tenant_id),
  constraint retention_policies__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('retention_policies', 'select, insert, update, delete');

select noun('retention');

-- one row per tenant
select portable('retention_policies', part => 'retention_policy', keys => array['version']);
