import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { assertSchema, migrateUp, migrationStatus } from '../../src/db/migrate.ts';
import { readMigrations } from '../../src/db/migrations.ts';
import { type Release, thisRelease } from '../../src/db/release.ts';
import { SchemaError } from '../../src/db/schema_error.ts';
import { withClient } from '../support/cluster.ts';
import { emptyDatabase, type TestDatabase, testOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';

let dir: string;
let database: TestDatabase;
let warnings: string[];
const log = { info: () => undefined, warn: (message: string) => void warnings.push(message) };

beforeAll(async () => {
  database = await emptyDatabase();
});
afterAll(() => database.release());

beforeEach(async () => {
  dir = mkdtempSync(join(testEngine().run_dir, 'migrations-'));
  warnings = [];
  await onDatabase((client) => client.query('drop schema public cascade; create schema public'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const write = (name: string, min_code: number | string, sql: string) =>
  writeFileSync(join(dir, name), `-- A file.\n-- min_code: ${min_code}\n${sql}\n`);
const release = (version = '1.0.0'): Release => ({ migrations: dir, functions: dir, folders: ['db', 'late', 'early'], version });
const onDatabase = <T>(work: (client: Client) => Promise<T>) => withClient(database.connection, work);
const refusal = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SchemaError);
  return (error as Error).message;
};

test('applies the files in order, once, and logs them', async () => {
  write('0001_a.sql', 1, 'create table a (n int);');
  write('0002_b.sql', 1, 'insert into a values (1); create table b (n int);');
  await onDatabase(async (client) => {
    expect(await migrateUp(client, release(), log)).toBe(2);
    expect(await migrateUp(client, release(), log)).toBe(0);
    const status = await migrationStatus(client, release());
    expect(status).toMatchObject({ code_version: 2, database_version: 2, pending: [], newer: [] });
    expect(status.applied.map((row) => row.name)).toEqual(['0001_a', '0002_b']);
    expect((await client.query('select n from a')).rows).toEqual([{ n: 1 }]);
  });
});

test('rolls back a failing file completely, keeps the previous ones, and reports the line', async () => {
  write('0001_a.sql', 1, 'create table a (n int);');
  write('0002_b.sql', 1, 'create table b (n int);\nselect nonsense;');
  await onDatabase(async (client) => {
    expect(await refusal(migrateUp(client, release(), log))).toMatch(/0002_b\.sql:4 failed and was rolled back.*nonsense/);
    expect((await client.query(`select to_regclass('a') is not null as a, to_regclass('b') is null as b`)).rows).toEqual([
      { a: true, b: true },
    ]);
    expect(await migrationStatus(client, release())).toMatchObject({ database_version: 1 });
  });
});

const onServers = () => testOnServer('it has one session');

onServers()('twenty runs at once apply each file once', async () => {
  write('0001_a.sql', 1, 'create table a (n int); select pg_sleep(0.05);');
  for (const n of [2, 3, 4, 5]) write(`000${n}_add.sql`, 1, `insert into a values (${n}); select pg_sleep(0.02);`);
  const counts = await Promise.all(Array.from({ length: 20 }, () => onDatabase((client) => migrateUp(client, release(), log))));
  expect(counts.reduce((sum, n) => sum + n, 0)).toBe(5);
  await onDatabase(async (client) =>
    expect((await client.query('select n from a order by n')).rows.map(({ n }) => n)).toEqual([2, 3, 4, 5]),
  );
});

onServers()('the real files survive being applied to several databases of one cluster at once', async () => {
  const databases = await Promise.all(Array.from({ length: 4 }, emptyDatabase));
  const counts = await Promise.all(
    databases.map(({ connection }) => withClient(connection, (client) => migrateUp(client, thisRelease, log))),
  );
  const files = await readMigrations(thisRelease.migrations);
  expect(counts).toEqual(databases.map(() => files.length));
  await Promise.all(databases.map((one) => one.release()));
});

test('rejects a file that was edited after it was applied', async () => {
  write('0001_a.sql', 1, 'create table a (n int);');
  await onDatabase(async (client) => {
    await migrateUp(client, release(), log);
    write('0001_a.sql', 1, 'create table a (n bigint);');
    expect(await refusal(migrateUp(client, release(), log))).toContain('0001_a.sql was edited after it had been applied');
    expect(await refusal(assertSchema(client, release(), log))).toContain('0001_a.sql was edited');
  });
});

test('rejects files with a gap, a duplicate number or no min_code', async () => {
  write('0001_a.sql', 1, '');
  write('0003_c.sql', 1, '');
  expect(await refusal(readMigrations(dir))).toContain('0003_c.sql where number 2 belongs');
  write('0002_b.sql', 1, '');
  write('0002_bb.sql', 1, '');
  expect(await refusal(readMigrations(dir))).toContain('0002_bb.sql where number 3 belongs');
  rmSync(join(dir, '0002_bb.sql'));
  for (const bad of ['x', 0, 4]) {
    write('0003_c.sql', bad, '');
    expect(await refusal(readMigrations(dir))).toContain('0003_c.sql must declare in its header');
  }
});

test('rejects a database with a missing row', async () => {
  for (const n of [1, 2, 3]) write(`000${n}_x.sql`, 1, '');
  await onDatabase(async (client) => {
    await migrateUp(client, release(), log);
    await client.query('delete from schema_migrations where version = 2');
    expect(await refusal(migrationStatus(client, release()))).toContain('lacks migration 2 although it has 3');
  });
});

test('rejects a database of a release before 0.2.0 and explains how to move the data', async () => {
  await onDatabase(async (client) => {
    await client.query(`create table schema_migrations (version int, name text, hash text, min_code int, applied_at timestamptz default now());
      insert into schema_migrations values (1, '0001_tenants', 'x', 1)`);
    const message = await refusal(migrateUp(client, thisRelease, log));
    expect(message).toMatch(
      /before 0\.2\.0.*Export each tenant.*import.*does not contain accounts, API keys, the audit stream and webhooks/,
    );
    expect(await refusal(assertSchema(client, thisRelease, log))).toBe(message);
  });
});

test('accepts a newer schema that declares itself compatible, and rejects others', async () => {
  for (const n of [1, 2, 3]) write(`000${n}_x.sql`, n === 3 ? 2 : 1, '');
  await onDatabase(async (client) => {
    await migrateUp(client, release(), log);
    rmSync(join(dir, '0003_x.sql'));
    await assertSchema(client, release(), log);
    expect(await migrateUp(client, release(), log)).toBe(0);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain('at migration 3, newer than this code (2)');
    rmSync(join(dir, '0002_x.sql'));
    const message = await refusal(assertSchema(client, release(), log));
    expect(message).toContain('needs newer code');
    expect(message).toContain('requires code with migration 2');
    expect(await refusal(migrateUp(client, release(), log))).toBe(message);
  });
});

onServers()('a user that may not create or grant roles, or does not own the database, gets the statements to run', async () => {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('no server');
  const asAdmin = (text: string) => withClient(engine.cluster.admin, (client) => client.query(text));
  const [user, other] = [`${engine.prefix}_poor`, `${engine.prefix}_other`];
  const connection = { ...engine.cluster.admin, user, password: 'for tests only', database: user };
  const up = () => withClient(connection, (client) => refusal(migrateUp(client, thisRelease, log)));
  await asAdmin(`create role ${user} login password 'for tests only'`);
  await asAdmin(`create role ${other}`);
  try {
    await asAdmin(`create database ${user} owner ${user}`);
    expect(await up()).toContain(`alter role "${user}" createrole`);
    await asAdmin(`alter role ${user} createrole`);
    await asAdmin(`alter database ${user} owner to ${other}`);
    expect(await up()).toContain(`alter database "${user}" owner to "${user}"`);
    await asAdmin(`alter database ${user} owner to ${user}`);
    // The owner of the other databases created the roles. Since PostgreSQL 16, granting them requires the admin option.
    if (Number(/ (\d+)/.exec(engine.cluster.version)![1]) >= 16) {
      const remedy = /grant agent_memory_app, .* with admin option;/.exec(await up())![0];
      await asAdmin(remedy);
    }
    await withClient(connection, (client) => migrateUp(client, thisRelease, log));
  } finally {
    await asAdmin(`drop database if exists ${user} with (force)`);
    await asAdmin(`drop role ${user}`);
    await asAdmin(`drop role ${other}`);
  }
});

test('the error for an outdated schema contains the command', async () => {
  write('0001_a.sql', 1, '');
  await onDatabase(async (client) => {
    expect(await refusal(assertSchema(client, release(), log))).toContain('`npm run migrate -- up`');
    await migrateUp(client, release(), log);
    await expect(assertSchema(client, release(), log)).resolves.toBeUndefined();
  });
});
