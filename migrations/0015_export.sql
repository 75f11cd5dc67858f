-- Import: the way back. What a broken import left is removed as the rows of a deleted tenant are, by the eraser, and only while the tenant is marked.
-- min_code: 1

create policy eraser_sees_import on tenant_clocks for select to agent_memory_eraser
  using (tenant_id = (select current_tenant()) and importing is not null);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['memories', 'edits', 'edit_events', 'overlays', 'capsules', 'retention_policies', 'artifacts', 'events', 'memory_versions'] loop
    execute format('create policy undo_finds on %I for select to agent_memory_eraser using (tenant_id = (select current_tenant()) and (select is_importing()))', v_table);
    execute format('create policy undo_deletes on %I for delete to agent_memory_eraser using (tenant_id = (select current_tenant()) and (select is_importing()))', v_table);
  end loop;
end $$;
