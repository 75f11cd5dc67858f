import { erase, waitForJob } from '../erasure/support.ts';
import { exportTenant, failedChecks, fileOf, importFile, jobDone, linesOf, withoutHeader } from '../export/file.ts';
import { done, recordMessages, trim } from '../retention/support.ts';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { del, get, keysOf, list, put, type Row } from './client.ts';

// Erasure, retention, trim, export, import and consistency of state.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

test('an erasure removes what the subject wrote and owned at every moment, as its dry run reports', async () => {
  const bob = await newColleague(alice);
  await put(alice, 'plan', { body: 'of alice' });
  await put(bob, 'plan', { body: 'of bob' });
  await put(bob, 'notes', { body: 'private', channel: 'private' });
  await put(alice, 'about', { body: 'about bob', user_id: 'bob' });
  await put(alice, 'later', { body: 'of alice' });
  await put(bob, 'later', { body: 'of bob' });
  const kept = await put(alice, 'later', { body: 'of alice again' });
  const dry = await alice.request('POST', '/v1/erasures', { body: { user_id: 'bob', dry_run: true } });
  const predicted = dry.status === 202 ? (await waitForJob(alice, dry.body.job_id)).result : dry.body;
  const { result } = await erase(alice, { user_id: 'bob' });
  const expected = { state_objects: 3, state_versions: 4, state_keys: 2, state_keys_renamed: 0 };
  expect(predicted.counts).toMatchObject(expected);
  expect(result.certificate.counts).toMatchObject(expected);
  expect(keysOf(await list(alice, '?all_users=true'))).toEqual(['later']);
  expect((await get(alice, 'later')).body).toEqual(kept.body);
  // no earlier version takes the place of an erased one
  const past = async (key: string, at: number) => (await get(alice, key, `?at=${at}`)).status;
  expect([await past('plan', 1), await past('plan', 2), await past('plan', 7)]).toEqual([200, 404, 404]);
  expect([await past('later', 5), await past('later', 6), await past('later', 7)]).toEqual([200, 404, 200]);
  expect([await past('notes', 3), await past('about', 4)]).toEqual([404, 404]);
  // versions of a shared key still grow; a key of the subject is free again
  expect((await put(alice, 'plan', { body: 'new' })).body.version).toBe(3);
  expect((await put(alice, 'notes', { body: 'new' })).body.version).toBe(1);
  const file = await exportTenant(alice);
  expect([file.includes('bob'), file.includes('of bob')]).toEqual([false, false]);
  expect(await failedChecks(alice)).toEqual([]);
});

test('an erasure replaces the subject where it is a segment of a namespace or key, also in the past', async () => {
  await put(alice, 'users/bob/plan', { body: 1 });
  const plan = await put(alice, 'users/bob/plan', { body: 2 });
  await put(alice, 'user:bob', { body: 3 });
  await put(alice, 'bobsled', { body: 4 });
  await put(alice, 'plan', { body: 5 }, {}, 'agent://bob');
  await del(alice, 'plan', {}, 'agent://bob');
  const long = `bob/${'x'.repeat(250)}`;
  await put(alice, long, { body: 6 });
  const { result } = await erase(alice, { user_id: 'bob' });
  expect(result.certificate.counts).toMatchObject({ state_keys: 0, state_keys_renamed: 4 });
  const name =
    result.certificate.pseudonym ??
    linesOf(await exportTenant(alice))
      .find(({ key }) => /^user:/.test(key))!
      .key.slice(5);
  expect(name).toMatch(/^erased_[0-9a-f]{32}$/);
  const keys = keysOf(await list(alice)).sort();
  expect(keys).toEqual([
    'bobsled',
    expect.stringMatching(new RegExp(`^${name}/[0-9a-f-]{36}$`)),
    `user:${name}`,
    `users/${name}/plan`,
  ]);
  expect((await get(alice, `users/${name}/plan`)).body).toEqual({ ...plan.body, key: `users/${name}/plan` });
  expect((await get(alice, `users/${name}/plan`, '?at=1')).body.body).toBe(1);
  expect((await get(alice, 'plan', '?at=5', `agent://${name}`)).body.body).toBe(5);
  for (const at of ['', '?at=1', '?at=2']) expect((await get(alice, 'users/bob/plan', at)).status).toBe(404);
  // a later object with the old name collides with the replaced one
  expect((await put(alice, 'users/bob/plan', { body: 'again' })).body.version).toBe(1);
  await erase(alice, { user_id: 'bob' });
  expect(keysOf(await list(alice)).length).toBe(5);
  expect((await exportTenant(alice)).replaceAll('bobsled', '')).not.toContain('bob');
  expect(await failedChecks(alice)).toEqual([]);
});

test('an import restores an export with versions; a row that does not match the log is rejected', async () => {
  await put(alice, 'plan', { body: { n: 1 }, tags: { a: 'b' } });
  await put(alice, 'plan', { body: null });
  await put(alice, 'gone', { body: 1, ttl_seconds: 1 });
  await put(alice, 'own', { body: 2, channel: 'private', session_id: 's1', project_id: 'p', agent_id: 'g' });
  await del(alice, 'own');
  await put(alice, 'lasting', { body: [], ttl_seconds: 3600, user_id: 'alice' });
  const file = await exportTenant(alice);
  const copy = await newTenant(daemon.url);
  expect((await jobDone(copy, (await importFile(copy, file)).body.job_id)).state).toBe('done');
  expect((await get(copy, 'lasting')).body).toEqual((await get(alice, 'lasting')).body);
  expect((await get(copy, 'plan', '?at=1')).body).toEqual((await get(alice, 'plan', '?at=1')).body);
  expect((await put(copy, 'own', { body: 3 })).body).toMatchObject({ version: 3, session_id: 's1', channel: 'private' });
  const changed = (type: string, more: Row) => {
    let n = 0;
    return fileOf(linesOf(file).map((line) => (line.type === type && n++ === 0 ? { ...line, ...more } : line)));
  };
  for (const [type, more] of [
    ['state_object', { body: 'forged' }],
    ['state_object', { seq: 1, version: 7 }],
    ['state_object', { channel: 'public' }],
    ['state_version', { seq: 6 }],
    ['state_version', { key: 'other' }],
    ['state_version', { change: 'deleted' }],
    ['state_version', { expires_at: '2030-01-01T00:00:00Z' }],
  ] as const) {
    const other = await newTenant(daemon.url);
    const { status, body } = await importFile(other, changed(type, more));
    const failed = status === 202 ? (await jobDone(other, body.job_id)).state === 'failed' : status === 422;
    expect([type, more, failed]).toEqual([type, more, true]);
  }
  expect(withoutHeader(file).filter(({ type }) => type === 'state_version').length).toBe(6);
});

test('a trim keeps what is current at its end, so every later moment can be read; earlier ones return 410', async () => {
  await put(alice, 'live', { body: 'live' });
  await put(alice, 'replaced', { body: 'old' });
  await put(alice, 'replaced', { body: 'current at the end of the trim' });
  await put(alice, 'deleted', { body: 'x' });
  await del(alice, 'deleted');
  await recordMessages(alice, 2);
  await put(alice, 'replaced', { body: 'new' });
  // the log begins at 7
  expect((await trim(alice, 2)).counts).toMatchObject({ trimmed: 4, carried: 2 });
  expect((await get(alice, 'live')).body.body).toBe('live');
  expect((await get(alice, 'replaced', '?at=6')).body.body).toBe('current at the end of the trim');
  expect((await get(alice, 'replaced', '?at=7')).body.body).toBe('current at the end of the trim');
  expect((await get(alice, 'replaced', '?at=8')).body.body).toBe('new');
  expect([(await get(alice, 'live', '?at=5')).status, (await get(alice, 'live', '?at=5')).body.oldest_seq]).toEqual([410, 7]);
  expect((await get(alice, 'live', '?at=2000-01-01T00:00:00Z')).status).toBe(410);
  expect(await failedChecks(alice)).toEqual([]);
  expect((await put(alice, 'deleted', { body: 'again' })).body.version).toBe(3);
  await recordMessages(alice, 2);
  expect((await trim(alice, 2)).counts).toMatchObject({ trimmed: 2, carried: 3 });
  expect((await get(alice, 'replaced')).body.body).toBe('new');
  const file = await exportTenant(alice);
  const copy = await newTenant(daemon.url);
  expect((await jobDone(copy, (await importFile(copy, file)).body.job_id)).state).toBe('done');
  expect([await failedChecks(alice), await failedChecks(copy)]).toEqual([[], []]);
});

test('a retention rule keeps live objects and blanks earlier versions; with max_importance it removes both', async () => {
  await put(alice, 'plan', { body: 'one' });
  const second = await put(alice, 'plan', { body: 'two' });
  const run = async (rule: Row) => {
    await done(alice, 'PUT', '/v1/retention', { rules: [{ kind: 'state.put', older_than_days: 0, ...rule }] });
    const job = await waitForJob(alice, (await done(alice, 'POST', '/v1/retention/runs')).job_id);
    expect([job.state, job.problem]).toEqual(['done', undefined]);
  };
  await run({});
  expect((await get(alice, 'plan')).body).toEqual(second.body);
  expect((await get(alice, 'plan', '?at=1')).status).toBe(404);
  await run({ max_importance: 1 });
  expect((await get(alice, 'plan')).status).toBe(404);
  expect(await failedChecks(alice)).toEqual([]);
  expect((await put(alice, 'plan', { body: 'three' })).body.version).toBe(3);
});

test('an export contains no lease, no capability and no token, and its import has none', async () => {
  await put(alice, 'plan', { body: 1 });
  const lease = await alice.request('PUT', '/v1/leases/work', { body: { owner: 'o', ttl_ms: 3_600_000 } });
  const minted = await alice.request('POST', '/v1/capabilities', { body: { ns: '**', ops: ['GET'], expires_in: 3600 } });
  expect([lease.status, minted.status]).toEqual([200, 201]);
  const file = await exportTenant(alice);
  expect(linesOf(file).filter(({ type }) => /lease|capabilit/.test(type))).toEqual([]);
  for (const secret of [lease.body.token, minted.body.jti, minted.body.capability]) expect(file).not.toContain(String(secret));
  const copy = await newTenant(daemon.url);
  expect((await jobDone(copy, (await importFile(copy, file)).body.job_id)).state).toBe('done');
  for (const noun of ['leases', 'capabilities']) expect((await copy.request('GET', `/v1/${noun}`)).body.data).toEqual([]);
  const fenced = await put(copy, 'plan', { body: 2 }, { lease: `work;token=${lease.body.token}` });
  expect([fenced.status, (await get(copy, 'plan')).body.version]).toEqual([412, 1]);
  expect(await failedChecks(copy)).toEqual([]);
});
