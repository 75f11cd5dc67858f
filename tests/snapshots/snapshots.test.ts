import { erase } from '../erasure/support.ts';
import { exportTenant, failedChecks, fileOf, importFile, jobDone, linesOf } from '../export/file.ts';
import { done, type Row, recordMessages, usage } from '../retention/support.ts';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { type TestConnection, withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { eventually } from '../support/eventually.ts';
import { snap, snapshotNames, trimBefore } from './support.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const create = (client: Client, body: Row, headers: Record<string, string> = {}) =>
  client.request('POST', '/v1/snapshots', { body, headers });

test('an admin creates, lists and deletes snapshots; a member can only list them', async () => {
  const empty = await snap(alice, 'empty');
  await recordMessages(alice, 3);
  const later = await snap(alice, 'later', { expires_in: 60 });
  expect([empty, later]).toEqual([
    { name: 'empty', seq: 0, created_at: expect.any(String), expires_at: expect.any(String) },
    { name: 'later', seq: 3, created_at: expect.any(String), expires_at: expect.any(String) },
  ]);
  const days = ({ created_at, expires_at }: Row) => (Date.parse(expires_at) - Date.parse(created_at)) / 86_400_000;
  expect([Math.round(days(empty)), Math.round(days(later) * 86_400)]).toEqual([90, 60]);
  const bob = await newColleague(alice, 'bob');
  const pages = [await done(bob, 'GET', '/v1/snapshots?limit=1')];
  pages.push(await done(bob, 'GET', `/v1/snapshots?cursor=${pages[0]!.next_cursor}`));
  expect(pages.map(({ data }) => data)).toEqual([[empty], [later]]);
  expect([(await create(bob, { name: 'mine' })).status, (await bob.request('DELETE', '/v1/snapshots/later')).status]).toEqual([
    403, 403,
  ]);
  expect((await alice.request('DELETE', '/v1/snapshots/later')).status).toBe(204);
  expect((await alice.request('DELETE', '/v1/snapshots/later')).status).toBe(404);
  expect(await snapshotNames(bob)).toEqual(['empty']);
});

test('a taken name returns 409 and an invalid one 422; a retry returns the same snapshot', async () => {
  const headers = { 'idempotency-key': 'nightly' };
  const first = await create(alice, { name: 'nightly' }, headers);
  await recordMessages(alice, 2);
  const retried = await create(alice, { name: 'nightly' }, headers);
  expect([retried.status, retried.body, retried.headers.get('idempotent-replay')]).toEqual([201, first.body, 'true']);
  expect((await create(alice, { name: 'other' }, headers)).status).toBe(409);
  const taken = await create(alice, { name: 'nightly' });
  expect([taken.status, taken.body.detail]).toEqual([409, 'A snapshot with this name exists.']);
  for (const name of ['', '7th', 'a/b', 'a b', 'x'.repeat(129)]) expect((await create(alice, { name })).status).toBe(422);
  expect((await create(alice, { name: 'a', expires_in: 0 })).status).toBe(422);
});

test('the 101st snapshot returns 409 until one is deleted', async () => {
  for (let i = 0; i < 100; i += 1) await snap(alice, `s${i}`);
  const refused = await create(alice, { name: 's100' });
  expect([refused.status, refused.body.detail]).toEqual([409, 'A tenant can have at most 100 snapshots; delete one first.']);
  await alice.request('DELETE', '/v1/snapshots/s7');
  expect((await create(alice, { name: 's100' })).status).toBe(201);
});

test('a trim ends at the oldest snapshot and names it; a cursor before the beginning of the log returns 410', async () => {
  await recordMessages(alice, 5);
  await snap(alice, 'five');
  await recordMessages(alice, 5);
  await snap(alice, 'ten');
  expect(await trimBefore(alice, 4)).toMatchObject({ oldest_seq: 4, counts: { trimmed: 3 } });
  const held = await trimBefore(alice, 9);
  expect(held).toMatchObject({ oldest_seq: 6, held_by: { reason: 'snapshot', seq: 6, snapshot: 'five' } });
  const old = await alice.request('GET', '/v1/events?channel=team&after=2');
  expect([old.status, old.body.oldest_seq]).toEqual([410, 6]);
  await alice.request('DELETE', '/v1/snapshots/five');
  // the log ends at 10, and so does the second snapshot
  expect(await trimBefore(alice, 1_000)).toMatchObject({ oldest_seq: 11 });
  expect((await usage(alice)).oldest_seq).toBe(11);
  expect(await failedChecks(alice)).toEqual([]);
});

test('a trim before a position applies no rule, and members cannot start it', async () => {
  await recordMessages(alice, 4);
  await done(alice, 'PUT', '/v1/retention', { rules: [{ older_than_days: 0 }], trim: { keep_events: 0 } });
  expect(await trimBefore(alice, 3)).toMatchObject({ oldest_seq: 3, counts: { trimmed: 2, carried: 0 } });
  const { data } = await done(alice, 'GET', '/v1/events?channel=team');
  expect(data.map(({ seq, content }: Row) => [seq, content.erased])).toEqual([
    [3, undefined],
    [4, undefined],
  ]);
  const bob = await newColleague(alice, 'bob');
  expect((await bob.request('POST', '/v1/retention/runs', { body: { trim_before_seq: 4 } })).status).toBe(403);
  expect((await alice.request('POST', '/v1/retention/runs', { body: { trim_before_seq: 0 } })).status).toBe(422);
});

test('an expired snapshot holds nothing, its name is free, and the sweep deletes its row', async () => {
  await recordMessages(alice, 3);
  await snap(alice, 'brief', { expires_in: 1 });
  await recordMessages(alice, 3);
  await eventually(async () => (await snapshotNames(alice)).length === 0, 'the end of the snapshot');
  expect((await alice.request('DELETE', '/v1/snapshots/brief')).status).toBe(404);
  const trimmed = await trimBefore(alice, 6);
  expect([trimmed.oldest_seq, trimmed.held_by]).toEqual([6, undefined]);
  expect(await snap(alice, 'brief')).toMatchObject({ seq: 6 });
});

test('no trim passes a snapshot that is created at the same time', async () => {
  for (let round = 0; round < 10; round += 1) {
    const [made] = await Promise.all([snap(alice, `round-${round}`), recordMessages(alice, 3), trimBefore(alice, 1e9)]);
    expect((await usage(alice)).oldest_seq).toBeLessThanOrEqual(made.seq + 1);
    expect((await alice.request('DELETE', `/v1/snapshots/round-${round}`)).status).toBe(204);
  }
  expect(await failedChecks(alice)).toEqual([]);
});

test('an erasure replaces the name of the subject in names of snapshots', async () => {
  await recordMessages(alice, 1);
  for (const name of ['before-carol', 'carol', 'carolina', 'x_carol.y']) await snap(alice, name);
  const preview = await done(alice, 'POST', '/v1/erasures', { user_id: 'carol', dry_run: true });
  const { result } = await erase(alice, { user_id: 'carol' });
  expect([preview.counts.snapshots, result.certificate.counts.snapshots]).toEqual([3, 3]);
  const hash = result.certificate.subject_hash;
  expect(await snapshotNames(alice)).toEqual([`before-${hash}`, 'carolina', hash, `x_${hash}.y`].sort());
  await snap(alice, 'carol');
  await erase(alice, { user_id: 'carol' });
  expect(await snapshotNames(alice)).toEqual([`before-${hash}`, 'carolina', hash, `x_${hash}.y`].sort());
}, 60_000);

test('an import keeps the snapshots, and rejects one outside the log', async () => {
  await recordMessages(alice, 3);
  await snap(alice, 'three');
  await recordMessages(alice, 2);
  await trimBefore(alice, 1e9);
  const file = await exportTenant(alice);
  const copy = await newTenant(daemon.url);
  const imported = await importFile(copy, file);
  expect((await jobDone(copy, imported.body.job_id)).problem).toBeUndefined();
  expect((await done(copy, 'GET', '/v1/snapshots')).data).toEqual((await done(alice, 'GET', '/v1/snapshots')).data);
  expect(await trimBefore(copy, 1e9)).toMatchObject({ oldest_seq: 4, held_by: { snapshot: 'three' } });
  const importWith = async (change: (line: Row) => Row[]) => {
    const lines = linesOf(file).flatMap((line) => (line.type === 'snapshot' ? change(line) : [line]));
    const { status, body } = await importFile(await newTenant(daemon.url), fileOf(lines));
    return [status, JSON.stringify(body)];
  };
  const hundred = Array.from({ length: 101 }, (_, i) => `s${i}`);
  expect(await importWith((line) => [{ ...line, seq: 2 }])).toEqual([422, expect.stringContaining('three is outside the log')]);
  expect(await importWith((line) => [{ ...line, seq: 6 }])).toEqual([422, expect.stringContaining('must be at most 5')]);
  expect(await importWith((line) => hundred.map((name) => ({ ...line, name })))).toEqual([
    422,
    expect.stringContaining('at most 100 snapshots'),
  ]);
});

describeOnServer('a test needs a second connection', () => {
  test('nothing is written while a snapshot is created, so that a trim sees it', async () => {
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('this needs a PostgreSQL server');
    const connection: TestConnection = { ...engine.cluster.admin, database: daemon.env.PGDATABASE! };
    await recordMessages(alice, 5);
    const later = await withClient(connection, async (client) => {
      await client.query('begin');
      await client.query('select enter_tenant($1)', [alice.tenant_id]);
      await client.query('select create_snapshot($1, $2, 60, null, null)', [alice.tenant_id, 'slow']);
      let ended = false;
      const writes = recordMessages(alice, 5)
        .then(() => trimBefore(alice, 1e9))
        .finally(() => {
          ended = true;
        });
      const isWaiting = async () =>
        (await client.query(`select from pg_locks where not granted and locktype in ('transactionid', 'tuple')`)).rowCount! > 0;
      await eventually(async () => ended || (await isWaiting()), 'the writer to wait or to end');
      await client.query('commit');
      return writes;
    });
    expect(later).toMatchObject({ oldest_seq: 6, held_by: { snapshot: 'slow' } });
  });
});
