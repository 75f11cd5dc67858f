-- One capsule with the event that says so. p_capsule: the columns that the event does not have.
-- A retry is known by commit_units before anything is asked; what is refused afterwards undoes the event too.
create or replace function create_capsule(p_tenant text, p_unit jsonb, p_capsule jsonb)
returns table (status text, outcome jsonb, at timestamptz, memories text[])
language plpgsql
as $$
declare
  v_done unit_outcome;
begin
  select o.status, o.outcome, o.at, o.memories into v_done from commit_units(p_tenant, jsonb_build_array(p_unit)) o;
  if v_done.status = 'new' then
    if (select count(*) from (
      select from capsules c where c.tenant_id = p_tenant and c.revoked_at is null and c.expires_at > v_done.at limit 10000) live) >= 10000 then
      raise exception 'the tenant has too many capsules; revoke some first' using errcode = 'AM409';
    end if;
    insert into capsules (
      tenant_id, capsule_id, seq, user_id, agent_id, project_id, channel, tags, for_all, audience_users, audience_agents, items,
      item_channels, item_sensitivities, created_at, expires_at)
    select
      p_tenant, r.capsule_id, (v_done.outcome ->> 'seq')::bigint, r.user_id, r.agent_id, r.project_id, r.channel, r.tags, r.for_all,
      r.audience_users, r.audience_agents, r.items, r.item_channels, r.item_sensitivities, v_done.at, r.expires_at
    from jsonb_to_record(p_capsule) as r (
      capsule_id text, user_id text, agent_id text, project_id text, channel text, tags text[], for_all boolean, audience_users text[],
      audience_agents text[], items text[], item_channels text[], item_sensitivities text[], expires_at timestamptz);
  end if;
  return query select v_done.status, v_done.outcome, v_done.at, v_done.memories;
end $$;

-- Ends a capsule with the event that says so; who may is asked before.
create or replace function revoke_capsule(p_tenant text, p_unit jsonb, p_capsule_id text)
returns table (status text, outcome jsonb, at timestamptz, memories text[])
language plpgsql
as $$
declare
  v_done unit_outcome;
begin
  select o.status, o.outcome, o.at, o.memories into v_done from commit_units(p_tenant, jsonb_build_array(p_unit)) o;
  if v_done.status = 'new' then
    update capsules c set revoked_at = v_done.at, revoked_seq = (v_done.outcome ->> 'seq')::bigint
    where c.tenant_id = p_tenant and c.capsule_id = p_capsule_id and c.revoked_at is null and c.expires_at > v_done.at;
    if not found then
      raise exception 'the capsule has ended already' using errcode = 'AM409';
    end if;
  end if;
  return query select v_done.status, v_done.outcome, v_done.at, v_done.memories;
end $$;

-- What an erasure takes: capsules that the subject made, or of its agent or project, and its name among the others' readers. The events are
-- the log's. Says how many.
create or replace function forget_capsules(p_tenant text, p_kind text, p_subject text) returns jsonb
language plpgsql
as $$
declare
  v_made int;
  v_named int;
begin
  delete from capsules c
  where c.tenant_id = p_tenant
    and case p_kind when 'user_id' then c.user_id when 'agent_id' then c.agent_id when 'project_id' then c.project_id end = p_subject;
  get diagnostics v_made = row_count;
  update capsules c
  set
    audience_users = case when p_kind = 'user_id' then array_remove(c.audience_users, p_subject) else c.audience_users end,
    audience_agents = array_remove(c.audience_agents, p_subject)
  where c.tenant_id = p_tenant and p_kind in ('user_id', 'agent_id')
    and ((p_kind = 'user_id' and p_subject = any (c.audience_users)) or p_subject = any (c.audience_agents));
  get diagnostics v_named = row_count;
  return jsonb_build_object('capsules', v_made, 'capsule_audiences', v_named);
end $$;
