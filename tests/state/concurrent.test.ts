import { type Client, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';
import { del, get, keysOf, list, NAMESPACE, put } from './client.ts';

// Bodies of every shape, concurrent requests, and what a restart keeps.

let database: Awaited<ReturnType<typeof daemonDatabase>>;
let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  database = await daemonDatabase();
  daemon = await startTestDaemon({}, database.env);
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(async () => {
  await daemon.stop();
  await database.release();
});

test.each<[string, unknown]>([
  ['an empty object', {}],
  ['an empty list', []],
  ['an empty text', ''],
  ['null', null],
  ['false', false],
  ['a number', -0.5],
  ['text in several scripts', { 'schlüssel 🔑': 'Ωμέγα 漢字 \u{1f680} é é', deep: [[{ 'a.b': null }]] }],
  ['a text of 10 KB', 'x'.repeat(10_240)],
  ['a list of 1,000', Array.from({ length: 1000 }, (_, i) => ({ i }))],
])('%s reads back equal as a body', async (_, body) => {
  const tags = { 'dotted.name': 'value.with.dots', 'Ω 漢': '🔑' };
  expect((await put(alice, 'schlüssel/漢 🔑', { body, tags })).status).toBe(201);
  expect((await get(alice, 'schlüssel/漢 🔑')).body).toMatchObject({ key: 'schlüssel/漢 🔑', body, tags });
  expect((await list(alice, '?tag=dotted.name:value.with.dots')).data[0].body).toEqual(body);
});

test('20 concurrent creations, 10 queries and 20 deletions have exact results', async () => {
  const keys = Array.from({ length: 20 }, (_, i) => `k${String(i).padStart(2, '0')}`);
  const tagsOf = (i: number) => ({ of: String(i % 2) });
  const created = await Promise.all(keys.map((key, i) => put(alice, key, { body: i, tags: tagsOf(i) })));
  expect(created.map(({ status, body }) => [status, body.version])).toEqual(keys.map(() => [201, 1]));
  const seqs = created.map(({ body }) => body.commit_seq).sort((a, b) => a - b);
  expect(seqs).toEqual(keys.map((_, i) => i + 1));
  const query = (i: number) => alice.request('POST', '/v1/state/query', { body: { namespace: NAMESPACE, tags: tagsOf(i) } });
  const found = await Promise.all(Array.from({ length: 10 }, (_, i) => query(i)));
  for (const [i, { body }] of found.entries()) expect(keysOf(body)).toEqual(keys.filter((_, nth) => nth % 2 === i % 2));
  expect(new Set((await Promise.all(keys.map((key) => del(alice, key)))).map(({ status }) => status))).toEqual(new Set([204]));
  expect(keysOf(await list(alice))).toEqual([]);
});

test('concurrent requests with one Idempotency-Key write one version and get the same answer', async () => {
  const headers = { 'idempotency-key': 'one' };
  const answers = await Promise.all(Array.from({ length: 20 }, () => put(alice, 'plan', { body: 1 }, headers)));
  expect(new Set(answers.map(({ status, body }) => JSON.stringify([status, body]))).size).toBe(1);
  expect(answers.filter((one) => one.headers.get('idempotent-replay') === null).length).toBe(1);
  expect((await get(alice, 'plan')).body).toMatchObject({ version: 1, commit_seq: 1 });
});

test('a restart keeps objects, tags, past versions, answered requests and the order of commits', async () => {
  const headers = { 'idempotency-key': 'before the restart' };
  const first = await put(alice, 'plan', { body: 1, tags: { a: 'x' } }, headers);
  const lasting = await put(alice, 'lasting', { body: 2, ttl_seconds: 3600 });
  await put(alice, 'plan', { body: 3, tags: { a: 'y' } });
  await del(alice, 'plan');
  await daemon.stop();
  daemon = await startTestDaemon({}, database.env);
  const { token } = alice;
  alice = { ...alice, url: daemon.url, request: (method, path, options) => send(daemon.url, method, path, options, token) };
  expect((await get(alice, 'lasting')).body).toEqual(lasting.body);
  expect((await get(alice, 'plan', '?at=1')).body).toEqual(first.body);
  expect([(await get(alice, 'plan')).status, keysOf(await list(alice, '?tag=a:x'))]).toEqual([404, []]);
  const again = await put(alice, 'plan', { body: 1, tags: { a: 'x' } }, headers);
  expect([again.body, again.headers.get('idempotent-replay')]).toEqual([first.body, 'true']);
  expect((await put(alice, 'plan', { body: 9 }, headers)).status).toBe(409);
  expect((await put(alice, 'plan', { body: 4 })).body).toMatchObject({ version: 4, commit_seq: 5 });
});
