-- Counts an attempt as failed before its password is verified, so that parallel guesses cannot bypass the limit. Returns false if the key is
-- backing off. The first p_free attempts are free; then the wait doubles from 1 s to 60 s.
create or replace function count_failure(p_key bytea, p_free int) returns boolean
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

-- Begins a login in one round trip: counts the attempt, and returns either the seconds to wait or the user.
create or replace function begin_login(p_tenant text, p_username text, p_account bytea, p_address bytea, p_free_account int, p_free_address int)
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
  -- Sweeps expired rows: each attempt adds at most two rows and deletes up to eight. This must come after counting, which locks the row of the
  -- account and then that of the address: a sweep that already held the row of the address could deadlock with another attempt.
  delete from login_failures where key_hash in (
    select key_hash from login_failures where expires_at < clock_timestamp() limit 8 for update skip locked);
end $$;

-- Ends the backoff of the account from this address after a correct password, and takes back the failure counted for the address.
create or replace function clear_failures(p_account bytea, p_address bytea, p_free_address int) returns void
language sql
as $$
  delete from login_failures where key_hash = p_account;
  update login_failures set
    failures = greatest(failures - 1, 0),
    blocked_until = case when failures - 1 >= p_free_address then blocked_until end
  where key_hash = p_address;
$$;

-- p_session: {session_id, token_id, token_hash, user_agent, address, ttl_s}
create or replace function open_session(p_tenant text, p_user text, p_session jsonb) returns void
language plpgsql
as $$
begin
  insert into sessions (tenant_id, session_id, user_id, user_agent, address, expires_at)
  values (
    p_tenant, p_session ->> 'session_id', p_user, p_session ->> 'user_agent', p_session ->> 'address',
    now() + interval '1 second' * (p_session ->> 'ttl_s')::int);
  insert into refresh_tokens (tenant_id, token_id, session_id, secret_hash)
  values (p_tenant, p_session ->> 'token_id', p_session ->> 'session_id', decode(p_session ->> 'token_hash', 'hex'));
  -- Deletes ended sessions, and all but the 200 most recently used ones of the user, so that logins cannot fill the table.
  delete from sessions s where s.tenant_id = p_tenant and s.session_id in (
    select o.session_id
    from sessions o
    where o.tenant_id = p_tenant and o.user_id = p_user
      and (o.expires_at < now() or o.revoked_at < now() - interval '7 days' or o.used_at < (
        select n.used_at from sessions n
        where n.tenant_id = p_tenant and n.user_id = p_user order by n.used_at desc offset 199 limit 1))
    limit 20 for update skip locked);
end $$;

-- Completes a login after the password was verified. Returns no row if the user was disabled or changed the password meanwhile.
create or replace function finish_login(
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
    perform clear_failures(p_account, p_address, p_free_address);
    perform open_session(p_tenant, p_user, p_session);
  end if;
end $$;

-- Returns the current role of a user; null if the user is disabled or deleted, or if the tenant is not active.
create or replace function active_role(p_tenant text, p_user text) returns text
language sql stable
as $$
  select u.role
  from users u join tenants t on t.tenant_id = u.tenant_id
  where u.tenant_id = p_tenant and u.user_id = p_user and u.disabled_at is null and t.state = 'active'
$$;

-- Returns whether a user may give someone this role, or set the password of someone who has it.
create or replace function may_administer(p_tenant text, p_maker text, p_role text) returns boolean
language sql stable
as $$
  select coalesce(role_rank(active_role(p_tenant, p_maker)) >= greatest(role_rank(p_role), role_rank('admin')), false)
$$;

-- Returns the invite if it is valid: unused, not expired, and its creator could still create it.
create or replace function valid_invite(p_tenant text, p_invite text, p_hash bytea, p_username text) returns setof invites
language sql
as $$
  select i.*
  from invites i
  where i.tenant_id = p_tenant and i.invite_id = p_invite and i.secret_hash = p_hash
    and i.used_at is null and i.expires_at > now()
    and (i.username is null or lower(i.username) = lower(p_username))
    and may_administer(p_tenant, i.created_by, i.role)
$$;

-- A name is also taken if it is the subject of another user: whoever registers the name of a subject can read that subject's private items.
create or replace function username_taken(p_tenant text, p_username text) returns boolean
language sql stable
as $$
  select exists (
    select from users u
    where u.tenant_id = p_tenant and (lower(u.username) = lower(p_username) or lower(u.subject) = lower(p_username)))
$$;

-- Checks a registration before the password is hashed, so that a refusal costs no hash. Returns 'ok', 'taken' or 'refused'.
create or replace function may_register(p_tenant text, p_open boolean, p_invite text, p_hash bytea, p_username text) returns text
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  if p_invite is null then
    return case when p_open and not exists (select from tenants t where t.tenant_id = p_tenant) then 'ok' else 'refused' end;
  elsif not exists (select from valid_invite(p_tenant, p_invite, p_hash, p_username)) then
    return 'refused';
  end if;
  return case when username_taken(p_tenant, p_username) then 'taken' else 'ok' end;
end $$;

-- p_user: {user_id, username, email, password_hash}. If two registrations race for a new tenant, the constraint admits one as its owner.
create or replace function register_user(
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
    if not p_open or not make_tenant(p_tenant, p_max_bytes) then
      return query select 'refused', null::text, null::int;
      return;
    end if;
  else
    perform from invites i where i.tenant_id = p_tenant and i.invite_id = p_invite for update;
    select i.role into v_role from valid_invite(p_tenant, p_invite, p_hash, p_user ->> 'username') i;
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

-- Returns the user of a session; no row if the session has ended, or if the user or tenant is not active.
create or replace function session_state(p_tenant text, p_session text)
returns table (user_id text, username text, role text, subject text, generation int, expires_at timestamptz)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  -- sampled: one write in five minutes instead of one per request
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

-- Returns the current role of a key, at most the role of its creator. Null if the key has expired or was revoked, or if it acts for another
-- subject and its creator is no longer an admin.
create or replace function effective_key_role(p_key api_keys) returns text
language sql stable
as $$
  select case when role_rank(r.role) < role_rank(p_key.role) then r.role else p_key.role end
  from (select active_role(p_key.tenant_id, p_key.created_by)) r (role)
  where r.role is not null and p_key.revoked_at is null and (p_key.expires_at is null or p_key.expires_at > now())
    and (role_rank(r.role) >= role_rank('admin')
      or exists (select from users u where u.tenant_id = p_key.tenant_id and u.user_id = p_key.created_by and u.subject = p_key.user_id))
$$;

-- Returns the state of a key, limited by the current rights of its creator: the key of a disabled user stops, and the key of a demoted user
-- is demoted with its creator. p_hash is null if the request does not contain the secret.
create or replace function api_key_state(p_tenant text, p_key text, p_hash bytea)
returns table (
  secret_hash bytea, sealed_secret jsonb, name text, agent_id text, rate_limit jsonb, role text, scopes text[], subject text, channels text[],
  created_by text, expires_at timestamptz)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  update api_keys k set used_at = now()
  where k.tenant_id = p_tenant and k.key_id = p_key and k.secret_hash = p_hash and not k.signed and k.revoked_at is null
    and (k.used_at is null or k.used_at < now() - interval '5 minutes');
  return query
  select
    k.secret_hash, k.sealed_secret, k.name, k.agent_id,
    -- only admins set a limit: once the creator is no longer an admin, the key shares the creator's limit
    case when k.rate_max is not null and may_administer(p_tenant, k.created_by, 'admin') then jsonb_build_object('max', k.rate_max, 'window_ms', k.rate_window_ms) end,
    n.role, k.scopes, k.user_id, k.channels, k.created_by, k.expires_at
  from api_keys k
  cross join lateral (select effective_key_role(k) as role) n
  where k.tenant_id = p_tenant and k.key_id = p_key and n.role is not null;
end $$;

-- For daemons of the previous release, which do not know signed keys and would accept their secret. To be removed with the next release.
create or replace function key_state(p_tenant text, p_key text, p_hash bytea)
returns table (
  secret_hash bytea, name text, agent_id text, rate_limit jsonb, role text, scopes text[], subject text, channels text[], created_by text,
  expires_at timestamptz)
language sql
as $$
  select s.secret_hash, s.name, s.agent_id, s.rate_limit, s.role, s.scopes, s.subject, s.channels, s.created_by, s.expires_at
  from api_key_state(p_tenant, p_key, p_hash) s
  where s.sealed_secret is null
$$;

-- Returns the tenant of a signed key, or null.
create or replace function find_signed_key(p_key text) returns text
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$ select k.tenant_id from public.api_keys k where k.key_id = p_key and k.signed $$;
revoke execute on function find_signed_key(text) from public;
grant execute on function find_signed_key(text) to agent_memory_app;
alter function find_signed_key(text) owner to agent_memory_overseer;

-- Deletes nonces whose requests are stale: a signature is valid for 300 s before and after its time, and the clocks of daemons may differ by 60 s.
create or replace function delete_stale_nonces(p_tenant text, p_limit int) returns int
language plpgsql
as $$
declare
  v_count int;
begin
  delete from request_nonces where tenant_id = p_tenant and (key_id, nonce) in (
    select n.key_id, n.nonce from request_nonces n
    where n.tenant_id = p_tenant and n.used_at < clock_timestamp() - interval '660 seconds'
    limit p_limit for update skip locked);
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- Records the nonce of a signed request. Returns 'claimed', 'replayed' if the key has used it before, or 'refused' if the key has expired
-- or was revoked.
create or replace function claim_nonce(p_tenant text, p_key text, p_nonce text) returns text
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  if not exists (
    select from api_keys k where k.tenant_id = p_tenant and k.key_id = p_key and k.signed and effective_key_role(k) is not null) then
    return 'refused';
  end if;
  insert into request_nonces (tenant_id, key_id, nonce) values (p_tenant, p_key, p_nonce) on conflict do nothing;
  if not found then
    return 'replayed';
  end if;
  -- each request adds one row and deletes up to two
  perform delete_stale_nonces(p_tenant, 2);
  update api_keys k set used_at = now()
  where k.tenant_id = p_tenant and k.key_id = p_key and (k.used_at is null or k.used_at < now() - interval '5 minutes');
  return 'claimed';
end $$;

-- Returns the agent that a key is bound to, if an admin bound it: any member can bind a key of their own to any agent. Null for a key without
-- such an agent, and once the creator of the key is no longer an admin.
create or replace function attested_agent(p_tenant text, p_key text) returns text
language sql stable
as $$
  select k.agent_id from api_keys k where k.tenant_id = p_tenant and k.key_id = p_key and k.agent_attested
    and may_administer(p_tenant, k.created_by, 'admin')
$$;

-- Returns the keys that act as one of these agents; null: as any agent.
create or replace function keys_of_agents(p_tenant text, p_agents text[]) returns text[]
language sql stable
return array(
  select k.key_id from api_keys k where k.tenant_id = p_tenant and k.agent_id is not null and (p_agents is null or k.agent_id = any (p_agents)));

-- Rotates a refresh token. Returns the status 'rotated', 'grace' (a parallel call was first; returns its successor), 'reuse' or 'refused'.
-- On 'reuse' the session is ended; this persists although the request is rejected, because the statement commits by itself.
create or replace function rotate_refresh_token(
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

-- Ends the session of a refresh token. A rotated token ends it too, because the client intends to log out of the session.
create or replace function end_session(p_tenant text, p_token text, p_hash bytea) returns text
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

-- Returns the user of a reset if the reset is valid: unused, not expired, for an enabled user, and its creator could still create it.
create or replace function valid_reset(p_tenant text, p_reset text, p_hash bytea) returns table (user_id text, username text)
language plpgsql stable
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  return query
  select u.user_id, u.username
  from password_resets r
  join users u on u.tenant_id = r.tenant_id and u.user_id = r.user_id
  where r.tenant_id = p_tenant and r.reset_id = p_reset and r.secret_hash = p_hash
    and r.used_at is null and r.expires_at > now() and active_role(p_tenant, u.user_id) is not null
    and (r.created_by = 'operator' or may_administer(p_tenant, r.created_by, u.role));
end $$;

-- Sets the password and ends all sessions, so that nobody with the old password stays logged in. Returns false if the reset was used meanwhile.
create or replace function apply_reset(p_tenant text, p_reset text, p_hash bytea, p_password_hash text) returns boolean
language plpgsql
as $$
declare
  v_user text;
begin
  perform enter_tenant(p_tenant);
  select g.user_id into v_user from valid_reset(p_tenant, p_reset, p_hash) g;
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

-- Returns whether a principal (`usr_…` or `key_…`) is currently an admin.
create or replace function is_admin_now(p_tenant text, p_principal text) returns boolean
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  if p_principal like 'key\_%' then
    return exists (
      select from api_keys k
      where k.tenant_id = p_tenant and k.key_id = p_principal and 'admin' = any (k.scopes)
        and role_rank(effective_key_role(k)) >= role_rank('admin'));
  end if;
  return may_administer(p_tenant, p_principal, 'admin');
end $$;

-- The visibility rule; src/auth/visibility.ts derives its arguments from a request. Each function is a single expression that names each list
-- once, so that the planner inlines it, even if a list is a subquery.

-- Returns whether a request sees a row with this channel, subject and sensitivity. p_subjects: subjects whose private rows are visible; null: all.
create or replace function visible(
  p_channel text, p_user_id text, p_sensitivity text, p_channels text[], p_subjects text[], p_sensitivities text[])
returns boolean
language sql immutable parallel safe
return p_channel = any (p_channels)
  -- with a null list the comparison is null, which means all subjects; a private row without a subject is visible to nobody
  and (p_channel <> 'private' or coalesce(p_user_id = any (p_subjects), p_user_id is not null))
  and p_sensitivity = any (p_sensitivities);

-- Returns whether an item that is blocked by edits in the channels p_blocked_in (null: none) is visible in a channel.
create or replace function is_shown_in(p_blocked_in text[], p_channel text) returns boolean
language sql immutable parallel safe
return p_blocked_in is null or not p_blocked_in @> array[p_channel];

create or replace function is_shown_in_all(p_blocked_in text[], p_channels text[]) returns boolean
language sql immutable parallel safe
return p_blocked_in is null or not p_blocked_in && p_channels;

-- An item that is blocked in all four channels is quarantined: it can be read only by id.
create or replace function is_quarantined(p_blocked_in text[]) returns boolean
language sql immutable parallel safe
return cardinality(p_blocked_in) = 4;

-- Returns whether an item is visible to lookups by id with a credential that may use the channels p_asking.
create or replace function is_shown_by_id(p_blocked_in text[], p_asking text[]) returns boolean
language sql immutable parallel safe
return p_blocked_in is null or is_quarantined(p_blocked_in) or not p_blocked_in @> p_asking;

create or replace function is_last_owner(p_tenant text, p_users text[]) returns boolean
language sql stable
return exists (
    select from users u where u.tenant_id = p_tenant and u.user_id = any (p_users) and u.role = 'owner' and u.disabled_at is null)
  and 1 = (select count(*) from users u where u.tenant_id = p_tenant and u.role = 'owner' and u.disabled_at is null);

-- Returns the accounts of a subject that were registered before p_before, with the names that identify them.
create or replace function subject_accounts(p_tenant text, p_subject text, p_before timestamptz) returns table (user_id text, names text[])
language sql stable
begin atomic
  select u.user_id, array_remove(array[u.user_id, u.username, u.email], null)
  from users u where u.tenant_id = p_tenant and u.subject = p_subject and u.created_at < p_before;
end;

create or replace function count_accounts(p_tenant text, p_subject text, p_users text[], p_before timestamptz) returns jsonb
language sql stable
begin atomic
  with recursive key as (
    select k.key_id from api_keys k where k.tenant_id = p_tenant and ((k.user_id = p_subject and k.created_at < p_before) or k.created_by = any (p_users))
    union
    select k.key_id from api_keys k join key on k.tenant_id = p_tenant and k.created_with = key.key_id
  )
  select jsonb_build_object(
    'users', cardinality(p_users),
    'sessions', (select count(*) from sessions s where s.tenant_id = p_tenant and s.user_id = any (p_users)),
    'api_keys', (select count(*) from key),
    'invites', (select count(*) from invites i where i.tenant_id = p_tenant and i.created_by = any (p_users)));
end;

-- Deletes the accounts of an erased subject, with their sessions, invites and keys, the keys created with those keys, and the keys that act for
-- the subject. A dry run only counts them.
create or replace function auth_revoke(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_subject text := p_erasure ->> 'subject';
  v_name text := p_erasure ->> 'name';
  v_before timestamptz := (p_erasure ->> 'before')::timestamptz;
  v_users text[] := array(select jsonb_array_elements_text(p_erasure -> 'users'));
begin
  counts := case when p_erasure ->> 'kind' = 'user_id' then count_accounts(p_tenant, v_subject, v_users, v_before) else '{}' end;
  if p_erasure ->> 'kind' = 'user_id' and not p_erasure ? 'dry_run' then
    perform from users u where u.tenant_id = p_tenant and u.role = 'owner' and u.disabled_at is null order by u.user_id for update;
    if is_last_owner(p_tenant, v_users) then
      raise exception 'the user is the last owner; make another user an owner first' using errcode = 'AM409';
    end if;
    update invites i set used_by = v_name where i.tenant_id = p_tenant and i.used_by = any (v_users);
    update invites i set username = v_name where i.tenant_id = p_tenant and lower(i.username) = lower(v_subject);
    update password_resets r set created_by = v_name where r.tenant_id = p_tenant and r.created_by = any (v_users);
    delete from api_keys k where k.tenant_id = p_tenant and k.user_id = v_subject and k.created_at < v_before;
    delete from users u where u.tenant_id = p_tenant and u.user_id = any (v_users);
  end if;
  return next;
end $$;
