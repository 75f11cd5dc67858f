import { createWriteQueue } from '../../src/db/commit.ts';
import { NO_TENANT, openConnectionQueue } from '../../src/db/connection_queue.ts';
import type { Pool } from '../../src/db/pool.ts';
import type { Unit } from '../../src/db/unit.ts';
import { createLogger } from '../../src/log.ts';

const unitOf = (chars: number): Unit => ({ key: null, body: null, bytes: chars, events: [], ...{ text: 'x'.repeat(chars) } });

/** Opens a queue whose batches end when the test finishes them. */
function openPausedQueue(parallel: number, connections = openConnectionQueue({ max: 100, maxWaiting: 100, wait_ms: 60_000 })) {
  const batches: { tenant: string; units: number; finish(): void }[] = [];
  const query = ({ values: [tenant, json] }: { values: [string, string] }) =>
    new Promise((resolve) => {
      const units = JSON.parse(json) as unknown[];
      const rows = units.map((_, i) => ({ status: 'new', outcome: { seq: i + 1, count: 1 }, at: '' }));
      batches.push({ tenant, units: units.length, finish: () => resolve({ rows }) });
    });
  const using = async (work: (client: unknown) => unknown, tenant = NO_TENANT) => {
    await connections.acquire(tenant);
    return Promise.resolve(work({ query })).finally(() => connections.release(tenant));
  };
  const pool = { named: true, using } as unknown as Pool;
  const limits = { maxQueued: 1000, maxQueuedBytes: 2 ** 28, parallel, parallelLarge: 2, perTenant: 2 };
  return { batches, queue: createWriteQueue(pool, limits, createLogger('silent'), () => undefined) };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

test('large units of many tenants use at most two slots, and small units of others overtake them', async () => {
  const { batches, queue } = openPausedQueue(10);
  const large = ['a', 'b', 'c', 'd'].map((tenant) => queue.commit(tenant, unitOf(300_000)));
  await settled();
  const small = ['e', 'f'].map((tenant) => queue.commit(tenant, unitOf(10)));
  await settled();
  expect(batches.map(({ tenant }) => tenant)).toEqual(['a', 'b', 'e', 'f']);
  for (let i = 0; i < 6; i += 1) {
    batches[i]!.finish();
    await settled();
  }
  expect(batches.map(({ tenant }) => tenant)).toEqual(['a', 'b', 'e', 'f', 'c', 'd']);
  expect(await Promise.all([...large, ...small])).toHaveLength(6);
});

test('a large unit is a batch of its own, in the tenant’s order', async () => {
  const { batches, queue } = openPausedQueue(1);
  const done = [10, 10, 300_000, 10, 10].map((chars) => queue.commit('a', unitOf(chars)));
  for (let i = 0; i < 3; i += 1) {
    await settled();
    batches[i]!.finish();
  }
  await Promise.all(done);
  expect(batches.map(({ units }) => units)).toEqual([2, 1, 2]);
});

test('the batches of tenants take turns with each other and with reads for a connection', async () => {
  const connections = openConnectionQueue({ max: 1, maxWaiting: 100, wait_ms: 60_000 });
  const { batches, queue } = openPausedQueue(10, connections);
  void connections.acquire('a');
  const read = connections.acquire('a')!.then(() => connections.release('a'));
  const done = [];
  for (const tenant of ['a', 'a', 'b']) {
    done.push(queue.commit(tenant, unitOf(10)));
    await settled();
  }
  connections.release('a');
  await read;
  for (let i = 0; i < 3; i += 1) {
    await settled();
    batches[i]!.finish();
  }
  await Promise.all(done);
  expect(batches.map(({ tenant }) => tenant)).toEqual(['a', 'b', 'a']);
});
