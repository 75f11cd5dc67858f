import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { type Receiver, signs, startReceiver } from './receiver.ts';

let daemon: TestDaemon;
let alice: Client;
let receiver: Receiver;
beforeAll(async () => {
  daemon = await startTestDaemon({ WEBHOOK_ALLOW_PRIVATE: 'true', WEBHOOK_ATTEMPTS: '3', WEBHOOK_RETRY_MS: '50' });
});
afterAll(() => daemon.stop());
beforeEach(async () => {
  [alice, receiver] = [await newTenant(daemon.url), await startReceiver()];
});
afterEach(() => receiver.close());

async function subscribe(more: Record<string, unknown> = {}) {
  const { status, body } = await alice.request('POST', '/v1/webhooks', { body: { url: receiver.url, ...more } });
  expect([status, body.detail]).toEqual([201, undefined]);
  return { ...body, path: `/v1/webhooks/${body.webhook_id}` } as {
    webhook_id: string;
    secret: string;
    cursor: number;
    path: string;
  };
}

async function record(text: string, more: Record<string, unknown> = {}) {
  const { status, body } = await alice.request('POST', '/v1/events', { body: message(text, { channel: 'team', ...more }) });
  expect(status).toBe(201);
  return body;
}

const texts = () => receiver.got.map(({ event }) => event.content.text);
const deliveriesOf = async (path: string, query = '') => (await alice.request('GET', `${path}/deliveries${query}`)).body.data;
const stateOf = async (path: string) => (await deliveriesOf(path)).map((one: any) => [one.state, one.attempts, one.status_code]);

test('events arrive signed and in order, and Webhook-Id is the event id', async () => {
  const { secret, path } = await subscribe();
  const events = [];
  for (let i = 0; i < 20; i += 1) events.push(await record(`n${i}`));
  await receiver.until(20);
  expect(texts()).toEqual(events.map((_, i) => `n${i}`));
  expect(receiver.got.every((one) => signs(secret, one))).toBe(true);
  expect(signs(`whsec_${Buffer.alloc(32).toString('base64')}`, receiver.got[0]!)).toBe(false);
  expect(receiver.got.map(({ headers }) => headers['webhook-id'])).toEqual(events.map(({ event_id }) => event_id));
  const age_s = Date.now() / 1000 - Number(receiver.got[0]!.headers['webhook-timestamp']);
  expect(Math.abs(age_s)).toBeLessThan(60);
  await eventually(async () => (await deliveriesOf(path)).length === 20, 'the log of deliveries');
  expect((await deliveriesOf(path, '?limit=1'))[0]).toMatchObject({
    event_id: events[19]!.event_id,
    state: 'delivered',
    attempts: 1,
    status_code: 204,
    error: null,
  });
});

test('only selected events are sent: by channel, by named users for private, by sensitivity and by filter', async () => {
  const other = await startReceiver();
  await subscribe();
  await subscribe({
    url: other.url,
    channels: ['private'],
    user_ids: ['bob'],
    sensitivity: 'high',
    filter: { 'metadata.team': 'a' },
  });
  const bob = await newColleague(alice);
  await record('private of alice', { channel: 'private', metadata: { team: 'a' } });
  await bob.request('POST', '/v1/events', { body: message('of bob, other team', { metadata: { team: 'b' } }) });
  await bob.request('POST', '/v1/events', { body: message('of bob', { metadata: { team: 'a' }, sensitivity: 'high' }) });
  await record('high', { sensitivity: 'high' });
  await record('secret', { sensitivity: 'secret' });
  await record('for the team');
  await Promise.all([receiver.until(1), other.until(1)]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect([texts(), other.got.map(({ event }) => event.content.text)]).toEqual([['for the team'], ['of bob']]);
  await other.close();
});

test('a failed event is retried and blocks the following ones; then all arrive in order', async () => {
  receiver.react((_, nth) => (nth <= 2 ? 500 : 200));
  const { path } = await subscribe();
  await record('first');
  await record('second');
  await receiver.until(4);
  expect(texts()).toEqual(['first', 'first', 'first', 'second']);
  await eventually(async () => (await deliveriesOf(path)).length === 2, 'both deliveries');
  expect(await stateOf(path)).toEqual([
    ['delivered', 1, 200],
    ['delivered', 3, 200],
  ]);
});

test('Retry-After delays the next attempt', async () => {
  receiver.react(() => ({ status: 429, headers: { 'retry-after': '1800' } }));
  const { path } = await subscribe();
  await record('first');
  await receiver.until(1);
  const retry = async () => (await alice.request('GET', path)).body.retry_at;
  await eventually(async () => (await retry()) !== null, 'a time of the next attempt');
  const [view] = await deliveriesOf(path);
  // WEBHOOK_RETRY_MS alone would make the wait at most 50 ms
  expect(Date.parse(await retry()) - Date.parse(view.attempted_at)).toBeGreaterThan(1_790_000);
});

test('an event becomes a dead letter after WEBHOOK_ATTEMPTS failures, the next is delivered, and a replay delivers it again', async () => {
  receiver.react(({ event }) => (event.content.text === 'bad' ? 503 : 200));
  const { path } = await subscribe();
  const bad = await record('bad');
  await record('good');
  await receiver.until(4);
  expect(texts()).toEqual(['bad', 'bad', 'bad', 'good']);
  const dead = await deliveriesOf(path, '?state=dead');
  expect(dead).toMatchObject([{ event_id: bad.event_id, attempts: 3, status_code: 503, error: 'answered 503' }]);

  const replay = () => alice.request('POST', `${path}/deliveries/${bad.event_id}/replay`);
  expect((await replay()).status).toBe(202);
  await receiver.until(5);
  await eventually(async () => (await deliveriesOf(path, '?state=dead'))[0]?.attempts === 4, 'a replay that failed');
  receiver.react(() => 200);
  expect((await replay()).body.state).toBe('replaying');
  await eventually(async () => (await deliveriesOf(path, '?state=delivered')).length === 2, 'no dead letter');
  expect(await stateOf(path)).toEqual([
    ['delivered', 1, 200],
    ['delivered', 5, 200],
  ]);
  expect((await alice.request('POST', `${path}/deliveries/evt_none/replay`)).status).toBe(404);
});

test('410 deactivates a webhook; after reactivation it continues with the same event', async () => {
  receiver.react(() => 410);
  const { path } = await subscribe();
  await record('x');
  await eventually(async () => !(await alice.request('GET', path)).body.active, 'a stopped webhook');
  expect((await alice.request('GET', path)).body.disabled_reason).toContain('410');
  await record('y');
  receiver.react(() => 200);
  const started = await alice.request('PATCH', path, { body: { active: true } });
  expect(started.body).toMatchObject({ active: true, disabled_reason: null });
  await receiver.until(3);
  expect(texts()).toEqual(['x', 'x', 'y']);
});

test('a webhook starts with new events, or after the given seq', async () => {
  await record('before');
  const other = await startReceiver();
  await subscribe();
  await subscribe({ url: other.url, after: 0 });
  await record('after');
  await Promise.all([receiver.until(1), other.until(2)]);
  expect([texts(), other.got.map(({ event }) => event.content.text)]).toEqual([['after'], ['before', 'after']]);
  await other.close();
});

test('a start after the end of the log returns 422', async () => {
  const { status, body } = await alice.request('POST', '/v1/webhooks', {
    body: { url: 'https://hooks.example/x', after: 99_999 },
  });
  expect([status, body.errors]).toEqual([
    422,
    [{ pointer: '#/after', detail: expect.stringMatching(/^must be at most \d+, the end of the log$/) }],
  ]);
  expect((await alice.request('GET', '/v1/webhooks')).body.data.map(({ url }: any) => url)).not.toContain(
    'https://hooks.example/x',
  );
});

test('a secret is shown once, and after a rotation both secrets sign', async () => {
  const first = await subscribe();
  expect(JSON.stringify((await alice.request('GET', '/v1/webhooks')).body)).not.toContain('whsec_');
  const rotated = await alice.request('POST', `${first.path}/rotate`);
  await record('x');
  const [got] = await receiver.until(1);
  expect([signs(first.secret, got!), signs(rotated.body.secret, got!)]).toEqual([true, true]);
  const key = { headers: { 'idempotency-key': 'k' } };
  const body = { url: receiver.url };
  expect((await alice.request('POST', '/v1/webhooks', { ...key, body })).status).toBe(201);
  expect((await alice.request('POST', '/v1/webhooks', { ...key, body })).status).toBe(409);
});

test('a webhook is changed with If-Match and ends when it is deleted; a member gets 403', async () => {
  const { path } = await subscribe();
  const changed = await alice.request('PATCH', path, {
    body: { description: 'd', filter: { kind: 'decision' } },
    headers: { 'if-match': '"1"' },
  });
  expect([changed.status, changed.headers.get('etag'), changed.body.filter]).toEqual([200, '"2"', { kind: 'decision' }]);
  expect((await alice.request('PATCH', path, { body: { description: 'e' }, headers: { 'if-match': '"1"' } })).status).toBe(412);
  await record('not a decision');
  await record('', { kind: 'decision', content: { decision: 'PostgreSQL' } });
  await receiver.until(1);
  expect(receiver.got.map(({ event }) => event.kind)).toEqual(['decision']);
  const bob = await newColleague(alice);
  expect((await bob.request('GET', path)).status).toBe(403);
  expect([(await alice.request('DELETE', path)).status, (await alice.request('GET', path)).status]).toEqual([204, 404]);
});

test('invalid fields return 422 with their pointer, and the twenty-first webhook returns 409', async () => {
  const refusedAt = async (body: Record<string, unknown>) => {
    const answer = await alice.request('POST', '/v1/webhooks', { body: { url: receiver.url, ...body } });
    return [answer.status, answer.body.errors?.[0].pointer];
  };
  expect(await refusedAt({ url: 'https://user:pw@example.com/' })).toEqual([422, '#/url']);
  const stored = await alice.request('POST', '/v1/webhooks', { body: { url: 'HTTPS://Hooks.Example/a b', active: false } });
  expect(stored.body.url).toBe('https://hooks.example/a%20b');
  expect(await refusedAt({ sensitivity: 'high', channels: ['public'] })).toEqual([422, '#/sensitivity']);
  expect(await refusedAt({ filter: { colour: 'red' } })).toEqual([422, '#/filter/colour']);
  expect(await refusedAt({ secret: 'mine' })).toEqual([422, '#/secret']);
  const made = await Promise.all(Array.from({ length: 22 }, () => refusedAt({ active: false })));
  expect(made.map(([status]) => status).sort()).toEqual([...Array(19).fill(201), 409, 409, 409]);
});
