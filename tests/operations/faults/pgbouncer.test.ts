import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { message, newTenant, send } from '../../support/client.ts';
import { spawnDaemon } from '../../support/daemon.ts';
import { daemonDatabase } from '../../support/database.ts';
import { testEngine } from '../../support/engine.ts';
import { isLong } from '../../support/fault-mode.ts';
import { POOLER_PASSWORD, type Pooler, startPooler } from '../../support/pooler.ts';
import { readEvents } from '../../support/sse.ts';
import { describeWith } from '../../support/tool.ts';
import { survive } from './survive.ts';

// pgbouncer in transaction mode, with the configuration of docs/pgbouncer.md, between the daemon and PostgreSQL.

const root = join(import.meta.dirname, '../../..');
/** The tests of `npm test` that run through it: all kinds of requests, retries, jobs, erasure, row-level security. */
const SHORT = ['scenarios/(a1|a2|d3|i2)', 'jobs', 'erasure/erasure'];
const LONG = [
  'scenarios',
  'auth',
  'capsules',
  'context',
  'edits',
  'erasure',
  'events',
  'export',
  'jobs',
  'memories',
  'retention',
  'search',
  'webhooks',
];

describeWith(['pgbouncer'], 'pgbouncer between the daemon and PostgreSQL', () => {
  let database: Awaited<ReturnType<typeof daemonDatabase>>;
  let pooler: Pooler;
  let env: Record<string, string>;
  beforeAll(async () => {
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('needs PostgreSQL');
    database = await daemonDatabase();
    // A single server connection, so that any state that one client leaves behind reaches the next.
    pooler = await startPooler(mkdtempSync(join(engine.run_dir, 'pooler-')), engine.cluster.admin, { default_pool_size: '1' });
    env = { ...database.env, PGHOST: pooler.host, PGPORT: String(pooler.port), PGPASSWORD: POOLER_PASSWORD, PG_POOLER: 'true' };
  });
  afterAll(async () => {
    await pooler?.stop();
    await database?.release();
  });

  test('no client leaves a role or tenant to the next, on one connection under load', async () => {
    const daemon = await spawnDaemon(env);
    const { PGHOST: host, PGPORT: port, PGUSER: user, PGDATABASE: name } = env;
    const other = new Client({ host, port: Number(port), user, database: name, password: POOLER_PASSWORD });
    other.on('error', () => undefined); // it fails when pgbouncer stops
    await other.connect();
    const left: unknown[] = [];
    await survive('pgbouncer with one connection', { url: daemon.url, noticed: 'may' }, async () => {
      for (let i = 0; i < 200; i += 1) {
        const { rows } = await other.query(
          `select current_user as role, nullif(current_setting('app.tenant_id', true), '') as tenant,
             (select count(*)::int from events) as events, current_setting('TimeZone') as zone, current_setting('jit') as jit`,
        );
        left.push(rows[0]);
      }
    });
    await other.end();
    await daemon.kill('SIGTERM');
    expect(left).toHaveLength(200 * (isLong ? 5 : 1));
    for (const one of left) expect(one).toEqual({ role: 'agent_memory_app', tenant: null, events: 0, zone: 'UTC', jit: 'off' });
  });

  test('two tenants alternate on one connection and see only their own rows', async () => {
    const daemon = await spawnDaemon(env);
    const tenants = [await newTenant(daemon.url), await newTenant(daemon.url)];
    const turns = Array.from({ length: 40 }, (_, i) => tenants[i % 2]!);
    const written = await Promise.all(
      turns.map(({ request }, i) => request('POST', '/v1/events', { body: message(`of ${i % 2}`) })),
    );
    const read = await Promise.all(turns.map(({ request }) => request('GET', '/v1/events?limit=100')));
    await daemon.kill('SIGTERM');
    expect(new Set(written.map(({ status }) => status))).toEqual(new Set([201]));
    read.forEach(({ body }, i) => {
      expect(body.data.map((event: { content: { text: string } }) => event.content.text)).toEqual(Array(20).fill(`of ${i % 2}`));
    });
  });

  test('a follower at one daemon receives what is written at another, without LISTEN', async () => {
    const [one, two] = [await spawnDaemon(env), await spawnDaemon(env)];
    const { token } = await newTenant(one.url);
    const abort = new AbortController();
    const response = await fetch(`${one.url}/v1/events`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${token}`, 'last-event-id': '0' },
      signal: abort.signal,
    });
    const heard: number[] = [];
    for (let i = 1; i <= 5; i += 1) await send(two.url, 'POST', '/v1/events', { body: message(`event ${i}`) }, token);
    for await (const { data } of readEvents(response)) {
      if (data) heard.push(JSON.parse(data).seq);
      if (heard.length === 5) break;
    }
    abort.abort();
    for (const daemon of [one, two]) await daemon.kill('SIGTERM');
    expect(heard).toEqual([1, 2, 3, 4, 5]);
  });

  test('pgbouncer is killed under load and restarted', async () => {
    const daemon = await spawnDaemon(env);
    await survive('pgbouncer killed', { url: daemon.url }, async () => {
      await pooler.stop();
      await sleep(1000);
      pooler = await pooler.restart();
    });
    await daemon.kill('SIGTERM');
  });

  test(`the tests ${(isLong ? LONG : SHORT).join(', ')} pass through pgbouncer`, async () => {
    const out = mkdtempSync(join(tmpdir(), 'pooler-'));
    const file = join(out, 'result.json');
    const pattern = `tests/(${(isLong ? LONG : SHORT).join('|')})`;
    const jest = join(root, 'node_modules/.bin/jest');
    const { JEST_WORKER_ID: _, AGENT_MEMORY_TEST_ENGINE: __, ...mine } = process.env;
    await promisify(execFile)(jest, ['--testPathPatterns', pattern, '--json', `--outputFile=${file}`, '--silent'], {
      cwd: root,
      env: { ...mine, TEST_ENGINE: 'postgres', TEST_POOLER: 'pgbouncer' },
      maxBuffer: 1e9,
    }).catch(() => undefined); // The exit code is 1 if a test failed; the results file has the details.
    const result = JSON.parse(readFileSync(file, 'utf8'));
    rmSync(out, { recursive: true });
    const failed = result.testResults.flatMap(
      (one: { assertionResults: { status: string; fullName: string }[]; message: string }) =>
        one.assertionResults.length === 0
          ? [one.message]
          : one.assertionResults.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName),
    );
    expect(failed).toEqual([]);
    expect(result.numPassedTests).toBeGreaterThan(20);
  }, 1_200_000);
});
