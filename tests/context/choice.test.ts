import { type Item, pack as packInSteps, type SectionName } from '../../src/context/pack.ts';
import { headingOf } from '../../src/context/render.ts';
import { defaultLayout } from '../../src/context/strategies.ts';
import type { CountTokens } from '../../src/context/tokens.ts';
import { RESULT_LEFT_OUT } from '../../src/context/tool_calls.ts';
import { byCharacter, empty, itemOf } from '../support/items.ts';
import { runToEnd } from '../support/steps.ts';

// Selection of items, with an encoding in which each character is a token.

const pack = (sections: Partial<Record<SectionName, Item[]>>, budget: number, count: CountTokens = byCharacter) =>
  runToEnd(packInSteps({ ...empty(), ...sections }, budget, count, defaultLayout));
/** Returns items of 40 tokens each: `- `, the text, a line feed. */
const COST = 40;
let made = 0;
const many = (n: number, more: Partial<Item> = {}) =>
  Array.from({ length: n }, () => itemOf(`item ${made++} `.padEnd(COST - 3, 'x'), more));
const textsIn = ({ sections }: ReturnType<typeof pack>, name: SectionName) =>
  sections.find((section) => section.name === name)?.items.map(({ text }) => text) ?? [];
/** Returns how many items of a section fit into `tokens`, together with its heading and the empty line before it. */
const roomFor = (name: SectionName, tokens: number) => Math.floor((tokens - headingOf(name).length - 1) / COST);

test('each section has its share, and unused tokens go to the last section first', () => {
  const sections = { rules: many(50), decisions: many(50), recent_window: many(50), retrieved_evidence: many(50) };
  const packed = pack(sections, 2_000);
  expect(textsIn(packed, 'rules')).toHaveLength(roomFor('rules', 200));
  expect(textsIn(packed, 'decisions')).toHaveLength(roomFor('decisions', 300));
  expect(textsIn(packed, 'recent_window')).toHaveLength(roomFor('recent_window', 300));
  // the rest
  const rest =
    2_000 - packed.sections.slice(0, 3).reduce((sum, { name, token_count }) => sum + headingOf(name).length + 1 + token_count, 0);
  expect(textsIn(packed, 'retrieved_evidence')).toHaveLength(roomFor('retrieved_evidence', rest));
  expect(packed.token_used).toBe(packed.text.length);
  expect(packed.token_used).toBeLessThanOrEqual(2_000);
});

test('an item has at most 35 % of the budget', () => {
  const text = (length: number) => itemOf('x'.repeat(length - 3));
  const shown = (length: number) => textsIn(pack({ retrieved_evidence: [text(length)] }, 1_000), 'retrieved_evidence')[0];
  expect(shown(350)).toMatch(/^x+$/);
  expect(shown(351)).toMatch(/^x+ \[…\]$/);
});

test('the rendered text consists of the sections, and token_used is its token count', () => {
  const { text, token_used, sections } = pack({ rules: [itemOf('a')], recent_window: [itemOf('c'), itemOf('b')] }, 1_000);
  expect(text).toBe('## Rules\n- a\n\n## This session, oldest first\n- b\n- c\n');
  expect(token_used).toBe(text.length);
  expect(sections.map(({ token_count, items }) => [token_count, ...items.map((item) => item.token_count)])).toEqual([
    [4, 4],
    [8, 4, 4],
  ]);
});

test('if the joined text has more tokens than its parts, the last items are dropped and reported as omitted', () => {
  // an empty line has many tokens
  const gaps: CountTokens = function* (text) {
    return (yield* byCharacter(text)) + 300 * (text.match(/\n\n/g) ?? []).length;
  };
  const sections = { rules: [itemOf('r'.repeat(80))], decisions: [itemOf('d'.repeat(100))], retrieved_evidence: many(3) };
  const packed = pack(sections, 700, gaps);
  expect(packed.token_used).toBeLessThanOrEqual(700);
  expect(packed.sections.map(({ name }) => name)).toEqual(['rules', 'decisions']);
  expect(packed.token_used).toBe(runToEnd(gaps(packed.text)));
  expect(packed.omissions).toEqual([
    { reason: 'budget', count: 3, candidates: sections.retrieved_evidence.map(({ ids }) => ids.at(-1)) },
  ]);
  const [one, two] = [pack(sections, 1_000, gaps), pack({ ...sections, decisions: [] }, 660, gaps)];
  expect(one.sections.map(({ name, items }) => [name, items.length])).toEqual([
    ['rules', 1],
    ['decisions', 1],
    ['retrieved_evidence', 3],
  ]);
  expect(two.sections.at(-1)).toMatchObject({ name: 'retrieved_evidence', token_count: 3 * COST });
  const fewer = pack({ ...sections, decisions: [] }, 499, gaps);
  expect(fewer.sections.map(({ name, token_count, items }) => [name, token_count, items.length])).toEqual([
    ['rules', 83, 1],
    ['retrieved_evidence', 40, 1],
  ]);
});

test('only the first of several items with the same id is kept, but an event may have several passages of evidence', () => {
  const passage = (chunk: string) => itemOf(`passage ${chunk}`, { ids: ['evt_e', chunk] });
  const evidence = [passage('chk_1'), passage('chk_2'), itemOf('again', { ids: ['evt_e', 'chk_1'] })];
  const packed = pack(
    {
      decisions: [itemOf('decided', { ids: ['mem_d', 'evt_d'] })],
      retrieved_evidence: [itemOf('d', { ids: ['evt_d', 'chk_d'] }), ...evidence],
    },
    2_000,
  );
  expect(textsIn(packed, 'retrieved_evidence')).toEqual(['passage chk_1', 'passage chk_2']);
  expect(packed.deduplicated).toBe(2);
  expect(packed.omissions).toEqual([{ reason: 'duplicate', count: 2, candidates: ['chk_d', 'chk_1'] }]);
});

test('paraphrases are duplicates only among texts, facts, notes and summaries of the evidence', () => {
  const words = ['deploy', 'production', 'friday', 'noon'];
  const items = [
    itemOf('the deploy to production is on Friday at noon', { lexemes: words }),
    itemOf('Friday noon is the production deploy', { lexemes: words }),
  ];
  const kept = (section: SectionName, type: Item['type']) =>
    textsIn(pack({ [section]: items.map((item) => ({ ...item, type })) }, 2_000), section).length;
  for (const type of ['text', 'fact', 'note', 'summary'] as const)
    expect([type, kept('retrieved_evidence', type)]).toEqual([type, 1]);
  for (const type of ['decision', 'task', 'preference'] as const)
    expect([type, kept('retrieved_evidence', type)]).toEqual([type, 2]);
  expect(kept('recent_window', 'text')).toBe(2);
});

test('omissions list at most a hundred ids, each once', () => {
  const evidence = [...many(150), ...many(5, { ids: ['evt_same'] })];
  const { omissions } = pack({ retrieved_evidence: evidence }, 256);
  const [left] = omissions;
  expect(left!.reason).toBe('budget');
  expect(left!.candidates).toHaveLength(100);
  expect(new Set(left!.candidates).size).toBe(100);
  expect(left!.count).toBeGreaterThan(140);
});

test('an uncut excerpt also names its artifact', () => {
  const [plain, excerpt] = [itemOf('plain'), itemOf('excerpt', { artifact_id: 'art_1' })];
  const { omissions } = pack({ retrieved_evidence: [plain, excerpt] }, 1_000);
  expect(omissions).toEqual([{ reason: 'truncated', count: 1, candidates: [excerpt.ids.at(-1)], artifact_id: 'art_1' }]);
});

test('if only a call fits, it comes last without its results, and the omission names the result', () => {
  const unit = itemOf(`call\n${'r'.repeat(250)}`, {
    ids: ['evt_call', 'evt_result'],
    resultIds: ['evt_result'],
    callOnly: itemOf(`call${RESULT_LEFT_OUT}`, { ids: ['evt_call'] }),
  });
  const filled = pack({ recent_window: [unit, ...many(2)], retrieved_evidence: many(20) }, 800);
  expect(textsIn(filled, 'recent_window')).toHaveLength(2);
  const tight = pack({ recent_window: [unit] }, 256);
  expect(textsIn(tight, 'recent_window')).toEqual([`call${RESULT_LEFT_OUT}`]);
  expect(tight.omissions).toEqual([{ reason: 'budget', count: 1, candidates: ['evt_result'] }]);
});
