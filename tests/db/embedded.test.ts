import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { type Embedded, type EmbeddedConnection, startEmbedded } from '../../src/db/embedded.ts';
import { startOf } from '../../src/db/lock.ts';
import { withClient } from '../support/cluster.ts';
import { cloneDataDir } from '../support/database.ts';

// Each test uses its own migrated copy, regardless of the engine of the run.

jest.setTimeout(60_000);

let data_dir: string;
const running: Embedded[] = [];
const start = async (dir = data_dir) => {
  const engine = await startEmbedded({ data_dir: dir });
  running.push(engine);
  return engine;
};

beforeEach(async () => {
  data_dir = await cloneDataDir();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((engine) => engine.stop()));
  rmSync(data_dir, { recursive: true, force: true });
});

const countTables = (connection: EmbeddedConnection) =>
  withClient(
    connection,
    async (client) => (await client.query<{ n: number }>('select count(*)::int as n from schema_migrations')).rows[0]!.n,
  );

async function hasExited(pid: number, within_ms: number): Promise<boolean> {
  const deadline = Date.now() + within_ms;
  while (startOf(pid) !== undefined && Date.now() < deadline) await sleep(50);
  return startOf(pid) === undefined;
}

async function startInOtherProcess(): Promise<{ parent: ChildProcess; pid: number; connection: EmbeddedConnection }> {
  const script = join(import.meta.dirname, '..', 'support', 'embedded-parent.ts');
  const parent = spawn(process.execPath, ['--import', 'tsx', script, data_dir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(parent.stdout!.setEncoding('utf8'), 'data');
  return { parent, ...(JSON.parse(line as string) as { pid: number; connection: EmbeddedConnection }) };
}

test('a second daemon on the directory is rejected with instructions', async () => {
  const first = await start();
  await expect(start()).rejects.toThrow(
    new RegExp(
      `${data_dir} is in use by another Agent Memory process \\(pid ${process.pid}\\): stop that process, or set DATA_DIR`,
    ),
  );
  expect(await countTables(first.connection)).toBeGreaterThan(0);
  await first.stop();
  expect(await countTables((await start()).connection)).toBeGreaterThan(0);
});

test('if four processes start at once and stale locks exist, at most one gets the directory', async () => {
  writeFileSync(join(data_dir, 'lock.4000000.dead-1.4000001'), '');
  writeFileSync(join(data_dir, `lock.${process.pid}.other-start.1`), '');
  const results = await Promise.allSettled([start(), start(), start(), start()]);
  const won = results.filter((result) => result.status === 'fulfilled');
  expect(won).toHaveLength(1);
  expect(readdirSync(data_dir).filter((name) => name.startsWith('lock.'))).toHaveLength(1);
});

test('the engine exits soon after its daemon was killed, and the next start waits for it', async () => {
  const { parent, pid } = await startInOtherProcess();
  parent.kill('SIGKILL');
  expect(await countTables((await start()).connection)).toBeGreaterThan(0);
  expect(await hasExited(pid, 5000)).toBe(true);
});

test('the engine exits after its daemon was killed, even during an endless statement', async () => {
  const { parent, pid, connection } = await startInOtherProcess();
  const client = new Client(connection);
  client.on('error', () => undefined);
  await client.connect();
  client.query('select count(*) from generate_series(1, 1e12::bigint)').catch(() => undefined);
  await sleep(200);
  parent.kill('SIGKILL');
  expect(await hasExited(pid, 15_000)).toBe(true);
  await client.end().catch(() => undefined);
});

test('signals to the group of the daemon do not reach the engine, and SIGTERM alone does not end it', async () => {
  const { pid, connection } = await start();
  const [, , group] = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  expect(Number(group)).toBe(pid);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(pid, signal);
  await sleep(100);
  expect(await countTables(connection)).toBeGreaterThan(0);
});

test('kill -9 of the engine is reported, and loses no acknowledged row', async () => {
  let acknowledged = 0;
  for (const round of [1, 2, 3]) {
    const { pid, connection, onExit } = await start();
    const reported = new Promise<Error>((resolve) => onExit(resolve));
    const client = new Client(connection);
    client.on('error', () => undefined);
    await client.connect();
    await client.query('create table if not exists kept (n int primary key)');
    const { rows } = await client.query<{ n: number }>('select coalesce(max(n), 0)::int as n from kept where n <= $1', [
      acknowledged,
    ]);
    expect(rows[0]!.n).toBe(acknowledged);
    await client.query('delete from kept where n > $1', [acknowledged]);
    setTimeout(() => process.kill(pid, 'SIGKILL'), 150 * round);
    await insertUntilFailure(client, acknowledged, (n) => {
      acknowledged = n;
    });
    expect((await reported).message).toContain('ended unexpectedly (SIGKILL)');
  }
  const { connection } = await start();
  await withClient(connection, async (client) => {
    expect(acknowledged).toBeGreaterThan(0);
    expect((await client.query('select count(*)::int as n from kept where n <= $1', [acknowledged])).rows).toEqual([
      { n: acknowledged },
    ]);
  });
});

async function insertUntilFailure(client: Client, from: number, acknowledge: (n: number) => void): Promise<void> {
  for (let n = from + 1; ; n += 1) {
    const failed = await client.query('insert into kept (n) values ($1)', [n]).then(
      () => false,
      () => true,
    );
    if (failed) return;
    acknowledge(n);
  }
}

test('a client leaves no transaction, setting, prepared statement or result for the next one', async () => {
  const { connection } = await start();
  await withClient(connection, (client) => client.query('create table left_behind (n int)'));
  const rude = new Client(connection);
  rude.on('error', () => undefined);
  await rude.connect();
  await rude.query(`set application_name = 'rude'`);
  await rude.query({ name: 'mine', text: 'select 1' });
  await rude.query('begin');
  await rude.query('insert into left_behind values (1)');
  await rude.query(`select set_config('app.tenant_id', 'acme', true)`);
  (rude as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  await sleep(50);
  await withClient(connection, async (client) => {
    await client.query({ name: 'mine', text: 'select 2' });
    const { rows } = await client.query(
      `select (select count(*)::int from left_behind) as n, current_setting('application_name') as app, nullif(current_setting('app.tenant_id', true), '') as tenant`,
    );
    expect(rows).toEqual([{ n: 0, app: '', tenant: null }]);
  });
});

test('if the path is too long for a socket, a private directory elsewhere is used', async () => {
  const long = join(data_dir, 'x'.repeat(60), 'y'.repeat(60));
  mkdirSync(join(data_dir, 'x'.repeat(60)));
  const copy = await cloneDataDir();
  renameSync(copy, long);
  const engine = await start(long);
  const { host } = engine.connection;
  expect(host).not.toBe(long);
  expect(statSync(host).mode & 0o777).toBe(0o700);
  expect(await countTables(engine.connection)).toBeGreaterThan(0);
  await engine.stop();
  expect(() => statSync(host)).toThrow('ENOENT');
});

test('only its owner may use the socket', async () => {
  await start();
  expect(statSync(join(data_dir, '.s.PGSQL.5432')).mode & 0o777).toBe(0o600);
});

test('a directory written by an incompatible version of the engine is rejected', async () => {
  const file = join(data_dir, 'engine.json');
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
  writeFileSync(file, JSON.stringify({ engine: 'pglite', version: '0.4.9' }));
  await expect(start()).rejects.toThrow(`was written by PGlite 0.4.9, and this release has ${version}`);
});

test('an interrupted first start is repeated', async () => {
  const half = mkdtempSync(join(data_dir, 'half-'));
  mkdirSync(join(half, 'pgdata', 'base'), { recursive: true });
  writeFileSync(join(half, 'pgdata', 'PG_VERSION'), '18\n');
  writeFileSync(join(half, 'initialising'), '');
  const { connection } = await start(half);
  await withClient(connection, async (client) => expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]));
});
