-- Webhooks deliver events over HTTP. The log is the outbox: a webhook has a cursor into it, and there is no other queue.
-- min_code: 1

create table webhooks (
  tenant_id text not null,
  webhook_id text not null,
  url text not null,
  description text not null,
  -- the compiled filter for event_matches, with the original one
  filter jsonb,
  -- events that it may receive, chosen by the admin who created it
  channels text[] not null,
  sensitivities text[] not null,
  user_ids text[] not null,
  active boolean not null default true,
  disabled_reason text,
  -- encrypted with a key that is not in the database; the previous secret also signs until `old_secret_until`
  secret jsonb not null,
  old_secret jsonb,
  old_secret_until timestamptz,
  -- the last event that has been processed
  cursor bigint not null,
  -- failed attempts to deliver the next event, and when to retry
  attempts int not null default 0,
  retry_at timestamptz,
  -- there are deliveries to replay
  replaying boolean not null default false,
  -- when there is something to do, such as an attempt or the end of a lease; null if nothing is pending
  due_at timestamptz,
  -- the last request to the receiver took long
  slow boolean not null default false,
  -- One daemon delivers at a time, to keep the order. The number identifies late reports of a former one.
  lease_id bigint not null default 0,
  lease_until timestamptz,
  version int not null default 1,
  created_by text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint webhooks_pkey primary key (tenant_id, webhook_id),
  constraint webhooks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- for finding the longest waiting webhook
create index webhooks__due on webhooks (slow, due_at) where active and due_at is not null;

select wall('webhooks', 'select, insert, update, delete');

-- A pending delivery limits a trim (`awaits`). Deliveries have no derived data.
select noun('webhooks', prefix => 'whk', without => '{held,needs,check,repair}');

-- The delivery of each event, in one row for all attempts. The sweeper deletes old rows.
create table webhook_deliveries (
  tenant_id text not null,
  webhook_id text not null,
  seq bigint not null,
  event_id text not null,
  kind text not null,
  state text not null,
  attempts int not null,
  status_code int,
  error text,
  duration_ms int,
  attempted_at timestamptz not null,
  constraint webhook_deliveries_pkey primary key (tenant_id, webhook_id, seq),
  constraint webhook_deliveries__webhook foreign key (tenant_id, webhook_id) references webhooks (tenant_id, webhook_id) on delete cascade,
  constraint webhook_deliveries__state check (state in ('delivered', 'retrying', 'dead', 'replaying'))
);

-- for the dead-letter queue and replays
create index webhook_deliveries__open on webhook_deliveries (tenant_id, webhook_id, state, seq) where state <> 'delivered';

-- for the sweeper
create index webhook_deliveries__attempted on webhook_deliveries (tenant_id, attempted_at);

select wall('webhook_deliveries', 'select, insert, update, delete');

-- The overseer role sees which webhooks of all tenants have something to do, but neither receivers nor content.
grant select (tenant_id, webhook_id, active, cursor, slow, due_at, lease_until) on webhooks to agent_memory_overseer;

create policy overseer_reads on webhooks for select to agent_memory_overseer using (true);
