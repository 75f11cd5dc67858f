-- A superseded memory that is deleted takes nothing from the one in its place: the event that ended it is where that one's words stand.
-- min_code: 33

-- As in 0007, without the events that only ended the memory.
create or replace function end_passages(p_tenant text, p_memory_id text, p_seq bigint, p_at timestamptz, p_from bigint default null) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  v_said int;
begin
  select said.version into v_said
  from (
    select w.content_seq
    from memory_versions w
    where w.tenant_id = p_tenant and w.memory_id = p_memory_id and w.seq + 0 < coalesce(p_from, p_seq)
    order by w.version desc
    limit 1
  ) stood
  join memory_versions said on said.tenant_id = p_tenant and said.seq = stood.content_seq and said.memory_id || '' = p_memory_id
  limit 1;
  update chunks c set until_seq = p_seq, until_at = p_at
  where c.tenant_id = p_tenant and c.until_seq is null and c.seq = any (array(
    select v.seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version >= coalesce(v_said, 0) and v.seq + 0 < p_seq
      and v.status || '' <> 'superseded'));
end $$;

-- What was deleted names no successor.
create or replace function close_memory(p_tenant text, p_memory_id text, p_version int, p_statuses text[], p_status text, p_unit jsonb)
returns table (status text, outcome jsonb, at timestamptz, memories text[])
language plpgsql
as $$
declare
  v_new boolean := hold_memory(p_tenant, p_memory_id, p_version, p_statuses, p_unit);
  v_done unit_outcome;
  v_seq bigint;
begin
  select c.status, c.outcome, c.at, c.memories into v_done from commit_units(p_tenant, jsonb_build_array(p_unit)) c;
  if v_new and v_done.status = 'new' then
    v_seq := (v_done.outcome ->> 'seq')::bigint;
    update memories m
    set status = p_status, version = m.version + 1, last_seq = v_seq, doing_agent = null, superseded_by = null, updated_at = v_done.at
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
    select p_tenant, p_memory_id, m.version, v_seq, m.content_seq, p_status
    from memories m
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    perform end_passages(p_tenant, p_memory_id, v_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = v_seq;
  end if;
  return query select v_done.status, v_done.outcome, v_done.at, v_done.memories;
end $$;
