import { decide, edit } from '../edits/client.ts';
import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { type Bundle, contextOf, recordAll } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Which memories contexts include, and how the response to a write reports it.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const QUERY = 'Where does the harbour crane stand?';
const text = (kind: string) =>
  `The harbour crane stands at quay ${['fact', 'note', 'summary', 'preference'].indexOf(kind)}, says the ${kind}.`;
const make = async (kind: string, more: Record<string, unknown> = {}, by = alice) => {
  const { status, body } = await by.request('POST', '/v1/memories', {
    body: { kind, text: text(kind), channel: 'team', ...more },
  });
  expect([status, body.detail]).toEqual([201, undefined]);
  return body;
};
const request = (by = alice) => contextOf(by, { session_id: 'asks', channel: 'team', query_text: QUERY });
const itemOf = ({ sections }: Bundle, id: string) =>
  sections.flatMap(({ items }) => items).find(({ memory_id }) => memory_id === id);
const leftOut = ({ omissions }: Bundle) => omissions.find(({ reason }) => reason === 'ungrounded')?.candidates ?? [];
const setSources = async (require_sources: string | null) => {
  const { status, body } = await alice.request('PATCH', '/v1/tenant', { body: { settings: { require_sources } } });
  expect([status, body.settings.require_sources ?? null]).toEqual([200, require_sources]);
};

const settings = [
  { setting: null, unstated: ['summary'] },
  { setting: 'summaries', unstated: ['summary'] },
  { setting: 'none', unstated: [] },
  { setting: 'all', unstated: ['fact', 'note', 'summary'] },
];
test.each(settings)(
  'require_sources $setting: contexts omit $unstated without refs, and the 201 reports it',
  async ({ setting, unstated }) => {
    await setSources(setting);
    const made: Record<string, any> = {};
    for (const kind of ['fact', 'note', 'summary', 'preference']) made[kind] = await make(kind);
    const bundle = await request();
    for (const [kind, memory] of Object.entries(made)) {
      const stated = !unstated.includes(kind);
      const expected = { grounded: kind === 'preference', stated, ...(!stated && { reason: 'ungrounded' }) };
      expect(memory).toMatchObject(expected);
      const { body: read } = await alice.request('GET', `/v1/memories/${memory.memory_id}`);
      expect(read).toMatchObject(expected);
      expect([kind, itemOf(bundle, memory.memory_id)?.trust]).toEqual([kind, stated ? 'approved' : undefined]);
      expect('reason' in memory).toBe(!stated);
    }
    expect(leftOut(bundle).toSorted()).toEqual(unstated.map((kind) => made[kind].memory_id).toSorted());
  },
);

test('a claim without a source is included with its trust, also in the text', async () => {
  const bob = await newColleague(alice);
  const stated = await make('fact', {}, bob);
  const inferred = await make('note', { actor: { type: 'agent', id: 'planner' } }, bob);
  const bundle = await request();
  expect(itemOf(bundle, stated.memory_id)).toMatchObject({
    trust: 'stated',
    text: expect.stringContaining('bob (fact, stated, no source): '),
  });
  expect(itemOf(bundle, inferred.memory_id)).toMatchObject({
    trust: 'inferred',
    text: expect.stringContaining('planner (note, inferred, no source): '),
  });
});

test('a change of require_sources applies to existing memories', async () => {
  const fact = await make('fact');
  expect(itemOf(await request(), fact.memory_id)).toBeDefined();
  await setSources('all');
  expect(itemOf(await request(), fact.memory_id)).toBeUndefined();
  expect((await alice.request('GET', `/v1/memories/${fact.memory_id}`)).body).toMatchObject({
    stated: false,
    reason: 'ungrounded',
  });
  const [event] = await recordAll(alice, message('The crane was moved', { channel: 'team' }));
  expect(await make('fact', { refs: [event!.event_id] })).toMatchObject({
    memory_id: fact.memory_id,
    grounded: true,
    stated: true,
  });
  expect(itemOf(await request(), fact.memory_id)).toBeDefined();
});

test('a handoff omits a cited summary without a source', async () => {
  const summary = await make('summary', { text: 'A summary of nothing' });
  const fact = await make('fact', { text: 'A fact of its own' });
  const body = { to_agent: 'second', problem: 'Move the crane', refs: [summary.memory_id, fact.memory_id] };
  await make('handoff', { text: 'Move the crane', body, agent_id: 'first' });
  const bundle = await contextOf(alice, { session_id: 'asks', channel: 'team', agent_id: 'second' });
  expect([itemOf(bundle, summary.memory_id), itemOf(bundle, fact.memory_id)?.type]).toEqual([undefined, 'fact']);
  expect(leftOut(bundle)).toEqual([summary.memory_id]);
});

test('the 201 reports other reasons why contexts omit a memory', async () => {
  const bob = await newColleague(alice);
  expect(await make('rule', {}, bob)).toMatchObject({ status: 'proposed', stated: false, reason: 'proposed' });
  expect(await make('fact', { valid_to: '2020-01-01T00:00:00Z' })).toMatchObject({ stated: false, reason: 'not_valid' });
  const hidden = await make('note');
  await edit(alice, hidden.memory_id, 'quarantine');
  expect(await make('note', {}, bob)).toMatchObject({ memory_id: hidden.memory_id, stated: false, reason: 'hidden' });
  for (const kind of ['decision', 'task', 'handoff'])
    expect(await make(kind, kind === 'handoff' ? { body: { to_agent: 'a', problem: 'b' } } : {})).toMatchObject({
      grounded: true,
      stated: true,
    });
});

test('the response to a decision or task update has grounded and stated; other events do not', async () => {
  const event = (kind: string, content: unknown) => ({ ...message(''), kind, content, channel: 'team' });
  const decision = event('decision', { decision: 'The crane stays' });
  const task = event('task_update', { task_id: 'T-1', title: 'Move it', status: 'open' });
  const [made, opened, plain] = (await recordAll(alice, decision, task, message('plain'))) as any[];
  expect([made, opened]).toMatchObject([
    { grounded: true, stated: true },
    { grounded: true, stated: true },
  ]);
  expect(['grounded', 'stated', 'reason'].filter((field) => field in plain)).toEqual([]);
  const { edit_id } = await edit(alice, opened.memory_id, 'quarantine');
  expect((await recordAll(alice, task))[0]).toMatchObject({
    memory_id: opened.memory_id,
    grounded: true,
    stated: false,
    reason: 'hidden',
  });
  await decide(alice, edit_id, 'revert');
  const keyed = { body: task, headers: { 'idempotency-key': 'k1' } };
  const [first, again] = [await alice.request('POST', '/v1/events', keyed), await alice.request('POST', '/v1/events', keyed)];
  expect([first.body.stated, again.body]).toEqual([true, first.body]);
});

test('require_sources with another value returns 422', async () => {
  for (const require_sources of ['some', true, 1])
    expect((await alice.request('PATCH', '/v1/tenant', { body: { settings: { require_sources } } })).status).toBe(422);
});
