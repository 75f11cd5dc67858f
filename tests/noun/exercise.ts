import { randomBytes } from 'node:crypto';
import { Client as Connection } from 'pg';
import { erase, waitForJob } from '../erasure/support.ts';
import { exportTenant, failedChecks, fileOf, importFile, jobDone, linesOf, withoutHeader } from '../export/file.ts';
import { done, previewTrim, type Row, recordMessages, trim } from '../retention/support.ts';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, workerDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { readEvents } from '../support/sse.ts';

// Tests counters through HTTP. noun.test.ts runs this in a copy of the service that has counters.

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

const make = (client: Client, more: Row = {}) =>
  done(client, 'POST', '/v1/counters', { name: 'crates', channel: 'team', ...more });
const get = (client: Client, { counter_id }: Row) => client.request('GET', `/v1/counters/${counter_id}`);
const set = (client: Client, { counter_id }: Row, body: Row, headers: Record<string, string> = {}) =>
  client.request('PUT', `/v1/counters/${counter_id}/value`, { body, headers });
const countersIn = (file: string) => linesOf(file).filter(({ type }) => type === 'counter');
const lastSeq = async (client: Client) => (await done(client, 'GET', '/v1/usage')).last_seq;

test('a counter is created, listed, read and set; a wrong expected value returns 412 and writes nothing', async () => {
  const counter = await make(alice, { value: 3 });
  expect(counter).toEqual({
    ...counter,
    counter_id: expect.stringMatching(/^ctr_/),
    seq: 1,
    value: 3,
    made_by: 'alice',
    expires_at: null,
  });
  expect((await set(alice, counter, { value: 4, expected: 3 })).body).toEqual({ ...counter, seq: 2, value: 4 });
  const late = await set(alice, counter, { value: 9, expected: 3 });
  expect([late.status, late.body.detail]).toEqual([412, 'The counter has a different value.']);
  expect((await get(alice, counter)).body).toEqual({ ...counter, seq: 2, value: 4 });
  const other = await make(alice, { name: 'barrels' });
  const pages = [await done(alice, 'GET', '/v1/counters?limit=1')];
  pages.push(await done(alice, 'GET', `/v1/counters?cursor=${pages[0]!.next_cursor}`));
  expect(pages.map(({ data }) => data.map(({ name }: Row) => name))).toEqual([['crates'], ['barrels']]);
  // the rejected write used no seq
  expect([other.seq, await lastSeq(alice)]).toEqual([3, 3]);
});

test('one of 20 concurrent writes with the same expected value succeeds', async () => {
  const counter = await make(alice);
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => set(alice, counter, { value: i + 1, expected: 0 })));
  const won = answers.filter(({ status }) => status === 200);
  expect([won.length, answers.filter(({ status }) => status === 412).length]).toEqual([1, 19]);
  expect((await get(alice, counter)).body).toEqual(won[0]!.body);
  expect(await lastSeq(alice)).toBe(2);
});

test('units of a batch see the effects of earlier ones; a refused unit uses no seq', async () => {
  const connection = new Connection((await workerDatabase()).connection);
  await connection.connect();
  const tenant = `batch-${randomBytes(5).toString('hex')}`;
  const event = { session_id: 's', channel: 'team', actor_type: 'human', actor_id: 'a', kind: 'counter.set', user_id: 'a' };
  const unitOf = (sets: Row[]) => ({
    ...{ key: null, body: null, bytes: 1 },
    events: sets.map((doc) => ({
      ...{ ...event, event_id: `evt_${randomBytes(13).toString('hex')}`, content: { value: doc.value }, sensitivity: 'none' },
      ...{ tags: [], refs: [], metadata: {}, effects: { counters: { counter_id: 'ctr_a', name: 'a', ...doc } } },
    })),
  });
  const sets = [
    [{ value: 1 }],
    [{ value: 2, expected: 0 }],
    [
      { value: 2, expected: 1 },
      { value: 3, expected: 2 },
    ],
    // its first event alone would succeed: nothing of a refused unit is visible
    [
      { value: 4, expected: 3 },
      { value: 5, expected: 3 },
    ],
    [{ value: 6, expected: 3 }],
    [{ value: 7 }],
  ];
  try {
    await connection.query('begin');
    await connection.query('select enter_tenant($1)', [tenant]);
    await connection.query('select make_tenant($1, null)', [tenant]);
    const { rows } = await connection.query<{ status: string; outcome: Row }>('select * from commit_units($1, $2)', [
      tenant,
      JSON.stringify(sets.map(unitOf)),
    ]);
    expect(rows.map(({ status, outcome }) => [status, status === 'new' ? outcome.seq : outcome.refusal.code])).toEqual([
      ['new', 1],
      ['refused', 'AM412'],
      ['new', 2],
      ['refused', 'AM412'],
      ['new', 4],
      ['refused', 'AM412'],
    ]);
    const found = await connection.query('select seq::int, value::int from counters where tenant_id = $1', [tenant]);
    expect(found.rows).toEqual([{ seq: 4, value: 6 }]);
  } finally {
    await connection.query('rollback');
    await connection.end();
  }
});

test('a retry is replayed, and its key with another body returns 409', async () => {
  const request = (body: Row) =>
    alice.request('POST', '/v1/counters', {
      body: { name: 'crates', channel: 'team', ...body },
      headers: { 'idempotency-key': 'make' },
    });
  const [first, again, other] = [await request({ value: 1 }), await request({ value: 1 }), await request({ value: 2 })];
  expect([again.status, again.body, again.headers.get('idempotent-replay')]).toEqual([201, first.body, 'true']);
  expect(other.status).toBe(409);
  const key = { 'idempotency-key': 'set' };
  const before = await set(alice, first.body, { value: 5, expected: 1 }, key);
  await set(alice, first.body, { value: 6, expected: 5 });
  const after = await set(alice, first.body, { value: 5, expected: 1 }, key);
  expect([after.status, after.body]).toEqual([200, before.body]);
  expect((await get(alice, first.body)).body.value).toBe(6);
  expect(await lastSeq(alice)).toBe(3);
});

test('a follower receives the events of its channel', async () => {
  const abort = new AbortController();
  const response = await fetch(`${daemon.url}/v1/events?channel=public`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${alice.token}` },
    signal: abort.signal,
  });
  await make(alice, { name: 'of the team' });
  const counter = await make(alice, { name: 'of all', channel: 'public', value: 2 });
  for await (const { event, data } of readEvents(response)) {
    if (data === undefined) continue;
    expect([event, JSON.parse(data)]).toEqual([
      'counter.set',
      expect.objectContaining({ seq: counter.seq, content: { counter_id: counter.counter_id, name: 'of all', value: 2 } }),
    ]);
    break;
  }
  abort.abort();
});

test('an erasure deletes counters that the subject set last and its name from others, as its dry run reports', async () => {
  const bob = await newColleague(alice);
  const [own, shared, others] = [await make(bob, { name: 'own' }), await make(bob, { name: 'shared' }), await make(alice)];
  await set(alice, shared, { value: 1, expected: 0 });
  const dry = await alice.request('POST', '/v1/erasures', { body: { user_id: 'bob', dry_run: true } });
  const predicted = dry.status === 202 ? (await waitForJob(alice, dry.body.job_id)).result : dry.body;
  expect(predicted.counts).toMatchObject({ counters: 1, counters_made: 1 });
  expect((await get(alice, own)).status).toBe(200);
  const { result } = await erase(alice, { user_id: 'bob' });
  expect(result.certificate.counts).toMatchObject({ counters: 1, counters_made: 1 });
  expect((await get(alice, own)).status).toBe(404);
  expect((await get(alice, shared)).body).toMatchObject({ value: 1, made_by: null });
  expect((await get(alice, others)).body).toEqual(others);
  expect(
    countersIn(await exportTenant(alice))
      .map(({ made_by }) => made_by)
      .sort(),
  ).toEqual(['alice', null]);
  expect(await failedChecks(alice)).toEqual([]);
});

test('an import restores an export; a row without its event is rejected, a wrong value is found and repaired', async () => {
  const counter = await make(alice, { value: 1 });
  await set(alice, counter, { value: 2, expected: 1 });
  await make(alice, { name: 'for a time', ttl_s: 3600 });
  const file = await exportTenant(alice);
  expect(countersIn(file).map(({ seq, value }) => [seq, value])).toEqual([
    [2, 2],
    [3, 0],
  ]);
  const copy = await newTenant(daemon.url);
  expect((await jobDone(copy, (await importFile(copy, file)).body.job_id)).state).toBe('done');
  expect(withoutHeader(await exportTenant(copy))).toEqual(withoutHeader(file));
  expect((await set(copy, counter, { value: 3, expected: 2 })).body).toMatchObject({ value: 3, seq: 4 });
  const changed = (more: Row) =>
    fileOf(linesOf(file).map((line) => (line.seq === 2 && line.type === 'counter' ? { ...line, ...more } : line)));
  expect((await importFile(await newTenant(daemon.url), changed({ value: 'two' }))).status).toBe(422);
  const astray = await newTenant(daemon.url);
  const refused = await importFile(astray, changed({ seq: 3 }));
  expect([refused.status, JSON.stringify(refused.body)]).toEqual([422, expect.stringContaining(counter.counter_id)]);
  const wrong = await newTenant(daemon.url);
  expect((await jobDone(wrong, (await importFile(wrong, changed({ value: 70 }))).body.job_id)).state).toBe('done');
  expect(await failedChecks(wrong)).toMatchObject([{ name: 'counters', sample: [{ seq: 2, counter_id: counter.counter_id }] }]);
  const { body } = await wrong.request('POST', '/v1/consistency/repair');
  expect((await jobDone(wrong, body.job_id)).result).toMatchObject({ repaired: ['counters'], remaining: [] });
  expect((await get(wrong, counter)).body.value).toBe(2);
});

test('a trim keeps the event of a counter in use; a retention rule keeps or removes it', async () => {
  const counter = await make(alice, { value: 1 });
  await set(alice, counter, { value: 2, expected: 1 });
  await recordMessages(alice, 4);
  expect(await previewTrim(alice, 2)).toMatchObject({ trimmed: 3, carried: 1 });
  expect((await trim(alice, 2)).counts).toMatchObject({ trimmed: 3, carried: 1 });
  expect((await set(alice, counter, { value: 3, expected: 2 })).status).toBe(200);
  expect(await failedChecks(alice)).toEqual([]);
  const run = async (rule: Row) => {
    await done(alice, 'PUT', '/v1/retention', { rules: [{ kind: 'counter.set', older_than_days: 0, ...rule }] });
    const job = await waitForJob(alice, (await done(alice, 'POST', '/v1/retention/runs')).job_id);
    expect([job.state, job.problem]).toEqual(['done', undefined]);
    return (await get(alice, counter)).status;
  };
  expect([await run({}), await run({ max_importance: 1 })]).toEqual([200, 404]);
  expect(await failedChecks(alice)).toEqual([]);
});

test('an expired counter returns 404, and the sweep deletes its row', async () => {
  const [brief, lasting] = [await make(alice, { ttl_s: 1 }), await make(alice)];
  await eventually(async () => (await get(alice, brief)).status === 404, 'the end of the counter');
  expect((await set(alice, brief, { value: 1, expected: 0 })).status).toBe(404);
  expect((await done(alice, 'GET', '/v1/counters')).data).toEqual([lasting]);
  expect(countersIn(await exportTenant(alice)).length).toBe(2);
  await daemon.stop();
  daemon = await startTestDaemon({ SWEEP_DELAY_MS: '0' }, database.env);
  const { token } = alice;
  const file = async () => (await fetch(`${daemon.url}/v1/export`, { headers: { authorization: `Bearer ${token}` } })).text();
  await eventually(async () => countersIn(await file()).length === 1, 'the sweeper');
});
