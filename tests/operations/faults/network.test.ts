import { setTimeout as sleep } from 'node:timers/promises';
import { message, newTenant } from '../../support/client.ts';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { daemonDatabase } from '../../support/database.ts';
import { isLong, RECOVERY_MS } from '../../support/fault-mode.ts';
import { type FaultProxy, startProxy } from '../../support/proxy.ts';
import { survive } from './survive.ts';

// The network between the daemon and its database is slow, silent, refuses connections, or breaks them in the middle of a query.

const SHAKEN_MS = isLong ? 20_000 : 4000;
const SILENT_MS = isLong ? 60_000 : 8000;

let database: Awaited<ReturnType<typeof daemonDatabase>>;
let proxy: FaultProxy;
let daemon: SpawnedDaemon;

beforeAll(async () => {
  database = await daemonDatabase();
  proxy = await startProxy({ host: database.env.PGHOST!, port: Number(database.env.PGPORT) });
  daemon = await spawnDaemon({ ...database.env, PGHOST: '127.0.0.1', PGPORT: String(proxy.port) });
});
afterAll(async () => {
  await daemon?.kill('SIGTERM');
  await proxy?.stop();
  await database?.release();
});

test('each packet is delayed by 100 ms in both directions: requests are slow, but none fails', async () => {
  await survive('database 100 ms away', { url: daemon.url, rate: 40, noticed: 'never' }, async () => {
    proxy.delay(100);
    await sleep(SHAKEN_MS);
    await proxy.heal();
  });
});

test(`all packets are dropped for ${SILENT_MS / 1000} s: every request gets a response in time`, async () => {
  const { requests } = await survive('database silent', { url: daemon.url }, async () => {
    proxy.drop();
    await sleep(SILENT_MS);
    await proxy.heal();
  });
  expect(Math.max(...requests.map(({ from, to }) => to - from))).toBeLessThan(11_000);
});

test('connections go silent for good: only the first request on them waits for a timeout, however many they are', async () => {
  // A slow machine needs seconds to open twenty connections, but no request on a working one takes as long as QUERY_MS.
  const QUERY_MS = 20_000;
  const path = await startProxy({ host: database.env.PGHOST!, port: Number(database.env.PGPORT) });
  const patient = await spawnDaemon(
    { ...database.env, PGHOST: '127.0.0.1', PGPORT: String(path.port) },
    {
      PGQUERY_TIMEOUT: String(QUERY_MS),
      PGSTATEMENT_TIMEOUT: '19000',
      PGCONNECTION_TIMEOUT: '60000',
      REQUEST_TIMEOUT_MS: '60000',
    },
  );
  try {
    const { request } = await newTenant(patient.url);
    const burst = () => Promise.all(Array.from({ length: 40 }, () => request('GET', '/v1/events').then(({ status }) => status)));
    expect(new Set(await burst())).toEqual(new Set([200]));
    path.forget();
    expect((await request('GET', '/v1/events')).status).toBe(503);
    const from = performance.now();
    expect(new Set(await burst())).toEqual(new Set([200]));
    expect(performance.now() - from).toBeLessThan(QUERY_MS);
  } finally {
    await patient.kill('SIGTERM');
    await path.stop();
  }
});

test('connections are closed and refused', async () => {
  await survive('database refuses', { url: daemon.url }, async () => {
    await proxy.refuse();
    await sleep(SHAKEN_MS);
    await proxy.heal();
  });
});

// The name of the writing statement, in its Bind message.
const WRITE = 'commit_units';
for (const where of ['request', 'response', 'partial response'] as const)
  test(`one in three connections is cut at the ${where} of a write`, async () => {
    const before = proxy.cuts();
    await survive(`cut when ${where}`, { url: daemon.url }, async () => {
      proxy.cut(WRITE, where, 1 / 3);
      await sleep(SHAKEN_MS);
      await proxy.heal();
    });
    expect(proxy.cuts() - before).toBeGreaterThan(5);
  });

test('a write was committed but its response was cut: the client gets 503, and its retry the committed outcome', async () => {
  const { request } = await newTenant(daemon.url);
  const once = { body: message('once'), headers: { 'idempotency-key': 'cut' } };
  proxy.cut(WRITE, 'response', 1);
  const cut = await request('POST', '/v1/events', once);
  await proxy.heal();
  expect([cut.status, cut.headers.get('retry-after')]).toEqual([503, '1']);
  // The event exists before the retry, and the retry is an idempotent replay.
  const [kept] = (await request('GET', '/v1/events')).body.data;
  const retry = await request('POST', '/v1/events', once);
  expect([retry.status, retry.headers.get('idempotent-replay')]).toEqual([201, 'true']);
  expect(retry.body).toMatchObject({ event_id: kept.event_id, seq: kept.seq });
  expect((await request('GET', '/v1/events')).body.data).toHaveLength(1);
});

test('a write that was cut on the way leaves nothing, and its retry writes it', async () => {
  const { request } = await newTenant(daemon.url);
  const once = { body: message('once'), headers: { 'idempotency-key': 'cut' } };
  proxy.cut(WRITE, 'request', 1);
  expect((await request('POST', '/v1/events', once)).status).toBe(503);
  await proxy.heal();
  expect((await request('GET', '/v1/events')).body.data).toEqual([]);
  const retry = await request('POST', '/v1/events', once);
  expect([retry.status, retry.headers.get('idempotent-replay')]).toEqual([201, null]);
});

test('a production daemon that starts while the database refuses connections serves once it is back', async () => {
  const target = await startProxy({ host: database.env.PGHOST!, port: Number(database.env.PGPORT) });
  await target.refuse();
  const env = { ...database.env, PGHOST: '127.0.0.1', PGPORT: String(target.port) };
  const starting = spawnDaemon(env, {
    NODE_ENV: 'production',
    JWT_SECRET: 'kQ0v1n4y8bq6fC2m9sT3xZ7wL5pR1dHj',
    BCRYPT_COST: '10',
    LOG_LEVEL: 'warn',
  });
  await sleep(3000);
  await target.heal();
  const from = performance.now();
  const late = await starting;
  expect(performance.now() - from).toBeLessThan(RECOVERY_MS);
  expect(late.logged()).toContain('waiting for the database');
  await late.kill('SIGTERM');
  await target.stop();
});
