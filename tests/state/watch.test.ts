import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { del, get, put } from './client.ts';
import { brief, type Watching, watch } from './watching.ts';

let daemon: TestDaemon;
let alice: Client;
const open: Watching[] = [];
const watching = async (...input: Parameters<typeof watch>) => {
  open.push(await watch(...input));
  return open.at(-1)!;
};
beforeAll(async () => {
  daemon = await startTestDaemon({ WATCH_BUFFER_SIZE: '100', WATCH_BUFFER_BYTES: String(1024 * 1024) });
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterEach(() => {
  jest.restoreAllMocks();
  for (const one of open.splice(0)) one.close();
});
afterAll(() => daemon.stop());

/** Changes timers of one length, so that the result does not depend on the speed of the machine. */
function changeTimers(kind: 'setTimeout' | 'setInterval', from_ms: number, to_ms: number): void {
  const real = globalThis[kind] as (work: () => void, ms?: number) => NodeJS.Timeout;
  const changed = (work: () => void, ms?: number) => real(work, ms === from_ms ? to_ms : ms);
  jest.spyOn(globalThis, kind).mockImplementation(changed as never);
}
const figure = async (series: string) => {
  const text = await (await fetch(`${daemon.url}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return Number(line?.split(' ')[1]);
};

test('a watch receives puts with the object as it is read, deletions and expiries with its name and version', async () => {
  const stream = await watching(alice);
  const { body: first } = await put(alice, 'plan', { body: { step: 1 }, tags: { status: 'open' }, project_id: 'p1' });
  await alice.request('POST', '/v1/events', { body: message('not a change') });
  await put(alice, 'plan', { body: null, ttl_seconds: 3600 });
  const second = (await get(alice, 'plan')).body;
  await del(alice, 'plan');
  await put(alice, 'brief', { body: 1, ttl_seconds: 1 });
  const changes = await stream.take(5);
  expect(changes.slice(0, 4)).toEqual([
    { id: 1, event: 'put', data: first },
    { id: 3, event: 'put', data: second },
    { id: 4, event: 'delete', data: { namespace: 'agent://demo', key: 'plan', version: 3, commit_seq: 4 } },
    { id: 5, event: 'put', data: expect.objectContaining({ key: 'brief', body: 1, expires_at: expect.any(String) }) },
  ]);
  // the sweep records the expiry
  expect(changes[4]).toEqual({
    id: 6,
    event: 'expired',
    data: { namespace: 'agent://demo', key: 'brief', version: 2, commit_seq: 6 },
  });
  expect(await figure('watch_events_total{type="expired"}')).toBe(1);
});

test('a watch starts now by default, with from_commit at that seq, and with Last-Event-ID after it, of which the header takes precedence', async () => {
  for (const key of ['a', 'b', 'c']) await put(alice, key, { body: 1 });
  const [now, from, beginning, header] = [
    await watching(alice),
    await watching(alice, '?from_commit=2'),
    await watching(alice, '?from_commit=0'),
    await watching(alice, '?from_commit=1', { headers: { 'last-event-id': '2' } }),
  ];
  await put(alice, 'd', { body: 1 });
  expect((await now.take(1)).map(({ id }) => id)).toEqual([4]);
  expect((await from.take(3)).map(({ id }) => id)).toEqual([2, 3, 4]);
  expect((await beginning.take(4)).map(({ id }) => id)).toEqual([1, 2, 3, 4]);
  expect((await header.take(2)).map(({ id }) => id)).toEqual([3, 4]);
});

test('a list refuses from_commit, and a Last-Event-ID beyond the end of the log returns 410', async () => {
  const listed = await alice.request('GET', '/v1/state/agent%3A%2F%2Fdemo?from_commit=1');
  expect([listed.status, listed.body.errors[0].parameter]).toEqual([422, 'from_commit']);
  const beyond = await watching(alice, '', { headers: { 'last-event-id': '5' } });
  expect([beyond.response.status, await beyond.response.json()]).toMatchObject([410, { last_seq: 0 }]);
});

test('an object is sent if it matches the filter before or after a change', async () => {
  await put(alice, 'task/1', { body: 1, tags: { status: 'open', owner: 'x' } });
  const stream = await watching(alice, '?prefix=task%2F&tag=status:open&tag=owner:x&from_commit=1');
  await put(alice, 'task/1', { body: 2, tags: { status: 'done', owner: 'x' } });
  // matches neither before nor after
  await put(alice, 'task/1', { body: 3, tags: { status: 'done', owner: 'x' } });
  await put(alice, 'task/1', { body: 4, tags: { status: 'open', owner: 'x', more: 'y' } });
  await put(alice, 'note/1', { body: 5, tags: { status: 'open', owner: 'x' } });
  await put(alice, 'task/2', { body: 6, tags: { status: 'open' } });
  await del(alice, 'task/2');
  await del(alice, 'task/1');
  // what was deleted does not match before
  await put(alice, 'task/1', { body: 7, tags: { status: 'done', owner: 'x' } });
  await put(alice, 'task/3', { body: 8, tags: { status: 'open', owner: 'x' } });
  expect(brief(await stream.take(5))).toEqual([
    [1, 'put', 'task/1', 1],
    [2, 'put', 'task/1', 2],
    [4, 'put', 'task/1', 4],
    [8, 'delete', 'task/1', 5],
    [10, 'put', 'task/3', 1],
  ]);
});

test('other namespaces and prefixes that only look alike are not sent', async () => {
  const stream = await watching(alice, '?prefix=a_');
  await put(alice, 'ab', { body: 1 });
  await put(alice, 'a_1', { body: 1 }, {}, 'agent://demo/deeper');
  await put(alice, 'a_1', { body: 1 });
  expect(brief(await stream.take(1))).toEqual([[3, 'put', 'a_1', 1]]);
});

test('a watch shows private objects to their owner alone, to an admin who asks for all, and nothing of another tenant', async () => {
  const bob = await newColleague(alice);
  const stranger = await newTenant(daemon.url);
  const [ofBob, ofAlice, ofAll] = [await watching(bob), await watching(alice), await watching(alice, '?all_users=true')];
  await put(bob, 'secret plan', { body: 'of bob', channel: 'private' });
  await put(stranger, 'elsewhere', { body: 'of a stranger', channel: 'public' });
  await put(alice, 'shared', { body: 'for all' });
  expect((await ofBob.take(2)).map(({ data }) => data.body)).toEqual(['of bob', 'for all']);
  expect((await ofAll.take(2)).map(({ data }) => data.body)).toEqual(['of bob', 'for all']);
  expect((await ofAlice.take(1)).map(({ data }) => data.body)).toEqual(['for all']);
});

test('a revoked key loses its watch', async () => {
  const key = (await alice.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'reader', scopes: ['read'] } })).body;
  const stream = await watching({ url: daemon.url, token: key.api_key });
  await alice.request('DELETE', `/auth/api-keys/${key.key_id}`);
  expect((await stream.rest()).filter(({ data }) => data)).toEqual([]);
});

test('a capability for a namespace can watch it with the operation WATCH alone, until it is revoked', async () => {
  const mint = async (ops: string[]) =>
    (await alice.request('POST', '/v1/capabilities', { body: { ns: 'agent://demo', ops, expires_in: 600 } })).body;
  const [watcher, reader] = [await mint(['WATCH']), await mint(['GET'])];
  expect((await watching({ url: daemon.url, token: reader.capability })).response.status).toBe(403);
  expect(
    (await watching({ url: daemon.url, token: watcher.capability }, '', { namespace: 'agent://other' })).response.status,
  ).toBe(403);
  const stream = await watching({ url: daemon.url, token: watcher.capability });
  await put(alice, 'plan', { body: 1 });
  expect(brief(await stream.take(1))).toEqual([[1, 'put', 'plan', 1]]);
  await alice.request('DELETE', `/v1/capabilities/${watcher.jti}`);
  expect((await stream.rest()).filter(({ data }) => data)).toEqual([]);
});

test('after a trim, an earlier from_commit returns 410, and changes are compared with versions from before the trim', async () => {
  await put(alice, 'plan', { body: 1, tags: { status: 'open' } });
  await put(alice, 'gone', { body: 1, tags: { status: 'open' } });
  for (let i = 0; i < 3; i += 1) await alice.request('POST', '/v1/events', { body: message('x') });
  await put(alice, 'plan', { body: 2, tags: { status: 'done' } });
  await del(alice, 'gone');
  const trim = await alice.request('POST', '/v1/retention/runs', { body: { trim_before_seq: 5 } });
  expect(trim.status).toBe(202);
  const oldest = async () => (await watching(alice, '?from_commit=1')).response;
  await eventually(async () => (await oldest()).status === 410, 'the trim');
  expect(await (await oldest()).json()).toMatchObject({ oldest_seq: 5 });
  const stream = await watching(alice, '?tag=status:open&from_commit=5');
  expect(brief(await stream.take(2))).toEqual([
    [6, 'put', 'plan', 2],
    [7, 'delete', 'gone', 2],
  ]);
});

test('a filter that matches nothing does not delay the position', async () => {
  changeTimers('setInterval', 15_000, 20);
  const stream = await watching(alice, '?tag=status:none');
  for (let i = 0; i < 5; i += 1) await put(alice, `k${i}`, { body: i });
  expect(await stream.until(5)).toEqual([]);
  await alice.request('POST', '/v1/events', { body: { events: Array.from({ length: 1000 }, () => message('x')) } });
  expect(await stream.until(1005)).toEqual([]);
});

test('a watcher that takes nothing overflows, and resumes without a gap', async () => {
  const body = 'x'.repeat(300_000);
  const total = 80;
  for (let i = 0; i < total; i += 1) expect((await put(alice, `k${i}`, { body: { body } })).status).toBe(201);
  changeTimers('setTimeout', 30_000, 2 ** 31 - 1);
  const slow = await watching(alice, '?from_commit=1');
  await eventually(async () => (await figure('watch_drops_total')) > 0, 'the overflow');
  const sent = await slow.rest();
  const seen = sent.filter(({ event }) => event === 'put').map(({ id }) => Number(id));
  const last = seen.at(-1)!;
  expect([sent.at(-1)!.event, JSON.parse(sent.at(-1)!.data!), last < total]).toEqual(['overflow', { last_seq: last }, true]);
  const rest = await watching(alice, `?from_commit=${last + 1}`);
  seen.push(...(await rest.take(total - last)).map(({ id }) => id));
  expect(seen).toEqual(Array.from({ length: total }, (_, i) => i + 1));
});
