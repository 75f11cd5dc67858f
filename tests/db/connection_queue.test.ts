import { type ConnectionQueue, openConnectionQueue, PoolSaturated, ShareSaturated } from '../../src/db/connection_queue.ts';

const open = (bounds: Partial<Parameters<typeof openConnectionQueue>[0]> = {}) =>
  openConnectionQueue({ max: 10, maxWaiting: 20, wait_ms: 60_000, ...bounds });

/** Waiting requests at the end of a test are rejected later. */
const ignored = () => undefined;

/** Acquires a connection and records the order. */
function acquire(queue: ConnectionQueue, tenant: string, order: string[], name = tenant): void {
  const turn = queue.acquire(tenant);
  if (turn) void turn.then(() => order.push(name), ignored);
  else order.push(name);
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('one tenant uses at most half of the connections, and another gets one at once', () => {
  const queue = open();
  const order: string[] = [];
  for (let i = 0; i < 7; i += 1) acquire(queue, 'mallory', order);
  acquire(queue, 'alice', order);
  expect([order, queue.waiting]).toEqual([[...Array(5).fill('mallory'), 'alice'], 2]);
});

test.each([
  [20, 10],
  [5, 4],
  [3, 2],
  [2, 1],
  [1, 1],
])('of %i connections a tenant uses at most %i, so that one remains for others if there are two', (max, share) => {
  const queue = open({ max, maxWaiting: 100 });
  const order: string[] = [];
  for (let i = 0; i < max + 1; i += 1) acquire(queue, 'mallory', order);
  expect(order).toHaveLength(share);
});

test('waiting tenants take turns, and the requests of each keep their order', async () => {
  const queue = open({ max: 2 });
  const order: string[] = [];
  for (const name of ['m1', 'm2', 'm3']) acquire(queue, 'mallory', order, name);
  for (const name of ['a1', 'a2']) acquire(queue, 'alice', order, name);
  acquire(queue, 'bob', order, 'b1');
  expect(order).toEqual(['m1', 'a1']);
  for (const tenant of ['mallory', 'alice', 'mallory', 'alice', 'bob']) {
    queue.release(tenant);
    await settled();
  }
  expect(order).toEqual(['m1', 'a1', 'm2', 'a2', 'b1', 'm3']);
});

test('work without a tenant may use all connections', () => {
  const queue = open();
  const order: string[] = [];
  for (let i = 0; i < 11; i += 1) acquire(queue, '', order);
  expect([order.length, queue.waiting]).toEqual([10, 1]);
});

test('tenants take turns on a single connection', async () => {
  const queue = open({ max: 1 });
  const order: string[] = [];
  for (const name of ['m1', 'm2']) acquire(queue, 'mallory', order, name);
  acquire(queue, 'alice', order, 'a1');
  queue.release('mallory');
  await settled();
  queue.release('mallory');
  await settled();
  expect(order).toEqual(['m1', 'm2', 'a1']);
});

test('a tenant alone may fill the queue; beyond that it is rejected, and others get an equal part', () => {
  const queue = open({ max: 1, maxWaiting: 4 });
  for (let i = 0; i < 5; i += 1) queue.acquire('mallory')?.catch(ignored);
  expect(() => queue.acquire('mallory')).toThrow(PoolSaturated);
  for (let i = 0; i < 2; i += 1) queue.acquire('alice')?.catch(ignored);
  expect(() => queue.acquire('alice')).toThrow(ShareSaturated);
  expect(() => queue.acquire('mallory')).toThrow(ShareSaturated);
  for (let i = 0; i < 2; i += 1) queue.acquire('bob')?.catch(ignored);
  expect(() => queue.acquire('bob')).toThrow(ShareSaturated);
  // work without a tenant is always accepted
  for (let i = 0; i < 2; i += 1) queue.acquire('')?.catch(ignored);
  expect(queue.waiting).toBe(10);
});

test('a waiting request times out, and the queue skips it', async () => {
  const queue = open({ max: 1, wait_ms: 1 });
  void queue.acquire('mallory');
  await expect(queue.acquire('alice')).rejects.toThrow('timeout exceeded');
  queue.release('mallory');
  expect([queue.acquire('bob'), queue.waiting]).toEqual([undefined, 0]);
});
