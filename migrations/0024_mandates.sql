-- Mandates: what an agent may do and spend, and the actions taken under them.
-- min_code: 1

-- Amounts are in micro-units of the currency. The terms of a mandate never change; a change is a revocation and a new mandate.
create table mandates (
  tenant_id text not null,
  mandate_id text not null,
  -- the event that created it or, later, revoked it
  seq bigint not null,
  -- the event that created it: a daemon that has cached the terms of an older mandate with this id reads them again
  revision text not null,
  -- Keyed hash of an id that a client chose. It replaces the id when the agent or principal is erased, so that the id stays taken.
  id_hash text,
  -- its ancestors from the root, and itself: each of them bounds its actions
  chain text[] not null,
  agent_id text not null,
  -- the subject who may act under it
  principal text,
  definition jsonb not null,
  limit_micros bigint generated always as ((definition ->> 'max_cost_total_micros')::bigint) stored,
  -- sums over its own actions and those of its descendants
  spent_micros bigint not null default 0,
  reserved_micros bigint not null default 0,
  calls bigint not null default 0,
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  -- true after an import, until an admin confirms it
  suspended boolean not null default false,
  constraint mandates_pkey primary key (tenant_id, mandate_id),
  constraint mandates__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint mandates__chain check (chain[cardinality(chain)] = mandate_id),
  constraint mandates__sums check (spent_micros >= 0 and reserved_micros >= 0 and calls >= 0)
) with (fillfactor = 50);

-- lists of an agent, erasure
create index mandates__agent on mandates (tenant_id, agent_id, mandate_id);

-- lists of a principal, erasure
create index mandates__principal on mandates (tenant_id, principal, mandate_id) where principal is not null;

-- consistency checks and mark_needs
create index mandates__seq on mandates (tenant_id, seq);

select wall('mandates', 'select, insert, update, delete');

-- repair: sums cannot be derived from the log, which has no amounts; repair_rows derives what its rows determine
select noun('mandates', prefix => 'man', part => 'mandate', keys => array['mandate_id'], without => '{repair}');

create table actions (
  tenant_id text not null,
  mandate_id text not null,
  action_id text not null,
  -- the latest event about it
  seq bigint not null,
  -- the first mandate of the chain, by which expired actions are found
  root_id text not null,
  decision text not null,
  state text not null,
  type text not null,
  tool text,
  model text,
  -- keyed hash of the request, by which a repetition is recognized
  request_hash text not null,
  -- keyed hash of the arguments, for comparison with records elsewhere
  args_hash text,
  -- the arguments, screened for secrets, only until a deferred action is decided
  args jsonb,
  -- the credential that requested it, and the user of that credential
  asked_by text not null,
  asked_user text not null,
  -- how it is charged: {"charging", "verify", "price", "lapse_micros", "lease_ms"}
  terms jsonb not null,
  estimate_micros bigint not null,
  reserved_micros bigint not null,
  -- the charge if it is still open at expires_at; 0 while it waits for a decision
  lapse_micros bigint not null,
  charged_micros bigint,
  -- the answer to its authorisation
  answer jsonb not null,
  -- the outcome, with the keyed hash of the request that settled it and the answer to it
  settlement jsonb,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  ended_at timestamptz,
  constraint actions_pkey primary key (tenant_id, mandate_id, action_id),
  constraint actions__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint actions__decision check (decision in ('allow', 'defer', 'deny')),
  constraint actions__state check (state in ('open', 'settled', 'lapsed', 'denied')),
  constraint actions__ended check ((state = 'open') = (ended_at is null))
) with (fillfactor = 70);

-- actions that expire
create index actions__open on actions (tenant_id, root_id, expires_at) where state = 'open';

-- the sweep
create index actions__ended on actions (tenant_id, ended_at) where ended_at is not null;

-- consistency checks and mark_needs
create index actions__seq on actions (tenant_id, seq);

select wall('actions', 'select, insert, update, delete');

-- Calls that a rate limit counts: one row per action and limit. `entry`: the pattern of the tool policy; '' for the limit of the mandate. The
-- ordinals of an entry are dense and increase with time, so that calls are counted without reading them.
create table mandate_calls (
  tenant_id text not null,
  mandate_id text not null,
  entry text not null,
  ordinal bigint not null,
  called_at timestamptz not null,
  constraint mandate_calls_pkey primary key (tenant_id, mandate_id, entry, ordinal),
  constraint mandate_calls__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- the first call in a window
create index mandate_calls__called on mandate_calls (tenant_id, mandate_id, entry, called_at, ordinal);

-- the sweep
create index mandate_calls__swept on mandate_calls (tenant_id, called_at);

select wall('mandate_calls', 'select, insert, update, delete');

-- A mandate while a batch is judged. `block`: the refusal of all of its actions, null if it may be used.
create type mandate_state as (
  mandate_id text, chain text[], revision text, limit_micros bigint, spent_micros bigint, reserved_micros bigint, block jsonb);
