import { type Client, message, newColleague, newTenant, PASSWORD, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { readEvents, type ServerSent } from '../support/sse.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon({ MAX_SSE_CLIENTS: '3' });
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterEach(() => void jest.restoreAllMocks());
afterAll(() => daemon.stop());

const open = async (client: Client, query = '', headers: Record<string, string> = {}) => {
  const abort = new AbortController();
  const response = await fetch(`${daemon.url}/v1/events${query}`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${client.token}`, ...headers },
    signal: abort.signal,
  });
  return { response, close: () => abort.abort(), events: response.ok ? readEvents(response) : undefined };
};
const take = async (events: AsyncGenerator<ServerSent>, count: number) => {
  const got: any[] = [];
  while (got.length < count) {
    const { value, done } = await events.next();
    if (done) break;
    if (value.data) got.push({ ...JSON.parse(value.data), id: value.id, name: value.event });
  }
  return got;
};
const figure = async (series: string) => {
  const text = await (await fetch(`${daemon.url}/metrics`)).text();
  return Number(new RegExp(`^${series} (.*)$`, 'm').exec(text)![1]);
};
const write = (client: Client, text: string, more = {}) => client.request('POST', '/v1/events', { body: message(text, more) });

test('a stream starts now by default, or at `after` or Last-Event-ID, of which the header takes precedence', async () => {
  await write(alice, 'before');
  const [now, after, header] = [
    await open(alice),
    await open(alice, '?after=0'),
    await open(alice, '?after=0', { 'last-event-id': '1' }),
  ];
  await write(alice, 'new');
  expect((await take(now.events!, 1)).map((e) => e.content.text)).toEqual(['new']);
  const both = await take(after.events!, 2);
  expect(both.map((e) => [e.id, e.name, e.seq, e.content.text])).toEqual([
    ['1', 'message', 1, 'before'],
    ['2', 'message', 2, 'new'],
  ]);
  expect((await take(header.events!, 1)).map((e) => e.seq)).toEqual([2]);
  for (const stream of [now, after, header]) stream.close();
});

test('a follower receives what its channel, subject and filters allow, and nothing of another tenant', async () => {
  const bob = await newColleague(alice);
  const stranger = await newTenant(daemon.url);
  const stream = await open(bob, '?channel=private&session_id=s1');
  await write(alice, 'private to alice');
  await write(stranger, 'elsewhere', { channel: 'public' });
  await write(alice, 'another session', { channel: 'team', session_id: 's2' });
  await write(alice, 'for all', { channel: 'team' });
  expect((await take(stream.events!, 1)).map((e) => [e.seq, e.content.text])).toEqual([[3, 'for all']]);
  stream.close();
});

test('a stream has the headers that prevent proxies from buffering events', async () => {
  const { response, close } = await open(alice);
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
  expect(response.headers.get('cache-control')).toContain('no-transform');
  expect(response.headers.get('x-accel-buffering')).toBe('no');
  close();
});

test('a Last-Event-ID beyond the end of the log returns 410 with its end, because the log was restored', async () => {
  await write(alice, 'one');
  const last = await open(alice, '', { 'last-event-id': '1' });
  expect(last.response.status).toBe(200);
  last.close();
  const beyond = await open(alice, '', { 'last-event-id': '2' });
  expect([beyond.response.status, await beyond.response.json()]).toMatchObject([410, { oldest_seq: 1, last_seq: 1 }]);
});

test('a start before the beginning of the log returns 410 with oldest_seq, an invalid Last-Event-ID 422, too many followers 429', async () => {
  const bad = await open(alice, '', { 'last-event-id': 'x' });
  expect(bad.response.status).toBe(422);
  const streams = [await open(alice), await open(alice), await open(alice)];
  const refused = await open(alice);
  expect([refused.response.status, refused.response.headers.get('retry-after')]).toEqual([429, '5']);
  for (const stream of streams) stream.close();
});

/** Makes the grace period of a slow client (OVERFLOW_GRACE_MS) endless, so that the test passes on a busy machine. */
function makeGracePeriodEndless(): void {
  const real = setTimeout;
  const longer = (work: () => void, ms?: number) => real(work, ms === 30_000 ? 2 ** 31 - 1 : ms);
  jest.spyOn(globalThis, 'setTimeout').mockImplementation(longer as typeof setTimeout);
}

test('a slow client gets an overflow event with its position, and misses nothing when it resumes there', async () => {
  const text = 'x'.repeat(60_000);
  // more than fits into the buffers of both ends and of the kernel
  const total = 300;
  for (let i = 0; i < total; i += 25)
    await alice.request('POST', '/v1/events', { body: { events: Array.from({ length: 25 }, () => message(text)) } });
  makeGracePeriodEndless();
  const reader = (await open(alice, '?after=0')).events!;
  await eventually(async () => (await figure('agent_memory_follower_overflows_total')) > 0, 'the reader is let go');
  const seen: number[] = [];
  let overflow: number | undefined;
  for await (const { event, data } of reader) {
    if (event === 'overflow') overflow = JSON.parse(data!).last_seq;
    else if (data) seen.push(JSON.parse(data).seq);
  }
  expect(seen.length).toBeLessThan(total);
  expect(overflow).toBe(seen.at(-1));
  const rest = await open(alice, '', { 'last-event-id': String(overflow) });
  seen.push(...(await take(rest.events!, total - seen.length)).map((e) => e.seq));
  expect(seen).toEqual(Array.from({ length: total }, (_, i) => i + 1));
  rest.close();
}, 300_000);

test('a client that disconnects while its stream is being opened occupies no slot', async () => {
  for (let i = 0; i < 30; i += 1) {
    const abort = new AbortController();
    const opening = fetch(`${daemon.url}/v1/events`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${alice.token}` },
      signal: abort.signal,
    }).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, i % 5));
    abort.abort();
    await opening;
  }
  await eventually(async () => (await figure('agent_memory_followers')) === 0, 'every stream is closed');
  const streams = [await open(alice), await open(alice), await open(alice)];
  expect(streams.map(({ response }) => response.status)).toEqual([200, 200, 200]);
  for (const stream of streams) stream.close();
});

const isOver = async (events: AsyncGenerator<ServerSent>) => {
  while (!(await events.next()).done);
  return true;
};
const logIn = async ({ tenant_id, username }: Client) =>
  (await alice.request('POST', '/auth/login', { body: { tenant_id, username, password: PASSWORD } })).body;

test('a log-out soon ends the streams of its session; other streams of the tenant continue', async () => {
  const second = await logIn(alice);
  const [own, other] = [await open(alice), await open({ ...alice, token: second.access_token })];
  await alice.request('POST', '/auth/logout', { body: { refresh_token: alice.refresh_token } });
  expect(await isOver(own.events!)).toBe(true);
  await write(
    { ...alice, request: (method, path, asked) => send(daemon.url, method, path, asked, second.access_token) },
    'goes on',
  );
  expect((await take(other.events!, 1)).map((e) => e.content.text)).toEqual(['goes on']);
  other.close();
});

test('disabling a user, revoking a key and demoting the creator of a key end the affected streams', async () => {
  const carol = await newColleague(alice, 'carol', 'admin');
  const bob = await newColleague(alice);
  const key = (await carol.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'admin', scopes: ['read', 'admin'] } }))
    .body;
  const second = (await alice.request('POST', '/auth/api-keys', { body: { name: 'l', role: 'reader', scopes: ['read'] } })).body;
  const streams = [
    await open({ ...carol, token: key.api_key }, '?user_id=bob'),
    await open({ ...alice, token: second.api_key }),
    await open(bob),
  ];
  expect(streams.map(({ response }) => response.status)).toEqual([200, 200, 200]);
  await alice.request('PATCH', `/auth/users/${carol.user_id}`, { body: { role: 'member' } });
  expect(await isOver(streams[0]!.events!)).toBe(true);
  await alice.request('DELETE', `/auth/api-keys/${second.key_id}`);
  expect(await isOver(streams[1]!.events!)).toBe(true);
  await alice.request('PATCH', `/auth/users/${bob.user_id}`, { body: { disabled: true } });
  expect(await isOver(streams[2]!.events!)).toBe(true);
});
