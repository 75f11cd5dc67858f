import { type Client, message, newTenant } from '../support/client.ts';
import { type Bundle, contextOf, itemsOf, recordAll, remember } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// A4: no floating facts.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const question = { session_id: 'today', query_text: 'How large is the context budget of tokens?' };
const evidenceOf = (bundle: Bundle, id: string) => itemsOf(bundle, 'retrieved_evidence').find(({ refs }) => refs[0] === id);
const recordTurn = (client: Client, text: string) => recordAll(client, message(text, { session_id: 'then' }));

test('A4 a summary without a source is left out, and the event is cited', async () => {
  const alice = await newTenant(daemon.url);
  const [event] = await recordTurn(alice, 'The context budget is 65K tokens.');
  const summary = await remember(alice, { kind: 'summary', text: 'The context budget is 32K tokens.' });
  const bundle = await contextOf(alice, question);
  expect(evidenceOf(bundle, event!.event_id)).toMatchObject({ text: expect.stringContaining('65K') });
  expect(bundle.text).not.toContain('32K');
  expect(bundle.omissions).toContainEqual({ reason: 'ungrounded', count: 1, candidates: [summary.memory_id] });
  expect(itemsOf(bundle, 'retrieved_evidence').filter(({ conflict }) => conflict)).toEqual([]);
});

test.each(['summary', 'fact', 'note'])('A4 with require_sources `all`, a %s without a source is left out', async (kind) => {
  const alice = await newTenant(daemon.url);
  await alice.request('PATCH', '/v1/tenant', { body: { settings: { require_sources: 'all' } } });
  const [event] = await recordTurn(alice, 'The context budget is 65K tokens.');
  const claim = await remember(alice, { kind, text: 'The context budget is 32K tokens.' });
  const bundle = await contextOf(alice, question);
  expect(evidenceOf(bundle, event!.event_id)).toMatchObject({ text: expect.stringContaining('65K') });
  expect(bundle.text).not.toContain('32K');
  expect(bundle.omissions).toContainEqual({ reason: 'ungrounded', count: 1, candidates: [claim.memory_id] });
});

test('A4 a memory is not grounded by its own creation, nor by a cycle of citations', async () => {
  const alice = await newTenant(daemon.url);
  await alice.request('PATCH', '/v1/tenant', { body: { settings: { require_sources: 'all' } } });
  const own = await remember(alice, { kind: 'summary', text: 'The context budget is 16K tokens.' });
  await alice.request('PATCH', `/v1/memories/${own.memory_id}`, { body: { refs: [own.event_id, own.memory_id] } });
  const one = await remember(alice, { kind: 'note', text: 'The context budget of tokens is large.' });
  const two = await remember(alice, { kind: 'note', text: 'The tokens of the context have a budget.', refs: [one.memory_id] });
  await alice.request('PATCH', `/v1/memories/${one.memory_id}`, { body: { refs: [two.memory_id] } });
  const bundle = await contextOf(alice, question);
  expect(itemsOf(bundle, 'retrieved_evidence')).toEqual([]);
  const [omission] = bundle.omissions.filter(({ reason }) => reason === 'ungrounded');
  expect(omission!.candidates.toSorted()).toEqual([own.memory_id, one.memory_id, two.memory_id].toSorted());
});

test('A4 a grounded summary with another number is kept, and both sides list the conflict', async () => {
  const alice = await newTenant(daemon.url);
  const [source] = await recordAll(alice, message('In the first meeting we spoke of limits', { session_id: 'first' }));
  const [event] = await recordTurn(alice, 'The context budget is 65K tokens.');
  const summary = await remember(alice, { kind: 'summary', text: 'The context budget is 32K tokens.', refs: [source!.event_id] });
  const bundle = await contextOf(alice, question);
  const [kept, cited] = [evidenceOf(bundle, summary.memory_id), evidenceOf(bundle, event!.event_id)];
  expect(kept).toMatchObject({ type: 'summary', trust: 'approved', scope: 'global', origin: { type: 'human', id: 'alice' } });
  expect(kept!.refs).toEqual([summary.memory_id, summary.event_id, expect.stringMatching(/^chk_/), source!.event_id]);
  expect(kept!.conflict).toEqual({ with: [event!.event_id], between: [summary.memory_id, event!.event_id] });
  expect(cited!.conflict).toEqual({ with: [summary.memory_id], between: [event!.event_id, summary.memory_id] });
});

test('A4 a declared contradiction is marked whatever the texts', async () => {
  const alice = await newTenant(daemon.url);
  const [event] = await recordTurn(alice, 'Tokens are cheap, and the budget of a context is generous.');
  const summary = await remember(alice, {
    kind: 'summary',
    text: 'Every token of a context counts.',
    refs: [event!.event_id],
    body: { contradicts: [event!.event_id] },
  });
  const bundle = await contextOf(alice, question);
  expect(evidenceOf(bundle, summary.memory_id)!.conflict!.between).toEqual([summary.memory_id, event!.event_id]);
  expect(evidenceOf(bundle, event!.event_id)!.conflict!.between).toEqual([event!.event_id, summary.memory_id]);
});

test('A4 a memory that agrees with the event has no conflict', async () => {
  const alice = await newTenant(daemon.url);
  const [event] = await recordTurn(alice, 'The context budget is 65K tokens.');
  await remember(alice, { kind: 'fact', text: 'We plan with a context budget of 65,000 tokens.', refs: [event!.event_id] });
  const bundle = await contextOf(alice, question);
  expect(itemsOf(bundle, 'retrieved_evidence').map(({ conflict }) => conflict)).toEqual([undefined, undefined]);
});
