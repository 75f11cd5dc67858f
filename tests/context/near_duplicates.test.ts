import { type ComparableText, createDuplicateDetector } from '../../src/context/near_duplicates.ts';
import { runToEnd } from '../support/steps.ts';

const wordsOf = (text: string) => [...new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [])];
const comparable = (text: string, more: Partial<ComparableText> = {}): ComparableText => ({
  text,
  lexemes: wordsOf(text),
  fuzzy: true,
  ...more,
});
/** Returns for each text whether it duplicates an earlier one. */
const duplicatesIn = (...items: (string | ComparableText)[]) => {
  const repeats = createDuplicateDetector();
  return items.map((item) => runToEnd(repeats(typeof item === 'string' ? comparable(item) : item)));
};
const isDuplicate = (a: string | ComparableText, b: string | ComparableText) => duplicatesIn(a, b)[1];
const wordList = (n: number, of = 'w') => Array.from({ length: n }, (_, i) => `${of}${String.fromCharCode(97 + i)}`);
const sentence = (...lists: string[][]) => lists.flat().join(' ');

test('texts that differ only in case, punctuation and character width are duplicates', () => {
  expect(isDuplicate('Use Redis!', 'use   redis')).toBe(true);
  expect(isDuplicate('ＡＢＣ', 'abc')).toBe(true);
  expect(isDuplicate(comparable('Use Redis!', { fuzzy: false }), comparable('use redis', { fuzzy: false }))).toBe(true);
  expect(isDuplicate('one', 'two')).toBe(false);
});

test('two texts are compared by words only if both are fuzzy', () => {
  const [a, b] = ['the deploy to production happens Friday noon', 'Friday noon production deploy happens to the'];
  expect(isDuplicate(a, b)).toBe(true);
  expect(isDuplicate(comparable(a, { fuzzy: false }), b)).toBe(false);
  expect(isDuplicate(a, comparable(b, { fuzzy: false }))).toBe(false);
});

test('a text of more than 20,000 characters is a duplicate only if it is equal', () => {
  const list = wordList(8);
  const text = (length: number, words: string[]) => sentence(words).padEnd(length, '.');
  const other = list.toReversed();
  expect(isDuplicate(sentence(list), comparable(text(20_000, other)))).toBe(true);
  expect(isDuplicate(sentence(list), comparable(text(20_001, other)))).toBe(false);
  expect(isDuplicate(comparable(text(20_001, list)), comparable(text(20_001, list)))).toBe(true);
  // even a difference in case counts
  expect(isDuplicate(comparable(text(20_001, list)), comparable(text(20_001, list).toUpperCase()))).toBe(false);
  const exact = { fuzzy: false };
  expect(isDuplicate(comparable(text(20_000, list), exact), comparable(text(20_000, list).toUpperCase(), exact))).toBe(true);
});

test('a paraphrase shares at least 60 % of the words of the shorter text, which has at least four', () => {
  const shared = wordList(6);
  // six of ten words are shared, and too many are replaced for another fact in the same word order
  expect(isDuplicate(sentence(shared, wordList(4, 'x')), sentence(wordList(4, 'y'), shared))).toBe(true);
  expect(isDuplicate(sentence(shared.slice(1), wordList(5, 'x')), sentence(wordList(5, 'y'), shared.slice(1)))).toBe(false);
  expect(isDuplicate(sentence(wordList(4)), sentence(wordList(4).toReversed()))).toBe(true);
  expect(isDuplicate(sentence(wordList(3)), sentence(wordList(3).toReversed()))).toBe(false);
});

test('the longer text has at most 2.5 times as many words', () => {
  const four = wordList(4);
  expect(isDuplicate(sentence(four), sentence(four, wordList(6, 'x')))).toBe(true);
  expect(isDuplicate(sentence(four), sentence(four, wordList(7, 'x')))).toBe(false);
});

test('a text with another number or a negation is not a duplicate', () => {
  const seven = 'deploy the service to production at noon on port 7';
  expect(isDuplicate(seven, 'on port 7 deploy the service at noon to production')).toBe(true);
  expect(isDuplicate(seven, 'on port 8 deploy the service at noon to production')).toBe(false);
  for (const negation of ['not', 'no', 'never', 'none', 'nobody', 'nothing', 'without', 'cannot', "don't", 'won’t'])
    expect([
      negation,
      isDuplicate(comparable('deploy service production noon friday'), {
        text: `friday noon ${negation} deploy service production`,
        lexemes: wordsOf('friday noon deploy service production'),
        fuzzy: true,
      }),
    ]).toEqual([negation, false]);
  expect(isDuplicate('not: deploy service production noon friday', 'friday noon production not: deploy service')).toBe(true);
});

test('a text with one or two replaced words in the same order is not a duplicate', () => {
  const frame = (...others: string[]) => sentence(['alpha', 'bravo', 'charlie', 'delta', 'echo', 'foxtrot'], others);
  expect(isDuplicate(frame('golf'), frame('hotel'))).toBe(false);
  expect(isDuplicate(frame('golf', 'india'), frame('hotel', 'juliett'))).toBe(false);
  expect(isDuplicate(frame('golf', 'india', 'kilo'), frame('hotel', 'juliett', 'lima'))).toBe(true);
  // in another word order
  expect(isDuplicate(frame('golf'), sentence(['foxtrot', 'echo', 'hotel', 'alpha', 'bravo', 'charlie', 'delta']))).toBe(true);
  // with words that only one of them has
  expect(isDuplicate(frame(), frame('hotel'))).toBe(true);
});

test('inflected forms count as the same word in the word order', () => {
  const stems = ['rotate', 'key', 'month', 'server', 'vault'];
  const a = { text: 'rotating the keys monthly servers vault one', lexemes: [...stems, 'one'], fuzzy: true };
  const b = { text: 'rotated the keys monthly servers vault two', lexemes: [...stems, 'two'], fuzzy: true };
  expect(isDuplicate(a, b)).toBe(false);
});

test('similarity is not transitive: texts are not compared with duplicates that were left out', () => {
  const first = sentence(wordList(5), wordList(5, 'x'));
  const second = sentence(wordList(3, 'x'), wordList(2, 'y'), wordList(5));
  const third = sentence(wordList(2, 'y'), wordList(3, 'z'), wordList(5).slice(0, 2), wordList(3, 'x'));
  expect(duplicatesIn(first, second, third)).toEqual([false, true, false]);
  // a text equal to one that was left out is a duplicate anyway
  expect(duplicatesIn(first, second, second)).toEqual([false, true, true]);
});

test('a duplicate is found among many texts', () => {
  const others = Array.from({ length: 20 }, (_, i) => sentence(wordList(6, `n${String.fromCharCode(97 + i)}`), ['shared']));
  const again = sentence(wordList(6, 'nh').toReversed(), ['shared']);
  expect(duplicatesIn(...others, again).at(-1)).toBe(true);
});
