import { message, newTenant } from '../support/client.ts';
import { contextOf, itemsOf, recordAll, remember, textsOf } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// The division of a context into sections: `sections`, strategies, and what it states if nothing was found.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const words = (i: number) =>
  `heron ${['amber', 'basalt', 'cedar', 'delta', 'ember', 'fjord', 'gorge', 'harbor'][i % 8]}${i} nests ${i * 7919}`;

test('`sections` names the sections to keep', async () => {
  const alice = await newTenant(daemon.url);
  await recordAll(alice, message('the heron of red'));
  await remember(alice, { kind: 'rule', text: 'be brief' });
  const names = async (sections: unknown) =>
    (await contextOf(alice, { query: 'heron', session_id: 's2', sections })).sections.map(({ name }) => name);
  expect(await names(['retrieved_evidence'])).toEqual(['retrieved_evidence']);
  expect(await names(['rules', 'decisions'])).toEqual(['rules']);
  expect(await names({ rules: 0 })).toEqual(['retrieved_evidence']);
  expect(await names({})).toEqual(['rules', 'retrieved_evidence']);
});

test('a share caps a section, and what it does not use goes to the others', async () => {
  const alice = await newTenant(daemon.url);
  await recordAll(alice, ...Array.from({ length: 40 }, (_, i) => message(words(i), { session_id: i < 20 ? 's1' : `old-${i}` })));
  const countsOf = async (sections: unknown) => {
    const bundle = await contextOf(alice, { query: 'heron nests', max_tokens: 512, ...(sections !== undefined && { sections }) });
    expect(bundle.token_used).toBeLessThanOrEqual(512);
    return { evidence: itemsOf(bundle, 'retrieved_evidence').length, recent: itemsOf(bundle, 'recent_window').length };
  };
  const free = await countsOf(undefined);
  const capped = await countsOf({ retrieved_evidence: 0.1 });
  expect(capped.evidence).toBeLessThan(free.evidence / 2);
  expect(capped.recent).toBeGreaterThan(free.recent);
  const without = await countsOf({ recent_window: 0 });
  expect([without.recent, without.evidence > capped.evidence]).toEqual([0, true]);
});

test('invalid sections and strategies return 422 with the location of each fault', async () => {
  const alice = await newTenant(daemon.url);
  const pointersOf = async (more: Record<string, unknown>) => {
    const { status, body } = await alice.request('POST', '/v1/context', { body: { query: 'x', ...more } });
    return [status, ...body.errors.map(({ pointer }: { pointer: string }) => pointer)];
  };
  expect(await pointersOf({ sections: ['rules', 'nonsense'] })).toEqual([422, '#/sections/1']);
  expect(await pointersOf({ sections: { rules: 1.5, nonsense: 0.1 } })).toEqual([422, '#/sections/rules', '#/sections/nonsense']);
  expect(await pointersOf({ sections: [] })).toEqual([422, '#/sections']);
  expect(await pointersOf({ retrieval_strategy: 'fast' })).toEqual([422, '#/retrieval_strategy']);
  expect(await pointersOf({ retrieval_strategy: 'task', intent: 'task' })).toEqual([422, '#/retrieval_strategy']);
});

test('`provenance.intent` is the strategy: the one named, in any case, or else balanced', async () => {
  const alice = await newTenant(daemon.url);
  const intent = async (more: Record<string, unknown>) =>
    ((await contextOf(alice, more)).provenance as unknown as { intent: string }).intent;
  expect(await intent({})).toBe('balanced');
  expect(await intent({ intent: 'answer' })).toBe('balanced');
  expect(await intent({ intent: 'debug' })).toBe('debug');
  expect(await intent({ retrieval_strategy: 'Explore' })).toBe('explore');
});

test('`debug` has calls and results first, `learn` facts, and `explore` takes the sessions in turn', async () => {
  const alice = await newTenant(daemon.url);
  await recordAll(
    alice,
    ...Array.from({ length: 6 }, (_, i) => message(`the parser heron heron ${words(i)}`, { session_id: 'long' })),
    message('a heron in the parser of another day', { session_id: 'short' }),
    {
      ...message('', { session_id: 'long', actor: { type: 'tool', id: 'ci' } }),
      kind: 'tool_result',
      content: { tool: 'ci', call_id: 'c1', excerpt_text: 'one parser failed among many other unrelated lines of a long report' },
    },
  );
  await remember(alice, { kind: 'fact', text: 'Somewhere in the middle of the large wide garden there is a parser.' });
  const first = async (intent: string) => {
    const bundle = await contextOf(alice, { query: 'heron parser', session_id: 'new', intent, sections: ['retrieved_evidence'] });
    return textsOf(bundle, 'retrieved_evidence');
  };
  expect((await first('balanced'))[0]).toMatch(/parser heron heron/);
  expect((await first('debug'))[0]).toMatch(/one parser failed/);
  expect((await first('learn'))[0]).toMatch(/large wide garden/);
  expect((await first('explore')).slice(0, 3).join('\n')).toMatch(/another day/);
});

test('settings set the default strategy and budget, and the number of recent events', async () => {
  const small = await startTestDaemon({ CONTEXT_L1_SIZE: '2', CONTEXT_MAX_TOKENS: '300', CONTEXT_STRATEGY: 'task' });
  try {
    const alice = await newTenant(small.url);
    await recordAll(alice, ...['one heron', 'two herons', 'three herons'].map((text) => message(text)));
    const bundle = await contextOf(alice);
    expect(textsOf(bundle, 'recent_window').map((text) => text.split(': ')[1])).toEqual(['two herons', 'three herons']);
    expect(bundle).toMatchObject({ budget_tokens: 300, provenance: { intent: 'task' } });
    expect(await contextOf(alice, { intent: 'debug', max_tokens: 400 })).toMatchObject({
      budget_tokens: 400,
      provenance: { intent: 'debug' },
    });
  } finally {
    await small.stop();
  }
});

test('a context whose query finds nothing says so, in `answered` and in its text', async () => {
  const alice = await newTenant(daemon.url);
  await recordAll(alice, message('the heron of red'));
  await remember(alice, { kind: 'rule', text: 'be brief' });
  const empty = await contextOf(alice, { session_id: 's2', query: 'quantum chromodynamics', sections: ['retrieved_evidence'] });
  expect(empty).toMatchObject({ answered: false, sections: [], text: 'Nothing in memory matches the query.\n' });
  const ruled = await contextOf(alice, { session_id: 's2', query: 'quantum chromodynamics' });
  expect(ruled).toMatchObject({
    answered: false,
    text: 'Nothing in memory matches the query.\n\n## Rules\n- [global] be brief\n',
  });
  expect((await contextOf(alice, { session_id: 's2', query: 'heron' })).text).not.toMatch(/Nothing in memory/);
  expect((await contextOf(alice, { session_id: 's2' })).text).not.toMatch(/Nothing in memory/);
});
