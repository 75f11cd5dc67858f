import { jobDone } from '../export/file.ts';
import { type Client, message, newColleague, newTenant, send } from '../support/client.ts';
import { type TestConnection, withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, onEmbedded } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
  const record = async (body: unknown) => (await alice.request('POST', '/v1/events', { body })).body;
  const first = await record(message('the tide comes at six'));
  const old = await record({ ...message(''), kind: 'decision', content: { decision: 'we sail at six' }, refs: [first.event_id] });
  await record({ ...message(''), kind: 'decision', content: { decision: 'we sail at noon', supersedes: old.event_id } });
  await record({
    ...message(''),
    kind: 'tool_result',
    content: { tool: 'sh', excerpt_text: 'the tide table says a lot. '.repeat(4000) },
  });
  await record(message('the crew is aboard'));
});
afterAll(() => daemon.stop());

interface Check {
  name: string;
  ok: boolean;
  sample: unknown[];
}

async function failedChecks(): Promise<Check[]> {
  const { status, body } = await alice.request('GET', '/v1/consistency');
  expect(status).toBe(200);
  return body.checks.filter(({ ok }: Check) => !ok);
}

async function repair(): Promise<{ repaired: string[]; remaining: string[] }> {
  const { status, body } = await alice.request('POST', '/v1/consistency/repair');
  expect(status).toBe(202);
  const job = await jobDone(alice, body.job_id);
  expect(job.problem).toBeUndefined();
  return job.result as { repaired: string[]; remaining: string[] };
}

/** Changes rows as a superuser, whom row-level security does not restrict. */
async function damage(statement: string): Promise<void> {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('a second connection is required');
  const connection: TestConnection = { ...engine.cluster.admin, database: daemon.env.PGDATABASE! };
  const { rowCount } = await withClient(connection, (client) =>
    client.query(statement.replaceAll('$tenant', `'${alice.tenant_id}'`)),
  );
  expect(rowCount).toBeGreaterThan(0);
}

test('an undamaged tenant is consistent, and a repair changes nothing', async () => {
  const { body } = await alice.request('GET', '/v1/consistency');
  expect([body.ok, body.as_of_seq, body.checks.filter(({ ok }: Check) => !ok)]).toEqual([true, 5, []]);
  expect(body.checks.map(({ name }: Check) => name)).toEqual([
    'artifacts',
    'embeddings',
    'event_count',
    'last_seq',
    'leases',
    'mandate_reservations',
    'mandate_sums',
    'mandates',
    'memories',
    'memory_versions',
    'oldest_seq',
    'passage_ends',
    'passage_scopes',
    'passages',
    'refs',
    'seq',
    'snapshots',
    'state_objects',
    'state_versions',
    'stored_bytes',
    'superseded_by',
    'unlinked_artifacts',
    'unreadable_rows',
  ]);
  expect(await repair()).toMatchObject({ repaired: [], remaining: [] });
});

test('a member gets 403', async () => {
  const bob = await newColleague(alice);
  const answers = [await bob.request('GET', '/v1/consistency'), await bob.request('POST', '/v1/consistency/repair')];
  expect(answers.map(({ status }) => status)).toEqual([403, 403]);
});

test('the check of a large tenant is a job, one at a time, whose result is the report', async () => {
  const strict = await startTestDaemon({ CONSISTENCY_AT_ONCE: '2' }, onEmbedded() ? undefined : daemon.env);
  const asked = onEmbedded() ? await newTenant(strict.url) : alice;
  try {
    if (onEmbedded()) for (const n of [1, 2, 3]) await asked.request('POST', '/v1/events', { body: message(`event ${n}`) });
    const answers = await Promise.all(
      [1, 2].map(() => send<{ job_id: string }>(strict.url, 'GET', '/v1/consistency', {}, asked.token)),
    );
    expect(answers.map(({ status }) => status)).toEqual([202, 202]);
    expect((await jobDone(asked, answers[0]!.body.job_id)).result).toMatchObject({ ok: true, rebuilding: false });
  } finally {
    await strict.stop();
  }
});

const NEEDS_SERVER = 'a test cannot open a second connection';
const where = 'where tenant_id = $tenant';
const activeMemory = `${where} and status = 'active'`;

describeOnServer(NEEDS_SERVER, () => {
  test.each<[string, string, string[]]>([
    ['a wrong event count', `update tenant_clocks set event_count = 99 ${where}`, ['event_count']],
    ['a wrong byte count', `update tenant_clocks set stored_bytes = 10000000 ${where}`, ['stored_bytes']],
    ['a clock behind the log', `update tenant_clocks set last_seq = 4 ${where}`, ['last_seq']],
    ['a beginning after the first event', `update tenant_clocks set oldest_seq = 3 ${where}`, ['oldest_seq']],
    ['a missing passage', `delete from chunks ${where} and seq = 1`, ['passages']],
    [
      'a vector of another text',
      `insert into embeddings (tenant_id, seq, ordinal, model, source, vector, signs) values ($tenant, 1, 0, 'm', gen_random_uuid(), '', '')`,
      ['embeddings'],
    ],
    ['an extra passage', `update chunks set ordinal = 900 ${where} and seq = 1`, ['passages']],
    ['a passage with a wider channel', `update chunks set channel = 'public' ${where} and seq = 1`, ['passage_scopes']],
    ['a passage of another user', `update chunks set user_id = 'bob' ${where} and seq = 1`, ['passage_scopes']],
    [
      'a superseded passage without an end',
      `update chunks set until_seq = null, until_at = null ${where} and seq = 2`,
      ['passage_ends'],
    ],
    ['a current passage with an end', `update chunks set until_seq = 5 ${where} and seq = 3`, ['passage_ends']],
    ['a memory with a wrong version', `update memories set version = 7 ${activeMemory}`, ['memories']],
    ['a memory with a wrong status', `update memories set status = 'deleted' ${activeMemory}`, ['memories']],
    ['a memory that points to another event', `update memories set content_seq = 1, last_seq = 1 ${activeMemory}`, ['memories']],
    [
      'a memory that supersedes itself',
      `update memories set superseded_by = memory_id ${where} and status = 'superseded'`,
      ['superseded_by'],
    ],
    ['a missing successor', `update memories set superseded_by = null ${where} and superseded_by is not null`, ['superseded_by']],
    [
      'a cycle of successors',
      `update memories m set superseded_by = o.memory_id from memories o
     where m.tenant_id = $tenant and o.tenant_id = $tenant and m.status = 'active' and o.status = 'superseded'`,
      ['superseded_by'],
    ],
    ['a memory with a wider channel', `update memories set channel = 'public' ${activeMemory}`, ['memories']],
    ['a memory of another user', `update memories set user_id = 'bob' ${activeMemory}`, ['memories']],
    ['a memory with a wrong text hash', `update memories set text_hash = sha256('x') ${activeMemory}`, ['memories']],
    ['a memory with wrong tags', `update memories set tags = '{evil}' ${activeMemory}`, ['memories']],
    ['an artifact without its event', `update artifacts set event_id = null ${where}`, ['artifacts']],
  ])('%s is found and repaired', async (_, statement, names) => {
    await damage(statement);
    expect((await failedChecks()).map(({ name }) => name)).toEqual(names);
    expect(await repair()).toMatchObject({ repaired: names, remaining: [] });
    expect(await failedChecks()).toEqual([]);
    const { body } = await alice.request('POST', '/v1/events', { body: message('on we go') });
    expect(body.seq).toBe(6);
  });
});

describeOnServer(NEEDS_SERVER, () => {
  test.each<[string, string, string, unknown]>([
    ['a gap in the log', `delete from events ${where} and seq = 1`, 'seq', 1],
    ['a log that ends early', `delete from events ${where} and seq = 5`, 'seq', 5],
    [
      'a reference to a missing event',
      `update events set refs = '{evt_01m7yyk0f9nqsch5y3682m7h63}' ${where} and seq = 5`,
      'refs',
      { seq: 5 },
    ],
    [
      'a missing version',
      `delete from memory_versions ${where} and version = 1 and seq = 2`,
      'memories',
      { fault: 'gap in the versions' },
    ],
    ['a missing memory', `delete from memories ${activeMemory}`, 'memory_versions', { fault: 'no such memory' }],
    [
      'an artifact without its bytes',
      `update artifacts set bytes = '\\x00' ${where}`,
      'artifacts',
      { fault: 'not all its bytes' },
    ],
    ['a missing artifact', `delete from artifacts ${where}`, 'artifacts', { fault: 'no such artifact' }],
  ])('%s is found, and a repair reports that it remains', async (_, statement, name, what) => {
    await damage(statement);
    const found = (await failedChecks()).find((one) => one.name === name)!;
    if (typeof what === 'object') expect(found.sample[0]).toMatchObject(what as object);
    else expect(found.sample).toEqual([what]);
    expect((await repair()).remaining).toContain(name);
  });
});
