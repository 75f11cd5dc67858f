import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { readEvents } from '../support/sse.ts';
import { del, get, keysOf, list, pathOf, put, type Row } from './client.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const lastSeq = async (client: Client) => (await client.request('GET', '/v1/usage')).body.last_seq;
const eventsOf = async (client: Client, query = 'channel=team') =>
  (await client.request('GET', `/v1/events?${query}&order=asc`)).body.data as Row[];

test('an object is created, replaced, read and deleted; versions grow over the deletion', async () => {
  const first = await put(alice, 'plan', { body: { step: 1, none: null }, tags: { 'a.b': 'x' } });
  expect([first.status, first.headers.get('etag'), first.body]).toEqual([
    201,
    '"1"',
    {
      ...{
        namespace: 'agent://demo',
        key: 'plan',
        body: { step: 1, none: null },
        tags: { 'a.b': 'x' },
        version: 1,
        commit_seq: 1,
      },
      ...{ channel: 'team', created_at: expect.any(String), updated_at: first.body.created_at },
    },
  ]);
  const second = await put(alice, 'plan', { body: null });
  expect([second.status, second.body]).toEqual([
    200,
    { ...first.body, body: null, tags: {}, version: 2, commit_seq: 2, updated_at: expect.any(String) },
  ]);
  const read = await get(alice, 'plan');
  expect([read.status, read.headers.get('etag'), read.body]).toEqual([200, '"2"', second.body]);
  expect((await alice.request('GET', pathOf('plan'), { headers: { 'if-none-match': '"2"' } })).status).toBe(304);
  expect((await del(alice, 'plan')).status).toBe(204);
  expect([(await get(alice, 'plan')).status, (await del(alice, 'plan')).status]).toEqual([404, 404]);
  const again = await put(alice, 'plan', { body: [1] });
  expect([again.status, again.body.version, again.body.commit_seq]).toEqual([201, 4, 4]);
  expect((await eventsOf(alice)).map(({ kind, content }) => [kind, content.version])).toEqual([
    ['state.put', 1],
    ['state.put', 2],
    ['state.deleted', 3],
    ['state.put', 4],
  ]);
});

test('each earlier moment can be read by its seq and by its time', async () => {
  const first = await put(alice, 'plan', { body: 'one', tags: { n: '1' } });
  await put(alice, 'other', { body: 'between' });
  const second = await put(alice, 'plan', { body: 'two' });
  await del(alice, 'plan');
  expect((await get(alice, 'plan', '?at=1')).body).toEqual(first.body);
  expect((await get(alice, 'plan', '?at=2')).body).toEqual(first.body);
  expect((await get(alice, 'plan', `?at=${second.body.updated_at}`)).body).toEqual(second.body);
  expect((await get(alice, 'plan', '?at=4')).status).toBe(404);
  expect((await get(alice, 'plan', '?at=0')).status).toBe(404);
  expect((await get(alice, 'plan', '?at=2020-01-01T00:00:00Z')).status).toBe(404);
  expect((await get(alice, 'plan', '?at=5')).status).toBe(422);
  expect((await get(alice, 'plan', '?at=no-such-snapshot')).status).toBe(404);
  expect((await get(alice, 'plan', '?at=%20')).status).toBe(422);
});

test('conditions are compared with the current version', async () => {
  const conditional = (headers: Record<string, string>, key = 'plan') => put(alice, key, { body: 0 }, headers);
  expect((await conditional({ 'if-match': '*' })).status).toBe(412);
  expect((await conditional({ 'if-match': '"1"' })).status).toBe(412);
  expect((await conditional({ 'if-none-match': '*' })).status).toBe(201);
  expect((await conditional({ 'if-none-match': '*' })).status).toBe(412);
  expect((await conditional({ 'if-match': '"1"' })).body.version).toBe(2);
  expect((await conditional({ 'if-match': '"1"' })).status).toBe(412);
  expect((await conditional({ 'if-match': 'W/"2"' })).status).toBe(412);
  expect((await conditional({ 'if-match': '"9", "2"' })).body.version).toBe(3);
  expect((await conditional({ 'if-match': '*' })).body.version).toBe(4);
  expect((await del(alice, 'plan', { 'if-match': '"3"' })).status).toBe(412);
  expect((await del(alice, 'plan', { 'if-match': '"4"' })).status).toBe(204);
  expect((await conditional({ 'if-match': '"5"' })).status).toBe(412);
  expect(await lastSeq(alice)).toBe(5);
});

test('of 20 concurrent writes of the same version one succeeds', async () => {
  await put(alice, 'plan', { body: 0 });
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => put(alice, 'plan', { body: i + 1 }, { 'if-match': '"1"' })),
  );
  const won = answers.filter(({ status }) => status === 200);
  expect([won.length, answers.filter(({ status }) => status === 412).length]).toEqual([1, 19]);
  expect((await get(alice, 'plan')).body).toEqual(won[0]!.body);
});

test('concurrent creations of one key and changes of many are serialized: every version is written once', async () => {
  const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => put(alice, `key${i % 3}`, { body: i })));
  expect(answers.filter(({ status }) => status === 201).length).toBe(3);
  for (const key of ['key0', 'key1', 'key2']) {
    const versions = answers.filter(({ body }) => body.key === key).map(({ body }) => body.version);
    expect(versions.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    const last = answers.find(({ body }) => body.key === key && body.version === 20)!;
    expect((await get(alice, key)).body).toEqual(last.body);
  }
});

test('a retry returns the first outcome, also after later changes; another body is 409', async () => {
  const key = { 'idempotency-key': 'once' };
  const first = await put(alice, 'plan', { body: 1 }, key);
  await put(alice, 'plan', { body: 2 });
  const again = await put(alice, 'plan', { body: 1 }, key);
  expect([again.status, again.headers.get('idempotent-replay'), again.body]).toEqual([201, 'true', first.body]);
  expect((await put(alice, 'plan', { body: 9 }, key)).status).toBe(409);
  const gone = { 'idempotency-key': 'gone' };
  expect([(await del(alice, 'plan', gone)).status, (await del(alice, 'plan', gone)).status]).toEqual([204, 204]);
  expect(await lastSeq(alice)).toBe(3);
});

test('an expired object is gone at once, no earlier version appears, and its end is recorded', async () => {
  await put(alice, 'plan', { body: 'lasting' });
  const brief = await put(alice, 'plan', { body: 'brief', ttl_seconds: 1 });
  expect(brief.body.expires_at > brief.body.updated_at).toBe(true);
  await eventually(async () => (await get(alice, 'plan')).status === 404, 'the end of the object');
  expect(keysOf(await list(alice))).toEqual([]);
  expect((await put(alice, 'plan', { body: 0 }, { 'if-match': '*' })).status).toBe(412);
  await eventually(async () => (await lastSeq(alice)) === 3, 'the sweep');
  expect((await eventsOf(alice)).at(-1)).toMatchObject({
    kind: 'state.expired',
    content: { namespace: 'agent://demo', key: 'plan', version: 3 },
    actor: { type: 'agent', id: 'agent-memory' },
  });
  expect((await get(alice, 'plan', '?at=2')).body.body).toBe('brief');
  expect((await get(alice, 'plan', '?at=3')).status).toBe(404);
  expect((await put(alice, 'plan', { body: 'new' })).body).toMatchObject({ version: 4, commit_seq: 4 });
});

test('a private object is visible to its owner alone, and its key is taken for others', async () => {
  const bob = await newColleague(alice);
  const own = await put(bob, 'notes', { body: 'mine', channel: 'private' });
  expect(own.body).toMatchObject({ channel: 'private', user_id: 'bob' });
  const carol = await newColleague(alice, 'carol');
  expect([(await get(carol, 'notes')).status, (await del(carol, 'notes')).status]).toEqual([404, 404]);
  expect((await put(carol, 'notes', { body: 'theirs' })).status).toBe(404);
  expect((await put(carol, 'other', { body: 1, channel: 'private', user_id: 'bob' })).status).toBe(403);
  expect([keysOf(await list(carol)), keysOf(await list(bob))]).toEqual([[], ['notes']]);
  // an admin finds it by its key, and lists it only for all users
  expect((await get(alice, 'notes')).status).toBe(200);
  expect([keysOf(await list(alice)), keysOf(await list(alice, '?all_users=true'))]).toEqual([[], ['notes']]);
  expect((await put(bob, 'notes', { body: 2 })).body).toMatchObject({ channel: 'private', user_id: 'bob', version: 2 });
  expect((await eventsOf(carol, 'channel=private')).length).toBe(0);
  expect((await eventsOf(bob, 'channel=private')).length).toBe(2);
});

test('the same name in another tenant is another object', async () => {
  await put(alice, 'plan', { body: 'of alice', channel: 'public', tags: { of: 'alice' } });
  const mallory = await newTenant(daemon.url, undefined, 'mallory');
  expect([(await get(mallory, 'plan')).status, (await get(mallory, 'plan', '?at=0')).status]).toEqual([404, 404]);
  expect((await put(mallory, 'plan', { body: 'of mallory' })).body).toMatchObject({ version: 1, commit_seq: 1 });
  expect(keysOf(await list(mallory, '?tag=of:alice'))).toEqual([]);
  expect((await del(mallory, 'plan')).status).toBe(204);
  expect((await get(alice, 'plan')).body).toMatchObject({ body: 'of alice', version: 1 });
});

test('the audience is fixed by the first write', async () => {
  const bob = await newColleague(alice);
  await put(bob, 'plan', { body: 1, project_id: 'p1', agent_id: 'planner' });
  expect((await put(alice, 'plan', { body: 2 })).body).toMatchObject({ project_id: 'p1', agent_id: 'planner', channel: 'team' });
  expect((await put(alice, 'plan', { body: 3, project_id: 'p1', channel: 'team' })).status).toBe(200);
  for (const other of [{ channel: 'public' }, { project_id: 'p2' }, { session_id: 's' }, { channel: 'private' }])
    expect((await put(alice, 'plan', { body: 4, ...other })).status).toBe(409);
  await del(alice, 'plan');
  expect((await put(alice, 'plan', { body: 5, channel: 'public' })).status).toBe(409);
  expect((await put(alice, 'plan', { body: 5 })).body).toMatchObject({ project_id: 'p1', version: 5 });
});

test('a key for all subjects names the user of a private object', async () => {
  const { body } = await alice.request('POST', '/auth/api-keys', {
    body: { name: 'back end', role: 'member', scopes: ['read', 'write'], user_id: '*' },
  });
  const headers = { 'x-api-key': body.api_key as string };
  const request = async (method: string, path: string, sent?: Row) =>
    (
      await fetch(daemon.url + path, {
        method,
        headers: { ...headers, ...(sent && { 'content-type': 'application/json' }) },
        body: sent && JSON.stringify(sent),
      })
    ).status;
  expect(await request('PUT', pathOf('notes'), { body: 1, channel: 'private' })).toBe(422);
  expect(await request('PUT', pathOf('notes'), { body: 1, channel: 'private', user_id: 'bob' })).toBe(201);
  expect(await request('GET', pathOf('notes'))).toBe(422);
  expect(await request('GET', `${pathOf('notes')}?user_id=bob`)).toBe(200);
  expect(await request('GET', `${pathOf('notes')}?user_id=carol`)).toBe(404);
  expect(await request('PUT', pathOf('notes'), { body: 2 })).toBe(404);
  expect(await request('PUT', pathOf('shared'), { body: 2 })).toBe(201);
});

test('lists page by key, and a prefix and tags select exactly', async () => {
  const keys = ['a', 'a/1', 'a/2', 'a\u{10ffff}', 'b', 'A'];
  for (const key of keys) await put(alice, key, { body: key, tags: { first: key[0]!, all: 'yes' } });
  await put(alice, 'a/1', { body: 'elsewhere', tags: { first: 'a' } }, {}, 'agent://demo/child');
  expect(keysOf(await list(alice))).toEqual(['A', 'a', 'a/1', 'a/2', 'a\u{10ffff}', 'b']);
  expect(keysOf(await list(alice, '?prefix=a'))).toEqual(['a', 'a/1', 'a/2', 'a\u{10ffff}']);
  expect(keysOf(await list(alice, '?prefix=a%2F'))).toEqual(['a/1', 'a/2']);
  expect(keysOf(await list(alice, '?tag=first:a&tag=all:yes'))).toEqual(['a', 'a/1', 'a/2', 'a\u{10ffff}']);
  const two = await alice.request('GET', `${pathOf('').slice(0, -1)}?tag=first:a&tag=first:b`);
  expect([two.status, two.body.errors]).toEqual([422, [expect.objectContaining({ parameter: 'tag' })]]);
  await put(alice, 'a', { body: 'a', tags: { first: 'none' } });
  expect(keysOf(await list(alice, '?tag=first:a'))).toEqual(['a/1', 'a/2', 'a\u{10ffff}']);
  const pages: string[] = [];
  let cursor = '';
  do {
    const page = await list(alice, `?limit=2${cursor}`);
    pages.push(...keysOf(page));
    cursor = page.next_cursor ? `&cursor=${page.next_cursor}` : '';
  } while (cursor !== '');
  expect(pages).toEqual(['A', 'a', 'a/1', 'a/2', 'a\u{10ffff}', 'b']);
});

test('secrets in a body are redacted; a secret in a name returns 422', async () => {
  const secret = `ghp_${'Ab1Cd2Ef3G'.repeat(4).slice(0, 36)}`;
  const { body } = await put(alice, 'plan', { body: { note: `token ${secret}` }, tags: { token: secret } });
  expect([JSON.stringify(body).includes(secret), body.redactions]).toEqual([false, 2]);
  expect(JSON.stringify((await get(alice, 'plan')).body)).not.toContain(secret);
  expect((await put(alice, secret, { body: 1 })).status).toBe(422);
  expect((await put(alice, 'plan', { body: 1 }, {}, `agent://${secret}`)).status).toBe(422);
});

test('invalid names and bodies are rejected', async () => {
  for (const key of ['a\nb', 'x'.repeat(256)]) expect((await put(alice, key, { body: 1 })).status).toBe(422);
  expect((await put(alice, 'plan', {})).status).toBe(422);
  expect((await put(alice, 'plan', { body: 1, ttl_seconds: 0 })).status).toBe(422);
  expect((await put(alice, 'plan', { body: 1, tags: { a: 1 } })).status).toBe(422);
  expect((await put(alice, 'plan', { body: 1, other: 1 })).status).toBe(422);
});

test('a follower receives the events of its channel', async () => {
  const abort = new AbortController();
  const response = await fetch(`${daemon.url}/v1/events?channel=public`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${alice.token}` },
    signal: abort.signal,
  });
  await put(alice, 'of the team', { body: 1 });
  await put(alice, 'of all', { body: 2, channel: 'public' });
  for await (const { event, data } of readEvents(response)) {
    if (data === undefined) continue;
    expect([event, JSON.parse(data).content]).toEqual([
      'state.put',
      expect.objectContaining({ key: 'of all', body: 2, version: 1 }),
    ]);
    break;
  }
  abort.abort();
});

test('concurrent reads of small, large, compressed, private and missing objects are each answered', async () => {
  const owner = await newTenant(daemon.url);
  const bob = await newColleague(owner);
  const random = Array.from({ length: 2000 }, () => Math.random());
  const bodies: Record<string, unknown> = { small: { n: 1 }, null: null, large: random, compressed: 'x'.repeat(50_000) };
  for (const [key, body] of Object.entries(bodies)) expect((await put(owner, key, { body })).status).toBe(201);
  await put(owner, 'private', { body: 'mine', channel: 'private' });
  const read = async (client: Client, key: string) => {
    const { status, body } = await get(client, key);
    return status === 200 ? body.body : status;
  };
  const keys = [...Object.keys(bodies), 'missing', 'private', 'small'];
  const answers = await Promise.all([owner, bob].map((client) => Promise.all(keys.map((key) => read(client, key)))));
  const shared = Object.values(bodies);
  expect(answers).toEqual([
    [...shared, 404, 'mine', bodies.small],
    [...shared, 404, 404, bodies.small],
  ]);
});
