import { type ComparableText, createDuplicateDetector } from '../../src/context/near_duplicates.ts';
import { atOnce } from '../support/steps.ts';

const wordsOf = (text: string) => [...new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [])];
const worded = (text: string, more: Partial<ComparableText> = {}): ComparableText => ({
  text,
  lexemes: wordsOf(text),
  fuzzy: true,
  ...more,
});
/** Of each text whether it repeats one before it. */
const repeated = (...items: (string | ComparableText)[]) => {
  const repeats = createDuplicateDetector();
  return items.map((item) => atOnce(repeats(typeof item === 'string' ? worded(item) : item)));
};
const isRepeat = (a: string | ComparableText, b: string | ComparableText) => repeated(a, b)[1];
const wordList = (n: number, of = 'w') => Array.from({ length: n }, (_, i) => `${of}${String.fromCharCode(97 + i)}`);
const said = (...lists: string[][]) => lists.flat().join(' ');

test('equal texts repeat each other, whatever their case, signs and width', () => {
  expect(isRepeat('Use Redis!', 'use   redis')).toBe(true);
  expect(isRepeat('ＡＢＣ', 'abc')).toBe(true);
  expect(isRepeat(worded('Use Redis!', { fuzzy: false }), worded('use redis', { fuzzy: false }))).toBe(true);
  expect(isRepeat('one', 'two')).toBe(false);
});

test('only what may be said in other words is compared by words, on both sides', () => {
  const [a, b] = ['the deploy to production happens Friday noon', 'Friday noon production deploy happens to the'];
  expect(isRepeat(a, b)).toBe(true);
  expect(isRepeat(worded(a, { fuzzy: false }), b)).toBe(false);
  expect(isRepeat(a, worded(b, { fuzzy: false }))).toBe(false);
});

test('a text of more than 20,000 characters is compared whole alone', () => {
  const list = wordList(8);
  const text = (length: number, words: string[]) => said(words).padEnd(length, '.');
  const other = list.toReversed();
  expect(isRepeat(said(list), worded(text(20_000, other)))).toBe(true);
  expect(isRepeat(said(list), worded(text(20_001, other)))).toBe(false);
  expect(isRepeat(worded(text(20_001, list)), worded(text(20_001, list)))).toBe(true);
  // and not but for its case
  expect(isRepeat(worded(text(20_001, list)), worded(text(20_001, list).toUpperCase()))).toBe(false);
  const exact = { fuzzy: false };
  expect(isRepeat(worded(text(20_000, list), exact), worded(text(20_000, list).toUpperCase(), exact))).toBe(true);
});

test('a paraphrase shares 60 % of the words of the shorter, of at least four', () => {
  const shared = wordList(6);
  // six of ten shared, and too many in the place of others to be another fact in the same frame
  expect(isRepeat(said(shared, wordList(4, 'x')), said(wordList(4, 'y'), shared))).toBe(true);
  expect(isRepeat(said(shared.slice(1), wordList(5, 'x')), said(wordList(5, 'y'), shared.slice(1)))).toBe(false);
  expect(isRepeat(said(wordList(4)), said(wordList(4).toReversed()))).toBe(true);
  expect(isRepeat(said(wordList(3)), said(wordList(3).toReversed()))).toBe(false);
});

test('the longer has at most two and a half times as many words', () => {
  const four = wordList(4);
  expect(isRepeat(said(four), said(four, wordList(6, 'x')))).toBe(true);
  expect(isRepeat(said(four), said(four, wordList(7, 'x')))).toBe(false);
});

test('another number or a negation is another fact', () => {
  const seven = 'deploy the service to production at noon on port 7';
  expect(isRepeat(seven, 'on port 7 deploy the service at noon to production')).toBe(true);
  expect(isRepeat(seven, 'on port 8 deploy the service at noon to production')).toBe(false);
  for (const negation of ['not', 'no', 'never', 'none', 'nobody', 'nothing', 'without', 'cannot', "don't", 'won’t'])
    expect([
      negation,
      isRepeat(worded('deploy service production noon friday'), {
        text: `friday noon ${negation} deploy service production`,
        lexemes: wordsOf('friday noon deploy service production'),
        fuzzy: true,
      }),
    ]).toEqual([negation, false]);
  expect(isRepeat('not: deploy service production noon friday', 'friday noon production not: deploy service')).toBe(true);
});

test('one or two words in the place of others, the rest in the same order, are another fact', () => {
  const frame = (...others: string[]) => said(['alpha', 'bravo', 'charlie', 'delta', 'echo', 'foxtrot'], others);
  expect(isRepeat(frame('golf'), frame('hotel'))).toBe(false);
  expect(isRepeat(frame('golf', 'india'), frame('hotel', 'juliett'))).toBe(false);
  expect(isRepeat(frame('golf', 'india', 'kilo'), frame('hotel', 'juliett', 'lima'))).toBe(true);
  // in another order
  expect(isRepeat(frame('golf'), said(['foxtrot', 'echo', 'hotel', 'alpha', 'bravo', 'charlie', 'delta']))).toBe(true);
  // words that only one of them adds
  expect(isRepeat(frame(), frame('hotel'))).toBe(true);
});

test('forms of a word are one word of the frame', () => {
  const stems = ['rotate', 'key', 'month', 'server', 'vault'];
  const a = { text: 'rotating the keys monthly servers vault one', lexemes: [...stems, 'one'], fuzzy: true };
  const b = { text: 'rotated the keys monthly servers vault two', lexemes: [...stems, 'two'], fuzzy: true };
  expect(isRepeat(a, b)).toBe(false);
});

test('likeness does not spread: what was left out is not compared with', () => {
  const first = said(wordList(5), wordList(5, 'x'));
  const second = said(wordList(3, 'x'), wordList(2, 'y'), wordList(5));
  const third = said(wordList(2, 'y'), wordList(3, 'z'), wordList(5).slice(0, 2), wordList(3, 'x'));
  expect(repeated(first, second, third)).toEqual([false, true, false]);
  // equal to what was left out it is not kept either way
  expect(repeated(first, second, second)).toEqual([false, true, true]);
});

test('of many, the one that it repeats is found', () => {
  const others = Array.from({ length: 20 }, (_, i) => said(wordList(6, `n${String.fromCharCode(97 + i)}`), ['shared']));
  const again = said(wordList(6, 'nh').toReversed(), ['shared']);
  expect(repeated(...others, again).at(-1)).toBe(true);
});
