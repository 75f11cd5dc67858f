import type { Db } from '../db/query.ts';
import type { Fingerprint, Manifest } from './schemas.ts';

/** A role that can read every row and nothing else: let_back_up in migrations/0001_wall.sql. */
export const BACKUP_ROLE = 'agent_memory_backup';

/** The policy of let_back_up as the server prints it: all rows, for the role itself and not for its members. */
const EVERY_ROW = `(( SELECT CURRENT_USER AS "current_user") = '${BACKUP_ROLE}'::name)`;

/**
 * Lists the tables of which the backup role does not see all rows, because row-level security would silently omit them from a dump. Checks the
 * catalog, because a count under the same policies proves nothing.
 */
export const listHiddenTables = async (db: Db): Promise<string[]> => {
  const rows = await db.rows<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
       and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
       and (not has_table_privilege($1, c.oid, 'select')
         or c.relrowsecurity and (
           not exists (
             select from pg_policy p
             where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('r', '*') and p.polroles @> array[$1::regrole::oid]
               and pg_get_expr(p.polqual, p.polrelid) = $2)
           or exists (
             select from pg_policy p
             where p.polrelid = c.oid and not p.polpermissive and p.polcmd in ('r', '*') and p.polroles && array[0::oid, $1::regrole::oid])))
     order by 1`,
    [BACKUP_ROLE, EVERY_ROW],
  );
  return rows.map(({ name }) => name);
};

export const hasRole = async (db: Db, role: string): Promise<boolean> =>
  (await db.row('select from pg_roles where rolname = $1', [role])) !== undefined;

export const readSetting = async (db: Db): Promise<Pick<Manifest, 'server' | 'database' | 'owner' | 'roles'>> =>
  (await db.row<Pick<Manifest, 'server' | 'database' | 'owner' | 'roles'>>(
    `select
       current_setting('server_version_num')::int as server,
       current_database()::text as database,
       o.rolname::text as owner,
       array(
         select distinct r.rolname::text
         from pg_shdepend s join pg_database d on d.oid = s.dbid join pg_roles r on r.oid = s.refobjid
         where d.datname = current_database() and s.refclassid = 'pg_authid'::regclass and r.oid <> o.oid
         order by 1) as roles
     from pg_class c join pg_roles o on o.oid = c.relowner
     where c.oid = 'public.tenants'::regclass`,
  ))!;

export async function readFingerprint(db: Db): Promise<Fingerprint> {
  return {
    tables: await db.rows('select name, rows, hash from fingerprint_tables()'),
    tenants: await db.rows(
      'select tenant_id, last_seq, oldest_seq, events, events_hash, audit_seq, audit_mac from fingerprint_tenants()',
    ),
  };
}

export interface Target {
  server: number;
  user: string;
  objects: number;
  others: number;
}

export const readTarget = async (db: Db): Promise<Target> =>
  (await db.row<Target>(
    `select
       current_setting('server_version_num')::int as server,
       current_user::text as user,
       (select count(*) from (
          select from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
          union all
          select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
          where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
        ) o) as objects,
       (select count(*) from pg_stat_activity a
        where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend') as others`,
  ))!;

/**
 * Creates a role for the restore, in the caller's transaction. To transfer the ownership of a function, the session must be a member of the new
 * owner, which needs the privilege to create in the schema. Roles that do not belong to the service are created without these grants.
 */
export async function createRole(db: Db, role: string): Promise<void> {
  await db.run("select set_config('backup.role', $1, true)", [role]);
  await db.run(`
    do $$
    declare
      v_role text := current_setting('backup.role');
    begin
      begin
        execute format('create role %I nologin nosuperuser nobypassrls', v_role);
      exception when duplicate_object or unique_violation then null;
      end;
      if starts_with(v_role, 'agent_memory_') then
        if not pg_has_role(current_user, v_role, 'usage') then
          execute format('grant %I to current_user', v_role);
        end if;
        execute format('grant create on schema public to %I', v_role);
      end if;
    end $$`);
}

/** Revokes the privilege that createRole granted for the restore. */
export async function revokeCreate(db: Db): Promise<void> {
  await db.run(`
    do $$
    declare
      v_role text;
    begin
      for v_role in
        select r.rolname from pg_namespace n cross join aclexplode(n.nspacl) a join pg_roles r on r.oid = a.grantee
        where n.nspname = 'public' and a.privilege_type = 'CREATE' and starts_with(r.rolname, 'agent_memory_')
      loop
        execute format('revoke create on schema public from %I', v_role);
      end loop;
    end $$`);
}
