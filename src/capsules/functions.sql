-- Creates a capsule together with its event. p_capsule: the columns that the event does not have. commit_units detects a retry before anything is
-- checked; a refusal after that rolls back the event too.
create or replace function create_capsule(p_tenant text, p_unit jsonb, p_capsule jsonb)
returns unit_outcome
language plpgsql
as $$
declare
  v_result unit_outcome;
begin
  v_result := commit_unit(p_tenant, p_unit);
  if v_result.status = 'new' then
    if (select count(*) from (
      select from capsules c where c.tenant_id = p_tenant and c.revoked_at is null and c.expires_at > v_result.at limit 10000) live) >= 10000 then
      raise exception 'the tenant has too many capsules; revoke some first' using errcode = 'AM409';
    end if;
    insert into capsules (
      tenant_id, capsule_id, seq, user_id, agent_id, project_id, channel, tags, for_all, audience_users, audience_agents, items,
      item_channels, item_sensitivities, created_at, expires_at)
    select
      p_tenant, r.capsule_id, (v_result.outcome ->> 'seq')::bigint, r.user_id, r.agent_id, r.project_id, r.channel, r.tags, r.for_all,
      r.audience_users, r.audience_agents, r.items, r.item_channels, r.item_sensitivities, v_result.at, r.expires_at
    from jsonb_to_record(p_capsule) as r (
      capsule_id text, user_id text, agent_id text, project_id text, channel text, tags text[], for_all boolean, audience_users text[],
      audience_agents text[], items text[], item_channels text[], item_sensitivities text[], expires_at timestamptz);
  end if;
  return v_result;
end $$;

-- Revokes a capsule together with its event. The caller has checked the permission.
create or replace function revoke_capsule(p_tenant text, p_unit jsonb, p_capsule_id text)
returns unit_outcome
language plpgsql
as $$
declare
  v_result unit_outcome;
begin
  v_result := commit_unit(p_tenant, p_unit);
  if v_result.status = 'new' then
    update capsules c set revoked_at = v_result.at, revoked_seq = (v_result.outcome ->> 'seq')::bigint
    where c.tenant_id = p_tenant and c.capsule_id = p_capsule_id and c.revoked_at is null and c.expires_at > v_result.at;
    if not found then
      raise exception 'the capsule has already expired or been revoked' using errcode = 'AM409';
    end if;
  end if;
  return v_result;
end $$;

-- Erasure, trim and retention: deletes the capsules that blanked or dropped events created.
create or replace function capsules_clear(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_count bigint := (select count(*) from capsules c where c.tenant_id = p_tenant and c.seq = any (p_seqs));
begin
  if not p_dry then
    delete from capsules c where c.tenant_id = p_tenant and c.seq = any (p_seqs);
  end if;
  return jsonb_build_object('capsules', v_count);
end $$;

-- Erasure: deletes the capsules that the subject, agent or project created, and removes the name from the audience of others. Capsules of marked
-- events are deleted with these events.
create or replace function capsules_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_kind text := p_erasure ->> 'kind';
  v_subject text := p_erasure ->> 'subject';
  v_created text[] := array(
    select c.capsule_id
    from capsules c
    where c.tenant_id = p_tenant and not is_event_marked(p_tenant, p_job, c.seq)
      and case v_kind when 'user_id' then c.user_id when 'agent_id' then c.agent_id when 'project_id' then c.project_id end = v_subject);
  v_addressed text[] := array(
    select c.capsule_id
    from capsules c
    where c.tenant_id = p_tenant and not c.capsule_id = any (v_created) and not is_event_marked(p_tenant, p_job, c.seq)
      and case v_kind when 'user_id' then v_subject = any (c.audience_users || c.audience_agents) when 'agent_id' then v_subject = any (c.audience_agents) end);
begin
  if not p_erasure ? 'dry_run' then
    delete from capsules c where c.tenant_id = p_tenant and c.capsule_id = any (v_created);
    update capsules c
    set
      audience_users = case when v_kind = 'user_id' then array_remove(c.audience_users, v_subject) else c.audience_users end,
      audience_agents = array_remove(c.audience_agents, v_subject)
    where c.tenant_id = p_tenant and c.capsule_id = any (v_addressed);
  end if;
  counts := jsonb_build_object('capsules', cardinality(v_created), 'capsule_audiences', cardinality(v_addressed));
  return next;
end $$;

-- Trim: takes the next p_limit capsules and marks the events up to p_upto that the active ones need: their items and their own events.
create or replace function capsules_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit int) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
  v_seqs bigint[] := array(select c.seq from capsules c where c.tenant_id = p_tenant and c.seq > p_after order by c.seq limit p_limit);
begin
  perform mark_needed_memories(p_tenant, p_job, array(
    select distinct m.memory_id
    from unnest(v_seqs) s (seq)
    join capsules c on c.tenant_id = p_tenant and c.seq = s.seq
    join memories m on m.tenant_id = p_tenant and m.memory_id = any (c.items) and m.status in ('active', 'superseded')
    where c.revoked_at is null and c.expires_at > now()), p_upto);
  perform mark_carried(p_tenant, p_job, array(
    select e.seq
    from unnest(v_seqs) s (seq)
    join capsules c on c.tenant_id = p_tenant and c.seq = s.seq
    cross join lateral (
      select c.seq
      union all
      select (n.event).seq from events_of_refs(p_tenant, c.items) n
    ) e
    where c.revoked_at is null and c.expires_at > now()), p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;
