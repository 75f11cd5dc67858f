import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { assertSchema, migrateUp, migrationStatus } from '../../src/db/migrate.ts';
import type { Release } from '../../src/db/release.ts';
import { SchemaError } from '../../src/db/schema_error.ts';
import { foldersInOrder } from '../../src/edges.ts';
import { withClient } from '../support/cluster.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';

let dir: string;
let database: TestDatabase;
let messages: string[];
const log = { info: (message: string) => void messages.push(message), warn: (message: string) => void messages.push(message) };

beforeAll(async () => {
  database = await emptyDatabase();
});
afterAll(() => database.release());

beforeEach(async () => {
  dir = mkdtempSync(join(testEngine().run_dir, 'functions-'));
  messages = [];
  await onDatabase((client) => client.query('drop schema public cascade; create schema public'));
  writeFileSync(
    join(dir, '0001_a.sql'),
    '-- min_code: 1\ncreate table a (n int);\ncreate function of_ddl() returns int language sql return 1;\n',
  );
});
afterEach(() => rmSync(dir, { recursive: true }));

const onDatabase = <T>(work: (client: Client) => Promise<T>) => withClient(database.connection, work);
const release = (version = '1.0.0'): Release => ({ migrations: dir, functions: dir, folders: ['db', 'base', 'top'], version });
const up = (version?: string) => onDatabase((client) => migrateUp(client, release(version), log));
const answer = (name: string) =>
  onDatabase(async (client) => (await client.query<{ n: number }>(`select ${name}() as n`)).rows[0]!.n);
const exists = (name: string) =>
  onDatabase(async (client) => (await client.query('select from pg_proc where proname = $1', [name])).rowCount === 1);
const functionOf = (name: string, body: string) =>
  `create or replace function ${name}() returns int language sql return ${body};\n`;
const write = (folder: string, sql: string) => {
  mkdirSync(join(dir, folder), { recursive: true });
  writeFileSync(join(dir, folder, 'functions.sql'), sql);
};
const refusal = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(SchemaError);
  return (error as Error).message;
};

test('functions are applied after the migrations in dependency order, and again only if a file changed', async () => {
  write('top', functionOf('top', 'base() + 1'));
  write('base', functionOf('base', '(select count(*)::int from a) + 10'));
  expect(await up()).toBe(1);
  expect(messages).toEqual(['migration 0001_a applied', 'functions of base applied', 'functions of top applied']);
  expect(await answer('top')).toBe(11);
  messages = [];
  expect(await up()).toBe(0);
  expect(messages).toEqual([]);
  write('base', functionOf('base', '20'));
  await onDatabase(async (client) => {
    const { functions } = await migrationStatus(client, release());
    expect(functions.states.map(({ folder, state }) => [folder, state])).toEqual([
      ['base', 'pending'],
      ['top', 'applied'],
    ]);
    expect(await refusal(assertSchema(client, release(), log))).toContain('its functions are older');
  });
  await up();
  expect(messages).toEqual(['functions of base applied']);
  expect(await answer('top')).toBe(21);
});

test('a failing file rolls back the whole step including its migration, and the error has the line', async () => {
  write('base', `${functionOf('base', '1')}\nselect nonsense;\n`);
  expect(await refusal(up())).toMatch(/src\/base\/functions\.sql:3 failed and was rolled back.*nonsense/);
  await onDatabase(async (client) =>
    expect((await client.query(`select to_regclass('a') is null as gone`)).rows).toEqual([{ gone: true }]),
  );
});

test('an older release starts and keeps the functions of a newer one', async () => {
  write('base', functionOf('base', '2'));
  await up('1.10.0');
  write('base', functionOf('base', '1'));
  expect(await up('1.9.9')).toBe(0);
  expect(messages.at(-1)).toBe('the database has the SQL functions of a newer release, which are kept');
  await onDatabase(async (client) => {
    await expect(assertSchema(client, release('1.9.9'), log)).resolves.toBeUndefined();
    const { functions } = await migrationStatus(client, release('1.9.9'));
    expect(functions.states).toMatchObject([{ folder: 'base', state: 'newer than this code' }]);
  });
  expect(await answer('base')).toBe(2);
});

test('a function removed from its file is dropped by the next release', async () => {
  const caller = 'create function caller() returns int language sql begin atomic select old(); end;\n';
  write('base', functionOf('base', '1') + functionOf('old', '7') + caller);
  await up('1.0.0');
  write('base', functionOf('base', '2'));
  await up('1.1.0');
  expect(await answer('old')).toBe(7);
  write('base', functionOf('base', '3'));
  await up('1.1.0');
  expect(await exists('old')).toBe(true);
  write('base', functionOf('base', '4'));
  await up('1.2.0');
  expect([await exists('old'), await exists('caller'), await exists('of_ddl'), await answer('base')]).toEqual([
    false,
    false,
    true,
    4,
  ]);
});

test('functions that call each other can be dropped together', async () => {
  write('base', functionOf('callee', '7') + functionOf('caller', 'callee()'));
  await up('1.0.0');
  write('base', functionOf('base', '1'));
  await up('1.1.0');
  write('base', functionOf('base', '2'));
  await up('1.2.0');
  expect([await exists('callee'), await exists('caller')]).toEqual([false, false]);
});

test('functions that were never in a file are kept', async () => {
  await onDatabase((client) => client.query('create function of_the_pooler() returns int language sql return 5'));
  for (const [version, body] of ['1', '2', '3'].entries()) {
    write('base', functionOf('base', body));
    await up(`1.${version}.0`);
  }
  expect(await answer('of_the_pooler')).toBe(5);
});

test('a build without SQL functions is rejected', async () => {
  mkdirSync(join(dir, 'db'));
  expect(await refusal(up())).toContain('the build is incomplete');
});

test('a function that is restored before it was dropped is kept', async () => {
  const caller = 'create function caller() returns int language sql begin atomic select old(); end;\n';
  write('base', functionOf('base', '1') + functionOf('old', '7') + caller);
  await up('1.0.0');
  write('base', functionOf('base', '2'));
  await up('1.1.0');
  write('base', functionOf('base', '2') + functionOf('old', '8'));
  await up('1.2.0');
  write('base', functionOf('base', '3') + functionOf('old', '8'));
  await up('1.3.0');
  expect(await answer('old')).toBe(8);
});

test('a function is defined in one file and has one signature', async () => {
  write('base', functionOf('same', '1'));
  write('top', functionOf('same', '2'));
  expect(await refusal(up())).toContain('The SQL function same is defined in base/functions.sql and in top/functions.sql');
  write('top', functionOf('top', '2'));
  await up();
  write('base', 'create or replace function same(n int) returns int language sql return n;\n');
  expect(await refusal(up())).toContain('same has two signatures');
});

test('every folder comes after its dependencies', () => {
  const order = foldersInOrder();
  expect(order[0]).toBe('db');
  expect(order.indexOf('context')).toBeGreaterThan(order.indexOf('search'));
  expect(new Set(order).size).toBe(order.length);
});
