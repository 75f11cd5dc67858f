import { openBm25 } from '../../scripts/eval/bm25.ts';
import type { Dialogue, Question } from '../../scripts/eval/dialogues.ts';
import { differenceOf, type Measured, measure, percentile } from '../../scripts/eval/measures.ts';
import { barsOf, intervalsOf } from '../../scripts/eval/plots.ts';

const question = (...evidence: string[]): Question => ({ query: 'q', evidence, category: 'c' });
const valuesOf = (evidence: string[], ranked: string[], carried: string[] = []) =>
  Object.fromEntries(measure(question(...evidence), { ranked, carried: new Map([[512, carried]]) }).values);

test('the measures of a question follow their definitions', () => {
  expect(valuesOf(['a', 'b'], ['x', 'a', 'y', 'z', 'w', 'b'], ['b'])).toMatchObject({
    'R@1': 0,
    'R@2': 0.5,
    'R@5': 0.5,
    'R@10': 1,
    MRR: 0.5,
    // (1/log2(3) + 1/log2(7)) ÷ (1 + 1/log2(3))
    'nDCG@10': expect.closeTo((1 / Math.log2(3) + 1 / Math.log2(7)) / (1 + 1 / Math.log2(3)), 12),
    'in 512 tokens': 0.5,
  });
  expect(valuesOf(['a'], ['a'])).toMatchObject({ 'R@1': 1, MRR: 1, 'nDCG@10': 1 });
  expect(valuesOf(['a'], [])).toMatchObject({ 'R@10': 0, MRR: 0, 'nDCG@10': 0 });
});

test('a question without evidence only measures whether nothing was found', () => {
  expect(valuesOf([], [])).toEqual({ 'nothing found': 1 });
  expect(valuesOf([], ['a'])).toEqual({ 'nothing found': 0 });
});

test('percentiles are nearest ranks', () => {
  const values = [5, 1, 4, 2, 3];
  expect([0.5, 0.95, 0].map((share) => percentile(values, share))).toEqual([3, 5, 1]);
  expect(percentile([], 0.5)).toBeUndefined();
});

test('the interval of a difference covers it, shrinks with more questions, and is the same in each run', () => {
  const results = (count: number, hit: (i: number) => boolean): Measured[] =>
    Array.from({ length: count }, (_, i) => measure(question('a'), { ranked: hit(i) ? ['a'] : [], carried: new Map() }));
  const [few, many] = [20, 500].map((count) =>
    differenceOf(
      results(count, (i) => i % 2 === 0),
      results(count, (i) => i % 4 !== 1),
      'R@10',
    ),
  );
  for (const found of [few!, many!]) {
    expect(found.mean).toBeCloseTo(0.25, 12);
    expect(found.low < found.mean && found.mean < found.high).toBe(true);
  }
  expect(many!.high - many!.low).toBeLessThan((few!.high - few!.low) / 2);
  expect(many!.low).toBeGreaterThan(0);
  const same = results(30, () => true);
  expect(differenceOf(same, same, 'R@10')).toEqual({ mean: 0, low: 0, high: 0, questions: 30 });
  expect(differenceOf(same, same, 'nothing found')).toBeUndefined();
});

test('BM25 ranks by words in any language, and its context ends at the budget', () => {
  const message = (id: string, text: string) => ({ id, text, actor: { type: 'human' as const, id: 'a' } });
  const dialogue: Dialogue = {
    id: 'd',
    messages: [
      message('1', 'the oven is hot'),
      message('2', 'el horno está caliente'),
      message('3', '烤箱很热'),
      message('4', `oven ${Array.from({ length: 400 }, (_, i) => `w${i}`).join(' ')}`),
    ],
    questions: [question()],
  };
  const request = openBm25(dialogue, [256, 4096]);
  const found = (query: string) => request({ ...question(), query });
  expect(found('Oven?').ranked).toEqual(['1', '4']);
  expect(found('烤箱').ranked).toEqual(['3']);
  expect(found('unrelated').ranked).toEqual([]);
  expect([...found('oven').carried]).toEqual([
    [256, ['1']],
    [4096, ['1', '4']],
  ]);
});

test('plots escape every text', () => {
  const hostile = '"><script>alert(1)</script>&';
  const plots = [
    barsOf(hostile, [hostile], [{ name: hostile, values: [0.5] }]),
    intervalsOf(hostile, [{ name: hostile, mean: 0.1, low: 0, high: 0.2 }]),
  ];
  for (const plot of plots) expect(plot).not.toMatch(/<script|"">|&(?!#\d+;)/);
});
