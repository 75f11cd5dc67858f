import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Pool } from '../../src/db/pool.ts';
import { createLimits, type Limits } from '../../src/limits/index.ts';
import type { RedisLink } from '../../src/redis/index.ts';
import { eventually } from '../support/eventually.ts';
import { openLink, type RedisServer, startRedis } from '../support/redis.ts';
import { describeWith } from '../support/tool.ts';
import { countAdmitted, isAddressAdmitted, isAdmitted, recordingLog, settingsOf, silent, stopClock } from './server.ts';

/** Time that a request waits for Redis (src/limits/index.ts). */
const WAIT_MS = 50;
/** With Redis the limits do not use the database. */
const noPool = { using: () => Promise.reject(new Error('the database was used')) } as unknown as Pool;

describeWith(['redis-server'], 'limits shared through Redis', () => {
  let redis: RedisServer;
  const links: RedisLink[] = [];
  const start = (env: Record<string, string> = {}, log = silent, url = `redis://127.0.0.1:${redis.port}`): Limits => {
    const link = openLink({ REDIS_URL: url });
    links.push(link);
    const limits = createLimits(settingsOf(env), noPool, log, link);
    return limits;
  };
  beforeAll(async () => {
    redis = await startRedis();
  });
  beforeEach(() => stopClock());
  afterEach(async () => {
    jest.useRealTimers();
    for (const link of links.splice(0)) link.stop();
  });
  afterAll(() => redis.kill());

  test('two daemons together admit at most the limit, and at most one block less', async () => {
    const daemons = [start({ RATE_LIMIT_MAX_REQUESTS: '100' }), start({ RATE_LIMIT_MAX_REQUESTS: '100' })];
    const tenant = randomUUID();
    const admitted = await countAdmitted(400, 20, (i) => isAdmitted(daemons[i % 2]!, tenant, 'usr_1'));
    expect(admitted).toBeLessThanOrEqual(100);
    expect(admitted).toBeGreaterThanOrEqual(100 - 7);
  });

  test('a tenant is limited over its principals and daemons', async () => {
    const env = { RATE_LIMIT_MAX_REQUESTS: '100', RATE_LIMIT_TENANT_MAX: '160' };
    const daemons = [start(env), start(env)];
    const tenant = randomUUID();
    const admitted = await countAdmitted(400, 10, (i) => isAdmitted(daemons[i % 2]!, tenant, `usr_${i % 4}`));
    expect(admitted).toBeLessThanOrEqual(160);
    expect(admitted).toBeGreaterThanOrEqual(160 - 10);
  });

  test('/auth admits exactly the limit over two daemons', async () => {
    const daemons = [start({ RATE_LIMIT_AUTH_MAX: '30' }), start({ RATE_LIMIT_AUTH_MAX: '30' })];
    const address = randomUUID();
    expect(await countAdmitted(100, 10, (i) => isAddressAdmitted(daemons[i % 2]!, address))).toBe(30);
  });

  test('a new window admits requests again', async () => {
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '5' });
    const tenant = randomUUID();
    expect(await countAdmitted(20, 5, () => isAdmitted(limits, tenant, 'usr_1'))).toBe(5);
    await forgetWindows();
    jest.advanceTimersByTime(60_000);
    expect(await countAdmitted(20, 5, () => isAdmitted(limits, tenant, 'usr_1'))).toBe(5);
  });

  test('without Redis from the start, this process counts locally and logs one message', async () => {
    const { log, lines } = recordingLog();
    const limits = start({ RATE_LIMIT_MAX_REQUESTS: '50', RATE_LIMIT_AUTH_MAX: '10' }, log, 'redis://127.0.0.1:1');
    const first = isAdmitted(limits, 'acme', 'usr_1');
    await noLonger();
    expect(await first).toBe(true);
    expect(await countAdmitted(200, 10, () => isAdmitted(limits, 'acme', 'usr_1'))).toBe(49);
    expect(await countAdmitted(50, 10, () => isAddressAdmitted(limits, '192.0.2.1'))).toBe(10);
    expect(lines).toEqual(['rate limits: the shared store is unavailable, this daemon counts locally']);
  });

  describe('that fails and recovers', () => {
    beforeEach(() => jest.useRealTimers());
    afterEach(() => redis.process.kill('SIGCONT'));
    // long enough for slow machines
    const env = { RATE_LIMIT_WINDOW_MS: '86400000', RATE_LIMIT_MAX_REQUESTS: '100', RATE_LIMIT_AUTH_MAX: '10' };

    test('requests do not wait for a hanging Redis, and are charged when it answers again', async () => {
      const { log, lines } = recordingLog();
      const limits = start(env, log);
      await untilAll([limits], true);
      const tenant = randomUUID();
      redis.process.kill('SIGSTOP');
      await untilAll([limits], false);
      // the clock is stopped: a waiting request would not be answered
      stopClock();
      expect(await countAdmitted(60, 10, () => isAdmitted(limits, tenant, 'usr_1'))).toBe(60);
      expect(limits.store()).toEqual({ kind: 'redis', answers: false });
      jest.useRealTimers();
      redis.process.kill('SIGCONT');
      const other = start(env);
      await untilAll([limits, other], true);
      // from here on Redis answers in time
      stopClock();
      expect(await isAdmitted(limits, tenant, 'usr_2')).toBe(true);
      const rest = await countAdmitted(200, 1, (i) => isAdmitted(i < 30 ? limits : other, tenant, 'usr_1'));
      expect(60 + rest).toBeLessThanOrEqual(100);
      expect(limits.store()).toEqual({ kind: 'redis', answers: true });
      expect(lines.slice(0, 2)).toEqual([
        'rate limits: the shared store is unavailable, this daemon counts locally',
        'rate limits: the shared store is available again',
      ]);
    });

    test('a Redis that restarted empty is used again', async () => {
      const daemons = [start(env), start(env)];
      await untilAll(daemons, true);
      await redis.kill();
      await untilAll(daemons, false);
      redis = await startRedis([], redis.port);
      await untilAll(daemons, true);
      stopClock();
      const address = randomUUID();
      expect(await countAdmitted(40, 4, (i) => isAddressAdmitted(daemons[i % 2]!, address))).toBe(10);
    });

    /** Sends requests until Redis answers all of them, or none. */
    const untilAll = (daemons: Limits[], answers: boolean): Promise<void> =>
      eventually(
        async () => {
          const admitted = await Promise.all(daemons.map((daemon) => isAddressAdmitted(daemon, randomUUID())));
          expect(admitted).not.toContain(false);
          return daemons.every((daemon) => daemon.store().answers === answers);
        },
        answers ? 'Redis answers' : 'Redis is missed',
        30_000,
      );
  });

  /** Advances the clock by the time that a request waits for Redis, once it is waiting. */
  async function noLonger(): Promise<void> {
    await nextTurn();
    jest.advanceTimersByTime(WAIT_MS);
  }

  /** Ends all windows. */
  async function forgetWindows(): Promise<void> {
    await redis.cli('flushall');
  }
});
