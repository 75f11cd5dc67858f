import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../../src/config.ts';
import { runChecks } from '../../../src/doctor/index.ts';
import { message, newTenant } from '../../support/client.ts';
import { type Cluster, findBinaries, serverPid, startCluster, withClient } from '../../support/cluster.ts';
import { startTestDaemon } from '../../support/daemon.ts';

// postgres/postgresql.conf, and the statements of docs/postgresql.md, on a separate server.

const root = join(import.meta.dirname, '../../..');
const file = join(root, 'postgres/postgresql.conf');
const dir = mkdtempSync(join(tmpdir(), 'agent-memory-tuning-'));
let cluster: Cluster;
beforeAll(async () => {
  // The server runs as another user, who may not be able to read the checkout.
  chmodSync(dir, 0o711);
  copyFileSync(file, join(dir, 'postgresql.conf'));
  cluster = await startCluster(findBinaries()!, join(dir, 'cluster'), `-c config_file=${join(dir, 'postgresql.conf')}`);
}, 60_000);
afterAll(() => {
  process.kill(serverPid(join(dir, 'cluster')), 'SIGQUIT');
  rmSync(dir, { recursive: true, force: true });
});

const request = <Row extends object>(sql: string, values: unknown[] = [], database = 'postgres') =>
  withClient({ ...cluster.admin, database }, async (client) => (await client.query<Row>(sql, values)).rows);
const lines = readFileSync(file, 'utf8').split('\n');
const logged = () => readFileSync(join(dir, 'cluster/log'), 'utf8');

test('a server starts with the file and accepts all its lines', async () => {
  const rows = await request<{ name: string; applied: boolean; error: string | null }>(
    'select name, applied, error from pg_file_settings',
  );
  expect(rows.length).toBeGreaterThan(20);
  // The port and connections of the test server are also set on the command line.
  expect(rows.filter(({ name, applied }) => !applied && name !== 'max_connections')).toEqual([]);
});

test('no line repeats a default, except the two that must not be turned off, and each has a reason', async () => {
  const same = await request<{ name: string }>(
    `select f.name from pg_file_settings f join pg_settings s using (name) where s.setting = s.boot_val order by 1`,
  );
  expect(same.map(({ name }) => name)).toEqual(['fsync', 'synchronous_commit']);
  const bare = lines.filter((line, i) => /^\w+ = /.test(line) && !/^(# |\w+ = )/.test(lines[i - 1]!));
  expect(bare).toEqual([]);
});

test('a daemon serves on it, the doctor reports no fault, and slow statements are logged without the tenants’ content', async () => {
  await request('create database agent_memory owner memory');
  const env = { PGHOST: '127.0.0.1', PGPORT: String(cluster.admin.port), PGUSER: 'memory', PGDATABASE: 'agent_memory' };
  const daemon = await startTestDaemon({}, env);
  const alice = await newTenant(daemon.url);
  await alice.request('POST', '/v1/events', { body: message('the words of a tenant') });
  const found = await alice.request('POST', '/v1/search', { body: { query: 'words', channel: 'private' } });
  await daemon.stop();
  expect(JSON.stringify(found.body)).toContain('the words of a tenant');
  const config = loadConfig({
    ...env,
    NODE_ENV: 'production',
    JWT_SECRET: 'kQ0v1n4y8bq6fC2m9sT3xZ7wL5pR1dHj',
    PORT: '0',
    DATA_DIR: dir,
  });
  const findings = await runChecks(config, { daemons: 2, certificates: dir, backup_hours: 26 });
  expect(
    findings.filter(({ check }) => ['tuning', 'database', 'connections', 'statements'].includes(check)).map(({ state }) => state),
  ).toEqual(['ok', 'ok', 'ok', 'ok']);
  await request('select pg_sleep(0.6), $1::text', ['the words of a tenant']);
  expect(logged()).toMatch(/duration: [6-9]\d\d[.\d]* ms .*select pg_sleep/);
  expect(logged()).not.toContain('the words of a tenant');
});

test('the guide’s ALTER SYSTEM lines take effect at once, except shared_buffers', async () => {
  const page = readFileSync(join(root, 'docs/postgresql.md'), 'utf8');
  const statements = [...page.matchAll(/^ALTER SYSTEM .*;$/gm)].map(([line]) => line);
  expect(statements).toHaveLength(4);
  for (const statement of statements) await request(statement);
  await request('select pg_reload_conf()');
  const pending = async () =>
    (await request<{ name: string }>('select name from pg_settings where pending_restart')).map(({ name }) => name);
  for (let i = 0; i < 100 && (await pending()).length === 0; i += 1) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await pending()).toEqual(['shared_buffers']);
  await request('alter system reset all');
});

test('every statement in the operator’s guides runs', async () => {
  const blocks = ['postgresql', 'troubleshooting', 'upgrades'].flatMap((name) =>
    [...readFileSync(join(root, `docs/${name}.md`), 'utf8').matchAll(/```sql\n(.*?)```/gs)].map(([, block]) => block!),
  );
  expect(blocks.length).toBeGreaterThan(4);
  const statements = blocks.flatMap((block) => block.split(/;\n/).filter((one) => one.trim() && !/^ALTER SYSTEM/.test(one)));
  for (const statement of statements)
    expect(await request(statement, [], 'agent_memory').catch((error: Error) => `${statement}: ${error.message}`)).toBeInstanceOf(
      Array,
    );
  await request('alter system reset all');
});
