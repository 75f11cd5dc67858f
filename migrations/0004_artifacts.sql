-- Artifacts.
-- min_code: 1

-- Bytes too large for an event. `event_id` is set in the transaction of the event. Without an event an artifact is invisible and gets swept.
create table artifacts (
  tenant_id text not null,
  artifact_id text not null,
  event_id text,
  media_type text not null,
  byte_count bigint not null,
  sha256 bytea not null,
  bytes bytea not null,
  channel text not null,
  sensitivity text not null,
  user_id text,
  created_at timestamptz not null default now(),
  constraint artifacts_pkey primary key (tenant_id, artifact_id),
  constraint artifacts__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- uncompressed, so that ranges can be read as slices
alter table artifacts alter column bytes set storage external;

-- for the sweeper of uploads without an event
create index artifacts__unlinked on artifacts (tenant_id, created_at) where event_id is null;

select wall('artifacts', 'select, insert, update, delete');

-- An artifact is erased and kept together with its event.
select noun('artifacts', prefix => 'art', without => '{forget,held,needs}');

-- artifacts whose event is in the log up to $3
select portable(
  'artifacts', part => 'artifact', keys => array['artifact_id'],
  bound => 'exists (select from events e where e.tenant_id = $1 and e.event_id = t.event_id and e.seq <= $3)');
