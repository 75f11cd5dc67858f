-- Capsules: items that an author shares with others until the capsule expires or is revoked.
-- min_code: 1

create table capsules (
  tenant_id text not null,
  capsule_id text not null,
  -- the event that created it; its content has title and risks, which are stored nowhere else
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
  -- visibility of the author when it was created, limited to what a capsule may show; items are read with it
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

-- for the sweeper
create index capsules__expires on capsules (tenant_id, expires_at);

-- for mark_needs
create index capsules__seq on capsules (tenant_id, seq);

select wall('capsules', 'select, insert, update, delete');

-- A retention rule that matches its event expires a capsule. A capsule has no derived data.
select noun('capsules', prefix => 'cap', part => 'capsule', keys => array['capsule_id'], without => '{held,check,repair}');
