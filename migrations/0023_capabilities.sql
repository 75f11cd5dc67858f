-- Capabilities: short-lived credentials for some operations on some namespaces. The service signs them; the row makes one valid.
-- min_code: 1

create table capabilities (
  tenant_id text not null,
  jti text not null,
  -- the key that signed it
  kid text not null,
  -- SHA-256 of the payload: a capability with other claims is not valid, whoever signed it
  digest bytea not null,
  -- the claims, for lists; null if it has no such restriction
  ns text[] not null,
  ops text[] not null,
  regions text[],
  max_bytes bigint,
  max_qps int,
  agent text,
  -- the user and, if a key minted it, that key: its rights end with theirs
  created_by text not null,
  created_with text,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  constraint capabilities_pkey primary key (tenant_id, jti),
  constraint capabilities__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint capabilities__creator foreign key (tenant_id, created_by) references users (tenant_id, user_id) on delete cascade,
  constraint capabilities__key foreign key (tenant_id, created_with) references api_keys (tenant_id, key_id) on delete cascade
);

-- the sweep
create index capabilities__expires on capabilities (tenant_id, expires_at);
-- the deletion of a user or key, and the list of what they minted
create index capabilities__creator on capabilities (tenant_id, created_by);
create index capabilities__key on capabilities (tenant_id, created_with) where created_with is not null;

select wall('capabilities', 'select, insert, update, delete');

-- Credentials are never exported, and no event refers to them.
select noun('capabilities', prefix => 'jti');
