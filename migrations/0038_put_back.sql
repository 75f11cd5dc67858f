-- A dump that is put back over the tables of its own database is told from the original: its rows were written by another transaction.
-- min_code: 33

-- The transaction that wrote the row. A logical restore writes rows anew; a physical copy, a failover and a rewrite of the table keep theirs.
alter table installation add column written text not null default pg_current_xact_id()::text;

create function is_as_written(p_xmin xid, p_written text) returns boolean
language sql immutable
return p_xmin::text = mod(p_written::numeric, 4294967296)::text;

-- Whether what the row says is said of this database as it is now.
create function is_in_place() returns boolean
language sql stable
begin atomic
  select i.place = this_place() and i.restored = this_restore() and is_as_written(i.xmin, i.written) from installation i;
end;

create or replace function is_confirmed() returns boolean
language plpgsql
as $$
begin
  if not exists (select from installation) then
    insert into installation (place, restored) values (this_place(), this_restore()) on conflict do nothing;
  end if;
  return is_in_place();
end $$;

create or replace function confirm_restore() returns void
language sql
begin atomic
  insert into installation (place, restored) values (this_place(), this_restore())
  on conflict (only_row) do update
  set place = excluded.place, restored = excluded.restored, written = excluded.written, confirmed_at = clock_timestamp();
end;
