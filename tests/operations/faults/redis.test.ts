import { setTimeout as sleep } from 'node:timers/promises';
import { newTenant, send } from '../../support/client.ts';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { daemonDatabase } from '../../support/database.ts';
import { isLong } from '../../support/fault-mode.ts';
import { freePort } from '../../support/port.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { describeWith } from '../../support/tool.ts';
import { survive } from './survive.ts';

// Redis shares the rate limits between daemons. It is killed, stopped and restarted under load: no request fails or waits for it, and limits hold
// (meanwhile, each daemon counts by itself).

const AWAY_MS = isLong ? 30_000 : 3000;
const MAX = 20_000;

describeWith(['redis-server'], 'Redis fails under load', () => {
  let database: Awaited<ReturnType<typeof daemonDatabase>>;
  let redis: RedisServer;
  let daemon: SpawnedDaemon;
  beforeAll(async () => {
    database = await daemonDatabase();
    redis = await startRedis();
    daemon = await spawnDaemon(database.env, {
      REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      RATE_LIMIT_ENABLED: 'true',
      RATE_LIMIT_MAX_REQUESTS: String(MAX),
      RATE_LIMIT_TENANT_MAX: String(MAX),
      RATE_LIMIT_AUTH_MAX: '1000',
    });
  });
  afterAll(async () => {
    await daemon?.kill('SIGTERM');
    await redis?.kill();
    await database?.release();
  });

  test('killed, unreachable, and restarted empty', async () => {
    const { requests } = await survive('Redis killed', { url: daemon.url, noticed: 'never' }, async () => {
      await redis.kill();
      await sleep(AWAY_MS);
      redis = await startRedis([], redis.port);
    });
    expect(requests.length).toBeGreaterThan(100);
  });

  test('stopped (SIGSTOP): connections stay open and nothing responds', async () => {
    await survive('Redis stopped', { url: daemon.url, noticed: 'never' }, async () => {
      redis.process.kill('SIGSTOP');
      await sleep(AWAY_MS);
      redis.process.kill('SIGCONT');
    });
  });

  test('a limit holds while Redis is unreachable, and daemons start without waiting for it', async () => {
    const nowhere = {
      REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
      RATE_LIMIT_ENABLED: 'true',
      RATE_LIMIT_MAX_REQUESTS: '50',
    };
    const alone = await spawnDaemon(database.env, nowhere);
    const { token } = await newTenant(alone.url);
    const statuses = await Promise.all(
      Array.from({ length: 80 }, () => send(alone.url, 'GET', '/v1/events', {}, token).then(({ status }) => status)),
    );
    await alone.kill('SIGTERM');
    expect(statuses.filter((status) => status === 200)).toHaveLength(50);
    expect(statuses.filter((status) => status === 429)).toHaveLength(30);
  });
});
