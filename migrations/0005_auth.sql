-- Who may act: users, their sessions and refresh tokens, invites, API keys, password resets; the back-off of failed
-- log-ins; the erasure of a tenant.
-- min_code: 1

-- `deleting` since when: its name is free again only after no daemon can still trust a credential of the old tenant.
alter table tenants add column deleting_since timestamptz;

create function role_rank(p_role text) returns int
language sql immutable parallel safe
as $$ select array_position(array['reader', 'member', 'admin', 'owner'], p_role) $$;

create table users (
  tenant_id text not null,
  user_id text not null,
  username text not null,
  email text,
  password_hash text not null,
  role text not null,
  -- the tenant's own name for this person, as events carry it in user_id
  subject text not null,
  -- raised to end every access token at once; tokens carry it as `ver`
  generation int not null default 1,
  disabled_at timestamptz,
  created_at timestamptz not null default now(),
  constraint users_pkey primary key (tenant_id, user_id),
  constraint users__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  -- two users of one subject would read each other's private items
  constraint users__subject unique (tenant_id, subject),
  constraint users__role check (role_rank(role) is not null)
);
-- log-in; `Alice` beside `alice` would only serve to confuse
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
-- the list of a user's own sessions, and ending them
create index sessions__user on sessions (tenant_id, user_id, used_at);
select wall('sessions', 'select, insert, update, delete');

-- The chain of one session's refresh tokens. A rotated one stays, so that its reuse is noticed.
create table refresh_tokens (
  tenant_id text not null,
  token_id text not null,
  session_id text not null,
  secret_hash bytea not null,
  created_at timestamptz not null default now(),
  rotated_at timestamptz,
  replaced_by text,
  -- with the rotated token's own secret this gives the next one's: parallel callers all get the same successor
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
  -- only this name may be taken with it
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
  -- the subject it acts for, or * for every one
  user_id text not null,
  -- null: all
  channels text[],
  -- the user whose authority it carries, and the key that made it where one did
  created_by text not null,
  created_with text,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  used_at timestamptz,
  constraint api_keys_pkey primary key (tenant_id, key_id),
  constraint api_keys__creator foreign key (tenant_id, created_by) references users (tenant_id, user_id) on delete cascade,
  constraint api_keys__parent foreign key (tenant_id, created_with) references api_keys (tenant_id, key_id) on delete cascade,
  constraint api_keys__role check (role_rank(role) is not null)
);
-- revoking what a key has minted
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

-- Failed log-ins, counted alike for tenants and users that do not exist, or the count would tell which do. So it cannot be a
-- tenant's table: there may be no tenant to refer to. A row is a hash and a number; nobody's data stands in it.
create table login_failures (
  key_hash bytea not null,
  failures int not null,
  blocked_until timestamptz,
  expires_at timestamptz not null,
  constraint login_failures_pkey primary key (key_hash)
) with (fillfactor = 70);
-- the sweep
create index login_failures__expires_at on login_failures (expires_at);
grant select, insert, update, delete on login_failures to agent_memory_app;

-- Counts one attempt as failed before its password is looked at, so that parallel guesses cannot slip past the count.
-- Returns false when the key is backing off. The first p_free attempts are free, then 1, 2, 4 … 60 s.
create function count_failure(p_key bytea, p_free int) returns boolean
language plpgsql
as $$
begin
  insert into login_failures as f (key_hash, failures, blocked_until, expires_at)
  values (p_key, 1, null, clock_timestamp() + interval '15 minutes')
  on conflict (key_hash) do update set
    failures = case when f.expires_at <= clock_timestamp() then 1 else least(f.failures + 1, 1000) end,
    blocked_until = case
      when f.expires_at > clock_timestamp() and f.failures + 1 >= p_free
        then clock_timestamp() + interval '1 second' * least(60, 2 ^ least(f.failures + 1 - p_free, 6))
    end,
    expires_at = clock_timestamp() + interval '15 minutes'
  where f.blocked_until is null or f.blocked_until <= clock_timestamp();
  return found;
end $$;

-- What a log-in must know, in one round trip: how long it has to wait, or else whom it is about. The attempt is counted.
create function begin_login(p_tenant text, p_username text, p_account bytea, p_address bytea, p_free_account int, p_free_address int)
returns table (wait_s int, user_id text, username text, password_hash text)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_wait numeric;
begin
  perform enter_tenant(p_tenant);
  select extract(epoch from max(f.blocked_until) - clock_timestamp()) into v_wait
  from login_failures f where f.key_hash in (p_account, p_address);
  if coalesce(v_wait, 0) <= 0 and count_failure(p_account, p_free_account) and count_failure(p_address, p_free_address) then
    return query
    select 0, u.user_id, u.username, u.password_hash
    from (select 1) as always
    left join users u on u.tenant_id = p_tenant and lower(u.username) = lower(p_username) and u.disabled_at is null
      and exists (select from tenants t where t.tenant_id = p_tenant and t.state = 'active');
  else
    return query select greatest(1, ceil(coalesce(v_wait, 1)))::int, null::text, null::text, null::text;
  end if;
  -- The sweep: every attempt adds two rows at most and takes away up to eight that are over. After counting, which locks the
  -- account's row and then the address's: a sweep that held the address's already would meet another attempt halfway.
  delete from login_failures where key_hash in (
    select key_hash from login_failures where expires_at < clock_timestamp() limit 8 for update skip locked);
end $$;

-- The right password ends the account's back-off from that address and takes back what the address was charged.
create function forgive(p_account bytea, p_address bytea, p_free_address int) returns void
language sql
as $$
  delete from login_failures where key_hash = p_account;
  update login_failures set
    failures = greatest(failures - 1, 0),
    blocked_until = case when failures - 1 >= p_free_address then blocked_until end
  where key_hash = p_address;
$$;

-- p_session: {session_id, token_id, token_hash, user_agent, address, ttl_s}
create function open_session(p_tenant text, p_user text, p_session jsonb) returns void
language plpgsql
as $$
begin
  insert into sessions (tenant_id, session_id, user_id, user_agent, address, expires_at)
  values (
    p_tenant, p_session ->> 'session_id', p_user, p_session ->> 'user_agent', p_session ->> 'address',
    now() + interval '1 second' * (p_session ->> 'ttl_s')::int);
  insert into refresh_tokens (tenant_id, token_id, session_id, secret_hash)
  values (p_tenant, p_session ->> 'token_id', p_session ->> 'session_id', decode(p_session ->> 'token_hash', 'hex'));
  -- What is over goes, and a user keeps the 200 sessions used last: log-ins cannot fill the table.
  delete from sessions s where s.tenant_id = p_tenant and s.session_id in (
    select o.session_id
    from sessions o
    where o.tenant_id = p_tenant and o.user_id = p_user
      and (o.expires_at < now() or o.revoked_at < now() - interval '7 days' or o.used_at < (
        select n.used_at from sessions n
        where n.tenant_id = p_tenant and n.user_id = p_user order by n.used_at desc offset 199 limit 1))
    limit 20 for update skip locked);
end $$;

-- After the password was right. No row: the user was disabled or got another password meanwhile.
create function finish_login(
  p_tenant text, p_user text, p_hash text, p_new_hash text, p_session jsonb, p_account bytea, p_address bytea, p_free_address int)
returns table (user_id text, username text, role text, generation int)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  return query
  update users u set password_hash = coalesce(p_new_hash, u.password_hash)
  where u.tenant_id = p_tenant and u.user_id = p_user and u.password_hash = p_hash and u.disabled_at is null
  returning u.user_id, u.username, u.role, u.generation;
  if found then
    perform forgive(p_account, p_address, p_free_address);
    perform open_session(p_tenant, p_user, p_session);
  end if;
end $$;

-- A good invite: unused, in time, and its maker could still make it.
create function good_invite(p_tenant text, p_invite text, p_hash bytea, p_username text) returns setof invites
language sql
as $$
  select i.*
  from invites i
  join users u on u.tenant_id = i.tenant_id and u.user_id = i.created_by
  where i.tenant_id = p_tenant and i.invite_id = p_invite and i.secret_hash = p_hash
    and i.used_at is null and i.expires_at > now()
    and (i.username is null or lower(i.username) = lower(p_username))
    and u.disabled_at is null and role_rank(u.role) >= greatest(role_rank(i.role), role_rank('admin'))
    and exists (select from tenants t where t.tenant_id = i.tenant_id and t.state = 'active')
$$;

-- Asked before the password is hashed, so that a refusal costs nothing: 'ok', 'taken' or 'refused'.
create function may_register(p_tenant text, p_open boolean, p_invite text, p_hash bytea, p_username text) returns text
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  if p_invite is null then
    return case when p_open and not exists (select from tenants t where t.tenant_id = p_tenant) then 'ok' else 'refused' end;
  elsif not exists (select from good_invite(p_tenant, p_invite, p_hash, p_username)) then
    return 'refused';
  end if;
  return case when username_taken(p_tenant, p_username) then 'taken' else 'ok' end;
end $$;

-- Also where it is another's subject: whoever takes a subject's name reads that subject's private items.
create function username_taken(p_tenant text, p_username text) returns boolean
language sql stable
as $$
  select exists (
    select from users u
    where u.tenant_id = p_tenant and (lower(u.username) = lower(p_username) or lower(u.subject) = lower(p_username)))
$$;

-- p_user: {user_id, username, email, password_hash}. Of two that race for a new tenant the constraint lets one be its owner.
create function register_user(
  p_tenant text, p_open boolean, p_invite text, p_hash bytea, p_user jsonb, p_session jsonb, p_max_bytes bigint)
returns table (status text, role text, generation int)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_role text := 'owner';
begin
  perform enter_tenant(p_tenant);
  if p_invite is null then
    if p_open then
      insert into tenants (tenant_id) values (p_tenant) on conflict do nothing;
    end if;
    if not p_open or not found then
      return query select 'refused', null::text, null::int;
      return;
    end if;
    insert into tenant_clocks (tenant_id, max_bytes) values (p_tenant, p_max_bytes);
  else
    perform from invites i where i.tenant_id = p_tenant and i.invite_id = p_invite for update;
    select i.role into v_role from good_invite(p_tenant, p_invite, p_hash, p_user ->> 'username') i;
    if not found then
      return query select 'refused', null::text, null::int;
      return;
    end if;
  end if;
  insert into users (tenant_id, user_id, username, email, password_hash, role, subject)
  select p_tenant, u.user_id, u.username, u.email, u.password_hash, v_role, u.username
  from jsonb_to_record(p_user) as u (user_id text, username text, email text, password_hash text)
  where not username_taken(p_tenant, u.username)
  on conflict do nothing;
  if not found then
    return query select 'taken', null::text, null::int;
    return;
  end if;
  update invites i set used_at = now(), used_by = p_user ->> 'user_id' where i.tenant_id = p_tenant and i.invite_id = p_invite;
  perform open_session(p_tenant, p_user ->> 'user_id', p_session);
  return query select 'ok', v_role, 1;
end $$;

-- The session behind an access token. No row: it is over, or its user or tenant may not act.
create function session_state(p_tenant text, p_session text)
returns table (user_id text, username text, role text, subject text, generation int, expires_at timestamptz)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  -- sampled: a write in five minutes, not one a request
  update sessions s set used_at = now()
  where s.tenant_id = p_tenant and s.session_id = p_session and s.used_at < now() - interval '5 minutes' and s.revoked_at is null;
  return query
  select u.user_id, u.username, u.role, u.subject, u.generation, s.expires_at
  from sessions s
  join users u on u.tenant_id = s.tenant_id and u.user_id = s.user_id
  join tenants t on t.tenant_id = s.tenant_id
  where s.tenant_id = p_tenant and s.session_id = p_session
    and s.revoked_at is null and s.expires_at > now() and u.disabled_at is null and t.state = 'active';
end $$;

-- The key, bounded by what its maker may do now: a key of a disabled user stops, one of a demoted user shrinks with them.
create function key_state(p_tenant text, p_key text, p_hash bytea)
returns table (secret_hash bytea, role text, scopes text[], subject text, channels text[], created_by text, expires_at timestamptz)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  update api_keys k set used_at = now()
  where k.tenant_id = p_tenant and k.key_id = p_key and k.secret_hash = p_hash and k.revoked_at is null
    and (k.used_at is null or k.used_at < now() - interval '5 minutes');
  return query
  select
    k.secret_hash,
    case when role_rank(u.role) < role_rank(k.role) then u.role else k.role end,
    k.scopes, k.user_id, k.channels, k.created_by, k.expires_at
  from api_keys k
  join users u on u.tenant_id = k.tenant_id and u.user_id = k.created_by
  join tenants t on t.tenant_id = k.tenant_id
  where k.tenant_id = p_tenant and k.key_id = p_key
    and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
    and u.disabled_at is null and (k.user_id = u.subject or role_rank(u.role) >= role_rank('admin'))
    and t.state = 'active';
end $$;

-- Answers 'rotated', 'grace' (a parallel call was first: its successor is answered), 'reuse' (the session is ended, and stays so
-- although the request is refused: the statement commits by itself) or 'refused'.
create function rotate_refresh_token(
  p_tenant text, p_token text, p_hash bytea, p_nonce bytea, p_child text, p_child_hash bytea, p_ttl_s int, p_grace_s int)
returns table (
  status text, child text, nonce bytea, session_id text, user_id text, username text, role text, generation int)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_token refresh_tokens;
  v_user users;
begin
  perform enter_tenant(p_tenant);
  select * into v_token from refresh_tokens r
  where r.tenant_id = p_tenant and r.token_id = p_token and r.secret_hash = p_hash for update;
  select u.* into v_user
  from sessions s
  join users u on u.tenant_id = s.tenant_id and u.user_id = s.user_id and u.disabled_at is null
  join tenants t on t.tenant_id = s.tenant_id and t.state = 'active'
  where s.tenant_id = p_tenant and s.session_id = v_token.session_id and s.revoked_at is null and s.expires_at > now();
  if v_user.user_id is null then
    status := 'refused';
  elsif v_token.rotated_at is null then
    status := 'rotated';
    insert into refresh_tokens (tenant_id, token_id, session_id, secret_hash)
    values (p_tenant, p_child, v_token.session_id, p_child_hash);
    update refresh_tokens r set rotated_at = clock_timestamp(), replaced_by = p_child, nonce = p_nonce
    where r.tenant_id = p_tenant and r.token_id = p_token;
    update sessions s set used_at = now(), expires_at = now() + interval '1 second' * p_ttl_s
    where s.tenant_id = p_tenant and s.session_id = v_token.session_id;
    delete from refresh_tokens r
    where r.tenant_id = p_tenant and r.session_id = v_token.session_id and r.rotated_at < now() - interval '1 second' * p_ttl_s;
    v_token.replaced_by := p_child;
    v_token.nonce := p_nonce;
  elsif v_token.rotated_at > clock_timestamp() - interval '1 second' * p_grace_s then
    status := 'grace';
  else
    status := 'reuse';
    update sessions s set revoked_at = now() where s.tenant_id = p_tenant and s.session_id = v_token.session_id;
  end if;
  return query
  select status, v_token.replaced_by, v_token.nonce, v_token.session_id, v_user.user_id, v_user.username, v_user.role, v_user.generation;
end $$;

-- A token of the chain ends its session, a rotated one too: whoever logs out means the session.
create function end_session(p_tenant text, p_token text, p_hash bytea) returns text
language plpgsql
as $$
declare
  v_session text;
begin
  perform enter_tenant(p_tenant);
  update sessions s set revoked_at = now()
  from refresh_tokens r
  where r.tenant_id = p_tenant and r.token_id = p_token and r.secret_hash = p_hash
    and s.tenant_id = p_tenant and s.session_id = r.session_id and s.revoked_at is null
  returning s.session_id into v_session;
  return v_session;
end $$;

-- A good reset: unused, in time, its user enabled, and the latest of that user's.
create function good_reset(p_tenant text, p_reset text, p_hash bytea) returns table (user_id text, username text)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  return query
  select u.user_id, u.username
  from password_resets r
  join users u on u.tenant_id = r.tenant_id and u.user_id = r.user_id and u.disabled_at is null
  join tenants t on t.tenant_id = r.tenant_id and t.state = 'active'
  where r.tenant_id = p_tenant and r.reset_id = p_reset and r.secret_hash = p_hash
    and r.used_at is null and r.expires_at > now();
end $$;

-- Ends every session with it: whoever knew the old password is out. False: the reset was used meanwhile.
create function apply_reset(p_tenant text, p_reset text, p_hash bytea, p_password_hash text) returns boolean
language plpgsql
as $$
declare
  v_user text;
begin
  perform enter_tenant(p_tenant);
  select g.user_id into v_user from good_reset(p_tenant, p_reset, p_hash) g;
  update password_resets r set used_at = now()
  where r.tenant_id = p_tenant and r.reset_id = p_reset and r.used_at is null and v_user is not null;
  if not found then
    return false;
  end if;
  update users u set password_hash = p_password_hash, generation = u.generation + 1 where u.tenant_id = p_tenant and u.user_id = v_user;
  update sessions s set revoked_at = now() where s.tenant_id = p_tenant and s.user_id = v_user and s.revoked_at is null;
  delete from password_resets r where r.tenant_id = p_tenant and r.user_id = v_user and r.reset_id <> p_reset;
  return true;
end $$;

-- Erasure. The log is append-only for the serving role, so the rows of a deleted tenant are removed by another one, which can
-- do nothing else, only through the function below, and only for a tenant that is being deleted.
do $$
begin
  execute 'create role agent_memory_eraser nologin nosuperuser nobypassrls';
exception when duplicate_object or unique_violation then null;
end $$;
do $$
begin
  if not pg_has_role(current_user, 'agent_memory_eraser', 'usage') then
    execute 'grant agent_memory_eraser to current_user';
  end if;
end $$;
grant usage on schema public to agent_memory_eraser;

create function tenant_deleting() returns text
language sql stable
as $$ select t.tenant_id from tenants t where t.tenant_id = (select current_tenant()) and t.state = 'deleting' $$;

-- As in 0001, and every walled table can be emptied for a tenant that is being deleted.
create or replace function wall(p_table regclass, p_rights text) returns void
language plpgsql
as $$
begin
  execute format('alter table %s enable row level security', p_table);
  execute format('alter table %s force row level security', p_table);
  execute format(
    'create policy tenant_wall on %s to agent_memory_app using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()))',
    p_table);
  execute format('grant %s on %s to agent_memory_app', p_rights, p_table);
  perform let_erase(p_table);
end $$;

-- The policy of `tenants` cannot ask `tenants` again, so there the row itself is asked.
create function let_erase(p_table regclass) returns void
language plpgsql
as $$
declare
  v_rule text := 'tenant_id = (select tenant_deleting())';
begin
  if p_table = 'tenants'::regclass then
    v_rule := 'tenant_id = (select current_tenant()) and state = ''deleting''';
  end if;
  execute format('create policy eraser_finds on %s for select to agent_memory_eraser using (%s)', p_table, v_rule);
  execute format('create policy eraser_deletes on %s for delete to agent_memory_eraser using (%s)', p_table, v_rule);
  execute format('grant select, delete on %s to agent_memory_eraser', p_table);
end $$;
revoke execute on function let_erase(regclass) from public;
select let_erase(p.polrelid) from pg_policy p where p.polname = 'tenant_wall';

-- Deletes for at most p_ms of the bound tenant's rows and returns whether any table still has some. Clocks first: then nothing can
-- be written any more. Values outside the row (artifacts) go a few at a time, or one batch would delete gigabytes.
create function erase_rows(p_ms int) returns boolean
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_end timestamptz := clock_timestamp() + interval '1 millisecond' * p_ms;
  v_tenant text := current_tenant();
  v_table record;
  v_count bigint;
begin
  for v_table in
    select
      c.oid::regclass as name,
      case when exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attstorage = 'e') then 4 else 500 end as batch
    from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid
    where p.polname = 'eraser_deletes' and c.relname <> 'tenants'
    order by c.relname <> 'tenant_clocks', c.relname
  loop
    loop
      if clock_timestamp() > v_end then
        return true;
      end if;
      execute format('delete from %s where ctid = any (array(select ctid from %1$s where tenant_id = $1 limit $2))', v_table.name)
      using v_tenant, v_table.batch;
      get diagnostics v_count = row_count;
      exit when v_count < v_table.batch;
    end loop;
  end loop;
  return false;
end $$;

create function erase_tenant_row(p_after_s int) returns boolean
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
  with gone as (
    delete from public.tenants
    where tenant_id = current_tenant() and state = 'deleting' and deleting_since < now() - interval '1 second' * p_after_s
    returning 1)
  select exists (select from gone)
$$;
revoke execute on function erase_rows(int) from public;
grant execute on function erase_rows(int) to agent_memory_app;
revoke execute on function erase_tenant_row(int) from public;
grant execute on function erase_tenant_row(int) to agent_memory_app;
grant create on schema public to agent_memory_eraser;
alter function erase_rows(int) owner to agent_memory_eraser;
alter function erase_tenant_row(int) owner to agent_memory_eraser;
revoke create on schema public from agent_memory_eraser;

-- One batch: 'more', 'empty' (its name is not free yet) or 'gone'. Can be stopped and taken up again anywhere.
create function erase_tenant(p_tenant text, p_ms int, p_keep_name_s int) returns text
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  if not exists (select from tenants t where t.tenant_id = p_tenant) then
    return 'gone';
  elsif erase_rows(p_ms) then
    return 'more';
  end if;
  return case when erase_tenant_row(p_keep_name_s) then 'gone' else 'empty' end;
end $$;
