-- Snapshots: names of positions in the log. The state of the tenant as of such a position stays readable until the snapshot expires.
-- min_code: 1

-- At most 100 rows of a tenant, because a new snapshot deletes expired ones; so the key is the only index.
create table snapshots (
  tenant_id text not null,
  name text not null,
  -- the last event before the snapshot; 0 if the log was empty
  seq bigint not null,
  -- also the time as of which state counts as expired
  created_at timestamptz not null,
  expires_at timestamptz not null,
  constraint snapshots_pkey primary key (tenant_id, name),
  constraint snapshots__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('snapshots', 'select, insert, update, delete');

-- A snapshot derives nothing from its event and outlives it. It limits a trim (`awaits`); `check_rows` compares its position with the log.
select noun('snapshots', without => '{clear,needs,check,repair}');

select portable('snapshots', part => 'snapshot', keys => array['name'], bound => 't.seq <= $3');
