import { type ConnectionQueue, openConnectionQueue, PoolSaturated, ShareSaturated } from '../../src/db/connection_queue.ts';

const open = (bounds: Partial<Parameters<typeof openConnectionQueue>[0]> = {}) =>
  openConnectionQueue({ max: 10, maxWaiting: 20, wait_ms: 60_000, ...bounds });

/** Who still waits when a test is over is refused some time later. */
const ignored = () => undefined;

/** Enters, and says so when it is its turn. */
function asks(line: ConnectionQueue, tenant: string, told: string[], name = tenant): void {
  const turn = line.acquire(tenant);
  if (turn) void turn.then(() => told.push(name), ignored);
  else told.push(name);
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('one tenant has at most half of the connections, and another enters at once', () => {
  const line = open();
  const told: string[] = [];
  for (let i = 0; i < 7; i += 1) asks(line, 'mallory', told);
  asks(line, 'alice', told);
  expect([told, line.waiting]).toEqual([[...Array(5).fill('mallory'), 'alice'], 2]);
});

test.each([
  [20, 10],
  [5, 4],
  [3, 2],
  [2, 1],
  [1, 1],
])('of %i connections a tenant has %i at once: one is left to the others wherever there are two', (max, share) => {
  const line = open({ max, maxWaiting: 100 });
  const told: string[] = [];
  for (let i = 0; i < max + 1; i += 1) asks(line, 'mallory', told);
  expect(told).toHaveLength(share);
});

test('those that wait are taken in turn by tenant, and each tenant’s in order', async () => {
  const line = open({ max: 2 });
  const told: string[] = [];
  for (const name of ['m1', 'm2', 'm3']) asks(line, 'mallory', told, name);
  for (const name of ['a1', 'a2']) asks(line, 'alice', told, name);
  asks(line, 'bob', told, 'b1');
  expect(told).toEqual(['m1', 'a1']);
  for (const tenant of ['mallory', 'alice', 'mallory', 'alice', 'bob']) {
    line.release(tenant);
    await settled();
  }
  expect(told).toEqual(['m1', 'a1', 'm2', 'a2', 'b1', 'm3']);
});

test('what is of no tenant has no share, only the whole', () => {
  const line = open();
  const told: string[] = [];
  for (let i = 0; i < 11; i += 1) asks(line, '', told);
  expect([told.length, line.waiting]).toEqual([10, 1]);
});

test('a single connection goes round', async () => {
  const line = open({ max: 1 });
  const told: string[] = [];
  for (const name of ['m1', 'm2']) asks(line, 'mallory', told, name);
  asks(line, 'alice', told, 'a1');
  line.release('mallory');
  await settled();
  line.release('mallory');
  await settled();
  expect(told).toEqual(['m1', 'm2', 'a1']);
});

test('a tenant that is alone may fill the queue; then it is refused, and others have their equal parts', () => {
  const line = open({ max: 1, maxWaiting: 4 });
  for (let i = 0; i < 5; i += 1) line.acquire('mallory')?.catch(ignored);
  expect(() => line.acquire('mallory')).toThrow(PoolSaturated);
  for (let i = 0; i < 2; i += 1) line.acquire('alice')?.catch(ignored);
  expect(() => line.acquire('alice')).toThrow(ShareSaturated);
  expect(() => line.acquire('mallory')).toThrow(ShareSaturated);
  for (let i = 0; i < 2; i += 1) line.acquire('bob')?.catch(ignored);
  expect(() => line.acquire('bob')).toThrow(ShareSaturated);
  // what is of no tenant is always let in
  for (let i = 0; i < 2; i += 1) line.acquire('')?.catch(ignored);
  expect(line.waiting).toBe(10);
});

test('a waiting request times out, and the queue skips it', async () => {
  const line = open({ max: 1, wait_ms: 1 });
  void line.acquire('mallory');
  await expect(line.acquire('alice')).rejects.toThrow('timeout exceeded');
  line.release('mallory');
  expect([line.acquire('bob'), line.waiting]).toEqual([undefined, 0]);
});
