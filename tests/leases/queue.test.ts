import { randomBytes } from 'node:crypto';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { acquire, release, waitForWaiters } from './support.ts';

// Waiting on one daemon. tests/leases/daemons.test.ts has what needs two.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  // as many connections as the default, for ten times as many agents
  daemon = await startTestDaemon({ PGPOOL_MAX: '20' });
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const wait = (owner: string, more: object = {}) => acquire(alice, 'k', { owner, wait_ms: 8000, ...more });

test('requests are served in the order of their arrival, and a request without wait_ms does not overtake them', async () => {
  const { token } = (await acquire(alice, 'k')).body;
  const served: string[] = [];
  const requests = [];
  for (const owner of ['two', 'three', 'four']) {
    requests.push(
      wait(owner).then(async ({ body }) => {
        served.push(owner);
        // the lease is held, or the next request waits for it
        expect((await acquire(alice, 'k', { owner: 'late' })).status).toBe(409);
        await release(alice, 'k', body.token, owner);
        return body.token as number;
      }),
    );
    await waitForWaiters(requests.length, daemon.url);
  }
  await release(alice, 'k', token);
  const tokens = [token, ...(await Promise.all(requests))];
  expect(served).toEqual(['two', 'three', 'four']);
  expect(tokens).toEqual([...tokens].sort((a, b) => a - b));
  expect(new Set(tokens).size).toBe(4);
});

test('a request whose wait has ended is answered with the holder, and leaves the queue', async () => {
  const held = (await acquire(alice, 'k')).body;
  const { status, body } = await wait('two', { wait_ms: 200 });
  expect([status, body.type, body.owner, body.expires_at]).toEqual([409, '/docs/problems#lease-held', 'one', held.expires_at]);
  await release(alice, 'k', held.token);
  expect((await acquire(alice, 'k', { owner: 'three' })).status).toBe(200);
});

test('a lease that expires goes to the request that waits, without any write', async () => {
  await acquire(alice, 'k', { ttl_ms: 300 });
  expect((await wait('two')).body.owner).toBe('two');
});

test('a client that disconnects leaves the queue', async () => {
  const { token } = (await acquire(alice, 'k')).body;
  const gone = new AbortController();
  const left = fetch(`${daemon.url}/v1/leases/k`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${alice.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ owner: 'two', ttl_ms: 60_000, wait_ms: 8000 }),
    signal: gone.signal,
  }).catch(() => undefined);
  await waitForWaiters(1, daemon.url);
  gone.abort();
  await left;
  await waitForWaiters(0, daemon.url);
  await release(alice, 'k', token);
  await eventually(async () => (await acquire(alice, 'k', { owner: 'three' })).status === 200, 'the lease to be free');
});

test('at most 100 requests wait for a lease; those for others are not affected', async () => {
  const { token } = (await acquire(alice, 'k')).body;
  const requests = [wait('first')];
  await waitForWaiters(1, daemon.url);
  for (let i = 1; i < 100; i += 1) requests.push(wait(`w${i}`));
  await waitForWaiters(100, daemon.url);
  const more = await wait('more');
  expect([more.status, more.headers.get('retry-after')]).toEqual([429, '1']);
  expect((await acquire(alice, 'other', { wait_ms: 1000 })).status).toBe(200);
  await release(alice, 'k', token);
  // the first gets the lease and keeps it
  const statuses = (await Promise.all(requests)).map(({ status }) => status);
  expect(statuses).toEqual([200, ...requests.slice(1).map(() => 409)]);
});

test('200 agents on 20 connections take turns on 4 leases and write under them, without an error', async () => {
  const agents = Array.from({ length: 200 }, (_, i) => `agent-${i}`);
  const run = async (owner: string, i: number): Promise<number[]> => {
    const key = `k${i % 4}`;
    for (;;) {
      const { status, body } = await acquire(alice, key, { owner, wait_ms: 8000 });
      // on a slow machine, 50 turns can take longer than the longest wait
      if (status === 409) continue;
      if (status !== 200) return [status];
      const written = await alice.request('POST', '/v1/events', {
        body: { text: `${owner} was here` },
        headers: { lease: `${key};token=${body.token}` },
      });
      return [status, written.status, (await release(alice, key, body.token, owner)).status];
    }
  };
  const answers = await Promise.all(agents.map(run));
  expect(answers).toEqual(agents.map(() => [200, 201, 204]));
}, 120_000);

test('two requests with the same Idempotency-Key that wait get the same token', async () => {
  const { token } = (await acquire(alice, 'k')).body;
  const headers = { 'idempotency-key': randomBytes(8).toString('hex') };
  const body = { owner: 'two', wait_ms: 8000 };
  const both = [acquire(alice, 'k', body, headers), acquire(alice, 'k', body, headers)];
  await waitForWaiters(2, daemon.url);
  await release(alice, 'k', token);
  const [one, other] = await Promise.all(both);
  expect(one!.body).toEqual(other!.body);
});

test('a daemon that stops ends the waiting with 503', async () => {
  const other = await newTenant(daemon.url);
  const bob = await newColleague(other);
  await acquire(bob, 'k');
  const stopping = await startTestDaemon({}, undefined);
  const carol = await newTenant(stopping.url);
  await acquire(carol, 'k');
  const request = acquire(carol, 'k', { owner: 'two', wait_ms: 8000 });
  await waitForWaiters(1, stopping.url);
  await stopping.stop();
  expect((await request).status).toBe(503);
});
