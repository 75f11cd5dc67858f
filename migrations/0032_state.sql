-- Hashes the tags of an object as before, with expressions alone: a query cost three times as much for one tag.
-- min_code: 1

create or replace function state_tag_keys(p_tenant text, p_namespace text, p_tags jsonb) returns bigint[]
language plpgsql immutable parallel safe
as $$
declare
  v_space text := p_tenant || '/' || p_namespace || '/';
  v_names jsonb;
  v_name text;
  v_keys bigint[];
begin
  if p_tags = '{}' then
    return null;
  end if;
  v_names := jsonb_path_query_array(p_tags, '$.keyvalue().key');
  for i in 1 .. jsonb_array_length(v_names) loop
    v_name := v_names ->> i - 1;
    v_keys[i] := hashtextextended(v_space || v_name || '=' || (p_tags ->> v_name), 0);
  end loop;
  return v_keys;
end $$;
