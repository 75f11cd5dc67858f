import fc from 'fast-check';
import { indexOf, SEARCHABLE_BYTES, textOf } from '../../src/passages/passages.ts';
import { cutAt, estimateTokens, PASSAGE_CHARACTERS, PASSAGE_TOKENS, splitText as splitLazily } from '../../src/passages/split.ts';
import { cpuMsOf, QUADRATIC_MS } from '../support/cost.ts';

const splitText = (text: string) => [...splitLazily(text)];

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 5000 }),
  fc.string({ unit: 'binary', maxLength: 5000 }),
  fc
    .array(fc.constantFrom('One sentence. ', 'なにか言った。', '😀👍🏽', 'const x = 1;\n', '\n\n', ' ', 'a'.repeat(900), '…'), {
      maxLength: 200,
    })
    .map((parts) => parts.join('')),
);

test('passages concatenate to the text and respect the size limits', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const passages = splitText(text);
      expect(passages.join('')).toBe(text);
      for (const passage of passages) {
        expect(passage).not.toBe('');
        expect(passage.length).toBeLessThanOrEqual(PASSAGE_CHARACTERS);
        expect(estimateTokens(passage)).toBeLessThanOrEqual(PASSAGE_TOKENS + 1);
      }
    }),
    { numRuns: 300 },
  );
});

test('no passage of a well-formed text splits a surrogate pair', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 500, maxLength: 3000 }), (text) => {
      for (const passage of splitText(text)) expect(passage.isWellFormed()).toBe(true);
    }),
  );
});

test('cutAt does not split a surrogate pair', () => {
  expect([cutAt('ab😀c', 5), cutAt('ab😀c', 4), cutAt('ab😀c', 3), cutAt('ab😀c', 2)]).toEqual(['ab😀c', 'ab😀', 'ab', 'ab']);
});

test('a short text is one passage; passages of a long text end at sentences', () => {
  expect(splitText('Short. Very short. Two lines\nand more.')).toHaveLength(1);
  const passages = splitText('This is a sentence of some words that goes on for a while. '.repeat(60));
  expect(passages.length).toBeGreaterThan(2);
  for (const passage of passages) expect(passage).toMatch(/while\. $/);
});

test.each([
  ['one line of 90,000 characters', 'x'.repeat(90_000)],
  ['a million spaces', ' '.repeat(1_000_000)],
  ['a million full stops', '.'.repeat(1_000_000)],
  ['emoji', '😀'.repeat(300_000)],
  ['quotes after a stop', `.${'"'.repeat(200_000)}`],
])('splitting %s takes linear time', (_, text) => {
  let passages: string[] = [];
  expect(
    cpuMsOf(() => {
      passages = splitText(text);
    }),
  ).toBeLessThan(QUADRATIC_MS);
  expect(passages.join('')).toBe(text);
});

test('the searchable text does not depend on the order of fields', () => {
  const one = textOf('decision', {
    zeta: 'z',
    decision: 'Use files',
    rationale: ['fast', 'simple'],
    alpha: { c: 'c', b: [1, 'b'] },
  });
  const two = textOf('decision', {
    alpha: { b: [1, 'b'], c: 'c' },
    rationale: ['fast', 'simple'],
    decision: 'Use files',
    zeta: 'z',
  });
  expect(one).toBe('Use files\nfast\nsimple\n1\nb\nc\nz');
  expect(two).toBe(one);
});

test('the full text of a large output is indexed, not only the excerpt', () => {
  const whole = `${'line of output\n'.repeat(5000)}needle at the end`;
  const event = {
    kind: 'tool_result',
    actor_id: 'ci',
    tags: ['build:nightly'],
    content: { tool: 'run_tests', excerpt_text: whole.slice(0, 2000), path: 'src/db/queryPlan.ts', truncated: true },
  };
  const { passages, unindexed_bytes } = indexOf(event, whole);
  expect(unindexed_bytes).toBe(0);
  expect(passages.at(-1)!.text).toContain('needle at the end');
  expect(passages[0]!.header).toBe('ci tool result run_tests src/db/queryPlan.ts build nightly');
});

test.each([
  ['prose', 'the last line says nothing new. '.repeat(200_000)],
  ['characters of three bytes', '何か言った。'.repeat(400_000)],
  ['punctuation, which has many tokens', '#!'.repeat(2_500_000)],
])('a text beyond the limit (%s) is indexed up to it, and the rest is counted', (_, whole) => {
  const content = { tool: 'cat', excerpt_text: whole.slice(0, 2000) };
  const { passages, unindexed_bytes } = indexOf({ kind: 'tool_result', actor_id: 'ci', tags: [], content }, whole);
  const indexed = passages.map(({ text }) => text).join('');
  expect(whole.startsWith(indexed)).toBe(true);
  expect(Buffer.byteLength(indexed) + unindexed_bytes).toBe(Buffer.byteLength(whole));
  expect(Buffer.byteLength(indexed)).toBeLessThanOrEqual(SEARCHABLE_BYTES);
  const full = passages.length === 32_767 || Buffer.byteLength(indexed) > SEARCHABLE_BYTES - 6_400;
  expect(full).toBe(true);
});
