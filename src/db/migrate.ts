import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { applyFunctions, createFunctionTables } from './functions.ts';
import { type Migration, type MigrationStatus, readSchema, readStatus, type Schema } from './migrations.ts';
import { type Release, thisRelease } from './release.ts';
import { SchemaError } from './schema_error.ts';

const BUSY_WAIT_MS = 60_000;
const POLL_MS = 100;
const ATTEMPTS = 10;
/** An arbitrary number that no other advisory lock in this database uses. */
const LOCK_KEY = 20_261_120;

export interface MigrationLog {
  info(message: string): void;
  warn(message: string): void;
}

/** Compares the database with a release. Throws a SchemaError if they are incompatible. Changes nothing. */
export async function migrationStatus(client: ClientBase, release: Release = thisRelease): Promise<MigrationStatus> {
  const schema = await readSchema(release);
  return inTransaction(client, async () => {
    await client.query(RESET_ROLE);
    return readStatus(client, schema);
  });
}

/**
 * Applies the pending migrations in one transaction each; the last one also applies the functions. Returns the number of migrations that
 * this call applied; another process may have applied the others.
 */
export async function migrateUp(
  client: ClientBase,
  release: Release = thisRelease,
  log: MigrationLog = console,
): Promise<number> {
  const schema = await readSchema(release);
  let status = await migrationStatus(client, release);
  warnOfNewer(status, log);
  let applied = 0;
  let deadline = Date.now() + BUSY_WAIT_MS;
  while (isBehind(status)) {
    const step = await withRetries(() => applyNext(client, schema), log);
    if (step === 'busy') await waitForOtherProcess(deadline);
    else {
      for (const done of step) log.info(`${done} applied`);
      applied += step.filter((done) => done.startsWith('migration')).length;
      deadline = Date.now() + BUSY_WAIT_MS;
    }
    status = await migrationStatus(client, release);
  }
  return applied;
}

/** For MIGRATE_ON_START=false: throws if the schema lacks something that this code needs. */
export async function assertSchema(
  client: ClientBase,
  release: Release = thisRelease,
  log: MigrationLog = console,
): Promise<void> {
  const status = await migrationStatus(client, release);
  warnOfNewer(status, log);
  if (!isBehind(status)) return;
  const functions = status.functions.pending.length > 0 ? ', and its functions are older' : '';
  throw new SchemaError(
    `The database schema is behind: it is at migration ${status.database_version}, this code needs ${status.code_version}${functions}. ` +
      'Run `npm run migrate -- up` (or set MIGRATE_ON_START=true) and start again.',
  );
}

export const isBehind = ({ pending, functions }: MigrationStatus): boolean => pending.length + functions.pending.length > 0;

function warnOfNewer(status: MigrationStatus, log: MigrationLog): void {
  if (status.newer.length > 0)
    log.warn(
      `the database is at migration ${status.database_version}, newer than this code (${status.code_version}) but compatible with it`,
    );
  else if (status.functions.newer) log.warn('the database has the SQL functions of a newer release, which are kept');
}

/** A pooler may open its sessions with the serving role (docs/pgbouncer.md), which may not read the migration tables. */
const RESET_ROLE = 'set local role none';

/**
 * Applies the next file, and with the last one the functions, under a transaction-level lock. Behind a transaction pooler, a session-level
 * lock would remain on a server session that the client cannot reach again.
 */
async function applyNext(client: ClientBase, schema: Schema): Promise<string[] | 'busy'> {
  return inTransaction(client, async () => {
    await client.query(RESET_ROLE);
    await client.query(`set local lock_timeout = '2s'; set local statement_timeout = 0; set local client_min_messages = warning`);
    const { rows } = await client.query<{ mine: boolean }>('select pg_try_advisory_xact_lock($1) as mine', [LOCK_KEY]);
    if (!rows[0]?.mine) return 'busy';
    return withRemedy(client, schema, () => applyLocked(client, schema));
  });
}

async function applyLocked(client: ClientBase, schema: Schema): Promise<string[]> {
  await client.query(createTable);
  await client.query(createFunctionTables);
  const { pending, functions } = await readStatus(client, schema);
  const [next] = pending;
  if (next) {
    await insertRow(client, next);
    await runFile(client, next);
  }
  const last = pending.length <= 1 && functions.pending.length > 0;
  if (last) await applyFunctions(client, functions.pending, schema);
  return [
    ...(next ? [`migration ${next.name}`] : []),
    ...(last ? functions.pending.map(({ folder }) => `functions of ${folder}`) : []),
  ];
}

const createTable = `
create table if not exists public.schema_migrations (
  version int not null,
  name text not null,
  hash text not null,
  min_code int not null,
  applied_at timestamptz not null default now(),
  constraint schema_migrations_pkey primary key (version)
)`;

async function insertRow(client: ClientBase, file: Migration): Promise<void> {
  const text = 'insert into public.schema_migrations (version, name, hash, min_code) values ($1, $2, $3, $4)';
  await client.query(text, [file.version, file.name, file.hash, file.min_code]);
}

async function runFile(client: ClientBase, file: Migration): Promise<void> {
  try {
    await client.query(file.sql);
  } catch (cause) {
    if (isPrivilegeMissing(cause)) throw cause;
    const { message, position } = cause as Error & { position?: string };
    const line = position ? `:${file.sql.slice(0, Number(position)).split('\n').length}` : '';
    throw new SchemaError(`migrations/${file.name}.sql${line} failed and was rolled back: ${message}`, { cause });
  }
}

const isPrivilegeMissing = (cause: unknown): boolean => (cause as { code?: string }).code === '42501';

/**
 * Runs `work`, and adds the remedy to an error about missing privileges, the most common problem of a new server. Since PostgreSQL 16,
 * CREATEROLE alone does not allow a user to grant roles that another user created.
 */
async function withRemedy<T>(
  { user, database }: ClientBase & { user?: string; database?: string },
  { migrations, functions }: Schema,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!isPrivilegeMissing(cause)) throw cause;
    const { message } = cause as Error;
    const roles = [
      ...new Set([...migrations, ...functions].flatMap(({ sql }) => sql.match(/\bagent_memory_[a-z_]+/g) ?? [])),
    ].join(', ');
    const remedy = /permission denied to grant role|admin option/.test(message)
      ? `grant ${roles} to "${user}" with admin option;`
      : `alter role "${user}" createrole; alter database "${database}" owner to "${user}";`;
    throw new SchemaError(
      `The database user may not create the schema (${message}). As a superuser run: ${remedy} Then start again.`,
      { cause },
    );
  }
}

async function inTransaction<T>(client: ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    const result = await work();
    const { command } = await client.query('commit');
    if (command !== 'COMMIT') throw new SchemaError(`a migration was not committed (the database answered ${command})`);
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/**
 * Retries transient errors. Roles belong to the cluster, so that concurrent migrations of two databases can conflict in `create role` and
 * `grant` although each has its own lock. A lock timeout, caused by a busy table, is transient too.
 */
async function withRetries<T>(work: () => Promise<T>, log: MigrationLog): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS || !isTransient(error)) throw error;
      log.warn(`${(error as Error).message}; trying again`);
      await sleep(50 * attempt + Math.random() * 100);
    }
  }
}

const transientCodes = new Set(['40001', '40P01', '55P03']);
const sharedCatalogs = /^pg_(authid|auth_members|shdepend|db_role_setting)_/;

function isTransient(error: unknown): boolean {
  const { code, message, constraint } = ((error as Error).cause ?? error) as Error & { code?: string; constraint?: string };
  if (code === undefined) return false;
  if (code === 'XX000') return /tuple concurrently (updated|deleted)/.test(message);
  if (code === '23505') return sharedCatalogs.test(constraint ?? '');
  return transientCodes.has(code);
}

async function waitForOtherProcess(deadline: number): Promise<void> {
  if (Date.now() > deadline) {
    throw new SchemaError(
      `Another process has been migrating this database for ${BUSY_WAIT_MS / 1000} s: wait until it has finished, then start again.`,
    );
  }
  await sleep(POLL_MS);
}
