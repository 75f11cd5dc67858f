-- Replaces the name of an erased user or agent in rules, and as the maker of policies and rules. A rule is not deleted, because that would lift the
-- limits that it sets for others; it never matches the name that replaces the subject.
create or replace function policies_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_subject text := p_erasure ->> 'subject';
  v_name text := p_erasure ->> 'name';
  v_makers text[] := array(select jsonb_array_elements_text(p_erasure -> 'users')) || v_subject;
  v_rules text[] := array(
    select r.rule_id
    from policy_rules r
    where r.tenant_id = p_tenant and r.rule_id > p_after and (
      jsonb_path_exists(r.conditions, '$.** ? (@ == $s)', jsonb_build_object('s', v_subject))
      or (p_erasure ->> 'kind' = 'agent_id' and v_subject = any (r.agent_ids)) or r.made_by = any (v_makers))
    order by r.rule_id
    limit p_limit);
begin
  if not p_erasure ? 'dry_run' then
    update policy_rules r
    set conditions = with_text(r.conditions, v_subject, v_name),
      agent_ids = case when p_erasure ->> 'kind' = 'agent_id' then array_replace(r.agent_ids, v_subject, v_name) else r.agent_ids end,
      made_by = case when r.made_by = any (v_makers) then v_name else r.made_by end
    where r.tenant_id = p_tenant and r.rule_id = any (v_rules);
    update policies p set made_by = v_name where p.tenant_id = p_tenant and p.made_by = any (v_makers);
  end if;
  last := v_rules[cardinality(v_rules)];
  counts := jsonb_build_object('policy_rules', cardinality(v_rules));
  return next;
end $$;

-- Replaces a text wherever it is a whole value.
create or replace function with_text(p_value jsonb, p_text text, p_other text) returns jsonb
language plpgsql immutable
as $$
begin
  return case jsonb_typeof(p_value)
    when 'object' then (select coalesce(jsonb_object_agg(m.key, with_text(m.value, p_text, p_other)), '{}') from jsonb_each(p_value) m)
    when 'array' then (
      select coalesce(jsonb_agg(with_text(i.value, p_text, p_other) order by i.place), '[]')
      from jsonb_array_elements(p_value) with ordinality i (value, place))
    else case when p_value = to_jsonb(p_text) then to_jsonb(p_other) else p_value end end;
end $$;

-- Import: finds a rule that names a policy which does not exist.
create or replace function policies_stray(p_tenant text, p_first bigint, p_after text, p_limit int) returns table (last text, fault text)
language plpgsql stable
as $$
begin
  return query
  select max(d.rule_id), 'The rule ' || min(d.rule_id) filter (where d.astray) || ' names a policy that does not exist.'
  from (
    select r.rule_id, exists (
      select from unnest(r.policy_ids) i (id)
      where not exists (select from policies p where p.tenant_id = p_tenant and p.policy_id = i.id)) as astray
    from policy_rules r
    where r.tenant_id = p_tenant and r.rule_id > p_after
    order by r.rule_id
    limit p_limit) d;
end $$;
