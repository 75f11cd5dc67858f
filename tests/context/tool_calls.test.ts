import fc from 'fast-check';
import { type Item, pack, type SectionName, sectionNames } from '../../src/context/pack.ts';
import { defaultLayout } from '../../src/context/strategies.ts';
import { loadTokenCounter } from '../../src/context/tokens.ts';
import { pairCalls } from '../../src/context/tool_calls.ts';
import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { type Bundle, contextOf, itemsOf, recordAll, textsOf } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { runToEnd } from '../support/steps.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const planner = { type: 'agent', id: 'planner' };
const call = (call_id: string, input: string, more: Record<string, unknown> = {}) => ({
  ...message('', { actor: planner }),
  kind: 'tool_call',
  content: { tool: 'build', call_id, input },
  ...more,
});
const result = (call_id: string, excerpt_text: string, more: Record<string, unknown> = {}) => ({
  ...message('', { actor: { type: 'tool', id: 'builder' } }),
  kind: 'tool_result',
  content: { tool: 'build', call_id, excerpt_text },
  ...more,
});
/** Returns all texts of the context without their dates. */
const textsOfBundle = (bundle: Bundle) =>
  bundle.sections.flatMap(({ items }) => items.map(({ text }) => text.replaceAll(/\d{4}-\d\d-\d\d /g, '')));
const pairText = (id: string, input: string, output: string) =>
  `planner (tool call ${id}): build\n  ${input}\nbuilder (tool result of build, call ${id}): ${output}`;
const earlier = { session_id: 'then' };
const noise = Array.from({ length: 70 }, (_, i) => message(`nothing of note, ${i}`, earlier));

test('the recent window shows a result with its call, whatever was recorded between them', async () => {
  const alice = await newTenant(daemon.url);
  const [made, , answered] = await recordAll(alice, call('c1', '--release'), message('how long?'), result('c1', 'passed'));
  const bundle = await contextOf(alice);
  expect(textsOfBundle(bundle)).toEqual(['alice: how long?', pairText('c1', '--release', 'passed')]);
  expect(itemsOf(bundle, 'recent_window')[1]!.refs).toEqual([made!.event_id, answered!.event_id]);
});

test('a hit that is half of a pair brings the other half, however far away', async () => {
  const alice = await newTenant(daemon.url);
  await recordAll(alice, call('c1', 'the heron target', earlier), ...noise, result('c1', 'exit code 7', earlier));
  await recordAll(alice, call('c2', 'nothing of note', earlier), result('c2', 'the egret has landed', earlier));
  for (const [query_text, ...parts] of [
    ['heron target', 'c1', 'the heron target', 'exit code 7'],
    ['exit code', 'c1', 'the heron target', 'exit code 7'],
    ['egret', 'c2', 'nothing of note', 'the egret has landed'],
  ] as [string, string, string, string][])
    expect(textsOfBundle(await contextOf(alice, { query_text, session_id: 'now' }))[0]).toBe(pairText(...parts));
  // nor does the window show a result without its earlier call
  expect(textsOfBundle(await contextOf(alice, { session_id: 'then' }))).toContain(
    pairText('c1', 'the heron target', 'exit code 7'),
  );
});

test('if only the call fits, it ends with the mark, and an omission names the result', async () => {
  const alice = await newTenant(daemon.url);
  const lines = Array.from({ length: 40 }, (_, i) => `step ${i} took ${i * 37} ms and wrote ${i * 911} bytes`).join('\n');
  const [, answered] = await recordAll(alice, call('c1', '--all'), result('c1', lines), message('go on'));
  const filler = Array.from({ length: 12 }, (_, i) => message(`word ${i} `.repeat(6)));
  await recordAll(alice, ...filler);
  const bundle = await contextOf(alice, { max_tokens: 500 });
  const item = itemsOf(bundle, 'recent_window').find(({ text }) => text.includes('tool call'))!;
  expect(item.text).toMatch(/build\n--all \[result left out\]$/);
  expect(bundle.text).not.toContain('step 1 ');
  const omitted = bundle.omissions.find(({ reason }) => reason === 'budget')!;
  expect(omitted.candidates).toContain(answered!.event_id);
  expect(bundle.token_used).toBeLessThanOrEqual(500);
});

test('a reused call id is another call, and a result may precede its call', async () => {
  const alice = await newTenant(daemon.url);
  await recordAll(
    alice,
    call('call_1', 'first'),
    result('call_1', 'one'),
    call('call_1', 'second'),
    result('call_1', 'two'),
    result('call_2', 'early'),
    call('call_2', 'late'),
  );
  expect(textsOfBundle(await contextOf(alice))).toEqual([
    pairText('call_1', 'first', 'one'),
    pairText('call_1', 'second', 'two'),
    pairText('call_2', 'late', 'early'),
  ]);
});

test('an unanswered call is unchanged, and a result without its call names the call', async () => {
  const alice = await newTenant(daemon.url);
  await recordAll(alice, call('c1', 'pending'), result('c9', 'of nobody'));
  expect(textsOfBundle(await contextOf(alice))).toEqual([
    'planner (tool call c1): build\npending',
    'builder (tool result of build, call c9): of nobody',
  ]);
});

test('a retracted or erased call is not shown, and an amended one is shown as amended', async () => {
  const alice = await newTenant(daemon.url);
  const [gone, , amended] = await recordAll(
    alice,
    call('c1', 'the old way'),
    result('c1', 'first'),
    call('c2', 'the wrong way'),
    result('c2', 'second'),
    call('c3', 'the secret way', { agent_id: 'forgetful' }),
    result('c3', 'third'),
  );
  const edit = async (target: string, op: string, patch: unknown) => {
    const answer = await alice.request('POST', '/v1/edits', { body: { target, op, patch, reason: 'test', auto_approve: true } });
    expect([answer.status, answer.body]).toEqual([201, expect.anything()]);
  };
  await edit(gone!.event_id, 'retract', {});
  await edit(amended!.event_id, 'amend', { text: 'the right way' });
  const erased = await alice.request('POST', '/v1/erasures', { body: { agent_id: 'forgetful' } });
  expect([erased.status, erased.body]).toEqual([202, expect.anything()]);
  for (let i = 0; i < 200 && !(await alice.request('GET', `/v1/jobs/${erased.body.job_id}`)).body.finished_at; i += 1)
    await new Promise((resolve) => setTimeout(resolve, 50));
  for (const request of [{}, { session_id: 'now', query_text: 'first second third way' }]) {
    const texts = textsOfBundle(await contextOf(alice, request));
    expect(texts.filter((text) => /old|wrong|secret/.test(text))).toEqual([]);
    expect(texts).toContain('builder (tool result of build, call c1): first');
    expect(texts.find((text) => text.includes('second'))).toMatch(
      /^planner \(tool call c2\): (?:build\n {2})?the right way\nbuilder \(tool result of build, call c2\): second$/,
    );
  }
});

test('a call that the caller may not see is neither shown nor counted nor paired with another result', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  const team = { channel: 'team' };
  await recordAll(alice, call('c1', 'for my eyes'), call('c2', 'too hot for the public', { ...team, sensitivity: 'high' }));
  await recordAll(bob, result('c1', 'the heron of bob', team), call('c1', 'by bob'), result('c1', 'private heron'));
  await recordAll(alice, result('c2', 'the public heron', { channel: 'public' }));
  for (const request of [{}, { session_id: 'now', query_text: 'heron' }]) {
    const seen = textsOfBundle(await contextOf(bob, { ...request, channel: 'team' })).toSorted();
    expect(seen).toContain('builder (tool result of build, call c1): the heron of bob');
    expect(seen.join()).not.toMatch(/eyes|by bob/);
    expect(textsOfBundle(await contextOf(bob, { ...request })).join()).not.toContain('for my eyes');
    expect(textsOfBundle(await contextOf(bob, request))).toContain(pairText('c1', 'by bob', 'private heron'));
    const shown = await contextOf(bob, { ...request, channel: 'public' });
    expect(textsOfBundle(shown)).toEqual(['builder (tool result of build, call c2): the public heron']);
    expect(shown.omissions).toEqual([]);
  }
});

test('for any parts and budget, a result follows its call or names it', async () => {
  const countTokens = await loadTokenCounter('o200k_base');
  const part = fc.record({
    seq: fc.integer({ min: 1, max: 12 }),
    words: fc.integer({ min: 1, max: 400 }),
    list: fc.integer({ min: 0, max: 2 }),
  });
  fc.assert(
    fc.property(fc.array(part, { maxLength: 24 }), fc.integer({ min: 256, max: 900 }), (parts, budget) => {
      // odd seqs are calls, each followed by its result; call 5 is missing
      const isCall = (seq: number) => seq % 2 === 1;
      const pairs = new Map(
        Array.from({ length: 12 }, (_, i) => i + 1)
          .filter((seq) => seq !== 5)
          .map((seq) => [seq, { seq, call_seq: isCall(seq) ? seq : seq === 6 ? null : seq - 1, tool: 't', call_id: `c${seq}` }]),
      );
      const lists: Item[][] = [[], [], []];
      for (const { seq, words, list } of parts.filter(({ seq }) => seq !== 5)) {
        const text = `${isCall(seq) ? 'CALL' : 'RESULT'}${isCall(seq) ? seq : seq - 1} ${'word '.repeat(isCall(seq) ? 3 : words)}`;
        const ids = [`evt_${seq}`];
        if (lists[list]!.some((item) => item.toolPart!.seq === seq)) continue;
        lists[list]!.push({
          type: 'text',
          text,
          comparedText: text,
          refs: ids,
          ids,
          lexemes: [],
          toolPart: { seq, ordinal: 0, kind: isCall(seq) ? 'tool_call' : 'tool_result' },
        });
      }
      const [recent_window, retrieved_evidence] = pairCalls(lists.slice(0, 2), lists[2]!, pairs) as [Item[], Item[]];
      const none = Object.fromEntries(sectionNames.map((name) => [name, []])) as unknown as Record<SectionName, Item[]>;
      const known = new Set(lists.flat().map(({ toolPart }) => toolPart!.seq));
      const { sections, text, token_used } = runToEnd(
        pack({ ...none, recent_window, retrieved_evidence }, budget, countTokens, defaultLayout),
      );
      expect(token_used).toBe(runToEnd(countTokens(text)));
      expect(token_used).toBeLessThanOrEqual(budget);
      for (const item of sections.flatMap(({ items }) => items)) {
        const [, of] = /RESULT(\d+)/.exec(item.text) ?? [];
        if (of !== undefined && of !== '5' && known.has(Number(of)))
          expect(item.text).toMatch(new RegExp(`^CALL${of} [^]*RESULT${of}`));
        if (item.text.includes('[result left out]')) expect(item.text).toMatch(/^CALL\d+ (?:word )* \[result left out\]$/);
      }
    }),
    { numRuns: 200 },
  );
});

test('a call id has at most 255 characters', async () => {
  const alice: Client = await newTenant(daemon.url);
  for (const call_id of [7, '', 'x'.repeat(256)]) {
    const { status, body } = await alice.request('POST', '/v1/events', { body: call(call_id as string, 'x') });
    expect([status, body.errors?.[0].pointer]).toEqual([422, '#/content/call_id']);
  }
  expect(textsOf(await contextOf(alice), 'recent_window')).toEqual([]);
});
