-- The audit stream: log-ins, refusals and administrative actions, with its own seq, in a hash chain whose key is not in the database. Reasons:
-- docs/decisions/audit-chain.md.
-- min_code: 1

-- The end of a tenant's audit stream; created with the first entry.
create table audit_clocks (
  tenant_id text not null,
  last_seq bigint not null default 0,
  -- MAC of the entry last_seq; empty before the first
  last_mac bytea not null default '',
  last_at timestamptz(3),
  constraint audit_clocks_pkey primary key (tenant_id),
  constraint audit_clocks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
) with (fillfactor = 50);

select wall('audit_clocks', 'select, insert, update');

create table audit_entries (
  tenant_id text not null,
  seq bigint not null,
  -- in milliseconds, the precision that the chain covers
  at timestamptz(3) not null,
  -- for aggregated refusals: time of the first
  first_at timestamptz(3) not null,
  action text not null,
  route text not null,
  status smallint not null,
  count int not null,
  -- the only column that may contain personal data; null, with its salt, if erased
  payload jsonb,
  salt bytea,
  principal_id text generated always as (payload ->> 'principal_id') stored,
  commitment bytea not null,
  key_id text not null,
  mac bytea not null,
  constraint audit_entries_pkey primary key (tenant_id, seq),
  constraint audit_entries__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- for the filters of lists
create index audit_entries__action on audit_entries (tenant_id, action, seq);

create index audit_entries__principal on audit_entries (tenant_id, principal_id, seq);

create index audit_entries__at on audit_entries (tenant_id, at);

select wall('audit_entries', 'select, insert');

-- The stream has its own seqs. The service checks the chain and erases entries, because the database does not have the key.
select noun('audit', without => '{clear,forget,held,needs,check,repair}');

-- The stream is append-only for the serving role. Another role blanks payloads to erase a subject and has no other privileges. An erasure is an
-- entry itself (`audit.erased`, with the seqs): `npm run audit:verify` finds a blank payload that no entry lists.
grant select (tenant_id, seq, action), update (payload, salt) on audit_entries to agent_memory_audit_eraser;

create policy eraser_of_audit on audit_entries to agent_memory_audit_eraser
  using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()));
