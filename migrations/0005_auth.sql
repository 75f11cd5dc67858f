-- Users, sessions, refresh tokens, invites, API keys, password resets, and the backoff of failed log-ins.
-- min_code: 1

create function role_rank(p_role text) returns int
language sql immutable parallel safe
as $$ select array_position(array['reader', 'member', 'admin', 'owner'], p_role) $$;

-- One noun for all these tables, whose ids no event cites.
select noun('auth');

create table users (
  tenant_id text not null,
  user_id text not null,
  username text not null,
  email text,
  password_hash text not null,
  role text not null,
  -- the tenant's id of this person, as in user_id of events
  subject text not null,
  -- incremented to revoke all access tokens at once; tokens contain it as `ver`
  generation int not null default 1,
  disabled_at timestamptz,
  created_at timestamptz not null default now(),
  constraint users_pkey primary key (tenant_id, user_id),
  constraint users__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  -- two users with the same subject would read each other's private items
  constraint users__subject unique (tenant_id, subject),
  constraint users__role check (role_rank(role) is not null)
);

-- for log-in; `Alice` and `alice` would be confused
create unique index users__lower_username on users (tenant_id, lower(username));

select wall('users', 'select, insert, update, delete');

create table sessions (
  tenant_id text not null,
  session_id text not null,
  user_id text not null,
  user_agent text,
  address text,
  created_at timestamptz not null default now(),
  used_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  constraint sessions_pkey primary key (tenant_id, session_id),
  constraint sessions__user foreign key (tenant_id, user_id) references users (tenant_id, user_id) on delete cascade
);

-- for listing and ending the sessions of a user
create index sessions__user on sessions (tenant_id, user_id, used_at);

select wall('sessions', 'select, insert, update, delete');

-- The refresh tokens of a session. A rotated token is kept, so that its reuse is detected.
create table refresh_tokens (
  tenant_id text not null,
  token_id text not null,
  session_id text not null,
  secret_hash bytea not null,
  created_at timestamptz not null default now(),
  rotated_at timestamptz,
  replaced_by text,
  -- with the secret of the rotated token it determines the secret of the next one, so that concurrent callers get the same successor
  nonce bytea,
  constraint refresh_tokens_pkey primary key (tenant_id, token_id),
  constraint refresh_tokens__session foreign key (tenant_id, session_id) references sessions (tenant_id, session_id) on delete cascade
);

create index refresh_tokens__session on refresh_tokens (tenant_id, session_id, rotated_at);

select wall('refresh_tokens', 'select, insert, update, delete');

create table invites (
  tenant_id text not null,
  invite_id text not null,
  secret_hash bytea not null,
  role text not null,
  -- the only username that it can be used for
  username text,
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  used_by text,
  constraint invites_pkey primary key (tenant_id, invite_id),
  constraint invites__creator foreign key (tenant_id, created_by) references users (tenant_id, user_id) on delete cascade,
  constraint invites__role check (role_rank(role) is not null)
);

select wall('invites', 'select, insert, update, delete');

create table api_keys (
  tenant_id text not null,
  key_id text not null,
  name text not null,
  secret_hash bytea not null,
  role text not null,
  scopes text[] not null,
  -- the subject that it acts for, or * for all
  user_id text not null,
  -- the agent that it acts as
  agent_id text,
  -- null: all
  channels text[],
  -- its own rate limit; without one it shares its owner's
  rate_max int,
  rate_window_ms int,
  -- the user whose authority it has, and the API key that created it, if any
  created_by text not null,
  created_with text,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  used_at timestamptz,
  constraint api_keys_pkey primary key (tenant_id, key_id),
  constraint api_keys__creator foreign key (tenant_id, created_by) references users (tenant_id, user_id) on delete cascade,
  constraint api_keys__parent foreign key (tenant_id, created_with) references api_keys (tenant_id, key_id) on delete cascade,
  constraint api_keys__role check (role_rank(role) is not null),
  constraint api_keys__rate check ((rate_max is null) = (rate_window_ms is null) and rate_max > 0 and rate_window_ms > 0)
);

-- for revoking the keys that a key has created
create index api_keys__parent on api_keys (tenant_id, created_with) where created_with is not null;

select wall('api_keys', 'select, insert, update, delete');

create table password_resets (
  tenant_id text not null,
  reset_id text not null,
  user_id text not null,
  secret_hash bytea not null,
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  constraint password_resets_pkey primary key (tenant_id, reset_id),
  constraint password_resets__user foreign key (tenant_id, user_id) references users (tenant_id, user_id) on delete cascade
);

create index password_resets__user on password_resets (tenant_id, user_id);

select wall('password_resets', 'select, insert, update, delete');

-- Failed log-ins. They are also counted for tenants and users that do not exist, or the count would reveal which exist. It cannot be a tenant
-- table, because there may be no such tenant. A row is a hash and a number, without personal data.
create table login_failures (
  key_hash bytea not null,
  failures int not null,
  blocked_until timestamptz,
  expires_at timestamptz not null,
  constraint login_failures_pkey primary key (key_hash)
) with (fillfactor = 70);

-- for the sweeper
create index login_failures__expires_at on login_failures (expires_at);

grant select, insert, update, delete on login_failures to agent_memory_app;

select let_back_up('login_failures');
