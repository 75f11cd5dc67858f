import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';

/** `src/db` and `dist/db` lie equally deep in the package. */
export const MIGRATIONS_DIR = join(import.meta.dirname, '..', '..', 'migrations');

const BUSY_WAIT_MS = 60_000;
const POLL_MS = 100;
const ATTEMPTS = 10;
/** Any number will do as long as no other use of advisory locks in this database takes it. */
const LOCK_KEY = 20_261_120;

export interface Migration {
  version: number;
  name: string;
  hash: string;
  min_code: number;
  sql: string;
}

export interface AppliedMigration {
  version: number;
  name: string;
  hash: string;
  min_code: number;
  applied_at: string;
}

export interface MigrationStatus {
  /** The newest migration this code knows. */
  code_version: number;
  /** The newest migration the database has; 0 when it has none. */
  database_version: number;
  applied: AppliedMigration[];
  pending: Migration[];
  /** Applied by newer code, which says that this code can live with it. */
  newer: AppliedMigration[];
}

export interface MigrationLog {
  info(message: string): void;
  warn(message: string): void;
}

/** The message says what to do; nothing else about it needs to be known. */
export class SchemaError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SchemaError';
  }
}

/** What the database has, what it lacks, and a SchemaError where the two cannot go together. Changes nothing. */
export async function migrationStatus(client: ClientBase, dir = MIGRATIONS_DIR): Promise<MigrationStatus> {
  return compare(await readMigrations(dir), await readApplied(client));
}

/** Applies what is pending, one transaction a file. Returns how many this call applied; others may have applied the rest. */
export async function migrateUp(client: ClientBase, dir = MIGRATIONS_DIR, log: MigrationLog = console): Promise<number> {
  const files = await readMigrations(dir);
  const before = compare(files, await readApplied(client));
  warnOfNewer(before, log);
  let applied = 0;
  let deadline = Date.now() + BUSY_WAIT_MS;
  while (before.pending.length > 0) {
    const step = await retried(() => applyNext(client, files), log);
    if (step === 'done') break;
    if (step === 'busy') {
      await waitForOther(deadline);
      continue;
    }
    log.info(`migration ${step.name} applied`);
    applied += 1;
    deadline = Date.now() + BUSY_WAIT_MS;
  }
  return applied;
}

/** For MIGRATE_ON_START=false: refuses a schema that lacks something this code needs. */
export async function assertSchema(client: ClientBase, dir = MIGRATIONS_DIR, log: MigrationLog = console): Promise<void> {
  const status = await migrationStatus(client, dir);
  warnOfNewer(status, log);
  if (status.pending.length === 0) return;
  throw new SchemaError(
    `The database schema is behind: it is at migration ${status.database_version}, this code needs ${status.code_version}. ` +
      'Run `npm run migrate -- up` (or set MIGRATE_ON_START=true) and start again.',
  );
}

/** The files in order: numbered 1, 2, 3 … without a gap, each saying which code can live with it. */
export async function readMigrations(dir: string): Promise<Migration[]> {
  const names = (await readdir(dir)).filter((name) => /^\d{4}_.+\.sql$/.test(name)).sort();
  const files = await Promise.all(names.map((name) => readMigration(dir, name)));
  files.forEach((file, index) => {
    if (file.version !== index + 1) {
      throw new SchemaError(
        `migrations/ has ${file.name}.sql where number ${index + 1} belongs: number the files 0001, 0002, … without gap or repeat.`,
      );
    }
  });
  return files;
}

async function readMigration(dir: string, name: string): Promise<Migration> {
  // A checkout that turns line ends into CRLF has not edited the file.
  const sql = (await readFile(join(dir, name), 'utf8')).replaceAll('\r\n', '\n');
  const version = Number(name.slice(0, 4));
  const header = /^(?:--.*\n|\s*\n)*/.exec(sql)?.[0] ?? '';
  const min_code = Number(/^-- min_code: (\d+)$/m.exec(header)?.[1]);
  if (!(min_code >= 1 && min_code <= version)) {
    throw new SchemaError(
      `${name} must say in its header which code can live with it: a line \`-- min_code: N\`, N from 1 to ${version}.`,
    );
  }
  return { version, name: name.replace(/\.sql$/, ''), hash: createHash('sha256').update(sql).digest('hex'), min_code, sql };
}

async function readApplied(client: ClientBase): Promise<AppliedMigration[]> {
  return inTransaction(client, async () => {
    await client.query(AS_OURSELVES);
    const { rows } = await client.query<{ exists: boolean }>(
      `select to_regclass('public.schema_migrations') is not null as exists`,
    );
    return rows[0]?.exists ? readRows(client) : [];
  });
}

/** A pooler may open its sessions as the serving role (docs/pgbouncer.md), which may not so much as read what was applied. */
const AS_OURSELVES = 'set local role none';

const selectRows = `
select version, name, hash, min_code, to_char(applied_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as applied_at
from public.schema_migrations
order by version`;

async function readRows(client: ClientBase): Promise<AppliedMigration[]> {
  return (await client.query<AppliedMigration>(selectRows)).rows;
}

function compare(files: Migration[], applied: AppliedMigration[]): MigrationStatus {
  const code_version = files.length;
  const database_version = applied.at(-1)?.version ?? 0;
  const needed = Math.max(0, ...applied.map((row) => row.min_code));
  if (needed > code_version) {
    throw new SchemaError(
      `The schema needs newer code: the database is at migration ${database_version}, which only code that knows migration ${needed} can live with; ` +
        `this code knows ${code_version}. Start a newer release, or restore a backup taken before the upgrade.`,
    );
  }
  applied.forEach((row, index) => {
    refuseMismatch(row, index + 1, files[index]);
  });
  return {
    code_version,
    database_version,
    applied: applied.slice(0, code_version),
    pending: files.slice(applied.length),
    newer: applied.slice(code_version),
  };
}

function refuseMismatch(row: AppliedMigration, expected: number, file: Migration | undefined): void {
  if (row.version !== expected) {
    throw new SchemaError(
      `The database lacks migration ${expected} although it has ${row.version}: restore schema_migrations from a backup.`,
    );
  }
  if (file && file.hash !== row.hash) {
    throw new SchemaError(
      `migrations/${file.name}.sql was edited after it had been applied as ${row.name}: restore the file, and make the change in a new migration.`,
    );
  }
}

function warnOfNewer(status: MigrationStatus, log: MigrationLog): void {
  if (status.newer.length === 0) return;
  log.warn(
    `the database is at migration ${status.database_version}, newer than this code (${status.code_version}), which it allows for`,
  );
}

/**
 * One file under a lock that lasts as long as its transaction. A session's lock would do as well on a plain connection, but behind a
 * transaction pooler it stays with a server session that nobody can find again.
 */
async function applyNext(client: ClientBase, files: Migration[]): Promise<Migration | 'busy' | 'done'> {
  return inTransaction(client, async () => {
    await client.query(AS_OURSELVES);
    await client.query(`set local lock_timeout = '2s'; set local statement_timeout = 0; set local client_min_messages = warning`);
    const { rows } = await client.query<{ mine: boolean }>('select pg_try_advisory_xact_lock($1) as mine', [LOCK_KEY]);
    if (!rows[0]?.mine) return 'busy';
    await client.query(createTable).catch((cause: Error) => {
      throw rightsMissing(client, cause, files) ?? cause;
    });
    const next = compare(files, await readRows(client)).pending[0];
    if (!next) return 'done';
    await insertRow(client, next);
    await runFile(client, next, files);
    return next;
  });
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

async function runFile(client: ClientBase, file: Migration, files: Migration[]): Promise<void> {
  try {
    await client.query(file.sql);
  } catch (cause) {
    const missing = rightsMissing(client, cause, files);
    if (missing) throw missing;
    const { message, position } = cause as Error & { position?: string };
    const line = position ? `:${file.sql.slice(0, Number(position)).split('\n').length}` : '';
    throw new SchemaError(`migrations/${file.name}.sql${line} failed and was rolled back: ${message}`, { cause });
  }
}

/** What a fresh server lacks most often. Since PostgreSQL 16, CREATEROLE alone does not let one grant a role that another user made. */
function rightsMissing(
  { user, database }: ClientBase & { user?: string; database?: string },
  cause: unknown,
  files: Migration[],
): SchemaError | undefined {
  const { code, message } = cause as Error & { code?: string };
  if (code !== '42501') return undefined;
  const roles = [...new Set(files.flatMap(({ sql }) => sql.match(/\bagent_memory_[a-z_]+/g) ?? []))].join(', ');
  const remedy = /permission denied to grant role|admin option/.test(message)
    ? `grant ${roles} to "${user}" with admin option;`
    : `alter role "${user}" createrole; alter database "${database}" owner to "${user}";`;
  return new SchemaError(
    `The database user may not create the schema (${message}). As a superuser run: ${remedy} Then start again.`,
    { cause },
  );
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
 * Roles belong to the cluster, so migrations of two of its databases can meet in `create role` and `grant` although each holds
 * its own lock. The loser's transaction is gone, and the file is run again. A lock timeout means a busy table: likewise.
 */
async function retried<T>(work: () => Promise<T>, log: MigrationLog): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS || !isPassing(error)) throw error;
      log.warn(`${(error as Error).message}; trying again`);
      await sleep(50 * attempt + Math.random() * 100);
    }
  }
}

const passingCodes = new Set(['40001', '40P01', '55P03']);
const sharedCatalogs = /^pg_(authid|auth_members|shdepend|db_role_setting)_/;

function isPassing(error: unknown): boolean {
  const { code, message, constraint } = ((error as Error).cause ?? error) as Error & { code?: string; constraint?: string };
  if (code === undefined) return false;
  if (code === 'XX000') return /tuple concurrently (updated|deleted)/.test(message);
  if (code === '23505') return sharedCatalogs.test(constraint ?? '');
  return passingCodes.has(code);
}

async function waitForOther(deadline: number): Promise<void> {
  if (Date.now() > deadline) {
    throw new SchemaError(
      `Another process has been migrating this database for ${BUSY_WAIT_MS / 1000} s: wait until it has finished, then start again.`,
    );
  }
  await sleep(POLL_MS);
}
