import { randomUUID } from 'node:crypto';
import type { Pool } from '../../src/db/pool.ts';
import { type Db, dbOf } from '../../src/db/query.ts';
import { createLimits, type Limits } from '../../src/limits/index.ts';
import {
  advanceClock,
  countAdmitted,
  isAddressAdmitted,
  isAdmitted,
  type LimitServer,
  openPool,
  recordingLog,
  settingsOf,
  silent,
  startServer,
  stopClock,
  untilIdle,
} from './server.ts';

let pool: Pool;
const started: Limits[] = [];
const servers: LimitServer[] = [];
beforeAll(async () => {
  pool = await openPool();
});
beforeEach(() => stopClock());
afterEach(async () => {
  await untilIdle(pool);
  jest.useRealTimers();
  for (const server of servers.splice(0)) server.close();
  for (const limits of started.splice(0)) await limits.stop();
});
afterAll(() => pool.end());

/** Keeps the windows in the database on the embedded engine too, where they would be in memory. */
const start = (env: Record<string, string> = {}, through: Pool = { ...pool, embedded: false }, log = silent): Limits => {
  const limits = createLimits(settingsOf(env), through, log);
  started.push(limits);
  return limits;
};
const open = async (limits: Limits, hops?: number): Promise<LimitServer> => {
  const server = await startServer(limits, hops);
  servers.push(server);
  return server;
};
const unique = () => randomUUID();
const inDatabase = <T>(work: (db: Db) => Promise<T>): Promise<T> => pool.using((client) => work(dbOf(client, pool.named)));

/** A pool whose database can be made to fail or to hang. */
function faultyPool() {
  const state = { fault: 'none' as 'none' | 'away' | 'stopped', calls: 0 };
  const using: Pool['using'] = async (work) => {
    state.calls += 1;
    if (state.fault === 'away') throw new Error('away');
    if (state.fault === 'stopped') await new Promise(() => undefined);
    return pool.using(work);
  };
  return { state, pool: { ...pool, embedded: false, using } as Pool };
}

describe('headers and rejections', () => {
  test('every counted response has both policies and their state', async () => {
    const server = await open(start({ RATE_LIMIT_MAX_REQUESTS: '100', RATE_LIMIT_TENANT_MAX: '1000' }));
    const caller = { 'X-Caller': `${unique()}/usr_1` };
    const { status, headers } = await server.send('v1', caller);
    expect(status).toBe(200);
    expect(headers.get('ratelimit-policy')).toBe('"principal";q=100;w=60, "tenant";q=1000;w=60');
    expect(headers.get('ratelimit')).toMatch(/^"principal";r=99;t=(60|59), "tenant";r=999;t=(60|59)$/);
    expect((await server.send('v1', caller)).headers.get('ratelimit')).toMatch(/r=98.*r=998/);
  });

  test('over the limit: a 429 problem with Retry-After in seconds and the same headers', async () => {
    const server = await open(start({ RATE_LIMIT_MAX_REQUESTS: '2' }));
    const caller = { 'X-Caller': `${unique()}/usr_1` };
    for (const expected of [200, 200]) expect((await server.send('v1', caller)).status).toBe(expected);
    const { status, headers, body } = await server.send('v1', caller);
    expect(status).toBe(429);
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(body).toMatchObject({ status: 429, type: expect.stringContaining('rate-limited') });
    expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect(headers.get('ratelimit')).toMatch(/"principal";r=0;/);
    expect(headers.get('ratelimit-policy')).toMatch(/"principal";q=2;w=60/);
  });

  test('/auth is counted by address, with the same headers', async () => {
    const server = await open(start({ RATE_LIMIT_AUTH_MAX: '2' }, faultyPool().pool), 1);
    const from = { 'X-Forwarded-For': `10.${[1, 2, 3].map(() => Math.floor(Math.random() * 255)).join('.')}` };
    const first = await server.send('auth', from);
    expect(first.headers.get('ratelimit-policy')).toBe('"address";q=2;w=60');
    expect(first.headers.get('ratelimit')).toMatch(/^"address";r=1;t=(60|59)$/);
    expect((await server.send('auth', from)).status).toBe(200);
    const refused = await server.send('auth', from);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(refused.headers.get('ratelimit')).toMatch(/r=0/);
  });

  test('unlimited routes have no headers, nor has any route if limits are disabled', async () => {
    const limited = await open(start());
    expect((await limited.send('free')).headers.has('ratelimit')).toBe(false);
    const faulty = faultyPool();
    const off = await open(
      start({ RATE_LIMIT_ENABLED: 'false', RATE_LIMIT_AUTH_MAX: '1', RATE_LIMIT_MAX_REQUESTS: '1' }, faulty.pool),
    );
    for (const route of ['v1', 'auth', 'v1', 'auth'] as const) {
      const { status, headers } = await off.send(route, { 'X-Caller': `${unique()}/usr_1` });
      expect([status, headers.has('ratelimit'), headers.has('ratelimit-policy')]).toEqual([200, false, false]);
    }
    expect(faulty.state.calls).toBe(0);
  });
});

describe('/v1', () => {
  test('one daemon admits exactly the limit under any concurrency', async () => {
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '100' });
    const tenant = unique();
    expect(await countAdmitted(300, 300, () => isAdmitted(limits, tenant, 'usr_1'))).toBe(100);
  });

  test('two daemons together admit at most the limit, and at most one block less', async () => {
    const daemons = [start({ RATE_LIMIT_MAX_REQUESTS: '100' }), start({ RATE_LIMIT_MAX_REQUESTS: '100' })];
    const tenant = unique();
    const admitted = await countAdmitted(400, 20, (i) => isAdmitted(daemons[i % 2]!, tenant, 'usr_1'));
    expect(admitted).toBeLessThanOrEqual(100);
    expect(admitted).toBeGreaterThanOrEqual(100 - 7);
  });

  test('a daemon that a principal no longer uses withholds at most one block', async () => {
    const [left, used] = [start({ RATE_LIMIT_MAX_REQUESTS: '100' }), start({ RATE_LIMIT_MAX_REQUESTS: '100' })];
    const tenant = unique();
    const before = await countAdmitted(10, 1, () => isAdmitted(left, tenant, 'usr_1'));
    const after = await countAdmitted(200, 5, () => isAdmitted(used, tenant, 'usr_1'));
    expect(before).toBe(10);
    expect(before + after).toBeLessThanOrEqual(100);
    expect(before + after).toBeGreaterThanOrEqual(100 - 7);
  });

  test('each of twenty daemons admits the first request', async () => {
    const daemons = Array.from({ length: 20 }, () => start({ RATE_LIMIT_MAX_REQUESTS: '100' }));
    const tenant = unique();
    expect(await countAdmitted(20, 1, (i) => isAdmitted(daemons[i]!, tenant, 'usr_1'))).toBe(20);
  });

  test('a tenant is limited over its principals, without affecting other tenants', async () => {
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '50', RATE_LIMIT_TENANT_MAX: '80' });
    const [tenant, other] = [unique(), unique()];
    expect(await countAdmitted(150, 10, (i) => isAdmitted(limits, tenant, `usr_${i % 3}`))).toBe(80);
    expect(await isAdmitted(limits, other, 'usr_0')).toBe(true);
  });

  test('a request rejected by the tenant’s limit does not count for the principal', async () => {
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '100', RATE_LIMIT_TENANT_MAX: '10' });
    const server = await open(limits);
    const tenant = unique();
    // concurrently, before the tenant's state is known, and afterwards
    for (const [requests, admitted] of [
      [60, 10],
      [20, 0],
    ] as const)
      expect(await countAdmitted(requests, requests, () => isAdmitted(limits, tenant, 'usr_1'))).toBe(admitted);
    expect((await server.send('v1', { 'X-Caller': `${tenant}/usr_1` })).headers.get('ratelimit')).toMatch(/"principal";r=90/);
  });

  test('requests rejected by the principal’s limit do not withhold tokens of the tenant', async () => {
    const env = { RATE_LIMIT_MAX_REQUESTS: '10', RATE_LIMIT_TENANT_MAX: '320' };
    const [crowded, other] = [start(env), start(env)];
    const tenant = unique();
    expect(await countAdmitted(300, 300, () => isAdmitted(crowded, tenant, 'usr_0'))).toBe(10);
    const rest = await countAdmitted(500, 10, (i) => isAdmitted(other, tenant, `usr_${1 + (i % 40)}`));
    expect(10 + rest).toBeLessThanOrEqual(320);
    expect(10 + rest).toBeGreaterThanOrEqual(320 - 20);
  });

  test('a new window admits requests again', async () => {
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '5' });
    const tenant = unique();
    expect(await countAdmitted(20, 5, () => isAdmitted(limits, tenant, 'usr_1'))).toBe(5);
    await advanceClock(pool, 60_000);
    await inDatabase((db) => db.run(`update rate_windows set ends_at = ends_at - interval '1 minute'`));
    expect(await countAdmitted(20, 5, () => isAdmitted(limits, tenant, 'usr_1'))).toBe(5);
  });

  test('few requests need a call of the database', async () => {
    const faulty = faultyPool();
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '10000', RATE_LIMIT_TENANT_MAX: '10000' }, faulty.pool);
    const tenant = unique();
    expect(await countAdmitted(5000, 10, () => isAdmitted(limits, tenant, 'usr_1'))).toBe(5000);
    expect(faulty.state.calls).toBeLessThan(40);
  });

  test('rejected requests need no call', async () => {
    const faulty = faultyPool();
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '10' }, faulty.pool);
    const tenant = unique();
    await countAdmitted(20, 1, () => isAdmitted(limits, tenant, 'usr_1'));
    const { calls } = faulty.state;
    expect(await countAdmitted(1000, 10, () => isAdmitted(limits, tenant, 'usr_1'))).toBe(0);
    expect(faulty.state.calls).toBe(calls);
  });
});

describe('/auth', () => {
  test('two daemons together admit exactly the limit', async () => {
    const daemons = [start({ RATE_LIMIT_AUTH_MAX: '30' }), start({ RATE_LIMIT_AUTH_MAX: '30' })];
    const address = unique();
    expect(await countAdmitted(100, 10, (i) => isAddressAdmitted(daemons[i % 2]!, address))).toBe(30);
  });

  test('the IPv6 addresses of one customer share a limit, those of two do not', async () => {
    const limits = start({ RATE_LIMIT_AUTH_MAX: '5' });
    const customer = `2001:db8:${Math.floor(Math.random() * 0xffff).toString(16)}:ab`;
    const addressOf = (i: number) => `${customer}${i.toString(16).padStart(2, '0')}::${i + 1}`;
    expect(await countAdmitted(50, 5, (i) => isAddressAdmitted(limits, addressOf(i)))).toBe(5);
    expect(await isAddressAdmitted(limits, `${customer.slice(0, -2)}ac00::1`)).toBe(true);
  });

  test('a thousand forged X-Forwarded-For headers do not raise the limit', async () => {
    // in memory, because other tests use this address too
    const server = await open(start({ RATE_LIMIT_AUTH_MAX: '7' }, { ...pool, embedded: true }));
    const admitted = await countAdmitted(1000, 20, async (i) => {
      const forged = { 'X-Forwarded-For': `10.0.${i >> 8}.${i & 255}`, Forwarded: `for=10.1.${i >> 8}.${i & 255}` };
      return (await server.send('auth', forged)).status === 200;
    });
    expect(admitted).toBe(7);
  });
});

describe('while the database is unavailable', () => {
  test('both limits continue locally, no request fails, and one message is logged', async () => {
    const faulty = faultyPool();
    const { log, lines } = recordingLog();
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '50', RATE_LIMIT_AUTH_MAX: '10' }, faulty.pool, log);
    faulty.state.fault = 'away';
    const [tenant, address] = [unique(), unique()];
    const other = start({ RATE_LIMIT_MAX_REQUESTS: '50' }, faulty.pool);
    expect(await countAdmitted(300, 10, (i) => isAdmitted(i % 2 ? limits : other, tenant, 'usr_1'))).toBe(2 * 50);
    expect(await countAdmitted(50, 10, () => isAddressAdmitted(limits, address))).toBe(10);
    expect(lines).toEqual(['rate limits: the shared store is unavailable, this daemon counts locally']);
  });

  test('requests admitted meanwhile are charged when it is available again', async () => {
    const faulty = faultyPool();
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '100' }, faulty.pool);
    const other = start({ RATE_LIMIT_MAX_REQUESTS: '100' });
    const tenant = unique();
    await countAdmitted(10, 1, () => isAdmitted(limits, tenant, 'usr_1'));
    faulty.state.fault = 'away';
    expect(await countAdmitted(40, 5, () => isAdmitted(limits, tenant, 'usr_1'))).toBe(40);
    faulty.state.fault = 'none';
    await advanceClock(pool, 1050);
    const after = await countAdmitted(200, 1, (i) => isAdmitted(i < 20 ? limits : other, tenant, 'usr_1'));
    expect(50 + after).toBeLessThanOrEqual(100);
    expect(50 + after).toBeGreaterThanOrEqual(100 - 7);
  });

  test('one request waits a second for a hanging database, the next ones do not', async () => {
    const faulty = faultyPool();
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '1000' }, faulty.pool);
    faulty.state.fault = 'stopped';
    const tenant = unique();
    let answered = false;
    const first = isAdmitted(limits, tenant, 'usr_0').finally(() => {
      answered = true;
    });
    await advanceClock(pool, 999);
    expect(answered).toBe(false);
    await advanceClock(pool, 1);
    expect(await first).toBe(true);
    // the clock is stopped: a waiting request would not be answered
    for (let i = 1; i < 100; i += 1) expect(await isAdmitted(limits, tenant, `usr_${i}`)).toBe(true);
    expect(faulty.state.calls).toBe(1);
  });
});
