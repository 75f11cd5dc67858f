import fc from 'fast-check';
import { type Item, pack as packInSteps, renderSections, type SectionName, sectionNames } from '../../src/context/pack.ts';
import { defaultLayout } from '../../src/context/strategies.ts';
import { type CountTokens, loadTokenCounter } from '../../src/context/tokens.ts';
import { runToEnd } from '../support/steps.ts';

const pack = (candidates: Record<SectionName, Item[]>, budget: number, count: CountTokens, layout = defaultLayout) =>
  runToEnd(packInSteps(candidates, budget, count, layout));

let countTokens: CountTokens;
beforeAll(async () => {
  countTokens = await loadTokenCounter('o200k_base');
});

const empty = (): Record<SectionName, Item[]> => Object.fromEntries(sectionNames.map((name) => [name, []])) as never;
let made = 0;
const nextRefs = () => {
  made += 1;
  return [`evt_${made}`, `chk_${made}_0`];
};
function itemOf(text: string, more: Partial<Item> = {}): Item {
  const refs = nextRefs();
  return { type: 'text', text, comparedText: text, refs, ids: refs, lexemes: [], ...more };
}
const wordsOf = (text: string) => [...new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [])];

const anyItem = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 400 }),
    // characters at the ends of lines and items
    fc
      .array(fc.constantFrom('\n', '\r\n', '\u2028', ' ', '\t', '/', '-', '#', '.', "'s", 'A', '1', '##'), { maxLength: 30 })
      .map((parts) => parts.join('')),
    fc.constant('\n\n\n'),
    fc.nat(3000).map((n) => '= '.repeat(n)),
    fc.nat(20_000).map((n) => '漢'.repeat(n)),
  )
  .map((text) => ({ type: 'text' as const, text }));
const anyCandidates = fc.record(
  Object.fromEntries(sectionNames.map((name) => [name, fc.array(anyItem, { maxLength: 12 })])) as Record<
    SectionName,
    fc.Arbitrary<{ type: 'text'; text: string }[]>
  >,
);

test.each(['o200k_base', 'cl100k_base'] as const)(
  'for any candidates, token_used equals the count of %s and never exceeds the budget',
  async (encoding) => {
    const count = await loadTokenCounter(encoding);
    fc.assert(
      fc.property(anyCandidates, fc.integer({ min: 256, max: 4000 }), fc.boolean(), (sections, budget, noted) => {
        const candidates = Object.fromEntries(
          sectionNames.map((name) => [name, sections[name].map(({ text }) => itemOf(text))]),
        ) as Record<SectionName, Item[]>;
        const layout = { ...defaultLayout, ...(noted && { notice: 'Nothing.' }) };
        const { sections: packed, text, token_used } = pack(candidates, budget, count, layout);
        const separator = noted && packed.length > 0 ? '\n' : '';
        expect(text).toBe(`${noted ? 'Nothing.\n' : ''}${separator}${renderSections(packed)}`);
        expect(token_used).toBe(runToEnd(count(text)));
        expect(token_used).toBeLessThanOrEqual(budget);
        expect(packed.map(({ name }) => name)).toEqual(
          sectionNames.filter((name) => packed.some((section) => section.name === name)),
        );
      }),
      { numRuns: 60 },
    );
  },
);

test('every candidate is packed or listed as omitted', () => {
  const candidates = {
    ...empty(),
    retrieved_evidence: Array.from({ length: 80 }, (_, i) => itemOf(`passage ${i} ${'word '.repeat(20)}`)),
  };
  const { sections, omissions } = pack(candidates, 512, countTokens);
  const left = omissions.find(({ reason }) => reason === 'budget')!;
  expect(sections[0]!.items.length + left.count).toBe(80);
  expect(left.candidates[0]).toMatch(/^chk_/);
});

test('the evidence gets unused tokens of other sections, and smaller items follow one that does not fit', () => {
  const evidence = [
    itemOf('a short one'),
    itemOf('long '.repeat(90)),
    ...Array.from({ length: 40 }, (_, i) => itemOf(`short ${i}`)),
  ];
  const { sections } = pack({ ...empty(), retrieved_evidence: evidence }, 256, countTokens);
  const texts = sections[0]!.items.map(({ text }) => text);
  expect(texts).toContain('a short one');
  expect(texts).toContain('short 20');
  expect(runToEnd(countTokens(renderSections(sections)))).toBeGreaterThan(200);
});

test('an item over its share of the budget is cut between two characters and listed as truncated with its artifact', () => {
  const { sections, omissions } = pack(
    { ...empty(), retrieved_evidence: [itemOf('😀'.repeat(5000), { artifact_id: 'art_1' })] },
    1000,
    countTokens,
  );
  expect(sections[0]!.items[0]!.text).toMatch(/^(😀)+ \[…\]$/u);
  expect(omissions).toEqual([
    { reason: 'truncated', count: 1, candidates: [expect.stringMatching(/^chk_/)], artifact_id: 'art_1' },
  ]);
});

test('only the part of a text of megabytes that could fit is counted', () => {
  let longest = 0;
  const counting: CountTokens = (text) => {
    longest = Math.max(longest, text.length);
    return countTokens(text);
  };
  const { sections, omissions } = pack({ ...empty(), decisions: [itemOf('so be it, '.repeat(500_000))] }, 1000, counting);
  expect(longest).toBeLessThan(1000 * 16);
  expect(sections[0]!.items[0]!.text).toMatch(/ \[…\]$/);
  expect(omissions[0]).toMatchObject({ reason: 'truncated' });
});

test('the recent window is oldest first and keeps the newest events if the budget is short', () => {
  const recent = Array.from({ length: 50 }, (_, i) => itemOf(`turn ${50 - i} ${'word '.repeat(10)}`));
  const { sections } = pack({ ...empty(), recent_window: recent }, 300, countTokens);
  const turns = sections[0]!.items.map(({ text }) => Number(text.split(' ')[1]));
  expect(turns.at(-1)).toBe(50);
  expect(turns).toEqual(turns.toSorted((a, b) => a - b));
});

test('a repeated or paraphrased fact is included once; one with another number is another fact', () => {
  const say = (text: string) =>
    itemOf(text, { lexemes: wordsOf(text).filter((word) => !['the', 'is', 'on', 'at', 'to', 'a'].includes(word)) });
  const evidence = [
    say('the deploy to production is on Friday at noon'),
    say('the deploy to production is on Friday at noon'),
    say('Friday noon is the production deploy'),
    say('the deploy to production is on Friday at 15'),
  ];
  const { sections, deduplicated, omissions } = pack({ ...empty(), retrieved_evidence: evidence }, 1000, countTokens);
  expect(sections[0]!.items.map(({ text }) => text)).toEqual([evidence[0]!.text, evidence[3]!.text]);
  expect(deduplicated).toBe(2);
  expect(omissions).toEqual([{ reason: 'duplicate', count: 2, candidates: [evidence[1]!.refs[1], evidence[2]!.refs[1]] }]);
});

test('decisions that share most words are both kept', () => {
  const decide = (text: string) => itemOf(text, { type: 'decision', lexemes: wordsOf(text) });
  const { sections } = pack(
    { ...empty(), decisions: [decide('use redis for caching in v1'), decide('use kafka for caching in v1')] },
    1000,
    countTokens,
  );
  expect(sections[0]!.items).toHaveLength(2);
});

test('texts that differ in a name, a replaced word or a negation are all kept, and equal texts are not', () => {
  const said = [
    'The tests pass on linux',
    'The tests fail on linux',
    'The tests fail on windows',
    'Deploy staging on Tuesday',
    'Deploy production on Tuesday',
    'Deploy production on Friday',
    'Do not deploy production on Friday',
    'Alice prefers coffee in the morning',
    'Bob prefers coffee in the morning',
  ];
  const stemmed = (text: string) =>
    text
      .toLowerCase()
      .split(' ')
      .filter((word) => !['the', 'on', 'in', 'do', 'not'].includes(word));
  const items = [...said, 'the tests PASS on linux!'].map((text) => itemOf(text, { lexemes: stemmed(text) }));
  for (const section of ['recent_window', 'retrieved_evidence'] as const) {
    const packed = pack({ ...empty(), [section]: items }, 4000, countTokens);
    expect(packed.sections[0]!.items.map(({ text }) => text).toSorted()).toEqual(said.toSorted());
    expect(packed.deduplicated).toBe(1);
  }
});

test.each([
  ['one word', 'a'.repeat(900_000)],
  ['prose', 'so be it, '.repeat(90_000)],
  ['blanks', `x${' '.repeat(900_000)}x`],
])('packing %s of 900,000 characters yields at least every few thousand characters', (_, text) => {
  const steps = packInSteps({ ...empty(), decisions: [itemOf(text)] }, 200_000, countTokens, defaultLayout);
  let pauses = 0;
  while (!steps.next().done) pauses += 1;
  expect(pauses).toBeGreaterThan(900_000 / 8_192);
});

test('comparing similar passages yields between comparisons', () => {
  const words = wordsOf(Array.from({ length: 30 }, (_, i) => `word${i}`).join(' '));
  const evidence = Array.from({ length: 60 }, (_, i) => itemOf(`passage ${i}`, { lexemes: [...words, `own${i} other${i}`] }));
  const steps = packInSteps({ ...empty(), retrieved_evidence: evidence }, 4_000, countTokens, defaultLayout);
  let pauses = 0;
  while (!steps.next().done) pauses += 1;
  expect(pauses).toBeGreaterThan((60 * 59) / 2);
});
