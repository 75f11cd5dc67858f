import { createHash } from 'node:crypto';
import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { exportTenant, failedChecks, importFile, jobDone, linesOf, withoutHeader } from './file.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon({ LOG_LEVEL: 'warn' });
  alice = await newTenant(daemon.url);
  await fill(alice);
});
afterAll(() => daemon.stop());

async function fill(client: Client): Promise<void> {
  await client.request('PATCH', '/v1/tenant', { body: { settings: { display_name: 'The harbour' }, language: 'simple' } });
  const record = async (body: unknown) => {
    const answer = await client.request('POST', '/v1/events', { body });
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
    return answer.body;
  };
  for (let from = 0; from < 40; from += 20)
    await record({
      events: Array.from({ length: 20 }, (_, i) =>
        message(`the harbour crane number ${from + i} turns "left" → \\ ünïcödé 🎈`, {
          session_id: `s${i % 3}`,
          channel: ['private', 'team', 'public', 'agent'][i % 4],
          tags: [`crane:${i}`],
          metadata: { at: [1.5, 1e-7, { deep: [null, true] }], exact: 0.1 },
          occurred_at: `2026-01-0${1 + (i % 5)}T10:00:00.123Z`,
        }),
      ),
    });
  const first = await record({ ...message(''), kind: 'decision', content: { decision: 'cranes are painted yellow' } });
  await record({
    ...message(''),
    kind: 'decision',
    content: { decision: 'cranes are painted blue', supersedes: first.event_id },
    refs: [first.chunk_ids[0]],
  });
  for (const status of ['open', 'doing', 'done'])
    await record({
      ...message(''),
      kind: 'task_update',
      agent_id: 'planner',
      content: { task_id: 'paint', title: 'paint it', status },
    });
  await record({ ...message('hush', { sensitivity: 'secret' }) });
  await record(message(`the password is q8Zr${'1kLm'}N0pT`));
  const amend = { op: 'amend', reason: 'a typo', patch: { text: 'the harbour lift turns nowhere' } };
  const { events } = { events: (await client.request('GET', '/v1/events?limit=2')).body.data };
  for (const [i, edit] of [amend, { op: 'quarantine', reason: 'doubtful' }].entries()) {
    const { status, body } = await client.request('POST', '/v1/edits', {
      body: { target: events[i].event_id, auto_approve: true, ...edit },
    });
    if (status !== 201) throw new Error(JSON.stringify(body));
  }
  const { data } = (await client.request('GET', '/v1/events?channel=public&limit=2')).body;
  const items = data.map(({ event_id }: { event_id: string }) => event_id);
  const packed = { items, audience: 'all', channel: 'team', title: 'cranes', risks: ['wind'] };
  for (const end of [false, true]) {
    const { status, body } = await client.request('POST', '/v1/capsules', { body: packed });
    if (status !== 201) throw new Error(JSON.stringify(body));
    if (end) await client.request('POST', `/v1/capsules/${body.capsule_id}/revoke`);
  }
  await record(message('a crane of which nobody may know', { session_id: 'gone' }));
  const long = Array.from({ length: 6000 }, (_, i) => `line ${i} of the crane log says ${i * 7}`).join('\n');
  await record({
    ...message(''),
    kind: 'tool_result',
    actor: { type: 'tool', id: 'sh' },
    content: { tool: 'sh', excerpt_text: long },
  });
  await client.request('POST', '/v1/artifacts', { body: Buffer.alloc(200_000, 7), headers: { 'content-type': 'image/x-crane' } });
  await client.request('POST', '/v1/artifacts', { body: Buffer.alloc(0), headers: { 'content-type': 'text/plain' } });
  await forget(client);
}

/** Sends the same requests to a tenant. */
async function answers(client: Client): Promise<unknown[]> {
  const requests = [
    client.request('GET', '/v1/events?limit=200'),
    client.request('GET', '/v1/events?channel=public&tag=crane:6'),
    client.request('POST', '/v1/search', { body: { query: 'harbour crane painted', limit: 50 } }),
    client.request('POST', '/v1/search', { body: { query: 'line 4711 crane log', limit: 5, as_of_seq: 47 } }),
    client.request('GET', '/v1/capsules'),
    client.request('POST', '/v1/context', {
      body: { session_id: 's1', channel: 'private', query_text: 'which colour are cranes?' },
    }),
  ];
  return (await Promise.all(requests)).map(({ status, body }) => [status, { ...body, context_id: '' }]);
}

/** Sets a retention policy and erases a session. */
async function forget(client: Client): Promise<void> {
  const policy = { rules: [{ kind: 'message', older_than_days: 36_000 }], trim: { keep_days: 36_000 } };
  const { status } = await client.request('PUT', '/v1/retention', { body: policy });
  const erasure = await client.request('POST', '/v1/erasures', { body: { session_id: 'gone' } });
  if (status !== 200 || erasure.status !== 202) throw new Error(`${status} ${JSON.stringify(erasure.body)}`);
  const job = await jobDone(client, erasure.body.job_id);
  if (job.state !== 'done') throw new Error(JSON.stringify(job));
}

test('an export is complete and ends with valid counts and a valid hash', async () => {
  const file = await exportTenant(alice);
  const lines = linesOf(file);
  expect(lines[0]).toMatchObject({
    type: 'header',
    format_version: 2,
    tenant_id: alice.tenant_id,
    partial: false,
    as_of_seq: 59,
  });
  const end = lines.at(-1)!;
  expect(end.counts).toMatchObject({
    tenant: 1,
    event: 59,
    capsule: 2,
    retention_policy: 1,
    artifact: 3,
    memory: 3,
    memory_version: 6,
  });
  expect(end.sha256).toBe(
    createHash('sha256')
      .update(file.slice(0, file.lastIndexOf('{"type":"end"')))
      .digest('hex'),
  );
  expect(lines.filter(({ type }) => type === 'event').map(({ seq }) => seq)).toEqual(Array.from({ length: 59 }, (_, i) => i + 1));
  expect(file).not.toMatch(/nobody may know|q8Zr|secret_hash|access_token/);
});

test('an import preserves seqs, ids, times and responses', async () => {
  const file = await exportTenant(alice);
  const copy = await newTenant(daemon.url);
  const before = await answers(alice);
  const { status, body, headers } = await importFile(copy, file);
  expect([status, body.as_of_seq, headers.get('location')]).toEqual([202, 59, `/v1/jobs/${body.job_id}`]);
  expect((await jobDone(copy, body.job_id)).state).toBe('done');
  expect(withoutHeader(await exportTenant(copy))).toEqual(withoutHeader(file));
  expect(await answers(copy)).toEqual(before);
  const artifact = linesOf(file).find(({ media_type }) => media_type === 'image/x-crane')!;
  const bytes = await fetch(`${daemon.url}/v1/artifacts/${artifact.artifact_id}`, {
    headers: { authorization: `Bearer ${copy.token}` },
  });
  expect(Buffer.from(await bytes.arrayBuffer()).equals(Buffer.alloc(200_000, 7))).toBe(true);
  expect(await failedChecks(copy)).toEqual([]);
});

test('the copy continues where the original ended, and a second import returns 409', async () => {
  const copy = await newTenant(daemon.url);
  const file = await exportTenant(alice);
  const { body } = await importFile(copy, file);
  const { body: recorded } = await copy.request('POST', '/v1/events', { body: message('the next') });
  expect(recorded.seq).toBe(60);
  expect((await importFile(copy, file)).status).toBe(409);
  await jobDone(copy, body.job_id);
  expect(await failedChecks(copy)).toEqual([]);
});

test('a member exports the events that it can see, and that file cannot be imported', async () => {
  const bob = await newColleague(alice);
  const file = await exportTenant(bob);
  const lines = linesOf(file);
  expect(lines[0]).toMatchObject({ type: 'header', partial: true });
  const events = lines.filter(({ type }) => type === 'event');
  expect(events.length).toBe(36);
  expect(events.filter(({ channel }) => channel === 'private')).toEqual([]);
  expect(file).not.toMatch(/painted|paint it/);
  expect((await importFile(await newTenant(daemon.url), file)).body.errors[0].pointer).toBe('#/0/partial');
});

test('an empty tenant can be exported and imported', async () => {
  const file = await exportTenant(await newTenant(daemon.url));
  const copy = await newTenant(daemon.url);
  const { status, body } = await importFile(copy, file);
  expect([status, body.as_of_seq]).toEqual([202, 0]);
  expect((await copy.request('POST', '/v1/events', { body: message('first') })).body.seq).toBe(1);
});
