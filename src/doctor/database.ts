import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Config, usesEmbedded } from '../config.ts';
import { startEmbedded } from '../db/embedded.ts';
import { lockHolder } from '../db/lock.ts';
import { migrationStatus } from '../db/migrate.ts';
import { connectionOf, createPool, type Pool, partsOfUrl, SERVING_ROLE } from '../db/pool.ts';
import { type Db, dbOf } from '../db/query.ts';
import { createLogger } from '../log.ts';
import { command, type Finding, failed, findingsOrOk, ok, skipped, warning } from './finding.ts';
import { readHealth } from './machine.ts';
import {
  checkClock,
  checkConnections,
  checkDatabaseDisk,
  checkDurability,
  checkServer,
  checkStatements,
  checkTuning,
} from './server.ts';
import {
  type Role,
  readClock,
  readConfirmed,
  readRoles,
  readServer,
  readSettings,
  readTables,
  readVector,
  type Server,
  seesRows,
} from './sql.ts';

// Checks the database with the connection settings of the daemon. Migrates and changes nothing.

const STATEMENT_MS = 5000;
type Client = Awaited<ReturnType<Pool['dedicated']>>;

export async function checkDatabase(config: Config, daemons: number): Promise<Finding[]> {
  if (!usesEmbedded(config))
    return inspect(config, createPool({ ...connectionOf(config), embedded: false }, config, createLogger('silent')), daemons);
  const dir = resolve(config.DATA_DIR);
  if (!existsSync(join(dir, 'engine.json')))
    return [skipped('database', `embedded in ${dir}: none yet; the first start creates it`)];
  const pid = lockHolder(dir);
  if (pid !== undefined) return checkEmbeddedInUse(dir, pid, config.PORT);
  const engine = await startEmbedded({ data_dir: dir, existing: true });
  try {
    return await inspect(config, createPool(engine.connection, config, createLogger('silent')), daemons);
  } finally {
    await engine.stop();
  }
}

/** Asks the daemon for its health, because it uses the only session of the embedded engine. */
async function checkEmbeddedInUse(dir: string, pid: number, port: number): Promise<Finding[]> {
  const inUse = `embedded in ${dir}, in use by the process ${pid}`;
  const health = await readHealth(port);
  if (health?.status === 'healthy') return [ok('database', `${inUse}, whose daemon is healthy; stop the daemon to check more`)];
  const next = `ps -p ${pid} -o pid,lstart,args   # a daemon on another PORT, or a command that is still running`;
  return [
    (health ? failed : warning)(
      'database',
      `${inUse}; ${health ? `its daemon is ${health.status}` : `no daemon answers on ${port}`}`,
      next,
    ),
  ];
}

async function inspect(config: Config, pool: Pool, daemons: number): Promise<Finding[]> {
  let client: Client;
  try {
    client = await pool.dedicated();
  } catch (error) {
    return [unreachable(error, config)];
  }
  try {
    const db = dbOf(client, false);
    await db.run(`set statement_timeout = ${STATEMENT_MS}`);
    const server = (await readServer(db))!;
    const findings = [
      ...checkServer(server, addressOf(config)),
      ...(await checkSchema(client, db, server)),
      ...checkRestore(await readConfirmed(db)),
    ];
    if (pool.embedded) return findings;
    const settings = await readSettings(db);
    return [
      ...findings,
      ...checkConnections(server, settings, config, daemons),
      ...(await checkSession(pool, config, server.login, findings)),
      ...checkDurability(settings),
      ...(config.NODE_ENV === 'production' ? checkTuning(settings) : []),
      ...checkDatabaseDisk(settings, isLocal(config)),
    ];
  } finally {
    await client.end();
    await pool.end();
  }
}

const checkRestore = (confirmed: boolean | undefined): Finding[] =>
  confirmed === false
    ? [
        failed(
          'restore',
          'the database was restored from a backup or moved; daemons do not serve it until the erasures since then have been replayed',
          `${command('erasures:replay', '--ledger FILE')}   # of every daemon; --no-ledger if nothing was ever erased`,
        ),
      ]
    : [];

async function checkSchema(client: Client, db: Db, server: Server): Promise<Finding[]> {
  const { findings, applied_at } = await checkMigrations(client);
  const before = Date.now();
  const { now } = (await readClock(db))!;
  const earlier = [
    { what: 'it started', at: server.started_at },
    ...(applied_at ? [{ what: 'it was migrated', at: applied_at }] : []),
  ];
  const clock = checkClock(now, [before, Date.now()], earlier);
  const vector = (await readVector(db))!;
  const search = `lexical, which needs no extension and no embedder${vector.installed ? `; pgvector ${vector.installed} is installed, for searches with an embedder in large logs` : ''}`;
  const roles = await checkRoles(db, server);
  const rowSecurity = server.migrated
    ? await checkRowSecurity(db, isServable(roles))
    : [skipped('wall', 'there are no tables yet')];
  return [...findings, ...roles, ...rowSecurity, ok('search', search), ...clock];
}

async function checkMigrations(client: Client): Promise<{ findings: Finding[]; applied_at?: string }> {
  try {
    const { pending, newer, applied, code_version, functions } = await migrationStatus(client);
    const findings: Finding[] = [];
    if (pending.length > 0)
      findings.push(
        failed(
          'migrations',
          `${pending.length} are pending, from ${pending[0]!.name} on`,
          `${command('migrate', 'up')}   # or start with MIGRATE_ON_START=true`,
        ),
      );
    else if (functions.pending.length > 0)
      findings.push(
        failed(
          'migrations',
          `the SQL functions of ${functions.pending.map(({ folder }) => folder).join(', ')} are older than this release`,
          `${command('migrate', 'up')}   # or start with MIGRATE_ON_START=true`,
        ),
      );
    if (newer.length > 0)
      findings.push(
        warning(
          'migrations',
          `the database has ${newer.length} of a newer release, which are compatible with this one`,
          'start the newer release after the rollback',
        ),
      );
    const applied_at = [...applied, ...newer].at(-1)?.applied_at;
    return {
      findings: findingsOrOk('migrations', `${code_version} applied, none modified`, findings),
      ...(applied_at && { applied_at }),
    };
  } catch (error) {
    if ((error as Error).name !== 'SchemaError') throw error;
    return { findings: [failed('migrations', (error as Error).message, command('migrate', 'status'))] };
  }
}

/** Checks the roles of the service, which the first migration creates. */
async function checkRoles(db: Db, { login, migrated }: Server): Promise<Finding[]> {
  const roles = await readRoles(db);
  const serving = roles.find(({ name }) => name === SERVING_ROLE);
  if (!serving && !migrated) return [skipped('role', 'the first migration creates the roles')];
  if (!serving) {
    const next = `psql -U postgres -c "create role ${SERVING_ROLE} nologin"   # and restore again, because its privileges are lost; scripts/restore.sh creates all roles`;
    return [failed('role', `the role ${SERVING_ROLE} does not exist: dumps do not contain roles`, next)];
  }
  const grant = `psql -U postgres -c "grant ${SERVING_ROLE} to ${login}"`;
  const reassign = `psql -U postgres -c "reassign owned by ${SERVING_ROLE} to ${login}"`;
  return findingsOrOk(
    'role',
    `requests are served as ${SERVING_ROLE}, which owns no tables and is subject to row-level security`,
    [
      ...roles.flatMap(checkRole),
      ...roles.filter(({ serves }) => serves).map(checkMembership),
      ...(serving.granted ? [] : [failed('role', `the login is not a member of the role ${SERVING_ROLE}`, grant)]),
      ...(serving.owns ? [failed('role', `${SERVING_ROLE} owns tables`, reassign)] : []),
    ],
  );
}

/** Checks row-level security of all tables, and that the serving role sees no rows without a tenant. */
async function checkRowSecurity(db: Db, servable: boolean): Promise<Finding[]> {
  const tables = await readTables(db);
  const open = tables.filter(({ has_policy }) => !has_policy);
  const findings = open.map(({ name }) =>
    failed(
      'wall',
      `row-level security of ${name} is not forced, or its policy is missing`,
      `psql -c "alter table ${name} enable row level security; alter table ${name} force row level security"`,
    ),
  );
  if (servable && (await seenWithoutTenant(db)))
    findings.push(
      failed('wall', `${SERVING_ROLE} sees rows without a tenant`, `psql -c '\\d+ events'   # stop the daemons first`),
    );
  return findingsOrOk('wall', `${tables.length} tables have row-level security; no rows are visible without a tenant`, findings);
}

const checkRole = ({ name, superuser, bypasses, can_login }: Role): Finding[] =>
  [superuser && 'superuser', bypasses && 'bypassrls', can_login && 'login']
    .filter((right) => right !== false)
    .map((right) =>
      failed(
        'role',
        `${name} has the attribute ${right}, so tenants are not separated`,
        `psql -U postgres -c "alter role ${name} no${right}"`,
      ),
    );

const checkMembership = ({ name }: Role): Finding =>
  failed(
    'role',
    `${SERVING_ROLE} is a member of the role ${name}, which sees all tenants`,
    `psql -U postgres -c "revoke ${name} from ${SERVING_ROLE}"`,
  );

async function seenWithoutTenant(db: Db): Promise<boolean> {
  await db.run('begin read only');
  try {
    await db.run(`set local role ${SERVING_ROLE}`);
    return (await seesRows(db))!.sees;
  } finally {
    await db.run('rollback');
  }
}

const isServable = (findings: Finding[]): boolean => findings.some(({ check, state }) => check === 'role' && state === 'ok');

/** Checks the settings of a session of the pool. */
async function checkSession(pool: Pool, config: Config, login: string, before: Finding[]): Promise<Finding[]> {
  if (!isServable(before)) return [skipped('statements', 'fix the role first')];
  return pool.using(async (client) => {
    const db = dbOf(client, false);
    const { user } = (await db.row<{ user: string }>('select current_user as user'))!;
    return checkStatements(await readSettings(db), login, user, SERVING_ROLE, config);
  });
}

function unreachable(error: unknown, config: Config): Finding {
  const { code, message } = error as Error & { code?: string };
  const { host, port, user, database } = partsOf(config);
  const says = `it cannot be reached ${addressOf(config)}: ${message || code}`;
  const hba = `psql -h ${host} -p ${port} -U ${user} ${database} -c 'select 1'   # PGUSER, PGPASSWORD, and pg_hba.conf of the server`;
  if (code === '28P01' || code === '28000') return failed('database', `it rejects the login: ${message}`, hba);
  if (code === '3D000') return failed('database', message, `createdb -h ${host} -p ${port} -U postgres -O ${user} ${database}`);
  if (code === '53300')
    return failed(
      'database',
      `it has no connection left: ${message}`,
      `psql -U postgres -c "select usename, application_name, state, count(*) from pg_stat_activity group by 1, 2, 3 order by 4 desc"`,
    );
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return failed('database', says, `getent hosts ${host}   # PGHOST`);
  return failed('database', says, `pg_isready -h ${host} -p ${port}   # is it running, is PGHOST correct, is there a firewall?`);
}

const partsOf = ({ DATABASE_URL, PGHOST, PGPORT, PGUSER, PGDATABASE }: Config) =>
  DATABASE_URL === undefined
    ? { host: PGHOST ?? '', port: PGPORT, user: PGUSER, database: PGDATABASE }
    : partsOfUrl(DATABASE_URL);

function addressOf(config: Config): string {
  if (usesEmbedded(config)) return `embedded in ${resolve(config.DATA_DIR)}`;
  const { host, port, database } = partsOf(config);
  return `at ${host}:${port}/${database}`;
}

const isLocal = (config: Config): boolean => /^(localhost|127\.|::1|\/)/.test(partsOf(config).host);
