-- A database that was restored from a backup stays closed to daemons until the erasures that came after the backup were replayed.
-- min_code: 7

-- Outside the wall: one row, where the data belongs. The first daemon that serves the database writes it; a dump takes it along, and in
-- another cluster or another database it names a place that is not this one. A server that was recovered to an earlier moment keeps its
-- identity: there scripts/pitr.sh writes the setting agent_memory.restored, which differs from the one that was confirmed last.
create table installation (
  only_row boolean not null default true,
  place text not null,
  restored text not null default '',
  confirmed_at timestamptz not null default now(),
  constraint installation_pkey primary key (only_row),
  constraint installation__only_row check (only_row)
);
grant select, insert, update on installation to agent_memory_app;
select let_back_up('installation');

-- The cluster and the database in it. On a server where even this is not for everybody, the database alone.
create function this_place() returns text
language plpgsql stable
as $$
declare
  v_database oid := (select d.oid from pg_database d where d.datname = current_database());
begin
  return format('%s/%s', (select c.system_identifier from pg_control_system() c), v_database);
exception when insufficient_privilege then
  return format('-/%s', v_database);
end $$;

create function this_restore() returns text
language sql stable
return coalesce(current_setting('agent_memory.restored', true), '');

-- Whether daemons may serve this database. One that nobody has served yet is taken as it is.
create function is_confirmed() returns boolean
language plpgsql
as $$
declare
  v_row installation;
begin
  select * into v_row from installation;
  if not found then
    insert into installation (place, restored) values (this_place(), this_restore()) on conflict do nothing;
    select * into v_row from installation;
  end if;
  return v_row.place = this_place() and v_row.restored = this_restore();
end $$;

-- After a restore: the erasures were replayed, or there are none.
create function confirm_restore() returns void
language sql
begin atomic
  insert into installation (place, restored) values (this_place(), this_restore())
  on conflict (only_row) do update set place = excluded.place, restored = excluded.restored, confirmed_at = clock_timestamp();
end;

-- Before that: scripts/restore.sh also restores what an older release dumped, which says nothing of its place.
create function await_replay() returns void
language sql
begin atomic
  insert into installation (place) values ('restored') on conflict (only_row) do update set place = excluded.place;
end;
