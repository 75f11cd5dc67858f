import { countBlocked } from '../support/blocked.ts';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { serverConnection, testOnServer } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { acquire, record, release, renew } from './support.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

test('a lease is acquired, refused to others, renewed, released and acquired again with a larger token', async () => {
  const first = await acquire(alice, 'jobs/nightly');
  expect(first.status).toBe(200);
  expect(first.body).toEqual({ key: 'jobs/nightly', owner: 'one', token: expect.any(Number), expires_at: expect.any(String) });
  expect(first.body.token).toBeGreaterThan(Date.now() - 60_000);
  const other = await acquire(alice, 'jobs/nightly', { owner: 'two' });
  expect([other.status, other.body.type, other.body.owner, other.body.expires_at]).toEqual([
    409,
    '/docs/problems#lease-held',
    'one',
    first.body.expires_at,
  ]);
  const renewed = await renew(alice, 'jobs/nightly', first.body.token, { ttl_ms: 120_000 });
  expect([renewed.status, renewed.body.token]).toEqual([200, first.body.token]);
  expect(Date.parse(renewed.body.expires_at)).toBeGreaterThan(Date.parse(first.body.expires_at));
  expect((await release(alice, 'jobs/nightly', first.body.token)).status).toBe(204);
  expect((await release(alice, 'jobs/nightly', first.body.token)).body.type).toBe('/docs/problems#stale-lease');
  const next = await acquire(alice, 'jobs/nightly', { owner: 'two' });
  expect(next.body.token).toBeGreaterThan(first.body.token);
});

test('the same owner gets a new token, and the previous one is stale', async () => {
  const first = (await acquire(alice, 'k')).body;
  const second = (await acquire(alice, 'k')).body;
  expect(second.token).toBeGreaterThan(first.token);
  expect((await renew(alice, 'k', first.token)).status).toBe(412);
  expect((await record(alice, `k;token=${first.token}`)).body.type).toBe('/docs/problems#stale-lease');
  expect((await record(alice, `k;token=${second.token}`)).status).toBe(201);
});

test('another principal neither takes over, renews nor releases a lease; an admin does', async () => {
  const bob = await newColleague(alice, 'bob', 'member');
  const held = (await acquire(bob, 'k')).body;
  const carol = await newColleague(alice, 'carol', 'member');
  const answers = [
    await acquire(carol, 'k'),
    await renew(carol, 'k', held.token),
    await release(carol, 'k', held.token),
    await renew(alice, 'k', held.token),
    await acquire(alice, 'k'),
    await renew(bob, 'k', held.token),
  ];
  expect(answers.map(({ status }) => status)).toEqual([409, 403, 403, 200, 200, 403]);
});

test('the same key is another lease in another tenant, and a fence names a lease in the tenant of the caller', async () => {
  const mine = (await acquire(alice, 'k')).body;
  const mallory = await newTenant(daemon.url, undefined, 'mallory');
  expect((await mallory.request('GET', '/v1/leases')).body.data).toEqual([]);
  const refused = [
    await record(mallory, `k;token=${mine.token}`),
    await renew(mallory, 'k', mine.token),
    await release(mallory, 'k', mine.token),
  ];
  expect(refused.map(({ status }) => status)).toEqual([412, 412, 412]);
  expect((await acquire(mallory, 'k')).status).toBe(200);
  expect((await record(alice, `k;token=${mine.token}`)).status).toBe(201);
});

test('the list shows held leases, with the token of the holder alone', async () => {
  const bob = await newColleague(alice, 'bob', 'member');
  const mine = (await acquire(alice, 'a')).body;
  await acquire(bob, 'b');
  const done = (await acquire(alice, 'c')).body;
  await release(alice, 'c', done.token);
  const first = (await alice.request('GET', '/v1/leases?limit=1')).body;
  const rest = (await alice.request('GET', `/v1/leases?cursor=${first.next_cursor}`)).body;
  expect([...first.data, ...rest.data]).toEqual([
    { ...mine, acquired_at: expect.any(String) },
    { key: 'b', owner: 'one', acquired_at: expect.any(String), expires_at: expect.any(String) },
  ]);
  expect(rest.next_cursor).toBeNull();
});

test('acquisitions and releases are events without the token; renewals are none', async () => {
  const { token } = (await acquire(alice, 'k')).body;
  await renew(alice, 'k', token);
  await release(alice, 'k', token);
  const { data } = (await alice.request('GET', '/v1/events?channel=team')).body;
  expect(data.map(({ kind, channel, content }: Record<string, unknown>) => [kind, channel, content])).toEqual([
    ['lease.acquired', 'team', { key: 'k', owner: 'one' }],
    ['lease.released', 'team', { key: 'k', owner: 'one' }],
  ]);
});

test('a retry gets the first outcome, also after the lease was lost', async () => {
  const once = { 'idempotency-key': 'acquire-1' };
  const first = await acquire(alice, 'k', {}, once);
  const again = { 'idempotency-key': 'renew-1' };
  const renewed = await renew(alice, 'k', first.body.token, {}, again);
  const gone = { 'idempotency-key': 'release-1' };
  await release(alice, 'k', first.body.token, 'one', gone);
  await acquire(alice, 'k', { owner: 'two' });
  const retries = [
    await acquire(alice, 'k', {}, once),
    await renew(alice, 'k', first.body.token, {}, again),
    await release(alice, 'k', first.body.token, 'one', gone),
  ];
  expect(retries.map(({ headers }) => headers.get('idempotent-replay'))).toEqual(['true', 'true', 'true']);
  expect(retries.map(({ body }) => body)).toEqual([first.body, renewed.body, '']);
  expect((await renew(alice, 'k', 1, {}, again)).status).toBe(409);
});

test('a key or an owner with a secret, control characters or dots alone is rejected', async () => {
  const secret = 'ghp_016C7e2kX9QmRtYbNcVaZsLdWfHgJp8u4Eo1';
  const answers = [
    await acquire(alice, secret),
    await acquire(alice, 'k', { owner: secret }),
    await acquire(alice, 'a\nb'),
    await acquire(alice, 'x'.repeat(256)),
    await acquire(alice, 'k', { ttl_ms: 99 }),
    await acquire(alice, 'k', { ttl_ms: 3_600_001 }),
    await acquire(alice, 'k', { wait_ms: 8_001 }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([422, 422, 422, 422, 422, 422, 422]);
});

test.each([
  ...['k', 'k;token=', 'k;token=-1', ';token=1', 'k;token=1;x=1', '%zz;token=1', '%00;token=1', 'k;token=1, k;token=2'],
  'k;token=9999999999999999',
])('the malformed header Lease %j is rejected, and nothing is written', async (lease) => {
  expect((await record(alice, lease)).status).toBe(400);
  expect((await alice.request('GET', '/v1/usage')).body.last_seq).toBe(0);
});

test('the header names the lease percent-encoded', async () => {
  const key = 'agent://demo/é;x';
  const { token } = (await acquire(alice, key)).body;
  expect((await record(alice, `${encodeURIComponent(key)};token=${token}`)).status).toBe(201);
  expect((await record(alice, `${encodeURIComponent(key)};token=${token + 1}`)).status).toBe(412);
});

test('a retry is answered although its fence is stale; a new request is not, whatever its If-Match says', async () => {
  const { token } = (await acquire(alice, 'k')).body;
  const fence = { lease: `k;token=${token}` };
  const event = { body: { text: 'hello' }, headers: { ...fence, 'idempotency-key': 'event' } };
  const setting = { body: { language: 'english' }, headers: { ...fence, 'idempotency-key': 'setting' } };
  const first = await alice.request('POST', '/v1/events', event);
  const changed = await alice.request('PATCH', '/v1/tenant', setting);
  expect([first.status, changed.status]).toEqual([201, 200]);
  await release(alice, 'k', token);
  const retries = [await alice.request('POST', '/v1/events', event), await alice.request('PATCH', '/v1/tenant', setting)];
  expect(retries.map(({ status, headers }) => [status, headers.get('idempotent-replay')])).toEqual([
    [201, 'true'],
    [200, 'true'],
  ]);
  const late = await alice.request('PATCH', '/v1/tenant', { ...setting, headers: { ...fence, 'if-match': '"99"' } });
  expect(late.body.type).toBe('/docs/problems#stale-lease');
});

testOnServer('a second connection holds the clock')(
  'a retry is answered although its lease is released between the first request and the retry, which run at once',
  async () => {
    const { token } = (await acquire(alice, 'k')).body;
    const change = () =>
      alice.request('PATCH', '/v1/tenant', {
        body: { language: 'english' },
        headers: { lease: `k;token=${token}`, 'idempotency-key': 'setting' },
      });
    await withClient({ ...serverConnection(), database: daemon.env.PGDATABASE! }, async (client) => {
      await client.query('begin');
      await client.query('select from tenant_clocks where tenant_id = $1 for update', [alice.tenant_id]);
      const waiting = [];
      for (const begin of [change, change, () => release(alice, 'k', token)]) {
        waiting.push(begin());
        await eventually(async () => (await countBlocked(client)) === waiting.length, `${waiting.length} requests to wait`);
      }
      await client.query('commit');
      expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 204]);
    });
  },
);

test('reads ignore the header', async () => {
  const headers = { lease: 'k;token=1' };
  const answers = [
    await alice.request('POST', '/v1/search', { body: { query: 'x' }, headers }),
    await alice.request('GET', '/v1/usage', { headers }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
});

test('a large batch, which a worker prepares, and a job are refused with a stale fence', async () => {
  const { token } = (await acquire(alice, 'k')).body;
  const batch = (fence: number) =>
    alice.request('POST', '/v1/events', {
      body: { events: Array.from({ length: 400 }, (_, i) => ({ text: `${i} ${'x'.repeat(400)}` })) },
      headers: { lease: `k;token=${fence}` },
    });
  expect((await batch(token - 1)).status).toBe(412);
  expect((await batch(token)).status).toBe(201);
  const erasure = (fence: number) =>
    alice.request('POST', '/v1/erasures', { body: { user_id: 'nobody' }, headers: { lease: `k;token=${fence}` } });
  expect((await erasure(token - 1)).status).toBe(412);
  expect((await alice.request('GET', '/v1/jobs')).body.data).toEqual([]);
  expect((await erasure(token)).status).toBe(202);
});
