-- Trims remove deleted keys, and past state stays refused until an interrupted trim has been completed.
-- min_code: 1

-- The last event of a trim that has begun to drop events. Until all of them are dropped, state as of an earlier event is incomplete, also if the run has
-- failed.
alter table tenant_clocks add column trimming_to bigint;

-- The highest version of the keys whose rows were removed by a trim: new keys begin after it, because the versions of a key only grow.
create table state_floors (
  tenant_id text not null,
  version int not null,
  constraint state_floors_pkey primary key (tenant_id),
  constraint state_floors__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('state_floors', 'select, insert, update');

select portable('state_floors', part => 'state_floor', keys => array['version']);
