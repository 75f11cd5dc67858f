import { message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// D3: retries are safe.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('D3 200 concurrent requests with one Idempotency-Key record one event and get 200 equal answers', async () => {
  const client = await newTenant(daemon.url);
  const request = () =>
    client.request('POST', '/v1/events', { body: message('once'), headers: { 'idempotency-key': 'retry-1' } });
  const answers = await Promise.all(Array.from({ length: 200 }, request));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
  expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
  expect(answers.filter(({ headers }) => headers.get('idempotent-replay') !== 'true')).toHaveLength(1);
  const { body } = await client.request('GET', '/v1/events');
  expect(body.data.map((event: { event_id: string }) => event.event_id)).toEqual([answers[0]!.body.event_id]);
});

test('D3 the same key with another body is a conflict, and with the same body in another member order a replay', async () => {
  const client = await newTenant(daemon.url);
  const headers = { 'idempotency-key': 'retry-2' };
  const body = message('first', { metadata: { a: 1, b: [1, 2] } });
  const reordered = Object.fromEntries(Object.entries(body).reverse());
  expect((await client.request('POST', '/v1/events', { body, headers })).status).toBe(201);
  const replay = await client.request('POST', '/v1/events', { body: reordered, headers });
  expect([replay.status, replay.headers.get('idempotent-replay')]).toEqual([201, 'true']);
  expect((await client.request('POST', '/v1/events', { body: message('second'), headers })).status).toBe(409);
  expect((await client.request('GET', '/v1/events')).body.data).toHaveLength(1);
});

test('D3 a key applies to one principal and path, and failed requests are not stored', async () => {
  const [one, two] = [await newTenant(daemon.url), await newTenant(daemon.url)];
  const headers = { 'idempotency-key': 'shared' };
  expect((await one.request('POST', '/v1/events', { body: { ...message('x'), kind: 'nonsense' }, headers })).status).toBe(422);
  const mine = await one.request('POST', '/v1/events', { body: message('mine'), headers });
  const theirs = await two.request('POST', '/v1/events', { body: message('theirs'), headers });
  expect([mine.status, theirs.status]).toEqual([201, 201]);
  expect(theirs.headers.get('idempotent-replay')).toBeNull();
});

test('D3 a batch is replayed completely and in order', async () => {
  const client = await newTenant(daemon.url);
  const body = { events: Array.from({ length: 50 }, (_, i) => message(`event ${i}`)) };
  const headers = { 'idempotency-key': 'batch' };
  const [first, second] = [
    await client.request('POST', '/v1/events', { body, headers }),
    await client.request('POST', '/v1/events', { body, headers }),
  ];
  expect(first.status).toBe(201);
  expect(second.body).toEqual(first.body);
  expect((await client.request('GET', '/v1/events?limit=1000')).body.data).toHaveLength(50);
});

test('D3 the same bytes with the same key and another media type or channel are a conflict', async () => {
  const client = await newTenant(daemon.url);
  const upload = (type: string, query = '') =>
    client.request('POST', `/v1/artifacts${query}`, {
      body: 'bytes',
      headers: { 'content-type': type, 'idempotency-key': 'retry-3' },
    });
  const first = await upload('text/plain');
  expect(first.status).toBe(201);
  const replay = await upload('text/plain');
  expect([replay.status, replay.headers.get('idempotent-replay'), replay.body]).toEqual([201, 'true', first.body]);
  expect((await upload('text/csv')).status).toBe(409);
  expect((await upload('text/plain', '?channel=team')).status).toBe(409);
});
