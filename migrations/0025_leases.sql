-- Leases: exclusive use of a name for a limited time, with a token that only grows.
-- min_code: 1

create table leases (
  tenant_id text not null,
  key text not null,
  -- the event that acquired or released it last; 0 once that event was erased
  seq bigint not null,
  owner text not null,
  -- the principal that acquired it, and the agent of its credential
  principal text not null,
  agent_id text,
  -- the last token of the key
  token bigint not null,
  acquired_at timestamptz not null,
  -- A lease ends by this time alone. A released one stays for the sweep, which keeps its token in lease_floors.
  expires_at timestamptz not null,
  constraint leases_pkey primary key (tenant_id, key),
  constraint leases__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- the sweep
create index leases__expires on leases (tenant_id, expires_at);

-- consistency checks and mark_needs
create index leases__seq on leases (tenant_id, seq);

select wall('leases', 'select, insert, update, delete');

-- The largest token of the keys whose rows were removed: a key that comes back continues above it, also if the database's clock was set back.
create table lease_floors (
  tenant_id text not null,
  token bigint not null,
  constraint lease_floors_pkey primary key (tenant_id),
  constraint lease_floors__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('lease_floors', 'select, insert, update');

-- Requests that wait for a lease, in the order of their arrival. A row counts until expires_at, so that a daemon that dies delays the next request
-- by at most the time that its own request would have waited.
create table lease_waiters (
  tenant_id text not null,
  key text not null,
  place bigint not null,
  owner text not null,
  expires_at timestamptz not null,
  constraint lease_waiters_pkey primary key (tenant_id, key, place),
  constraint lease_waiters__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- the sweep
create index lease_waiters__expires on lease_waiters (tenant_id, expires_at);

select wall('lease_waiters', 'select, insert, update, delete');

-- erasure: events whose content may name the subject
create index events__lease on events (tenant_id, seq) where kind in ('lease.acquired', 'lease.released');

-- No exports: a lease of another installation means nothing here. No repair: the log has neither the holder nor the token.
select noun('leases', without => '{repair}');

-- When an admin confirmed that what came back with the last restore may be used again.
alter table tenants add column restore_confirmed_at timestamptz;
