import { SERVING_ROLE } from '../db/pool.ts';
import type { Db } from '../db/query.ts';

// Reads the catalog as the connected user. Views only show what this user may see, so an absent row means unknown.

export interface Server {
  version: string;
  major: number;
  encoding: string;
  time_zone: string;
  standby: boolean;
  read_only: string;
  login: string;
  superuser: boolean;
  login_limit: number;
  database: string;
  database_limit: number;
  database_bytes: number;
  connections: number;
  started_at: string;
  /** The tables exist. */
  migrated: boolean;
}

export const readServer = (db: Db) =>
  db.row<Server>(
    `select current_setting('server_version') as version,
       current_setting('server_version_num')::int / 10000 as major,
       current_setting('server_encoding') as encoding,
       current_setting('TimeZone') as time_zone,
       pg_is_in_recovery() as standby,
       current_setting('default_transaction_read_only') as read_only,
       r.rolname as login,
       r.rolsuper as superuser,
       r.rolconnlimit as login_limit,
       d.datname as database,
       d.datconnlimit as database_limit,
       pg_database_size(d.oid) as database_bytes,
       (select count(*) from pg_stat_activity a where a.backend_type = 'client backend')::int as connections,
       pg_postmaster_start_time() as started_at,
       to_regclass('public.events') is not null as migrated
     from pg_roles r
     cross join pg_database d
     where r.rolname = session_user
     and d.datname = current_database()`,
  );

/** Reads the clock of the database. */
export const readClock = (db: Db) => db.row<{ now: string }>('select clock_timestamp() as now');

const settingNames = [
  'data_directory',
  'fsync',
  'full_page_writes',
  'idle_in_transaction_session_timeout',
  'jit',
  'lock_timeout',
  'log_min_duration_statement',
  'max_connections',
  'shared_buffers',
  'statement_timeout',
  'superuser_reserved_connections',
  'synchronous_commit',
];

/** Reads the settings of this session; sizes are in their own units. */
export async function readSettings(db: Db): Promise<Map<string, string>> {
  const rows = await db.rows<{ name: string; setting: string }>('select name, setting from pg_settings where name = any ($1)', [
    settingNames,
  ]);
  return new Map(rows.map(({ name, setting }) => [name, setting]));
}

export interface Role {
  name: string;
  superuser: boolean;
  bypasses: boolean;
  can_login: boolean;
  owns: boolean;
  granted: boolean;
  /** The serving role is a member of it. */
  serves: boolean;
}

/** Reads the roles of the service. None may log in or bypass row-level security. */
export const readRoles = (db: Db) =>
  db.rows<Role>(
    `select r.rolname as name,
       r.rolsuper as superuser,
       r.rolbypassrls as bypasses,
       r.rolcanlogin as can_login,
       exists (select from pg_class c where c.relowner = r.oid and c.relkind in ('r', 'p')) as owns,
       pg_has_role(session_user, r.oid, 'member') as granted,
       exists (
         select from pg_roles s where s.rolname = $1 and s.oid <> r.oid and pg_has_role(s.oid, r.oid, 'member')) as serves
     from pg_roles r
     where r.rolname like 'agent\\_memory\\_%'
     order by r.rolname`,
    [SERVING_ROLE],
  );

/** Lists the tables with rows of tenants, and whether each has forced row-level security with the policy. */
export const readTables = (db: Db) =>
  db.rows<{ name: string; has_policy: boolean }>(
    `select c.relname as name,
       c.relrowsecurity and c.relforcerowsecurity and exists (
         select from pg_policy p where p.polrelid = c.oid and p.polroles = array[r.oid]) as has_policy
     from pg_class c
     join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
     join pg_roles r on r.rolname = $1
     where c.relnamespace = 'public'::regnamespace
     and c.relkind in ('r', 'p')
     order by c.relname`,
    [SERVING_ROLE],
  );

/** Returns whether any row is visible. Run as the serving role without a tenant, it must be false. */
export const seesRows = (db: Db) =>
  db.row<{ sees: boolean }>('select exists (select from tenants) or exists (select from events) as sees');

export const readVector = (db: Db) =>
  db.row<{ installed: string | null; available: string | null }>(
    `select (select extversion from pg_extension where extname = 'vector') as installed,
       (select default_version from pg_available_extensions where name = 'vector') as available`,
  );

/** Returns false if a restore awaits the replay of erasures; undefined if the schema has no such table or the login may not read it. */
export const readConfirmed = async (db: Db): Promise<boolean | undefined> => {
  const known = await db.row<{ known: boolean }>(
    `select coalesce(has_table_privilege(to_regclass('public.installation'), 'select'), false) as known`,
  );
  if (!known?.known) return undefined;
  const row = await db.row<{ confirmed: boolean }>('select coalesce(is_same_database(), true) as confirmed');
  return row!.confirmed;
};
