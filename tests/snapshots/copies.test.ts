import { erase, waitForJob } from '../erasure/support.ts';
import { exportTenant, failedChecks, importFile, jobDone } from '../export/file.ts';
import { done, type Row, recordMessages, usage } from '../retention/support.ts';
import { del, get, keysOf, list, NAMESPACE, put } from '../state/client.ts';
import { type Client, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { snap, trimBefore } from './support.ts';

// Reads at a snapshot, diff, restore and fork.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const restore = (client: Client, name: string, body?: Row) =>
  client.request('POST', `/v1/snapshots/${name}/restore`, body === undefined ? {} : { body });
const restored = (client: Client, name: string, body?: Row) => done(client, 'POST', `/v1/snapshots/${name}/restore`, body);
const diff = async (client: Client, name: string, query = ''): Promise<Row[]> =>
  (await done(client, 'GET', `/v1/snapshots/${name}/diff${query}`)).data;
const fork = (client: Client, to: string, more: Row = {}, from = NAMESPACE) =>
  client.request('POST', `/v1/state/${encodeURIComponent(from)}/fork`, { body: { to, ...more } });
const lastSeq = async (client: Client): Promise<number> => (await usage(client)).last_seq;
const logAfter = async (client: Client, seq: number): Promise<Row[]> =>
  (await done(client, 'GET', `/v1/events?channel=team&after=${seq}&limit=1000`)).data;

/** Writes `a` with tags, `b` and `c`, makes the snapshot `s`, changes `a`, deletes `b`, and creates `d`. */
async function change(client: Client): Promise<Row> {
  await put(client, 'a', { body: { n: 1 }, tags: { status: 'open' } });
  await put(client, 'b', { body: 'b' });
  await put(client, 'c', { body: null });
  const made = await snap(client, 's');
  await put(client, 'a', { body: { n: 2 }, tags: {} });
  await del(client, 'b');
  await put(client, 'd', { body: 'd' });
  return made;
}

test('a snapshot reads the state of its position, and a diff lists what has changed', async () => {
  const made = await change(alice);
  expect((await get(alice, 'a', '?at=s')).body).toMatchObject({ body: { n: 1 }, version: 1, commit_seq: 1 });
  expect([(await get(alice, 'b', '?at=s')).body.body, (await get(alice, 'd', '?at=s')).status]).toEqual(['b', 404]);
  expect((await get(alice, 'a', '?at=unknown')).status).toBe(404);
  const differences = [
    { namespace: NAMESPACE, key: 'a', change: 'changed', from_version: 1, to_version: 2 },
    { namespace: NAMESPACE, key: 'b', change: 'deleted', from_version: 1, to_version: null },
    { namespace: NAMESPACE, key: 'd', change: 'created', from_version: null, to_version: 1 },
  ];
  expect(await diff(alice, 's')).toEqual(differences);
  const page = await done(alice, 'GET', '/v1/snapshots/s/diff?limit=2');
  const next = await done(alice, 'GET', `/v1/snapshots/s/diff?limit=2&cursor=${page.next_cursor}`);
  expect([...page.data, ...next.data, next.next_cursor]).toEqual([...differences, null]);
  expect(await diff(alice, 's', `?to=${made.seq}`)).toEqual([]);
  expect(await diff(alice, 's', `?to=${made.seq + 1}`)).toEqual(differences.slice(0, 1));
  expect(await diff(alice, 's', '?namespace=other')).toEqual([]);
  // the same value again is another version, but no difference
  await put(alice, 'a', { body: { n: 1 }, tags: { status: 'open' } });
  expect(keysOf({ data: await diff(alice, 's') })).toEqual(['b', 'd']);
  expect((await alice.request('GET', '/v1/snapshots/none/diff')).status).toBe(404);
});

test('a restore is one new commit that followers see, after which the diff is empty', async () => {
  await change(alice);
  const before = await lastSeq(alice);
  const preview = await restored(alice, 's', { dry_run: true });
  expect([preview, await lastSeq(alice)]).toEqual([{ restored: 2, deleted: 1, unchanged: 1, commit_seq: before }, before]);
  expect(await restored(alice, 's')).toEqual({ restored: 2, deleted: 1, unchanged: 1, commit_seq: before + 3 });
  expect(await diff(alice, 's')).toEqual([]);
  expect((await get(alice, 'a')).body).toMatchObject({ body: { n: 1 }, tags: { status: 'open' }, version: 3 });
  expect((await get(alice, 'b')).body).toMatchObject({ body: 'b', version: 3, commit_seq: before + 2 });
  expect((await get(alice, 'd')).status).toBe(404);
  expect((await get(alice, 'a', `?at=${before}`)).body.body).toEqual({ n: 2 });
  expect(keysOf(await list(alice, '?tag=status:open'))).toEqual(['a']);
  const events = await logAfter(alice, before);
  expect(events.map(({ kind, content, actor }) => [kind, content.key, content.version, actor.id])).toEqual([
    ['state.put', 'a', 3, 'alice'],
    ['state.put', 'b', 3, 'alice'],
    ['state.deleted', 'd', 2, 'alice'],
  ]);
  // again: nothing left to do
  expect(await restored(alice, 's')).toEqual({ restored: 0, deleted: 0, unchanged: 3, commit_seq: before + 3 });
  expect(await failedChecks(alice)).toEqual([]);
});

test('state is restored as of a seq or a time, and in one namespace only if it is named', async () => {
  await put(alice, 'a', { body: 1 });
  await put(alice, 'a', { body: 1 }, {}, 'other');
  const { body } = await put(alice, 'a', { body: 2 });
  await put(alice, 'a', { body: 2 }, {}, 'other');
  const at = (value: unknown, more: Row = {}) => alice.request('POST', '/v1/state/restore', { body: { at: value, ...more } });
  expect((await at(2, { namespace: NAMESPACE })).body).toMatchObject({ restored: 1, unchanged: 0 });
  expect([(await get(alice, 'a')).body.body, (await get(alice, 'a', '', 'other')).body.body]).toEqual([1, 2]);
  expect((await at(body.updated_at)).body).toMatchObject({ restored: 2, deleted: 0 });
  expect([(await get(alice, 'a')).body.body, (await get(alice, 'a', '', 'other')).body.body]).toEqual([2, 1]);
  expect([(await at('0')).body, (await list(alice)).data]).toEqual([expect.objectContaining({ deleted: 2 }), []]);
  expect([(await at(1000)).status, (await at('-')).status, (await at('nameless')).status]).toEqual([422, 422, 404]);
});

test('a retry of a restore or fork returns the first answer', async () => {
  await change(alice);
  const headers = { 'idempotency-key': 'once' };
  const first = await alice.request('POST', '/v1/state/restore', { body: { at: 's' }, headers });
  await put(alice, 'a', { body: 'later' });
  const again = await alice.request('POST', '/v1/state/restore', { body: { at: 's' }, headers });
  expect([again.status, again.body, again.headers.get('idempotent-replay')]).toEqual([200, first.body, 'true']);
  expect((await get(alice, 'a')).body.body).toBe('later');
  const copy = (to: string) =>
    alice.request('POST', `/v1/state/${encodeURIComponent(NAMESPACE)}/fork`, { body: { to }, headers });
  const copied = await copy('copy');
  expect([copied.status, (await copy('copy')).body, (await copy('elsewhere')).status]).toEqual([201, copied.body, 409]);
});

test('what has expired or was erased since the snapshot stays gone', async () => {
  await put(alice, 'brief', { body: 1, ttl_seconds: 1 });
  await put(alice, 'timed', { body: 1, ttl_seconds: 3600 });
  await put(alice, 'of-carol', { body: 'hers', user_id: 'carol' });
  await snap(alice, 's');
  const { expires_at } = (await get(alice, 'timed')).body;
  await del(alice, 'timed');
  await erase(alice, { user_id: 'carol' });
  await eventually(async () => (await get(alice, 'brief')).status === 404, 'the expiry');
  expect(await restored(alice, 's')).toMatchObject({ restored: 1, deleted: 0, unchanged: 0 });
  expect([(await get(alice, 'brief')).status, (await get(alice, 'of-carol')).status]).toEqual([404, 404]);
  expect((await get(alice, 'of-carol', '?at=s')).status).toBe(404);
  expect((await get(alice, 'timed')).body).toMatchObject({ body: 1, version: 3, expires_at });
  expect(await failedChecks(alice)).toEqual([]);
}, 60_000);

test('a restore over an object that has just expired also records its end', async () => {
  await put(alice, 'a', { body: 1 });
  await snap(alice, 's');
  await put(alice, 'a', { body: 2, ttl_seconds: 1 });
  await eventually(async () => (await get(alice, 'a')).status === 404, 'the expiry');
  await restored(alice, 's');
  expect((await get(alice, 'a')).body).toMatchObject({ body: 1, version: 4 });
  const { data } = await done(alice, 'GET', '/v1/events?channel=team');
  expect(data.map(({ kind }: Row) => kind)).toEqual(['state.put', 'state.put', 'state.expired', 'state.put']);
  expect(await failedChecks(alice)).toEqual([]);
});

test('a restore, diff and fork cover only what the caller can see', async () => {
  const bob = await newColleague(alice, 'bob');
  await put(alice, 'mine', { body: 1, channel: 'private' });
  await put(bob, 'his', { body: 1, channel: 'private' });
  await put(alice, 'shared', { body: 1, tags: { a: 'b' }, project_id: 'p1' });
  await snap(alice, 's');
  for (const [client, key] of [
    [alice, 'mine'],
    [bob, 'his'],
    [alice, 'shared'],
  ] as const)
    await put(client, key, { body: 2, tags: { a: 'b' } });
  expect(keysOf({ data: await diff(bob, 's') })).toEqual(['his', 'shared']);
  expect(keysOf({ data: await diff(alice, 's') })).toEqual(['mine', 'shared']);
  expect(keysOf({ data: await diff(alice, 's', '?all_users=true') })).toEqual(['his', 'mine', 'shared']);
  expect((await restore(bob, 's')).status).toBe(403);
  expect((await fork(bob, 'copy')).body).toMatchObject({ copied: 2 });
  expect((await get(bob, 'shared', '', 'copy')).body).toMatchObject({
    body: 2,
    version: 1,
    tags: { a: 'b' },
    channel: 'team',
    project_id: 'p1',
  });
  expect((await get(bob, 'his', '', 'copy')).body).toMatchObject({ body: 2, channel: 'private', user_id: 'bob' });
  expect(keysOf(await list(alice, '?all_users=true', 'copy'))).toEqual(['his', 'shared']);
  expect(await restored(bob, 's', { namespace: NAMESPACE })).toMatchObject({ restored: 2, deleted: 0, unchanged: 0 });
  expect((await get(alice, 'mine')).body.body).toBe(2);
  expect(await restored(alice, 's', { namespace: NAMESPACE })).toMatchObject({ restored: 1, deleted: 0, unchanged: 2 });
  expect((await get(alice, 'mine')).body.body).toBe(1);
  expect(await failedChecks(alice)).toEqual([]);
});

test('a key for some channels cannot restore or fork objects of others, and a key for all subjects names a user', async () => {
  await put(alice, 'a', { body: 1 });
  await snap(alice, 's');
  await put(alice, 'a', { body: 2 });
  const keyOf = async (more: Row) =>
    (await done(alice, 'POST', '/auth/api-keys', { name: 'k', role: 'member', scopes: ['read', 'write'], ...more })).api_key;
  const ask = (key: string, path: string, body: Row) =>
    send<Row>(daemon.url, 'POST', path, { body, headers: { 'x-api-key': key } });
  const narrow = await keyOf({ channels: ['private'] });
  const forking = `/v1/state/${encodeURIComponent(NAMESPACE)}/fork`;
  expect((await ask(narrow, '/v1/snapshots/s/restore', { namespace: NAMESPACE })).status).toBe(403);
  expect((await ask(narrow, forking, { to: 'copy' })).status).toBe(403);
  expect((await get(alice, 'a')).body.body).toBe(2);
  const wide = await keyOf({ user_id: '*' });
  expect((await ask(wide, forking, { to: 'copy' })).status).toBe(422);
  expect((await ask(wide, forking, { to: 'copy', user_id: 'bob' })).body).toMatchObject({ copied: 1 });
});

test('a fork copies a namespace as of a moment and refuses a key that exists; a freed key continues its versions', async () => {
  await change(alice);
  expect((await fork(alice, 'copy', { at: 's' })).body).toMatchObject({ copied: 3, commit_seq: await lastSeq(alice) });
  expect((await list(alice, '', 'copy')).data.map(({ key, body, tags }: Row) => [key, body, tags])).toEqual([
    ['a', { n: 1 }, { status: 'open' }],
    ['b', 'b', {}],
    ['c', null, {}],
  ]);
  const before = await lastSeq(alice);
  const refused = await fork(alice, 'copy');
  expect([refused.status, await lastSeq(alice)]).toEqual([409, before]);
  for (const key of ['a', 'b', 'c']) await del(alice, key, {}, 'copy');
  expect((await fork(alice, 'copy')).body).toMatchObject({ copied: 3 });
  expect((await get(alice, 'a', '', 'copy')).body).toMatchObject({ body: { n: 2 }, version: 3 });
  expect((await fork(alice, 'nothing', {}, 'empty')).body).toMatchObject({ copied: 0 });
  expect(await failedChecks(alice)).toEqual([]);
});

test('the past before a trim returns 410, and a trim keeps what a snapshot needs', async () => {
  await put(alice, 'a', { body: 1 });
  await put(alice, 'a', { body: 2 });
  await put(alice, 'gone', { body: 1 });
  const made = await snap(alice, 's');
  await put(alice, 'a', { body: 3 });
  await del(alice, 'gone');
  await recordMessages(alice, 5);
  expect(await trimBefore(alice, 1e9)).toMatchObject({ oldest_seq: made.seq + 1 });
  expect([(await get(alice, 'a', '?at=s')).body.body, (await get(alice, 'gone', '?at=s')).body.body]).toEqual([2, 1]);
  expect(keysOf({ data: await diff(alice, 's') })).toEqual(['a', 'gone']);
  for (const at of [1, 2]) {
    expect((await get(alice, 'a', `?at=${at}`)).status).toBe(410);
    expect((await alice.request('POST', '/v1/state/restore', { body: { at } })).status).toBe(410);
    expect((await fork(alice, 'copy', { at })).status).toBe(410);
    expect((await alice.request('GET', `/v1/snapshots/s/diff?to=${at}`)).status).toBe(410);
  }
  const file = await exportTenant(alice);
  const copy = await newTenant(daemon.url);
  expect((await jobDone(copy, (await importFile(copy, file)).body.job_id)).problem).toBeUndefined();
  for (const client of [alice, copy]) {
    expect(await restored(client, 's')).toMatchObject({ restored: 2, deleted: 0 });
    expect([(await get(client, 'a')).body.body, (await get(client, 'gone')).body.body]).toEqual([2, 1]);
    expect(await failedChecks(client)).toEqual([]);
  }
}, 60_000);

test('no retention rule removes a version that a living snapshot needs', async () => {
  await put(alice, 'a', { body: 1 });
  await put(alice, 'a', { body: 2 });
  await snap(alice, 's');
  await put(alice, 'a', { body: 3 });
  await put(alice, 'a', { body: 4 });
  await done(alice, 'PUT', '/v1/retention', { rules: [{ kind: 'state.put', older_than_days: 0, max_importance: 1 }] });
  const run = async () => waitForJob(alice, (await done(alice, 'POST', '/v1/retention/runs')).job_id);
  expect((await run()).result.counts.events).toBe(3);
  expect((await get(alice, 'a', '?at=s')).body.body).toBe(2);
  await alice.request('DELETE', '/v1/snapshots/s');
  expect((await run()).result.counts.events).toBeGreaterThanOrEqual(1);
  expect(await failedChecks(alice)).toEqual([]);
}, 60_000);
