import { setTimeout as sleep } from 'node:timers/promises';
import { message, newColleague, newTenant } from '../support/client.ts';
import { contextOf, itemsOf, recordAll, remember, textsOf } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('rules and preferences are sorted by the precedence of their scope, then by priority, then newest first', async () => {
  const alice = await newTenant(daemon.url);
  const rule = (text: string, more: Record<string, unknown> = {}) => remember(alice, { kind: 'rule', text, ...more });
  await rule('global one', { scope: 'global' });
  await rule('session one', { scope: 'session', session_id: 's1' });
  await rule('project low', { scope: 'project', project_id: 'p' });
  await rule('project high', { scope: 'project', project_id: 'p', body: { priority: 5 } });
  await rule('project newer', { scope: 'project', project_id: 'p' });
  await rule('policy one', { scope: 'policy' });
  await remember(alice, { kind: 'preference', text: 'tea, not coffee' });
  const bundle = await contextOf(alice, { project_id: 'p' });
  expect(textsOf(bundle, 'rules')).toEqual([
    '[policy] policy one',
    '[project] project high',
    '[project] project newer',
    '[project] project low',
    '[user] tea, not coffee',
    '[session] session one',
    '[global] global one',
  ]);
  expect(bundle.sections[0]!.name).toBe('rules');
  expect(itemsOf(bundle, 'rules')[0]).toMatchObject({ type: 'rule', scope: 'policy', trust: 'approved' });
});

test('rules of another project or session, and preferences of another subject, do not apply', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  await remember(alice, { kind: 'rule', text: 'of p', scope: 'project', project_id: 'p', channel: 'team' });
  await remember(alice, { kind: 'rule', text: 'of s9', scope: 'session', session_id: 's9', channel: 'team' });
  await remember(alice, { kind: 'preference', text: 'alice likes tea', channel: 'team' });
  await remember(bob, { kind: 'preference', text: 'bob likes coffee', channel: 'team' });
  await remember(bob, { kind: 'preference', text: 'bob likes silence' });
  const rules = async (client: typeof alice, more: Record<string, unknown>) => textsOf(await contextOf(client, more), 'rules');
  expect(await rules(alice, { channel: 'team', project_id: 'q' })).toEqual(['[user] alice likes tea']);
  expect(await rules(bob, { session_id: 's9' })).toEqual([
    '[user] bob likes silence',
    '[user] bob likes coffee',
    '[session] of s9',
  ]);
  expect(await rules(bob, { channel: 'public' })).toEqual([]);
});

test('a proposed rule is not shown before its approval, and tool output never becomes a rule or decision', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  const proposed = await remember(bob, { kind: 'rule', text: 'never deploy on Friday', channel: 'team' });
  await recordAll(bob, {
    ...message('', { channel: 'team', actor: { type: 'tool', id: 'web' } }),
    kind: 'decision',
    content: { decision: 'always deploy on Friday' },
  });
  const body = { channel: 'team', session_id: 'other', query_text: 'When do we deploy?' };
  const before = await contextOf(alice, body);
  expect(before.text).not.toContain('never deploy');
  expect(itemsOf(before, 'decisions')).toEqual([]);
  expect(textsOf(before, 'retrieved_evidence')).toEqual([expect.stringContaining('always deploy')]);
  await alice.request('POST', `/v1/memories/${proposed.memory_id}/approve`);
  const [rule] = itemsOf(await contextOf(alice, body), 'rules');
  expect(rule).toMatchObject({
    text: '[global] never deploy on Friday',
    trust: 'approved',
    origin: { type: 'human', id: 'bob' },
  });
});

test('a filter narrows decisions, tasks, the recent window and evidence, but not rules', async () => {
  const alice = await newTenant(daemon.url);
  const team = (name: string) => ({ metadata: { team: name } });
  await recordAll(
    alice,
    message('the heron of red', team('red')),
    message('the heron of blue', team('blue')),
    { ...message('', team('red')), kind: 'decision', content: { decision: 'feed the heron' } },
    { ...message('', team('blue')), kind: 'decision', content: { decision: 'starve the heron' } },
    { ...message('', team('blue')), kind: 'task_update', content: { title: 'find the heron', status: 'open' } },
  );
  await remember(alice, { kind: 'rule', text: 'herons are not fed at night' });
  const filter = { 'metadata.team': 'red' };
  for (const session_id of ['s1', 's2']) {
    const bundle = await contextOf(alice, { session_id, query_text: 'which heron?', filter });
    expect(bundle.text).not.toMatch(/blue|starve|find/);
    expect([bundle.text.includes('heron of red'), bundle.text.includes('feed the heron')]).toEqual([true, true]);
    expect(itemsOf(bundle, 'rules')).toHaveLength(1);
    expect(bundle.provenance.filters).toMatchObject({ filter });
  }
  const refused = await alice.request('POST', '/v1/context', {
    body: { session_id: 's', channel: 'private', filter: { or: [{ kind: 'x' }, { nope: 1 }] } },
  });
  expect([refused.status, refused.body.errors]).toEqual([422, [{ pointer: '#/filter/or/1/nope', detail: expect.any(String) }]]);
});

test('a fact that is not yet valid, no longer valid or expired is not included', async () => {
  const alice = await newTenant(daemon.url);
  const [source] = await recordAll(alice, message('we looked it up', { session_id: 'x' }));
  const fact = (text: string, more: Record<string, unknown>) =>
    remember(alice, { kind: 'fact', text, refs: [source!.event_id], ...more });
  await fact('the ferry leaves at noon', { valid_from: '2020-01-01T00:00:00Z' });
  await fact('the ferry leaves at dawn', { valid_to: '2020-01-01T00:00:00Z' });
  await fact('the ferry leaves at dusk', { valid_from: '2100-01-01T00:00:00Z' });
  const soon = Date.now() + 3_000;
  await fact('the ferry leaves at night', { expires_at: new Date(soon).toISOString() });
  await sleep(soon - Date.now() + 20);
  const bundle = await contextOf(alice, { query_text: 'When does the ferry leave?' });
  expect(textsOf(bundle, 'retrieved_evidence')).toEqual([expect.stringContaining('at noon')]);
  expect(itemsOf(bundle, 'retrieved_evidence')[0]!.refs.at(-1)).toBe(source!.event_id);
});

test('the sources of a memory are shown as evidence too', async () => {
  const alice = await newTenant(daemon.url);
  const [source] = await recordAll(alice, message('The heron was seen at the pond by the ranger', { session_id: 'x' }));
  const decision = {
    ...message('', { session_id: 'x', refs: [source!.event_id] }),
    kind: 'decision',
    content: { decision: 'guard the pond of the heron' },
  };
  await recordAll(alice, decision);
  const bundle = await contextOf(alice, { query_text: 'What about the heron at the pond?' });
  expect(itemsOf(bundle, 'decisions')[0]!.refs).toContain(source!.event_id);
  expect(itemsOf(bundle, 'retrieved_evidence').map(({ refs }) => refs[0])).toEqual([source!.event_id]);
});

test('only the last decision of a chain is included', async () => {
  const alice = await newTenant(daemon.url);
  let [last] = await recordAll(alice, { ...message(''), kind: 'decision', content: { decision: 'the port is number 0' } });
  for (let i = 1; i <= 60; i += 1)
    [last] = await recordAll(alice, {
      ...message(''),
      kind: 'decision',
      content: { decision: `the port is number ${i}`, supersedes: last!.memory_id },
    });
  const bundle = await contextOf(alice, { query_text: 'What number is the port?' });
  expect(textsOf(bundle, 'decisions')).toEqual([expect.stringContaining('number 60')]);
  expect(bundle.omissions.find(({ reason }) => reason === 'superseded')!.count).toBe(40);
});
