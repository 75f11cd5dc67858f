import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { onEmbedded } from '../support/database.ts';
import { get, keysOf, list, pathOf, put, type Row } from './client.ts';

// Patches, batches and versions of state.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const NAMESPACE = 'agent://demo';
const patch = (client: Client, key: string, body: unknown, type = 'merge-patch', headers: Record<string, string> = {}) =>
  client.request('PATCH', pathOf(key), {
    body: JSON.stringify(body),
    headers: { 'content-type': `application/${type}+json`, ...headers },
  });
const operate = (client: Client, key: string, ...operations: Row[]) => patch(client, key, operations, 'json-patch');
const batch = (client: Client, operations: Row[], headers: Record<string, string> = {}) =>
  client.request('POST', '/v1/state/batch', {
    body: { operations: operations.map((one) => ({ namespace: NAMESPACE, ...one })) },
    headers,
  });
const versionsOf = async (client: Client, key: string, query = '') =>
  (await client.request('GET', `${pathOf(key)}/versions${query}`)).body;

test('a merge patch changes members and removes those that are null; tags and expiry stay', async () => {
  const before = await put(alice, 'plan', { body: { a: 1, b: { c: 2, d: 3 } }, tags: { t: 'x' }, ttl_seconds: 3600 });
  const { status, body, headers } = await patch(alice, 'plan', { a: null, b: { c: [1] }, e: 'new' });
  expect([status, headers.get('etag')]).toEqual([200, '"2"']);
  expect(body).toEqual({
    ...before.body,
    body: { b: { c: [1], d: 3 }, e: 'new' },
    version: 2,
    commit_seq: 2,
    updated_at: body.updated_at,
  });
  expect((await get(alice, 'plan')).body).toEqual(body);
  expect((await patch(alice, 'plan', [1])).body.body).toEqual([1]);
  expect((await patch(alice, 'plan', { a: 1 })).body.body).toEqual({ a: 1 });
  expect((await patch(alice, 'absent', {})).status).toBe(404);
  expect((await patch(alice, 'plan', {}, 'merge-patch', { 'if-match': '"1"' })).status).toBe(412);
  expect((await patch(alice, 'plan', { b: 2 }, 'merge-patch', { 'if-match': '"4"' })).body.body).toEqual({ a: 1, b: 2 });
});

test('a JSON patch applies its operations in order, or none', async () => {
  await put(alice, 'plan', { body: { list: [1, 2], 'a/b': 1 } });
  const changed = await operate(
    alice,
    'plan',
    { op: 'test', path: '/list/0', value: 1 },
    { op: 'add', path: '/list/-', value: { n: 3 } },
    { op: 'replace', path: '/a~1b', value: null },
    { op: 'copy', from: '/list', path: '/copy' },
    { op: 'move', from: '/list/0', path: '/first' },
    { op: 'remove', path: '/copy/0' },
  );
  expect(changed.body.body).toEqual({ list: [2, { n: 3 }], 'a/b': null, copy: [2, { n: 3 }], first: 1 });
  const failing = await operate(alice, 'plan', { op: 'remove', path: '/first' }, { op: 'test', path: '/list/0', value: 9 });
  expect([failing.status, failing.body.errors[0].pointer]).toEqual([409, '#/1']);
  for (const operation of [
    { op: 'remove', path: '/none' },
    { op: 'replace', path: '/none', value: 1 },
    { op: 'add', path: '/none/deep', value: 1 },
    { op: 'add', path: '/list/9', value: 1 },
    // 2^32 + 1, which has the same lower 32 bits as 1
    { op: 'add', path: '/list/4294967297', value: 1 },
    { op: 'replace', path: '/list/4294967297', value: 1 },
    { op: 'remove', path: '/list/2' },
    { op: 'remove', path: '/list/-' },
    { op: 'add', path: '/list/01', value: 1 },
    { op: 'add', path: '/first/x', value: 1 },
    { op: 'move', from: '/none', path: '/x' },
    { op: 'add', path: 'list', value: 1 },
    { op: 'other', path: '/list' },
    { op: 'add', path: '/list' },
  ])
    expect([operation, (await operate(alice, 'plan', operation)).status]).toEqual([operation, 422]);
  expect((await get(alice, 'plan')).body.version).toBe(2);
});

test('a patch reaches no inherited member, and its result is bounded', async () => {
  await put(alice, 'plan', { body: { text: 'x'.repeat(1000) } });
  for (const path of ['/__proto__/x', '/constructor/x', '/constructor/prototype/x', '/toString/x', '/text/length'])
    expect([path, (await operate(alice, 'plan', { op: 'add', path, value: 1 })).status]).toEqual([path, 422]);
  for (const path of ['/__proto__', '/constructor', '/toString', '/text/0']) {
    expect([path, (await operate(alice, 'plan', { op: 'remove', path })).status]).toEqual([path, 422]);
    expect([path, (await operate(alice, 'plan', { op: 'replace', path, value: 1 })).status]).toEqual([path, 422]);
  }
  expect((await operate(alice, 'plan', { op: 'test', path: '/text/length', value: 1000 })).status).toBe(409);
  for (const from of ['/__proto__', '/constructor', '/toString'])
    expect([from, (await operate(alice, 'plan', { op: 'copy', from, path: '/x' })).status]).toEqual([from, 422]);
  await put(alice, 'moved', { body: { constructor: {}, list: [{}, { constructor: {} }, {}] } });
  for (const [from, path] of [
    ['/constructor', '/constructor/x'],
    ['/list/0', '/list/1/constructor/x'],
    ['/list/0', '/list/3'],
  ])
    expect([path, (await operate(alice, 'moved', { op: 'move', from, path })).status]).toEqual([path, 422]);
  expect((await patch(alice, 'plan', JSON.parse('{"__proto__": {"x": 1}}'))).status).toBe(400);
  expect(Object.hasOwn(Object, 'x')).toBe(false);
  // each copy doubles the document
  const doubling = Array.from({ length: 60 }, (_, i) => ({ op: 'copy', from: '', path: `/c${i}` }));
  expect((await operate(alice, 'plan', ...doubling)).status).toBe(413);
  const deep = (depth: number): unknown => (depth === 0 ? 1 : { d: deep(depth - 1) });
  await put(alice, 'deep', { body: deep(60) });
  expect((await operate(alice, 'deep', { op: 'copy', from: '', path: `${'/d'.repeat(59)}/d` })).status).toBe(400);
});

test('concurrent patches of one object are all applied', async () => {
  await put(alice, 'plan', { body: { n: 0 } });
  const other = onEmbedded() ? daemon : await startTestDaemon({}, daemon.env);
  try {
    const elsewhere = { ...alice, url: other.url };
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => {
        const client = i % 2 === 0 ? alice : elsewhere;
        return fetch(client.url + pathOf('plan'), {
          method: 'PATCH',
          headers: { authorization: `Bearer ${alice.token}`, 'content-type': 'application/merge-patch+json' },
          body: JSON.stringify({ [`k${i}`]: i }),
        });
      }),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const { body } = await get(alice, 'plan');
    expect([Object.keys(body.body).length, body.version]).toEqual([41, 41]);
  } finally {
    if (other !== daemon) await other.stop();
  }
});

test('a batch writes all or nothing, in order, each change with a seq of its own', async () => {
  await put(alice, 'old', { body: 1 });
  const { status, body } = await batch(alice, [
    { op: 'put', key: 'plan', body: { n: 1 }, tags: { t: 'x' }, ttl_seconds: 3600 },
    { op: 'patch', key: 'plan', merge: { m: 2 } },
    { op: 'patch', key: 'plan', patch: [{ op: 'replace', path: '/n', value: 5 }], if_match: 2 },
    { op: 'delete', key: 'old', if_match: 1 },
    { op: 'put', key: 'old', body: 'again', if_none_match: true },
    { op: 'put', namespace: 'elsewhere', key: 'plan', body: 0 },
  ]);
  expect(status).toBe(200);
  expect(body.data.map(({ key, version, commit_seq }: Row) => [key, version, commit_seq])).toEqual([
    ['plan', 1, 2],
    ['plan', 2, 3],
    ['plan', 3, 4],
    ['old', 2, 5],
    ['old', 3, 6],
    ['plan', 1, 7],
  ]);
  expect(body.data[3]).toEqual({ namespace: NAMESPACE, key: 'old', version: 2, commit_seq: 5 });
  expect((await get(alice, 'plan')).body).toEqual(body.data[2]);
  expect(body.data[2]).toMatchObject({ body: { n: 5, m: 2 }, tags: { t: 'x' }, expires_at: expect.any(String) });
});

test.each([
  ['a version', { op: 'put', key: 'plan', body: 3, if_match: 9 }, 412],
  ['an existing object', { op: 'put', key: 'plan', body: 3, if_none_match: true }, 412],
  ['an object that an earlier operation created', { op: 'put', key: 'new', body: 3, if_none_match: true }, 412],
  ['the audience', { op: 'put', key: 'plan', body: 3, channel: 'public' }, 409],
  ['an absent object', { op: 'delete', key: 'absent' }, 404],
  ['a patch of an absent object', { op: 'patch', key: 'absent', merge: {} }, 404],
  ['a patch that does not apply', { op: 'patch', key: 'plan', patch: [{ op: 'remove', path: '/x' }] }, 422],
  ['an object that an earlier operation deleted', { op: 'patch', key: 'old', merge: {} }, 404],
])('a batch that is refused because of %s names the operation and writes nothing', async (_, operation, expected) => {
  await put(alice, 'plan', { body: 1 });
  await put(alice, 'old', { body: 1 });
  const { status, body } = await batch(alice, [{ op: 'put', key: 'new', body: 2 }, { op: 'delete', key: 'old' }, operation]);
  expect([status, body.errors[0].pointer]).toEqual([expected, expect.stringMatching(/^#\/operations\/2(\/patch\/0.*)?$/)]);
  expect(keysOf(await list(alice))).toEqual(['old', 'plan']);
  expect((await alice.request('GET', '/v1/usage')).body.last_seq).toBe(2);
});

test.each<[string, Row]>([
  ['deletes its object', { op: 'delete', key: 'plan', if_match: 9 }],
  ['replaces its object', { op: 'put', key: 'plan', body: [], if_match: 9 }],
])('a patch does not hide that an earlier operation is refused, which %s', async (_, earlier) => {
  await put(alice, 'plan', { body: { n: 1 } });
  for (const patch of [{ merge: { m: 1 } }, { patch: [{ op: 'test', path: '/n', value: 2 }] }]) {
    const { status, body } = await batch(alice, [earlier, { op: 'patch', key: 'plan', ...patch }]);
    expect([status, body.errors]).toEqual([412, [expect.objectContaining({ pointer: '#/operations/0' })]]);
  }
  expect((await get(alice, 'plan')).body).toMatchObject({ body: { n: 1 }, version: 1 });
});

test('a batch is validated and replayed as a whole', async () => {
  expect((await batch(alice, [{ op: 'patch', key: 'a' }])).status).toBe(422);
  expect((await batch(alice, [{ op: 'put', key: '..', body: 1 }])).status).toBe(422);
  expect((await batch(alice, [{ op: 'delete', key: 'a', body: 1 }])).status).toBe(422);
  expect((await batch(alice, [])).status).toBe(422);
  const operations = [
    { op: 'put', key: 'a', body: { n: 1 } },
    { op: 'patch', key: 'a', merge: { m: 1 } },
    { op: 'delete', key: 'a' },
  ];
  const key = { 'idempotency-key': 'all' };
  const [first, again] = [await batch(alice, operations, key), await batch(alice, operations, key)];
  expect([again.status, again.headers.get('idempotent-replay'), again.body]).toEqual([200, 'true', first.body]);
  const secret = `ghp_${'Ab1Cd2Ef3G'.repeat(4).slice(0, 36)}`;
  const screened = await batch(alice, [
    { op: 'put', key: 'b', body: secret },
    { op: 'put', key: 'c', body: 'plain' },
  ]);
  expect(screened.body.data.map(({ body, redactions }: Row) => [body === secret, redactions])).toEqual([
    [false, 1],
    [false, undefined],
  ]);
  const named = await batch(alice, [
    { op: 'put', key: 'd', body: 1 },
    { op: 'put', key: secret, body: 1 },
  ]);
  expect([named.status, named.body.errors[0].pointer]).toEqual([422, '#/operations/1/key']);
});

test('a batch of 1,000 operations is one transaction', async () => {
  const operations = Array.from({ length: 1000 }, (_, i) => ({ op: 'put', key: `key${i % 400}`, body: i }));
  const { status, body } = await batch(alice, operations);
  if (status !== 200) throw new Error(JSON.stringify(body));
  expect([status, body.data.length, body.data.at(-1)]).toEqual([
    200,
    1000,
    expect.objectContaining({ version: 3, commit_seq: 1000 }),
  ]);
  expect((await batch(alice, [...operations, operations[0]!])).status).toBe(422);
});

test('versions are listed newest first, with deletions, and only to those who see the object', async () => {
  await put(alice, 'plan', { body: 1, tags: { a: 'b' } });
  await put(alice, 'plan', { body: null });
  await alice.request('DELETE', pathOf('plan'));
  const { data } = await versionsOf(alice, 'plan');
  expect(data.map(({ version, change, commit_seq, body, tags }: Row) => [version, change, commit_seq, body, tags])).toEqual([
    [3, 'deleted', 3, undefined, undefined],
    [2, 'put', 2, null, {}],
    [1, 'put', 1, 1, { a: 'b' }],
  ]);
  const first = await versionsOf(alice, 'plan', '?limit=2');
  expect((await versionsOf(alice, 'plan', `?limit=2&cursor=${first.next_cursor}`)).data).toEqual([data[2]]);
  expect((await alice.request('GET', `${pathOf('absent')}/versions`)).status).toBe(404);
  const bob = await newColleague(alice);
  await put(alice, 'own', { body: 1, channel: 'private' });
  expect((await bob.request('GET', `${pathOf('own')}/versions`)).status).toBe(404);
  expect((await patch(bob, 'own', {})).status).toBe(404);
  expect((await batch(bob, [{ op: 'delete', key: 'own' }])).status).toBe(404);
});
