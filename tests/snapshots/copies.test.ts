import { erase, waitForJob } from '../erasure/support.ts';
import { exportTenant, failedChecks, importFile, jobDone } from '../export/file.ts';
import { done, type Row, recordMessages } from '../retention/support.ts';
import { del, get, keysOf, list, NAMESPACE, put } from '../state/client.ts';
import { watch } from '../state/watching.ts';
import { type Client, newTenant } from '../support/client.ts';
import { type TestConnection, withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { eventually } from '../support/eventually.ts';
import { diff, fork, lastSeq, logAfter, restored, snap, trimBefore } from './support.ts';

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

test('a watch receives each change of a restore, and those of a fork', async () => {
  await change(alice);
  const stream = await watch(alice);
  const copies = await watch(alice, '', { namespace: 'copy' });
  await restored(alice, 's');
  await fork(alice, 'copy');
  const { body } = await get(alice, 'a');
  const [first, ...others] = await stream.take(3);
  expect(first).toEqual({ id: body.commit_seq, event: 'put', data: body });
  expect(others.map(({ event, data }) => [event, data.key, data.version])).toEqual([
    ['put', 'b', 3],
    ['delete', 'd', 2],
  ]);
  expect((await copies.take(3)).map(({ event, data }) => [event, data.key])).toEqual([
    ['put', 'a'],
    ['put', 'b'],
    ['put', 'c'],
  ]);
  for (const one of [stream, copies]) one.close();
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

test('a restore keeps a newer object whose value at the moment has expired or was erased since, and deletes what did not exist', async () => {
  await put(alice, 'lapsed', { body: 1, ttl_seconds: 1 });
  await eventually(async () => (await get(alice, 'lapsed')).status === 404, 'the expiry');
  await put(alice, 'erased', { body: 1 });
  const { commit_seq } = (await put(alice, 'brief', { body: 1, ttl_seconds: 1 })).body;
  await eventually(async () => (await get(alice, 'brief')).status === 404, 'the expiry');
  for (const key of ['lapsed', 'erased', 'brief', 'new']) await put(alice, key, { body: 2 });
  const restoreThen = (more: Row) => done(alice, 'POST', '/v1/state/restore', { at: commit_seq, ...more });
  expect(await restoreThen({ dry_run: true })).toMatchObject({ restored: 1, deleted: 2, unchanged: 1 });
  await del(alice, 'lapsed');
  // blanks all versions that are not current
  await done(alice, 'PUT', '/v1/retention', { rules: [{ kind: 'state.put', older_than_days: 0 }] });
  await waitForJob(alice, (await done(alice, 'POST', '/v1/retention/runs')).job_id);
  expect(await restoreThen({})).toMatchObject({ restored: 0, deleted: 1, unchanged: 2 });
  expect((await list(alice)).data.map(({ key, body }: Row) => [key, body])).toEqual([
    ['brief', 2],
    ['erased', 2],
  ]);
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

test('a restore of more objects than fit into one unit is complete, in the order of their names', async () => {
  const keys = Array.from({ length: 60 }, (_, i) => `k${i + 10}`);
  await Promise.all(keys.map((key) => put(alice, key, { body: { key }, tags: { n: key } })));
  for (let i = 10; i < 35; i += 1) expect((await fork(alice, `n${i}`)).status).toBe(201);
  await snap(alice, 's');
  const before = await lastSeq(alice);
  expect((await alice.request('POST', '/v1/state/restore', { body: { at: 60 } })).body).toMatchObject({
    restored: 0,
    deleted: 1500,
    unchanged: 60,
  });
  expect(await restored(alice, 's')).toEqual({ restored: 1500, deleted: 0, unchanged: 60, commit_seq: before + 3000 });
  expect([await diff(alice, 's'), await diff(alice, 's', `?to=${before}`)]).toEqual([[], []]);
  const events = [...(await logAfter(alice, before + 1500)), ...(await logAfter(alice, before + 2500))];
  const names = events.map(({ content: { namespace, key, body, version } }) => [namespace, key, body.key, version]);
  const forks = Array.from({ length: 25 }, (_, i) => `n${i + 10}`);
  expect(names).toEqual(forks.flatMap((namespace) => keys.map((key) => [namespace, key, key, 3])));
  expect(await failedChecks(alice)).toEqual([]);
}, 120_000);

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

describeOnServer('a test changes a function of the database', () => {
  test('a restore or fork of too many objects returns 413 and writes nothing', async () => {
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('this needs a PostgreSQL server');
    const own = await daemonDatabase();
    const connection: TestConnection = { ...engine.cluster.admin, database: own.env.PGDATABASE! };
    await withClient(connection, (client) =>
      client.query('create or replace function max_copies() returns int language sql immutable parallel safe return 2'),
    );
    const second = await startTestDaemon({}, own.env);
    try {
      const carol = await newTenant(second.url);
      for (const key of ['a', 'b', 'c']) await put(carol, key, { body: 1 });
      const before = await lastSeq(carol);
      const restore = (body: Row) => carol.request('POST', '/v1/state/restore', { body });
      const refused = [await restore({ at: 0 }), await restore({ at: 0, dry_run: true }), await fork(carol, 'copy')];
      expect(refused.map(({ status }) => status)).toEqual([413, 413, 413]);
      expect(refused[0]!.body.detail).toBe('More than 2 objects would change at once; restore or fork smaller namespaces.');
      expect(await lastSeq(carol)).toBe(before);
      expect((await restore({ at: 1 })).body).toMatchObject({ deleted: 2 });
    } finally {
      await second.stop();
      await own.release();
    }
  }, 60_000);
});
