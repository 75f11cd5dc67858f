import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Client, message, newTenant } from '../../support/client.ts';
import { type TestConnection, withClient } from '../../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../../support/daemon.ts';
import { testEngine } from '../../support/engine.ts';

export const root = join(import.meta.dirname, '..', '..', '..');

/** The keys of the daemons under test, which a restore needs for the audit and the ledger. */
const keys = {
  JWT_SECRET: 'only-for-tests-0123456789abcdefghijklmnop',
  ENCRYPTION_KEY: Buffer.alloc(32, 'only-for-tests').toString('base64'),
};

export interface Run {
  code: number | null;
  out: string;
  err: string;
}

/** Runs a script of the project in an otherwise empty environment. */
export async function sh(script: string, args: string[], env: Record<string, string>): Promise<Run> {
  const child = spawn(join(root, 'scripts', script), args, {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: 'test', ...keys, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const run: Run = { code: null, out: '', err: '' };
  child.stdout.on('data', (part) => {
    run.out += part;
  });
  child.stderr.on('data', (part) => {
    run.err += part;
  });
  [run.code] = (await once(child, 'close')) as [number | null];
  return run;
}

export const newDir = (name: string): string => mkdtempSync(join(testEngine().run_dir, `${name}-`));
export const backupsIn = (dir: string): string[] =>
  readdirSync(dir)
    .filter((name) => name.startsWith('backup_'))
    .sort()
    .map((name) => join(dir, name));

/** Makes a backup that must succeed. Returns the directory of the newest one. */
export async function backUp(env: Record<string, string>): Promise<string> {
  const run = await sh('backup.sh', [], env);
  if (run.code !== 0) throw new Error(`the backup failed: ${run.out}${run.err}`);
  return backupsIn(env.BACKUP_DIR!).at(-1)!;
}

export const envOf = ({ host, port, user, password, database }: TestConnection): Record<string, string> => ({
  PGHOST: host,
  PGPORT: String(port),
  PGUSER: user,
  PGDATABASE: database,
  ...(password && { PGPASSWORD: password }),
});

/** Starts a daemon and creates two tenants, so that every kind of damage has rows to affect. */
export async function startLoaded(overrides: Record<string, string> = {}): Promise<{ daemon: TestDaemon; clients: Client[] }> {
  const daemon = await startTestDaemon(overrides);
  const clients = [await newTenant(daemon.url), await newTenant(daemon.url)];
  for (const client of clients) {
    for (let i = 0; i < 20; i += 1)
      await client.request('POST', '/v1/events', {
        body: message(`line ${i} of ${client.tenant_id}: tab\t, \\. and a newline\n\\.\n`),
      });
    await client.request('POST', '/v1/events', {
      body: message('', { kind: 'decision', content: { decision: 'Keep backups', rationale: ['disks die'] } }),
    });
  }
  return { daemon, clients };
}

/** Returns the name, row count and content hash of every table, as a superuser, to whom row-level security does not apply. */
export const contentOf = (connection: TestConnection): Promise<string[]> =>
  withClient({ ...connection, ...superuser() }, async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `select format('%I', c.relname) as name from pg_class c
       where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relpersistence = 'p'
         -- says where the data is, which differs
         and c.relname <> 'installation' order by 1`,
    );
    const lines: string[] = [];
    for (const { name } of tables) {
      const { rows } = await client.query(
        `select count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' order by t::text)), '') as line from ${name} t`,
      );
      lines.push(`${name} ${rows[0].line}`);
    }
    return lines;
  });

export function superuser(): Pick<TestConnection, 'user' | 'password'> {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('these tests need PostgreSQL');
  const { user, password } = engine.cluster.admin;
  return { user, password };
}

/** Returns the row-level security settings from the catalog. pg_dump cannot be compared, because it formats a restored function differently. */
export const rightsOf = (connection: TestConnection): Promise<string[]> =>
  withClient(connection, async (client) => {
    const { rows } = await client.query<{ line: string }>(`
      with names as (select 'public'::regnamespace::oid as schema)
      select 'schema ' || (a.grantee::regrole) || ' ' || a.privilege_type as line
      from pg_namespace n cross join aclexplode(n.nspacl) a where n.nspname = 'public' and a.grantee <> 0
      union all
      select 'column ' || format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage)
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relnamespace = (select schema from names)
      union all
      select 'table ' || format('%s %s %s %s', c.relname, c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity)
      from pg_class c where c.relnamespace = (select schema from names)
      union all
      select 'grant ' || format('%s %s %s %s', c.relname, a.grantee::regrole, a.privilege_type, a.is_grantable)
      from pg_class c cross join aclexplode(c.relacl) a where c.relnamespace = (select schema from names)
      union all
      select 'policy ' || format('%s %s %s %s %s %s %s', p.tablename, p.policyname, p.permissive, p.roles, p.cmd, p.qual, p.with_check)
      from pg_policies p
      union all
      select 'index ' || indexdef from pg_indexes where schemaname = 'public'
      union all
      select 'constraint ' || format('%s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
      from pg_constraint k where k.connamespace = (select schema from names)
      union all
      select 'function ' || format('%s %s %s %s %s %s %s', p.oid::regprocedure, p.proowner::regrole, p.prosecdef, p.provolatile, p.proconfig,
        case when p.prosqlbody is null then md5(p.prosrc) end,
        array(select format('%s %s', nullif(a.grantee, 0)::regrole, a.privilege_type) from aclexplode(p.proacl) a order by 1))
      from pg_proc p where p.pronamespace = (select schema from names)
      union all
      select 'trigger ' || pg_get_triggerdef(t.oid) from pg_trigger t where not t.tgisinternal
      order by 1`);
    return rows.map(({ line }) => line);
  });
