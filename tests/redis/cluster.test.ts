import { randomUUID } from 'node:crypto';
import type { Pool } from '../../src/db/pool.ts';
import type { Grant } from '../../src/limits/counter.ts';
import { createLimits, type Limits } from '../../src/limits/index.ts';
import { takeFromRedis } from '../../src/limits/redis.ts';
import type { RedisLink } from '../../src/redis/index.ts';
import { countAdmitted, isAddressAdmitted, isAdmitted, settingsOf, silent, stopClock } from '../limits/server.ts';
import { eventually } from '../support/eventually.ts';
import { openLink, type RedisCluster, startRedisCluster } from '../support/redis.ts';
import { describeWith } from '../support/tool.ts';

/** With Redis the limits do not use the database. */
const noPool = { using: () => Promise.reject(new Error('the database was used')) } as unknown as Pool;
/** Number of windows that are spread over all three nodes; one node has none with a probability of 2·10⁻⁵. */
const WINDOWS = 30;
const LIMIT = 10;

describeWith(['redis-server', 'redis-cli'], 'a Redis Cluster of three nodes', () => {
  let cluster: RedisCluster;
  const links: RedisLink[] = [];
  beforeAll(async () => {
    cluster = await startRedisCluster();
  });
  afterEach(() => {
    jest.useRealTimers();
    for (const link of links.splice(0)) link.stop();
  });
  afterAll(() => cluster?.stop());

  const nodeList = () => cluster.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
  const open = (env: Record<string, string> = {}): RedisLink => {
    const link = openLink({ REDIS_CLUSTER_NODES: nodeList(), ...env });
    links.push(link);
    return link;
  };
  const start = (env: Record<string, string> = {}): Limits =>
    createLimits(
      settingsOf({ RATE_LIMIT_WINDOW_MS: '86400000', RATE_LIMIT_AUTH_MAX: String(LIMIT), RATE_LIMIT_MAX_REQUESTS: '100' }),
      noPool,
      silent,
      open(env),
    );
  const settled = (daemons: Limits[]) =>
    eventually(async () => {
      await Promise.all(daemons.map((limits) => isAddressAdmitted(limits, randomUUID())));
      return daemons.every((limits) => limits.store().answers);
    }, 'the cluster answers');
  const keysOf = async (pattern: string): Promise<number[]> => {
    const found = await Promise.all(cluster.nodes.map((node) => node.cli('keys', pattern)));
    return found.map((keys) => keys.split('\n').filter(Boolean).length);
  };

  test('daemons share limits whose windows are on all nodes', async () => {
    const daemons = [start(), start()];
    await settled(daemons);
    // a request whose wait for Redis ended would be counted locally
    stopClock();
    for (let i = 0; i < WINDOWS; i += 1) {
      const address = randomUUID();
      expect(await countAdmitted(2 * LIMIT, 4, (n) => isAddressAdmitted(daemons[n % 2]!, address))).toBe(LIMIT);
    }
    const counts = await keysOf('agent_memory:rate:*');
    expect(Math.min(...counts)).toBeGreaterThan(0);
  });

  test('nodes that announce names which only they know are reached through REDIS_NAT_MAP', async () => {
    for (const node of cluster.nodes) await node.cli('config', 'set', 'cluster-preferred-endpoint-type', 'hostname');
    const map = cluster.nodes.map(({ port }, i) => `node-${i}.redis.invalid:${port}=127.0.0.1:${port}`).join(',');
    const link = open({ REDIS_NAT_MAP: map, REDIS_KEY_PREFIX: 'behind-nat:' });
    for (let i = 0; i < WINDOWS; i += 1) await link.run("return redis.call('SET', KEYS[1], 1)", [`window-${i}`], []);
    expect(Math.min(...(await keysOf('behind-nat:window-*')))).toBeGreaterThan(0);
    for (const node of cluster.nodes) await node.cli('config', 'set', 'cluster-preferred-endpoint-type', 'ip');
  });

  test('a signal reaches subscribers at other nodes', async () => {
    const [one, two] = [open(), open()];
    let heard = 0;
    two.onSignal('kill', () => {
      heard += 1;
    });
    // the subscription itself calls back once
    await eventually(() => heard > 0, 'subscribed');
    await eventually(async () => {
      await one.signal('kill');
      return heard > 1;
    }, 'the signal');
  });

  test('the loss of a node fails no request and loosens no limit beyond one per daemon', async () => {
    const daemons = [start(), start()];
    await settled(daemons);
    const before = Array.from({ length: WINDOWS }, () => randomUUID());
    for (const address of before) expect(await countAdmitted(4, 2, (n) => isAddressAdmitted(daemons[n % 2]!, address))).toBe(4);
    await cluster.nodes[1]!.kill();
    // a request that threw would fail the test
    for (const address of before) {
      const admitted = await countAdmitted(3 * LIMIT, 4, (n) => isAddressAdmitted(daemons[n % 2]!, address));
      expect(admitted).toBeGreaterThanOrEqual(LIMIT - 4);
      expect(admitted).toBeLessThanOrEqual(2 * LIMIT - 4);
    }
    const tenant = randomUUID();
    const principal = await countAdmitted(300, 10, (n) => isAdmitted(daemons[n % 2]!, tenant, 'usr_1'));
    expect(principal).toBeGreaterThanOrEqual(100 - 7);
    expect(principal).toBeLessThanOrEqual(200);
  });

  test('after the loss, the windows on the other nodes are shared', async () => {
    const [one, two] = [takeFromRedis(open()), takeFromRedis(open())];
    const requests = Array.from({ length: WINDOWS }, () => ({ key: randomUUID(), max: LIMIT, owed: 0, need: LIMIT, spare: 0 }));
    const isGrant = (grant: Grant | Error): grant is Grant => !(grant instanceof Error);
    let first: (Grant | Error)[] = [];
    await eventually(async () => {
      first = await one(requests, 86_400_000);
      return first.some(isGrant) && first.some((grant) => !isGrant(grant));
    }, 'windows on the remaining nodes are granted, those on the lost node are not');
    const second = await two(requests, 86_400_000);
    for (const [i, grant] of second.entries()) if (isGrant(first[i]!) && isGrant(grant)) expect(grant.granted).toBe(0);
    expect(second.some(isGrant)).toBe(true);
  });
});
