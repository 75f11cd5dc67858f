-- Appends entries that the daemon has chained after (p_seq, p_mac). If the stream has another end by now, appends nothing and returns that end.
-- A repeated call, after its answer was lost, finds its entries and returns that they are appended. Returns no row if the tenant no longer exists.
-- p_entries: [{at, first_at, action, route, status, count, payload, salt: hex, commitment: hex, key_id, mac: hex}]
create or replace function append_audit(p_tenant text, p_seq bigint, p_mac bytea, p_entries jsonb)
returns table (appended boolean, last_seq bigint, last_mac bytea, last_at timestamptz)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_clock audit_clocks;
  v_last bytea := decode(p_entries -> -1 ->> 'mac', 'hex');
begin
  perform enter_tenant(p_tenant);
  if not exists (select from tenants t where t.tenant_id = p_tenant and t.state <> 'deleting') then
    return;
  end if;
  insert into audit_clocks as c (tenant_id) values (p_tenant) on conflict do nothing;
  select * into v_clock from audit_clocks c where c.tenant_id = p_tenant for update;
  appended := v_clock.last_seq = p_seq and v_clock.last_mac = p_mac;
  if appended then
    insert into audit_entries (tenant_id, seq, at, first_at, action, route, status, count, payload, salt, commitment, key_id, mac)
    select
      p_tenant, p_seq + e.place, r.at, r.first_at, r.action, r.route, r.status, r.count, r.payload, decode(r.salt, 'hex'), decode(r.commitment, 'hex'),
      r.key_id, decode(r.mac, 'hex')
    from jsonb_array_elements(p_entries) with ordinality as e (doc, place)
    cross join lateral jsonb_to_record(e.doc) as r (
      at timestamptz, first_at timestamptz, action text, route text, status smallint, count int, payload jsonb, salt text, commitment text, key_id text,
      mac text);
    update audit_clocks c
    set last_seq = p_seq + jsonb_array_length(p_entries), last_mac = v_last, last_at = (p_entries -> -1 ->> 'at')::timestamptz
    where c.tenant_id = p_tenant
    returning * into v_clock;
  elsif v_clock.last_seq > p_seq then
    appended := exists (
      select from audit_entries e
      where e.tenant_id = p_tenant and e.seq = p_seq + jsonb_array_length(p_entries) and e.mac = v_last);
  end if;
  return query select appended, v_clock.last_seq, v_clock.last_mac, v_clock.last_at;
end $$;

-- Returns whether a payload names the subject in a field that identifies a person or agent. Other fields can have equal values, such as a kind or
-- a role. If another account has the same name as the subject, entries are matched only by the ids of the erased accounts.
create or replace function audit_mentions(p_tenant text, p_payload jsonb, p_kind text, p_subject text, p_users text[]) returns boolean
language sql stable
return case p_kind
  when 'user_id' then
    p_payload ->> 'user_id' = any (p_users) or p_payload ->> 'principal_id' = any (p_users) or p_payload ->> 'claimed' = any (p_users)
    or jsonb_path_exists(p_payload -> 'about', '$.** ? (@ == $u[*])', jsonb_build_object('u', p_users))
    or (not exists (select from users u where u.tenant_id = p_tenant and u.user_id in (p_subject, p_payload ->> 'user_id')) and p_payload ->> 'username' = p_subject)
    or (not exists (select from users u where u.tenant_id = p_tenant and u.user_id = p_subject)
      and jsonb_path_exists(p_payload -> 'about', '$.** ? (@.user_id == $s || @.username == $s || @.subject == $s || @.user_ids[*] == $s)',
        jsonb_build_object('s', p_subject)))
  when 'agent_id' then jsonb_path_exists(p_payload -> 'about', '$.** ? (@.agent_id == $s)', jsonb_build_object('s', p_subject))
  else false end;

-- Blanks entries of the current tenant. The entries that record an erasure are kept.
create or replace function blank_audit(p_tenant text, p_seqs bigint[]) returns int
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_count int;
begin
  update public.audit_entries e set payload = null, salt = null
  where e.tenant_id = p_tenant and e.tenant_id = public.current_tenant() and e.seq = any (p_seqs)
    and e.action not in ('audit.erased', 'erasure.begun');
  get diagnostics v_count = row_count;
  return v_count;
end $$;
revoke execute on function blank_audit(text, bigint[]) from public;
grant execute on function blank_audit(text, bigint[]) to agent_memory_app;
alter function blank_audit(text, bigint[]) owner to agent_memory_audit_eraser;
