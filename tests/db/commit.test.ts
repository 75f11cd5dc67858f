import { createWriteQueue } from '../../src/db/commit.ts';
import { NO_TENANT, openConnectionQueue } from '../../src/db/connection_queue.ts';
import type { Pool } from '../../src/db/pool.ts';
import type { Unit } from '../../src/db/unit.ts';
import { createLogger } from '../../src/log.ts';

const unitOf = (chars: number): Unit => ({ key: null, body: null, bytes: chars, events: [], ...{ text: 'x'.repeat(chars) } });

/** A queue whose batches end when the test says so. */
function heldQueue(parallel: number, line = openConnectionQueue({ max: 100, maxWaiting: 100, wait_ms: 60_000 })) {
  const held: { tenant: string; units: number; finish(): void }[] = [];
  const query = ({ values: [tenant, json] }: { values: [string, string] }) =>
    new Promise((resolve) => {
      const units = JSON.parse(json) as unknown[];
      const rows = units.map((_, i) => ({ status: 'new', outcome: { seq: i + 1, count: 1 }, at: '' }));
      held.push({ tenant, units: units.length, finish: () => resolve({ rows }) });
    });
  const using = async (work: (client: unknown) => unknown, tenant = NO_TENANT) => {
    await line.acquire(tenant);
    return Promise.resolve(work({ query })).finally(() => line.release(tenant));
  };
  const pool = { named: true, using } as unknown as Pool;
  const limits = { maxQueued: 1000, maxQueuedBytes: 2 ** 28, parallel, parallelLarge: 2, perTenant: 2 };
  return { held, queue: createWriteQueue(pool, limits, createLogger('silent'), () => undefined) };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

test('large units of many tenants take two places, and small ones of others go past them', async () => {
  const { held, queue } = heldQueue(10);
  const large = ['a', 'b', 'c', 'd'].map((tenant) => queue.commit(tenant, unitOf(300_000)));
  await settled();
  const small = ['e', 'f'].map((tenant) => queue.commit(tenant, unitOf(10)));
  await settled();
  expect(held.map(({ tenant }) => tenant)).toEqual(['a', 'b', 'e', 'f']);
  for (let i = 0; i < 6; i += 1) {
    held[i]!.finish();
    await settled();
  }
  expect(held.map(({ tenant }) => tenant)).toEqual(['a', 'b', 'e', 'f', 'c', 'd']);
  expect(await Promise.all([...large, ...small])).toHaveLength(6);
});

test('a large unit is a batch of its own, in its place among the tenant’s others', async () => {
  const { held, queue } = heldQueue(1);
  const done = [10, 10, 300_000, 10, 10].map((chars) => queue.commit('a', unitOf(chars)));
  for (let i = 0; i < 3; i += 1) {
    await settled();
    held[i]!.finish();
  }
  await Promise.all(done);
  expect(held.map(({ units }) => units)).toEqual([2, 1, 2]);
});

test('for a connection the batches of tenants take turns with each other and with reads', async () => {
  const line = openConnectionQueue({ max: 1, maxWaiting: 100, wait_ms: 60_000 });
  const { held, queue } = heldQueue(10, line);
  void line.acquire('a');
  const read = line.acquire('a')!.then(() => line.release('a'));
  const done = [];
  for (const tenant of ['a', 'a', 'b']) {
    done.push(queue.commit(tenant, unitOf(10)));
    await settled();
  }
  line.release('a');
  await read;
  for (let i = 0; i < 3; i += 1) {
    await settled();
    held[i]!.finish();
  }
  await Promise.all(done);
  expect(held.map(({ tenant }) => tenant)).toEqual(['a', 'b', 'a']);
});
