import { type Claim, findConflicts as conflictsInSteps } from '../../src/context/conflict.ts';
import { atOnce } from '../support/steps.ts';

// What is taken for one subject, one unit and another number, piece by piece.

const claim = (id: string, text: string, lexemes: string[], more: Partial<Claim> = {}): Claim => ({
  id,
  text,
  lexemes,
  contradicts: [],
  ids: [id],
  isClaim: true,
  ...more,
});
const conflictsIn = (...claims: Claim[]) => Object.fromEntries(atOnce(conflictsInSteps(claims)));
const differ = (a: Claim, b: Claim) => Object.keys(conflictsIn(a, b)).length > 0;
const both = { a: ['b'], b: ['a'] };

/** Two sentences of the same words; `unit` is among them. */
const texts = (a: string, b: string, words = ['queue', 'limit', 'token', 'page']) =>
  differ(claim('a', a, words), claim('b', b, words));
const limit = (value: string) => `The queue limit is ${value}`;

describe('values of one subject', () => {
  const valued = (id: string, value: unknown, more: object = {}) => {
    const { claim_scope = 'team', isClaim = true, ...measure } = more as Partial<Claim> & { subject?: string; unit?: string };
    return claim(id, '', [], { isClaim, claim_scope, measure: { subject: 'Theme', value, ...measure } });
  };

  test.each([
    ['other words', 'red', 'blue', true],
    ['the same but for case and spacing', 'Dark  red', 'dark red ', false],
    ['the same but for its width', 'ＲＥＤ', 'red', false],
    ['C and C#', 'C', 'C#', true],
    ['other numbers', 7, 8, true],
    ['a number and its text', 7, ' 7.0 ', false],
    ['a truth and its opposite', true, false, true],
    ['a truth and its word', true, 'TRUE', false],
    ['nothing', '', 'red', false],
    ['a list', ['red'], 'blue', false],
  ])('%s: %j and %j', (_, a, b, conflict) => {
    expect(conflictsIn(valued('a', a), valued('b', b))).toEqual(conflict ? both : {});
  });

  test('the subject is the same but for case and spacing', () => {
    expect(differ(valued('a', 1, { subject: 'The  THEME' }), valued('b', 2, { subject: ' the theme' }))).toBe(true);
    expect(differ(valued('a', 'x', { subject: 'C' }), valued('b', 'y', { subject: 'C++' }))).toBe(false);
    expect(differ(valued('a', 'x', { subject: '' }), valued('b', 'y', { subject: ' ' }))).toBe(false);
    expect(differ(valued('a', 'x', { subject: 7 }), valued('b', 'y', { subject: 7 }))).toBe(false);
  });

  test('a subject has one value within a scope and audience', () => {
    expect(differ(valued('a', 'x'), valued('b', 'y', { claim_scope: 'public' }))).toBe(false);
    const unplaced = { ...valued('b', 'y') };
    delete unplaced.claim_scope;
    expect(differ(valued('a', 'x'), unplaced)).toBe(false);
  });

  test('of another unit it is another value; a value without a unit is of any', () => {
    const [ms, s] = [{ unit: 'ms' }, { unit: 's' }];
    expect(differ(valued('a', 'x', ms), valued('b', 'y', s))).toBe(false);
    expect(differ(valued('a', 'x', ms), valued('b', 'y', { unit: ' MS' }))).toBe(true);
    expect(differ(valued('a', 'x', ms), valued('b', 'y'))).toBe(true);
    expect(differ(valued('a', 'x'), valued('b', 'y', s))).toBe(true);
  });

  test('of three the two that differ from one another are told, each of each', () => {
    expect(conflictsIn(valued('a', 'x'), valued('b', 'y'), valued('c', 'x'))).toEqual({ a: ['b'], b: ['a', 'c'], c: ['b'] });
  });

  test('of four the first and the third', () => {
    const others = ['b', 'd'].map((id) => valued(id, 'w', { subject: id }));
    expect(conflictsIn(valued('a', 'x'), others[0]!, valued('c', 'y'), others[1]!)).toEqual({ a: ['c'], c: ['a'] });
    const all = ['x', 'x', 'y', 'x'].map((value, i) => valued('abcd'[i]!, value));
    expect(conflictsIn(...all)).toEqual({ a: ['c'], b: ['c'], c: ['a', 'b', 'd'], d: ['c'] });
    const said = [5, 5, 6, 5].map((value, i) => claim('abcd'[i]!, limit(String(value)), ['queue', 'limit']));
    expect(conflictsIn(...said)).toEqual({ a: ['c'], b: ['c'], c: ['a', 'b', 'd'], d: ['c'] });
  });
});

describe('numbers in words', () => {
  test.each([
    ['32K tokens', '65K tokens'],
    ['1,000 tokens', '2000 tokens'],
    ["1'000 tokens", '1 001 tokens'],
    ['1.5 tokens', '1.6 tokens'],
    ['-5 tokens', '5 tokens'],
    ['$40', '$55'],
    ['€40', '€55'],
    ['40%', '55 %'],
    ['40%', '55'],
    ['30s', '45s'],
    ['30ms', '45ms'],
    ['2M tokens', '2G tokens'],
    ['5', '6'],
    // a word that stands apart and is not in the index is no unit
    ['30 frobs', '45 tokens'],
  ])('%s is not %s', (a, b) => {
    expect(texts(limit(a), limit(b))).toBe(true);
  });

  test.each([
    ['65K tokens', '65,000 tokens'],
    ['1.5K tokens', '1500 tokens'],
    ['2M tokens', '2 000 000 tokens'],
    ['3G tokens', '3,000,000,000 tokens'],
    ['3B tokens', '3G tokens'],
    ['1,000 tokens', "1'000 tokens"],
    ['1,000 tokens', '1’000 tokens'],
    ['5.0 tokens', '5 tokens'],
    // of another unit
    ['40%', '55 tokens'],
    ['40 %', '55 tokens'],
    ['$40', '€55'],
    ['30s', '45ms'],
    ['32K tokens', '65K pages'],
    // no numbers of their own
    ['v1.2', 'v1.3'],
    ['10:30', '11:30'],
    ['1.2.3', '1.2.4'],
    ['2026-01-05', '2026-02-06'],
    ['a/5', 'a/6'],
    ['#5', '#6'],
    ['x_5', 'x_6'],
  ])('%s does not differ from %s', (a, b) => {
    expect(texts(limit(a), limit(b))).toBe(false);
  });

  test('where one of the numbers is the same nothing differs', () => {
    expect(texts('The queue limit was 5 and is 7', limit('7'))).toBe(false);
    expect(texts('The queue limit was 5 and is 7', limit('8'))).toBe(true);
    expect(texts('The queue limit is 5. The queue limit is 7.', limit('7'))).toBe(false);
  });

  test('each sentence is of its own subject', () => {
    const words = ['queue', 'limit', 'cat', 'age'];
    expect(texts('The cat has an age of 9. The queue limit is 5.', 'The queue limit is 6', words)).toBe(true);
    expect(texts('The cat has an age of 9.\nThe queue limit is 5', 'The queue limit is 5', words)).toBe(false);
  });

  test('the first twelve sentences with a number and the first 8,000 characters are read', () => {
    const behind = (filler: string) => texts(`${filler}${limit('5')}`, limit('6'));
    expect(behind('Cats are 9 now. '.repeat(11))).toBe(true);
    expect(behind('Cats are 9 now. '.repeat(12))).toBe(false);
    expect(behind('No cats are here. '.repeat(100))).toBe(true);
    const sentence = limit('5');
    expect(behind(`${'x'.repeat(8_000 - sentence.length - 1)}\n`)).toBe(true);
    expect(behind(`${'x'.repeat(8_000 - sentence.length)}\n`)).toBe(false);
  });
});

describe('subjects in words', () => {
  const said = (a: string, aWords: string, b: string, bWords: string) =>
    differ(claim('a', a, aWords.split(' ')), claim('b', b, bWords.split(' ')));

  test('they share two words, or the one that there is, and half of those of the shorter', () => {
    expect(said('queue limit 5', 'queue limit', 'queue limit 6', 'queue limit')).toBe(true);
    expect(said('queue 5', 'queue', 'queue limit 6', 'queue limit')).toBe(true);
    expect(said('queue depth 5', 'queue depth', 'queue limit size 6', 'queue limit size')).toBe(false);
    expect(said('cats 5', 'cat', 'dogs 6', 'dog')).toBe(false);
    // two of four are half, two of five are less
    expect(
      said(
        'alpha bravo charlie delta 5',
        'alpha bravo charlie delta',
        'alpha bravo echo foxtrot golf 6',
        'alpha bravo echo foxtrot golf',
      ),
    ).toBe(true);
    expect(
      said(
        'alpha bravo charlie delta kilo 5',
        'alpha bravo charlie delta kilo',
        'alpha bravo echo foxtrot golf 6',
        'alpha bravo echo foxtrot golf',
      ),
    ).toBe(false);
  });

  test('a unit in common is a word in common', () => {
    expect(said('window of 5 tokens', 'window token', 'the tokens of a window: 6', 'window token')).toBe(true);
    expect(
      said('32 tokens of the big window', 'big window token', 'the small window takes 65 tokens', 'small window token'),
    ).toBe(false);
    expect(said('32 tokens of context', 'context token', 'the context of a model takes 65 tokens', 'context model token')).toBe(
      true,
    );
    expect(said('32 pages of big context', 'big context page', 'the context of a model takes 65', 'context model')).toBe(false);
    const two = '2 doors of the context model take 65 tokens';
    const one = '32 tokens of big context';
    expect(said(one, 'big context token', two, 'context model token door')).toBe(true);
    expect(said(two, 'context model token door', one, 'big context token')).toBe(true);
    // of the other’s words
    expect(
      said('32 pages of big context', 'big context page', 'a page of the context model takes 65', 'page context model'),
    ).toBe(true);
    expect(
      said('a page of the context model takes 65', 'page context model', '32 pages of big context', 'big context page'),
    ).toBe(true);
  });

  test('one word in the place of another is another subject, a form of it is the same', () => {
    expect(said('staging timeout 5', 'staging timeout', 'production timeout 6', 'production timeout')).toBe(false);
    expect(said('backup ledger node 5', 'backup ledger node', 'backing ledger node 6', 'back ledger node')).toBe(true);
    // in another order, and two in the place of two
    expect(said('alpha bravo charlie 5', 'alpha bravo charlie', 'bravo alpha delta 6', 'alpha bravo delta')).toBe(true);
    expect(
      said('alpha bravo charlie delta 5', 'alpha bravo charlie delta', 'alpha bravo echo foxtrot 6', 'alpha bravo echo foxtrot'),
    ).toBe(true);
    expect(said('alpha bravo charlie 5', 'alpha bravo charlie', 'alpha bravo delta 6', 'alpha bravo delta')).toBe(false);
  });

  test('words with digits tell subjects apart where both sides have their own', () => {
    const words = 'latency limit';
    expect(said('the p95 latency limit is 5', words, 'the p99 latency limit is 6', words)).toBe(false);
    expect(said('the p95 latency limit is 5', words, 'the P95 latency limit is 6', words)).toBe(true);
    expect(said('the p95 latency limit is 5', words, 'the latency limit is 6', words)).toBe(true);
    expect(said('the latency limit is 5', words, 'the p95 latency limit is 6', words)).toBe(true);
  });

  test('a word is found by its stem, up to six letters shorter, and by y for i', () => {
    expect(said('carries heron 5', 'carri heron', 'carry tall heron 6', 'carri tall heron')).toBe(true);
    expect(said('abcdefghij 5', 'abcd', 'abcd 6', 'abcd')).toBe(true);
    expect(said('abcdefghijk 5', 'abcd', 'abcd 6', 'abcd')).toBe(false);
    expect(said('ＱＵＥＵＥ 5', 'queue', 'Queue 6', 'queue')).toBe(true);
  });
});

describe('what is compared with what', () => {
  const words = ['queue', 'limit'];
  test('of two one is a claim', () => {
    const [a, b] = [claim('a', limit('5'), words), claim('b', limit('6'), words)];
    expect([differ(a, { ...b, isClaim: false }), differ({ ...a, isClaim: false }, b)]).toEqual([true, true]);
    expect(differ({ ...a, isClaim: false }, { ...b, isClaim: false })).toBe(false);
    // also where a third one is
    const cat = claim('c', 'The cat is 9', ['cat']);
    expect(conflictsIn({ ...a, isClaim: false }, { ...b, isClaim: false }, cat)).toEqual({});
  });

  test('what has no word of a claim is not compared, unless its subject is said apart', () => {
    const a = claim('a', limit('5'), words);
    expect(differ(a, claim('b', limit('6'), [], { isClaim: false }))).toBe(false);
    const apart = claim('b', 'It grew', [], { isClaim: false, measure: { subject: 'queue limits', value: '6' } });
    expect(differ(a, apart)).toBe(true);
  });

  test('a measure said apart is a statement of its own', () => {
    const measured = (measure: Claim['measure'], more: Partial<Claim> = {}) =>
      claim('b', 'It grew', words, { measure: measure!, ...more });
    const a = claim('a', `${limit('5')} tokens`, [...words, 'token']);
    expect(differ(a, measured({ subject: 'queue limit', value: 6, unit: 'tokens' }, { lexemes: [...words, 'token'] }))).toBe(
      true,
    );
    expect(differ(a, measured({ subject: 'queue limit', value: '5' }))).toBe(false);
    expect(differ(a, measured({ subject: 'queue limit', value: '' }))).toBe(false);
    expect(differ(a, measured({ subject: 'queue limit', value: 'many' }))).toBe(false);
    expect(differ(a, measured({ subject: 7, value: 6 }))).toBe(false);
    expect(differ(a, measured({ subject: 'queue limit', value: 6, unit: 'pages' }))).toBe(false);
    // a word that the index has not is taken without its plural
    expect(differ(measured({ subject: 'gauges', value: 6 }), { ...measured({ subject: 'gauge', value: 7 }), id: 'a' })).toBe(
      true,
    );
  });

  test('of another scope or audience nothing said apart differs', () => {
    const port = (id: string, value: number, stands?: string) =>
      claim(id, '', words, {
        text: `It grew`,
        measure: { subject: 'queue limit', value, unit: 'x' },
        ...(stands !== undefined && { claim_scope: stands }),
      });
    expect(differ(port('a', 5, 'team'), port('b', 6, 'public'))).toBe(false);
    expect(differ(port('a', 5, 'team'), port('b', 6, 'team'))).toBe(true);
    expect(differ(port('a', 5, 'team'), port('b', 6))).toBe(true);
    expect(differ(port('a', 5), port('b', 6))).toBe(true);
  });

  test('of two that both name their subject in a scope their words do not count; of one that does, they do', () => {
    const named = (id: string, subject: string, value: number) =>
      claim(id, limit(String(value)), words, { measure: { subject, value }, claim_scope: 'team' });
    expect(differ(named('a', 'database', 5), named('b', 'gateway', 6))).toBe(false);
    expect(differ(named('a', 'database', 5), claim('b', limit('6'), words))).toBe(true);
    expect(differ(claim('a', limit('5'), words), named('b', 'gateway', 6))).toBe(true);
    const { claim_scope: _, ...unplaced } = named('b', 'gateway', 6);
    expect(differ(named('a', 'database', 5), unplaced)).toBe(true);
  });
});
