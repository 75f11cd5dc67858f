import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientBase } from 'pg';
import { type FunctionFile, type FunctionPlan, planFunctions, readFunctions } from './functions.ts';
import type { Release } from './release.ts';
import { SchemaError } from './schema_error.ts';

// Compares the numbered migrations and functions of a release with those of a database.

export interface Migration {
  version: number;
  name: string;
  hash: string;
  min_code: number;
  sql: string;
}

interface AppliedMigration {
  version: number;
  name: string;
  hash: string;
  min_code: number;
  applied_at: string;
}

export interface Schema {
  release: string;
  migrations: Migration[];
  functions: FunctionFile[];
}

export interface MigrationStatus {
  /** The newest migration of this code. */
  code_version: number;
  /** The newest migration of the database; 0 if it has none. */
  database_version: number;
  applied: AppliedMigration[];
  pending: Migration[];
  /** Applied by newer code and declared compatible with this code. */
  newer: AppliedMigration[];
  functions: FunctionPlan;
}

/** Release 0.2.0 replaced all migrations, with one per feature. */
const FIRST_OF_0_1 = '0001_tenants';
const CREATED_BY_0_1 =
  'The database was created by a release before 0.2.0, whose migrations this release cannot continue. Export each tenant with that release ' +
  '(docs/export.md), start this one on an empty database, register the tenants and import the files. An export contains the log, memories, ' +
  'artifacts, edits, capsules and retention policies. It does not contain accounts, API keys, the audit stream and webhooks.';

export async function readSchema(release: Release): Promise<Schema> {
  const [migrations, functions] = await Promise.all([
    readMigrations(release.migrations),
    readFunctions(release.functions, release.folders),
  ]);
  return { release: release.version, migrations, functions };
}

/** Reads the status in the caller's transaction. */
export async function readStatus(client: ClientBase, { release, migrations, functions }: Schema): Promise<MigrationStatus> {
  const { rows } = await client.query<{ exists: boolean }>(
    `select to_regclass('public.schema_migrations') is not null as exists`,
  );
  const applied = rows[0]?.exists ? (await client.query<AppliedMigration>(selectRows)).rows : [];
  return { ...compare(migrations, applied), functions: await planFunctions(client, functions, release) };
}

const selectRows = `
select version, name, hash, min_code, to_char(applied_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as applied_at
from public.schema_migrations
order by version`;

/** Reads the files in order. They must be numbered 1, 2, 3 … without gaps, and each must declare `min_code`. */
export async function readMigrations(dir: string): Promise<Migration[]> {
  const names = (await readdir(dir)).filter((name) => /^\d{4}_.+\.sql$/.test(name)).sort();
  const files = await Promise.all(names.map((name) => readMigration(dir, name)));
  files.forEach((file, index) => {
    if (file.version !== index + 1) {
      throw new SchemaError(
        `migrations/ has ${file.name}.sql where number ${index + 1} belongs: number the files 0001, 0002, … without gaps or duplicates.`,
      );
    }
  });
  return files;
}

async function readMigration(dir: string, name: string): Promise<Migration> {
  // A checkout with CRLF line endings is not an edit.
  const sql = (await readFile(join(dir, name), 'utf8')).replaceAll('\r\n', '\n');
  const version = Number(name.slice(0, 4));
  const header = /^(?:--.*\n|\s*\n)*/.exec(sql)?.[0] ?? '';
  const min_code = Number(/^-- min_code: (\d+)$/m.exec(header)?.[1]);
  if (!(min_code >= 1 && min_code <= version)) {
    throw new SchemaError(
      `${name} must declare in its header which code is compatible with it: a line \`-- min_code: N\`, N from 1 to ${version}.`,
    );
  }
  return { version, name: name.replace(/\.sql$/, ''), hash: createHash('sha256').update(sql).digest('hex'), min_code, sql };
}

function compare(files: Migration[], applied: AppliedMigration[]): Omit<MigrationStatus, 'functions'> {
  if (applied[0]?.name === FIRST_OF_0_1) throw new SchemaError(CREATED_BY_0_1);
  const code_version = files.length;
  const database_version = applied.at(-1)?.version ?? 0;
  const needed = Math.max(0, ...applied.map((row) => row.min_code));
  if (needed > code_version) {
    throw new SchemaError(
      `The schema needs newer code: the database is at migration ${database_version}, which requires code with migration ${needed}; ` +
        `this code has ${code_version}. Start a newer release, or restore a backup taken before the upgrade.`,
    );
  }
  applied.forEach((row, index) => {
    assertSameMigration(row, index + 1, files[index]);
  });
  return {
    code_version,
    database_version,
    applied: applied.slice(0, code_version),
    pending: files.slice(applied.length),
    newer: applied.slice(code_version),
  };
}

function assertSameMigration(row: AppliedMigration, expected: number, file: Migration | undefined): void {
  if (row.version !== expected) {
    throw new SchemaError(
      `The database lacks migration ${expected} although it has ${row.version}: restore schema_migrations from a backup.`,
    );
  }
  if (file && file.hash !== row.hash) {
    throw new SchemaError(
      `migrations/${file.name}.sql was edited after it had been applied as ${row.name}: restore the file, and put the change into a new migration.`,
    );
  }
}
