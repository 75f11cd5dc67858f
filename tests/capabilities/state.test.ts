import { type Call, clientOf, makeOwner, makeUser } from '../auth/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { readEvents } from '../support/sse.ts';
import { minted, settings } from './support.ts';

// State and leases with a capability: its operations, its namespaces and its visibility.

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon(settings);
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

type Person = Awaited<ReturnType<typeof makeOwner>>;
const NS = 'agent://demo';
const pathOf = (ns: string, key: string) => `/v1/state/${encodeURIComponent(ns)}/${key}`;
const tokenFor = async (by: Person, more: object) => ({ token: (await minted(call, by, more)).capability });
const put = (by: { token: string }, ns: string, key: string, more: object = {}) =>
  call('PUT', pathOf(ns, key), { ...by, body: { body: { n: 1 }, ...more } });

/** Opens a watch, and returns its status. */
async function watch({ token }: { token: string }): Promise<number> {
  const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' };
  const response = await fetch(`${daemon.url}/v1/state/${encodeURIComponent(NS)}`, { headers });
  await response.body!.cancel();
  return response.status;
}

/** Requests by the operation that each needs. They succeed in this order. */
const requests: [op: string, name: string, send: (by: { token: string }) => Promise<{ status: number }>][] = [
  ['PUT', 'put', (by) => put(by, NS, 'a')],
  [
    'PUT',
    'patch',
    (by) =>
      call('PATCH', pathOf(NS, 'a'), { ...by, body: { n: 2 }, headers: { 'content-type': 'application/merge-patch+json' } }),
  ],
  [
    'PUT',
    'batch',
    (by) => call('POST', '/v1/state/batch', { ...by, body: { operations: [{ op: 'put', namespace: NS, key: 'b', body: 1 }] } }),
  ],
  ['GET', 'read', (by) => call('GET', pathOf(NS, 'a'), by)],
  ['GET', 'list', (by) => call('GET', `/v1/state/${encodeURIComponent(NS)}`, by)],
  ['GET', 'query', (by) => call('POST', '/v1/state/query', { ...by, body: { namespace: NS } })],
  ['GET', 'versions', (by) => call('GET', `${pathOf(NS, 'a')}/versions`, by)],
  ['WATCH', 'watch', async (by) => ({ status: await watch(by) })],
  [
    'LEASE',
    'acquire',
    (by) => call('PUT', `/v1/leases/${encodeURIComponent(`${NS}/lock`)}`, { ...by, body: { owner: 'me', ttl_ms: 60_000 } }),
  ],
  [
    'ADMIN',
    'snapshot',
    (by) => call('POST', '/v1/snapshots', { ...by, body: { name: `s${Math.random().toString(36).slice(2)}` } }),
  ],
  [
    'ADMIN',
    'fork',
    (by) => call('POST', `/v1/state/${encodeURIComponent(NS)}/fork`, { ...by, body: { to: `${NS}/f${Math.random()}` } }),
  ],
  ['DELETE', 'delete', (by) => call('DELETE', pathOf(NS, 'a'), by)],
];

test.each(['PUT', 'GET', 'DELETE', 'WATCH', 'LEASE', 'ADMIN'])('%s alone permits its own requests and no others', async (op) => {
  const owner = await makeOwner(call);
  const own = await tokenFor(owner, { ops: [op] });
  for (const [needed, name, send] of requests) {
    await put(owner, NS, 'a');
    const { status } = await send(own);
    expect([name, needed === op ? status < 300 : status]).toEqual([name, needed === op ? true : 403]);
  }
});

test('a capability is limited to its namespaces, also if ns is a string', async () => {
  const owner = await makeOwner(call);
  const one = await tokenFor(owner, { ns: 'agent://demo', ops: ['PUT', 'GET', 'LEASE'] });
  const names = ['agent://demo', 'agent://demo/x', 'agent://demos', 'agent://', 'other'];
  const statuses = async (send: (ns: string) => Promise<{ status: number }>) => {
    const answers: number[] = [];
    for (const ns of names) answers.push((await send(ns)).status);
    return answers;
  };
  expect(await statuses((ns) => put(one, ns, 'k'))).toEqual([201, 201, 403, 403, 403]);
  for (const ns of names) await put(owner, ns, 'k');
  expect(await statuses((ns) => call('GET', pathOf(ns, 'k'), one))).toEqual([200, 200, 403, 403, 403]);
  expect(await statuses((namespace) => call('POST', '/v1/state/query', { ...one, body: { namespace } }))).toEqual([
    200, 200, 403, 403, 403,
  ]);
  const acquire = (key: string) =>
    call('PUT', `/v1/leases/${encodeURIComponent(key)}`, { ...one, body: { owner: 'me', ttl_ms: 1000 } });
  expect(await statuses(acquire)).toEqual([200, 200, 403, 403, 403]);
});

test('a batch needs the operation and the namespace of each of its entries; otherwise nothing is written', async () => {
  const owner = await makeOwner(call);
  const one = await tokenFor(owner, { ops: ['PUT', 'GET'] });
  const batch = (...operations: object[]) => call('POST', '/v1/state/batch', { ...one, body: { operations } });
  const write = { op: 'put', namespace: NS, key: 'k', body: 1 };
  expect((await batch(write, { op: 'delete', namespace: NS, key: 'k' })).status).toBe(403);
  expect((await batch(write, { ...write, namespace: 'other' })).status).toBe(403);
  // a body that a worker thread parses
  expect((await batch({ ...write, body: 'x'.repeat(100_000) }, { ...write, namespace: 'other' })).status).toBe(403);
  expect((await call('GET', pathOf(NS, 'k'), owner)).status).toBe(404);
  expect((await batch(write, { ...write, key: 'l' })).status).toBe(200);
});

test('a fork needs both namespaces, and a restore or diff without a namespace needs **', async () => {
  const owner = await makeOwner(call);
  await put(owner, NS, 'k');
  await call('POST', '/v1/snapshots', { token: owner.token, body: { name: 'before' } });
  const [some, all] = [await tokenFor(owner, { ops: ['ADMIN'] }), await tokenFor(owner, { ops: ['ADMIN'], ns: '**' })];
  const fork = async (by: { token: string }, from: string, to: string) =>
    (await call('POST', `/v1/state/${encodeURIComponent(from)}/fork`, { ...by, body: { to } })).status;
  expect([await fork(some, NS, 'elsewhere'), await fork(some, 'elsewhere', NS), await fork(some, NS, `${NS}/copy`)]).toEqual([
    403, 403, 201,
  ]);
  const restore = async (by: { token: string }, more: object) =>
    (await call('POST', '/v1/state/restore', { ...by, body: { at: 'before', dry_run: true, ...more } })).status;
  expect([
    await restore(some, {}),
    await restore(some, { namespace: 'other' }),
    await restore(some, { namespace: NS }),
    await restore(all, {}),
  ]).toEqual([403, 403, 200, 200]);
  const diff = async (by: { token: string }, query: string) =>
    (await call('GET', `/v1/snapshots/before/diff${query}`, by)).status;
  expect([await diff(some, ''), await diff(some, `?namespace=${encodeURIComponent(NS)}`), await diff(all, '')]).toEqual([
    403, 200, 200,
  ]);
});

test('a capability sees the private objects of its minter alone, also if the minter is an admin', async () => {
  const owner = await makeOwner(call);
  const [mia, otto] = [await makeUser(call, owner, 'member', 'mia'), await makeUser(call, owner, 'member', 'otto')];
  expect((await put(await tokenFor(mia, { ops: ['PUT'] }), NS, 'diary', { channel: 'private' })).status).toBe(201);
  const read = async (by: Person) => (await call('GET', pathOf(NS, 'diary'), await tokenFor(by, { ops: ['GET'] }))).status;
  expect([await read(mia), await read(otto), await read(owner)]).toEqual([200, 404, 404]);
});

test('a watch ends when its capability is revoked', async () => {
  const owner = await makeOwner(call);
  const { capability, jti } = await minted(call, owner, { ops: ['WATCH'] });
  const headers = { authorization: `Bearer ${capability}`, accept: 'text/event-stream' };
  const stream = await fetch(`${daemon.url}/v1/state/${encodeURIComponent(NS)}`, { headers });
  const events = readEvents(stream);
  await put(owner, NS, 'first');
  for (let seen = ''; seen !== 'put'; ) seen = (await events.next()).value?.event ?? '';
  await call('DELETE', `/v1/capabilities/${jti}`, owner);
  for (let done = false; !done; ) done = (await events.next()).done === true;
  expect((await fetch(`${daemon.url}/v1/state/${encodeURIComponent(NS)}`, { headers })).status).toBe(401);
});
