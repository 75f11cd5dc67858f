-- Audit: who was let in or refused, and what was administered; a stream beside the log with a seq of its own, chained by a key that
-- is not in the database. Why it is so: docs/decisions/audit-chain.md.
-- min_code: 1

-- Where the stream of a tenant stands; made with its first entry.
create table audit_clocks (
  tenant_id text not null,
  last_seq bigint not null default 0,
  -- of the entry last_seq; nothing before the first
  last_mac bytea not null default '',
  last_at timestamptz(3),
  constraint audit_clocks_pkey primary key (tenant_id),
  constraint audit_clocks__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
) with (fillfactor = 50);

select wall('audit_clocks', 'select, insert, update');

create table audit_entries (
  tenant_id text not null,
  seq bigint not null,
  -- times to the millisecond: what the chain vouches for, the column can hold and nothing finer
  at timestamptz(3) not null,
  -- of counted refusals: the first of them
  first_at timestamptz(3) not null,
  action text not null,
  route text not null,
  status smallint not null,
  count int not null,
  -- what may name a person is here and nowhere else; null with its salt: erased
  payload jsonb,
  salt bytea,
  principal_id text generated always as (payload ->> 'principal_id') stored,
  commitment bytea not null,
  key_id text not null,
  mac bytea not null,
  constraint audit_entries_pkey primary key (tenant_id, seq),
  constraint audit_entries__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

-- filters of a list
create index audit_entries__action on audit_entries (tenant_id, action, seq);

create index audit_entries__principal on audit_entries (tenant_id, principal_id, seq);

create index audit_entries__at on audit_entries (tenant_id, at);

select wall('audit_entries', 'select, insert');

-- Its seqs are of a stream of its own. A chain by a key that the database does not have is checked, and erased from, by the service.
select noun('audit', without => '{clear,forget,held,needs,check,repair}');

-- Erasing a subject. The stream is append-only for the serving role, so payloads are blanked by another one, which can do nothing else. An
-- erasure is an entry itself (`audit.erased`, naming the seqs): a blank that no entry names is found by `npm run audit:verify`.
grant select (tenant_id, seq, action), update (payload, salt) on audit_entries to agent_memory_audit_eraser;

create policy eraser_of_audit on audit_entries to agent_memory_audit_eraser
  using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()));
