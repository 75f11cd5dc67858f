-- API keys whose requests are signed, and the nonces of their requests.
-- min_code: 1

-- The secret of a signed key, encrypted with a key that is not in the database: verifying a signature needs the secret, not its hash.
alter table api_keys
  add column sealed_secret jsonb,
  add column signed boolean not null generated always as (sealed_secret is not null) stored;

-- A signed request contains only the id of its key, so the tenant is looked up by that id.
create unique index api_keys__signed on api_keys (key_id) where signed;

-- The overseer role sees which tenant a signed key belongs to, but not its secret.
grant select (tenant_id, key_id, signed) on api_keys to agent_memory_overseer;
create policy overseer_reads on api_keys for select to agent_memory_overseer using (signed);

-- Nonces of requests whose signature was verified. They are kept for as long as a repetition of the request would not be stale.
create table request_nonces (
  tenant_id text not null,
  key_id text not null,
  nonce text not null,
  used_at timestamptz not null default clock_timestamp(),
  constraint request_nonces_pkey primary key (tenant_id, key_id, nonce),
  constraint request_nonces__key foreign key (tenant_id, key_id) references api_keys (tenant_id, key_id) on delete cascade
);

-- for the sweep
create index request_nonces__used_at on request_nonces (tenant_id, used_at);

-- update: for the locks of the sweep
select wall('request_nonces', 'select, insert, update, delete');
