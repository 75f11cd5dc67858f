-- Counters: shared numbers that are changed with compare-and-set.
-- min_code: 1

create table counters (
  tenant_id text not null,
  counter_id text not null,
  -- the latest event that set it
  seq bigint not null,
  name text not null,
  value bigint not null,
  -- the subject that created it, and the one that last set it
  made_by text,
  user_id text,
  channel text not null,
  sensitivity text not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  constraint counters_pkey primary key (tenant_id, counter_id),
  constraint counters__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint counters__channel check (channel in ('public', 'team', 'agent'))
);

-- the sweep
create index counters__expires on counters (tenant_id, expires_at) where expires_at is not null;

-- consistency checks and mark_needs
create index counters__seq on counters (tenant_id, seq);

select wall('counters', 'select, insert, update, delete');

select noun('counters', prefix => 'ctr', part => 'counter', keys => array['counter_id']);
