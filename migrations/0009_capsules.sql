-- Capsules: what one author hands to others, until it expires or is revoked.
-- min_code: 1

create table capsules (
  tenant_id text not null,
  capsule_id text not null,
  -- the event that made it; its content says title and risks, which stand nowhere else
  seq bigint not null,
  -- the author's subject
  user_id text,
  agent_id text,
  project_id text,
  channel text not null,
  tags text[] not null,
  for_all boolean not null,
  audience_users text[] not null,
  audience_agents text[] not null,
  items text[] not null,
  -- what the author could see when it was made, of what a capsule may show: items are looked at through this, as of now
  item_channels text[] not null,
  item_sensitivities text[] not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_seq bigint,
  constraint capsules_pkey primary key (tenant_id, capsule_id),
  constraint capsules__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint capsules__channel check (channel in ('private', 'public', 'team', 'agent')),
  constraint capsules__items check (cardinality(items) between 1 and 200),
  constraint capsules__all check (not for_all or channel <> 'private')
);

-- the sweeper
create index capsules__expires on capsules (tenant_id, expires_at);

-- the walk of mark_needs
create index capsules__seq on capsules (tenant_id, seq);

select wall('capsules', 'select, insert, update, delete');

-- A rule of retention that names its event ends a capsule. Nothing in it is derived.
select noun('capsules', prefix => 'cap', part => 'capsule', keys => array['capsule_id'], without => '{held,check,repair}');
