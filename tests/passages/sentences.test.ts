import { estimateTokens, PASSAGE_CHARACTERS, PASSAGE_TOKENS, splitText as splitLazily } from '../../src/passages/split.ts';

const splitText = (text: string) => [...splitLazily(text)];

test('the estimate is 1/4 token per letter, digit or space, 3/4 per other ASCII character, 1/2 or 1 beyond ASCII', () => {
  const letters = 'azAZ09 ';
  for (const character of letters) expect([character, estimateTokens(character.repeat(8))]).toEqual([character, 2]);
  for (const sign of '`{@[/:!~\n') expect([sign, estimateTokens(sign.repeat(8))]).toEqual([sign, 6]);
  expect([estimateTokens('\u007f'.repeat(8)), estimateTokens('\u0080'.repeat(8)), estimateTokens('\u07ff'.repeat(8))]).toEqual([
    6, 4, 4,
  ]);
  expect([estimateTokens('\u0800'.repeat(8)), estimateTokens('漢'.repeat(8))]).toEqual([8, 8]);
  expect([estimateTokens(''), estimateTokens('a'), estimateTokens('aaaaa')]).toEqual([0, 1, 2]);
});

test('a text at the limit is one passage, one more character makes two', () => {
  const tokens = 'a'.repeat(4 * PASSAGE_TOKENS);
  expect(splitText(tokens)).toEqual([tokens]);
  expect(splitText(`${tokens}a`).length).toBe(2);
  expect([PASSAGE_TOKENS, PASSAGE_CHARACTERS]).toEqual([192, 1_600]);
});

test('a passage has as many whole sentences as fit', () => {
  // 25 tokens each: seven and a half fit
  const sentence = `${'word '.repeat(19)}end. `;
  const each = estimateTokens(sentence);
  const passages = splitText(sentence.repeat(20));
  const most = Math.floor(PASSAGE_TOKENS / each);
  expect(passages.map((passage) => passage.length / sentence.length)).toEqual([
    ...Array(Math.floor(20 / most)).fill(most),
    ...(20 % most ? [20 % most] : []),
  ]);
});

test.each([
  ['full stops', 'One is said. ', 'One is said. '],
  ['stops and quotes', 'He said “one.” ', 'He said “one.” '],
  ['line ends', 'one line\n\n', 'one line\n\n'],
  ['full-width stops', '一つの文。', '一つの文。'],
])('passages end after %s', (_, sentence, end) => {
  const passages = splitText(sentence.repeat(100));
  expect(passages.length).toBeGreaterThan(1);
  for (const passage of passages) expect(passage.endsWith(end)).toBe(true);
});

test('a long sentence is split at a space in its second half, or else between two characters', () => {
  const words = splitText('abcdefg hi '.repeat(300));
  expect(words.length).toBeGreaterThan(2);
  for (const passage of words) expect(passage).toMatch(/^(?:(?:abcdefg|hi) )+$/);
  // a space in the first half is ignored
  const early = splitText(`ab ${'x'.repeat(2_000)}`);
  expect(early[0]!.length).toBe(400);
  const [first] = splitText(`x${'😀'.repeat(1_000)}`);
  expect([first!.isWellFormed(), estimateTokens(first!) <= PASSAGE_TOKENS]).toEqual([true, true]);
  expect(estimateTokens(first!)).toBeGreaterThan(PASSAGE_TOKENS / 2 - 4);
});
