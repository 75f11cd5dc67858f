-- What is handed on (an invite, a reset, a key, a job) is worth what its maker may do at the moment of use.
-- min_code: 7

alter table api_keys
  -- the one agent that it acts as
  add column agent_id text,
  -- its own allowance of requests; without one it shares its maker's
  add column rate_max int,
  add column rate_window_ms int,
  add constraint api_keys__rate check ((rate_max is null) = (rate_window_ms is null) and rate_max > 0 and rate_window_ms > 0);

-- The role that a user has now; null: the user is disabled or deleted, or the tenant is not active.
create function role_now(p_tenant text, p_user text) returns text
language sql stable
as $$
  select u.role
  from users u join tenants t on t.tenant_id = u.tenant_id
  where u.tenant_id = p_tenant and u.user_id = p_user and u.disabled_at is null and t.state = 'active'
$$;

-- The role that a key has now: at most its maker's, and none for another subject than the maker's where the maker is no admin.
create function key_role_now(p_key api_keys) returns text
language sql stable
as $$
  select case when role_rank(r.role) < role_rank(p_key.role) then r.role else p_key.role end
  from (select role_now(p_key.tenant_id, p_key.created_by)) r (role)
  where r.role is not null and p_key.revoked_at is null and (p_key.expires_at is null or p_key.expires_at > now())
    and (role_rank(r.role) >= role_rank('admin')
      or exists (select from users u where u.tenant_id = p_key.tenant_id and u.user_id = p_key.created_by and u.subject = p_key.user_id))
$$;

-- Whether a user may give someone this role, or set the password of someone who has it.
create function may_administer(p_tenant text, p_maker text, p_role text) returns boolean
language sql stable
as $$
  select coalesce(role_rank(role_now(p_tenant, p_maker)) >= greatest(role_rank(p_role), role_rank('admin')), false)
$$;

-- Whether a principal (`usr_…` or `key_…`) is an admin now.
create function is_admin_now(p_tenant text, p_principal text) returns boolean
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  if p_principal like 'key\_%' then
    return exists (
      select from api_keys k
      where k.tenant_id = p_tenant and k.key_id = p_principal and 'admin' = any (k.scopes)
        and role_rank(key_role_now(k)) >= role_rank('admin'));
  end if;
  return may_administer(p_tenant, p_principal, 'admin');
end $$;

-- A good invite: unused, in time, and its maker could still make it.
create or replace function good_invite(p_tenant text, p_invite text, p_hash bytea, p_username text) returns setof invites
language sql
as $$
  select i.*
  from invites i
  where i.tenant_id = p_tenant and i.invite_id = p_invite and i.secret_hash = p_hash
    and i.used_at is null and i.expires_at > now()
    and (i.username is null or lower(i.username) = lower(p_username))
    and may_administer(p_tenant, i.created_by, i.role)
$$;

-- A good reset: unused, in time, its user enabled, the latest of that user's, and its maker could still make it.
create or replace function good_reset(p_tenant text, p_reset text, p_hash bytea) returns table (user_id text, username text)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  return query
  select u.user_id, u.username
  from password_resets r
  join users u on u.tenant_id = r.tenant_id and u.user_id = r.user_id
  where r.tenant_id = p_tenant and r.reset_id = p_reset and r.secret_hash = p_hash
    and r.used_at is null and r.expires_at > now() and role_now(p_tenant, u.user_id) is not null
    and (r.created_by = 'operator' or may_administer(p_tenant, r.created_by, u.role));
end $$;

drop function key_state(text, text, bytea);
create function key_state(p_tenant text, p_key text, p_hash bytea)
returns table (
  secret_hash bytea, name text, agent_id text, rate_limit jsonb, role text, scopes text[], subject text, channels text[], created_by text,
  expires_at timestamptz)
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
    k.secret_hash, k.name, k.agent_id,
    -- an admin gave it: without one behind it the key shares its maker's
    case when k.rate_max is not null and may_administer(p_tenant, k.created_by, 'admin') then jsonb_build_object('max', k.rate_max, 'window_ms', k.rate_window_ms) end,
    n.role, k.scopes, k.user_id, k.channels, k.created_by, k.expires_at
  from api_keys k
  cross join lateral (select key_role_now(k) as role) n
  where k.tenant_id = p_tenant and k.key_id = p_key and n.role is not null;
end $$;

-- As in 0011; and who began it.
drop function take_job(text, text, int, int, int, jsonb);
create function take_job(p_tenant text, p_job text, p_per_tenant int, p_lease_ms int, p_max_tries int, p_spent jsonb)
returns table (kind text, input jsonb, cursor jsonb, done bigint, total bigint, token int, tries int, started_by text)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  perform from jobs j where j.tenant_id = p_tenant and j.state in ('queued', 'running') order by j.job_id for update;
  update jobs j
  set state = 'failed', problem = p_spent, input = '{}', cursor = null, updated_at = clock_timestamp(), finished_at = clock_timestamp()
  where j.tenant_id = p_tenant and j.job_id = p_job and j.state in ('queued', 'running') and j.due_at <= clock_timestamp()
    and j.tries >= p_max_tries;
  return query
  update jobs j
  set state = 'running', token = j.token + 1, tries = j.tries + 1, updated_at = clock_timestamp(),
    due_at = clock_timestamp() + interval '1 millisecond' * p_lease_ms
  where j.tenant_id = p_tenant and j.job_id = p_job and j.state in ('queued', 'running') and j.due_at <= clock_timestamp()
    and p_per_tenant > (
      select count(*) from jobs h where h.tenant_id = p_tenant and h.state = 'running' and h.due_at > clock_timestamp())
  returning j.kind, j.input, j.cursor, j.done, j.total, j.token, j.tries, j.started_by;
end $$;
