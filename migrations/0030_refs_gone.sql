-- A passage of an event that was erased, or emptied by retention, is gone by right.
-- min_code: 7

-- As in 0017.
create or replace function fault_of_ref(p_tenant text, p_ref text, p_oldest_id text, p_forgotten boolean) returns text
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
  select case
    when p_ref ~ '^(evt|chk)_' then case
      when exists (
        select from events e
        where e.tenant_id = p_tenant
          and e.event_id = case when p_ref ~ '^chk_' then 'evt_' || split_part(substr(p_ref, 5), '_', 1) else p_ref end
          and (p_ref !~ '^chk_[^_]+_[0-9]{1,5}$' or split_part(p_ref, '_', 3)::int < e.chunk_count)) then null
      -- its passages went with the content
      when p_ref ~ '^chk_' and exists (
        select from events e
        where e.tenant_id = p_tenant and e.event_id = 'evt_' || split_part(substr(p_ref, 5), '_', 1) and e.erased_at is not null) then 'gone'
      when p_oldest_id is not null and substr(p_ref, 5, 26) < substr(p_oldest_id, 5, 26) then 'gone'
      else 'dangling' end
    when p_ref ~ '^art_' then case
      when exists (select from artifacts a where a.tenant_id = p_tenant and a.artifact_id = p_ref and a.event_id is not null) then null
      when p_forgotten then 'gone' else 'dangling' end
    when p_ref ~ '^mem_' then case
      when exists (select from memories m where m.tenant_id = p_tenant and m.memory_id = p_ref) then null
      when p_forgotten then 'gone' else 'dangling' end
  end);
end $$;
