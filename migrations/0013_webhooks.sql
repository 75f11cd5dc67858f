-- Webhooks: the log told to others over HTTP. The log is the outbox: a subscription has its place in it, and nothing else is queued.
-- min_code: 1

create table webhooks (
  tenant_id text not null,
  webhook_id text not null,
  url text not null,
  description text not null,
  -- as event_matches takes it, with what was given
  filter jsonb,
  -- what it may be told of, chosen by the admin who made it
  channels text[] not null,
  sensitivities text[] not null,
  user_ids text[] not null,
  active boolean not null default true,
  disabled_reason text,
  -- sealed under a key that is not in the database; the one before it signs too until then
  secret jsonb not null,
  old_secret jsonb,
  old_secret_until timestamptz,
  -- the last event that is done with
  cursor bigint not null,
  -- failed attempts at the one after it, and when to try again
  attempts int not null default 0,
  retry_at timestamptz,
  -- there are deliveries to repeat
  replaying boolean not null default false,
  -- since when there is something to do, or when there will be: an attempt, the end of a lease; null: nothing is known of
  due_at timestamptz,
  -- the receiver took long the last time
  slow boolean not null default false,
  -- one daemon delivers, so that the order is kept; what a former one still reports is told by its number
  lease_id bigint not null default 0,
  lease_until timestamptz,
  version int not null default 1,
  created_by text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint webhooks_pkey primary key (tenant_id, webhook_id),
  constraint webhooks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- who has waited longest
create index webhooks__due on webhooks (slow, due_at) where active and due_at is not null;

select wall('webhooks', 'select, insert, update, delete');

-- A delivery that has yet to be made bounds a trim (`awaits`). What was delivered is told nowhere else.
select noun('webhooks', prefix => 'whk', without => '{held,needs,check,repair}');

-- What became of each event: one row, however often it was tried. Bounded by the sweeper.
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

-- dead letters, and what is to be repeated
create index webhook_deliveries__open on webhook_deliveries (tenant_id, webhook_id, state, seq) where state <> 'delivered';

-- the sweeper
create index webhook_deliveries__attempted on webhook_deliveries (tenant_id, attempted_at);

select wall('webhook_deliveries', 'select, insert, update, delete');

-- Of every subscription the overseer sees whether there is something to do, and neither whom it tells nor what.
grant select (tenant_id, webhook_id, active, cursor, slow, due_at, lease_until) on webhooks to agent_memory_overseer;

create policy overseer_reads on webhooks for select to agent_memory_overseer using (true);
