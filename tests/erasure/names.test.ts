import { message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { erase, finished } from './support.ts';

// Names and contents are chosen by clients: none of them keeps an erasure from its subject, or turns it against somebody else's.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon({ WEBHOOK_ALLOW_PRIVATE: 'true' });
});
afterAll(() => daemon.stop());

type Client = Awaited<ReturnType<typeof newTenant>>;
type Body = Record<string, any>;
const team = (text: string, more: Body = {}) => message(text, { channel: 'team', ...more });
async function record(client: Client, event: Body): Promise<Body> {
  const { status, body } = await client.ask('POST', '/v1/events', { body: event });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return body;
}
const eventOf = async (client: Client, id: string): Promise<Body> => (await client.ask('GET', `/v1/events/${id}`)).body;
async function forget(client: Client, kind: string) {
  await client.ask('PUT', '/v1/retention', { body: { rules: [{ kind, older_than_days: 0 }] } });
  await finished(client, (await client.ask('POST', '/v1/retention/runs')).body.job_id);
}
const lookalikes = [
  { erased: false },
  { erased: true },
  { erased: true, retention: true },
  { withheld: true },
  { redacted: true },
  { sealed: true },
];

test('what a content says of itself saves nothing of it, neither from an erasure nor from a policy', async () => {
  const owner = await newTenant(daemon.url);
  const say = (more: Body) => record(owner, { ...team(''), session_id: 'gone', content: { text: 'zebrafjord', ...more } });
  const erased = [];
  for (const more of lookalikes) erased.push(await say(more));
  const { result } = await erase(owner, { session_id: 'gone' });
  expect(result.certificate.counts.events).toBe(lookalikes.length);
  for (const { event_id } of erased)
    expect((await eventOf(owner, event_id)).content).toEqual({ erased: true, erasure: result.certificate.subject_hash });
  const old = [];
  for (const more of lookalikes) old.push(await say(more));
  await forget(owner, 'message');
  for (const { event_id } of old) expect((await eventOf(owner, event_id)).content).toEqual({ erased: true, retention: true });
}, 60_000);

test('what says that it is erased is found by a search while it is not', async () => {
  const owner = await newTenant(daemon.url);
  const said = await record(owner, { ...team(''), content: { text: 'zebrafjord', erased: true } });
  expect(said.chunk_ids).toHaveLength(1);
});

test('what a policy or another erasure has emptied already loses the name of the subject too', async () => {
  const owner = await newTenant(daemon.url);
  const carol = await newColleague(owner, 'carolsubject');
  const actor = { type: 'human', id: 'carolsubject' };
  const by_policy = await record(carol, {
    ...team('', { session_id: 's-carolsubject', user_id: 'carolsubject' }),
    actor: { type: 'tool', id: 'sh' },
    kind: 'tool_result',
    content: { tool: 'sh', excerpt_text: 'out' },
  });
  const by_session = await record(carol, team('hers', { session_id: 'first', actor }));
  await forget(owner, 'tool_result');
  await erase(owner, { session_id: 'first' });
  expect((await eventOf(owner, by_policy.event_id)).user_id).toBe('carolsubject');
  await erase(owner, { user_id: 'carolsubject' });
  for (const { event_id } of [by_policy, by_session])
    expect(JSON.stringify(await eventOf(owner, event_id))).not.toContain('carolsubject');
}, 60_000);

const auditOf = async (client: Client): Promise<Body[]> => (await client.ask('GET', '/v1/audit?order=asc&limit=200')).body.data;

test('a subject that is named like a kind, a role or an account blanks nothing of the audit', async () => {
  const owner = await newTenant(daemon.url);
  await newColleague(owner, 'bob');
  await owner.ask('POST', '/auth/api-keys', { body: { name: 'k', role: 'admin', scopes: ['read'] } });
  for (const subject of [
    { agent_id: 'user' },
    { agent_id: owner.user_id },
    { agent_id: 'admin' },
    { user_id: owner.user_id },
    { user_id: 'user' },
    { user_id: 'admin' },
  ])
    expect((await erase(owner, subject)).result.certificate.counts.audit_entries).toBe(0);
  expect((await auditOf(owner)).filter(({ payload }) => payload === null)).toEqual([]);
}, 60_000);

test('who began an erasure stays on record, also where it was the subject', async () => {
  const owner = await newTenant(daemon.url);
  const mallory = await newColleague(owner, 'mallory', 'admin');
  await mallory.ask('POST', '/auth/invites', { body: { role: 'admin' } });
  const { body } = await mallory.ask('POST', '/v1/erasures', { body: { user_id: 'mallory' } });
  const { result } = await finished(owner, body.job_id);
  const entries = await auditOf(owner);
  expect(entries.find(({ action }) => action === 'erasure.begun')!.payload.principal_id).toBe(mallory.user_id);
  const said = entries.find(({ action }) => action === 'audit.erased')!.payload;
  expect(said.begun_by).toBe(result.certificate.subject_hash);
  expect(entries.filter(({ payload }) => payload === null).map(({ action }) => action)).toContain('user.registered');
}, 60_000);

test('what the service says of erasures, and subscriptions that filter by an equal word, stay', async () => {
  const owner = await newTenant(daemon.url);
  const hook = async (filter: Body) =>
    (await owner.ask('POST', '/v1/webhooks', { body: { url: 'http://127.0.0.1:9/x', filter } })).body.webhook_id as string;
  const kept = await hook({ kind: { in: ['decision'] } });
  const gone = await hook({ or: [{ agent_id: 'decision' }, { kind: 'message' }] });
  await erase(owner, { session_id: 'none' });
  await erase(owner, { agent_id: 'agent-memory' });
  expect((await erase(owner, { agent_id: 'decision' })).result.certificate.counts.webhooks).toBe(1);
  expect((await owner.ask('GET', `/v1/webhooks/${kept}`)).status).toBe(200);
  expect((await owner.ask('GET', `/v1/webhooks/${gone}`)).status).toBe(404);
  const said = (await owner.ask('GET', '/v1/events?channel=team&limit=100')).body.data.filter(
    ({ kind }: Body) => kind === 'erasure.completed',
  );
  expect(said.map(({ content }: Body) => content.certificate)).toEqual(Array(3).fill(expect.stringMatching(/^[0-9a-f]{64}$/)));
  const jobs = (await owner.ask('GET', '/v1/jobs?kind=erasure')).body.data;
  expect(jobs.filter(({ result }: Body) => !result?.certificate)).toEqual([]);
}, 60_000);

test('a memory that is kept says what it stands on now, and nothing of the event that is gone', async () => {
  const owner = await newTenant(daemon.url);
  const decide = (who: string) =>
    record(owner, {
      ...team('', { session_id: `${who}-session`, agent_id: who, tags: [`${who}-tag`], actor: { type: 'agent', id: who } }),
      kind: 'decision',
      content: { decision: 'tabs, not spaces', scope: 'user' },
    });
  const { memory_id } = await decide('agentzero');
  await decide('agentone');
  await erase(owner, { agent_id: 'agentzero' });
  const { body } = await owner.ask('GET', `/v1/memories/${memory_id}`);
  expect(JSON.stringify(body)).not.toContain('agentzero');
  expect(body).toMatchObject({
    text: 'tabs, not spaces',
    agent_id: 'agentone',
    session_id: 'agentone-session',
    tags: ['agentone-tag'],
    marks: ['evidence_erased'],
  });
}, 60_000);

test('what the subject proposed as an edit goes with it, unless it was approved', async () => {
  const owner = await newTenant(daemon.url);
  const carol = await newColleague(owner, 'carol');
  const { event_id } = await record(owner, team('their words'));
  const propose = async (text: string): Promise<Body> =>
    (
      await carol.ask('POST', '/v1/edits', {
        body: { target: event_id, op: 'amend', patch: { text }, reason: `${text}, says carol` },
      })
    ).body;
  const [pending, rejected, approved] = [await propose('zebra one'), await propose('zebra two'), await propose('zebra three')];
  await owner.ask('POST', `/v1/edits/${rejected.edit_id}/reject`, { headers: { 'if-match': '"1"' } });
  await owner.ask('POST', `/v1/edits/${approved.edit_id}/approve`, { headers: { 'if-match': '"1"' } });
  await erase(owner, { user_id: 'carol' });
  const { data } = (await owner.ask('GET', '/v1/edits')).body;
  expect(data.map(({ edit_id }: Body) => edit_id)).toEqual([approved.edit_id]);
  expect(data[0]).toMatchObject({ status: 'approved', reason: 'erased', patch: { text: 'zebra three' } });
  expect(pending.edit_id).toBeDefined();
}, 60_000);
