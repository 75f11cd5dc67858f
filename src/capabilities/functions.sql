-- Returns the current rights of the user, or of the key p_key of the user, that minted a capability. `scopes` null: all scopes of the role; `name`:
-- of the key. No row if the key is not valid; `role` is null if the user is not.
create or replace function minter_rights(p_tenant text, p_user text, p_key text)
returns table (role text, scopes text[], subject text, channels text[], agent_id text, name text, rate_limit jsonb)
language plpgsql
as $$
begin
  if p_key is null then
    return query
    select active_role(p_tenant, p_user), null::text[], u.subject, null::text[], null::text, null::text, null::jsonb
    from users u
    where u.tenant_id = p_tenant and u.user_id = p_user;
  else
    return query
    select k.role, k.scopes, k.subject, k.channels, k.agent_id, k.name, k.rate_limit
    from api_key_state(p_tenant, p_key, null) k;
  end if;
end $$;

-- Returns the state of a capability with the current rights of its minter; no row if it has expired, was revoked, or could no longer be minted.
create or replace function capability_state(p_tenant text, p_jti text)
returns table (
  digest bytea, created_by text, created_with text, role text, scopes text[], subject text, channels text[], agent_id text, name text,
  rate_limit jsonb)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  return query
  select
    c.digest, c.created_by, c.created_with, m.role, m.scopes, m.subject, m.channels, coalesce(c.agent, m.agent_id), m.name, m.rate_limit
  from capabilities c
  cross join lateral minter_rights(p_tenant, c.created_by, c.created_with) m
  where c.tenant_id = p_tenant and c.jti = p_jti and c.revoked_at is null and c.expires_at > now()
    and role_rank(m.role) >= role_rank(case when 'ADMIN' = any (c.ops) then 'admin' else 'member' end);
end $$;

-- Erases a subject: deletes the capabilities for the agent, and those of other users that name the subject as a segment of a namespace. Those that
-- the subject minted are deleted with the account or key.
create or replace function capabilities_revoke(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_subject text := p_erasure ->> 'subject';
  v_users text[] := array(select jsonb_array_elements_text(p_erasure -> 'users'));
  v_ids text[] := array(
    select c.jti
    from capabilities c
    where c.tenant_id = p_tenant and c.jti > p_after and not c.created_by = any (v_users)
      and ((p_erasure ->> 'kind' = 'agent_id' and c.agent = v_subject)
        or exists (select from unnest(c.ns) n (pattern) where v_subject = any (string_to_array(n.pattern, '/'))))
    order by c.jti
    limit p_limit);
begin
  if not p_erasure ? 'dry_run' then
    delete from capabilities c where c.tenant_id = p_tenant and c.jti = any (v_ids);
  end if;
  last := v_ids[cardinality(v_ids)];
  counts := jsonb_build_object('capabilities', cardinality(v_ids));
  return next;
end $$;

-- Records that a daemon is running and verifies with these keys, and removes daemons that have not done so for 30 s.
create or replace function announce_capability_keys(p_daemon text, p_kids text[]) returns void
language plpgsql
as $$
begin
  insert into capability_daemons (daemon_id, kids, seen_at) values (p_daemon, p_kids, clock_timestamp())
  on conflict (daemon_id) do update set kids = excluded.kids, seen_at = excluded.seen_at;
  delete from capability_daemons d where d.seen_at < clock_timestamp() - interval '30 seconds';
end $$;

create or replace function withdraw_capability_keys(p_daemon text) returns void
language sql
as $$ delete from capability_daemons d where d.daemon_id = p_daemon $$;

-- Returns whether all running daemons verify with this key.
create or replace function is_verified_everywhere(p_kid text) returns boolean
language sql
as $$
  select not exists (
    select from capability_daemons d
    where d.seen_at >= clock_timestamp() - interval '30 seconds' and not p_kid = any (d.kids))
$$;
