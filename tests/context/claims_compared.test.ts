import { type Claim, findConflicts as conflictsInSteps } from '../../src/context/conflict.ts';
import { runToEnd } from '../support/steps.ts';

// The rules by which two texts have the same subject, the same unit and different numbers.

const claim = (id: string, text: string, lexemes: string[], more: Partial<Claim> = {}): Claim => ({
  id,
  text,
  lexemes,
  contradicts: [],
  ids: [id],
  isClaim: true,
  ...more,
});
const conflictsIn = (...claims: Claim[]) => Object.fromEntries(runToEnd(conflictsInSteps(claims)));
const inConflict = (a: Claim, b: Claim) => Object.keys(conflictsIn(a, b)).length > 0;
const both = { a: ['b'], b: ['a'] };

/** Returns true if two sentences with these lexemes are in conflict. */
const textsConflict = (a: string, b: string, words = ['queue', 'limit', 'token', 'page']) =>
  inConflict(claim('a', a, words), claim('b', b, words));
const limit = (value: string) => `The queue limit is ${value}`;

describe('values of a subject', () => {
  const valued = (id: string, value: unknown, more: object = {}) => {
    const { claim_scope = 'team', isClaim = true, ...measure } = more as Partial<Claim> & { subject?: string; unit?: string };
    return claim(id, '', [], { isClaim, claim_scope, measure: { subject: 'Theme', value, ...measure } });
  };

  test.each([
    ['different words', 'red', 'blue', true],
    ['the same except for case and spacing', 'Dark  red', 'dark red ', false],
    ['the same except for character width', 'ＲＥＤ', 'red', false],
    ['C and C#', 'C', 'C#', true],
    ['different numbers', 7, 8, true],
    ['a number and the same number as text', 7, ' 7.0 ', false],
    ['a boolean and its opposite', true, false, true],
    ['a boolean and the same boolean as text', true, 'TRUE', false],
    ['an empty string', '', 'red', false],
    ['a list', ['red'], 'blue', false],
  ])('%s: %j and %j', (_, a, b, conflict) => {
    expect(conflictsIn(valued('a', a), valued('b', b))).toEqual(conflict ? both : {});
  });

  test('subjects are compared without case and spacing', () => {
    expect(inConflict(valued('a', 1, { subject: 'The  THEME' }), valued('b', 2, { subject: ' the theme' }))).toBe(true);
    expect(inConflict(valued('a', 'x', { subject: 'C' }), valued('b', 'y', { subject: 'C++' }))).toBe(false);
    expect(inConflict(valued('a', 'x', { subject: '' }), valued('b', 'y', { subject: ' ' }))).toBe(false);
    expect(inConflict(valued('a', 'x', { subject: 7 }), valued('b', 'y', { subject: 7 }))).toBe(false);
  });

  test('a subject has a single value only within a scope and audience', () => {
    expect(inConflict(valued('a', 'x'), valued('b', 'y', { claim_scope: 'public' }))).toBe(false);
    const unplaced = { ...valued('b', 'y') };
    delete unplaced.claim_scope;
    expect(inConflict(valued('a', 'x'), unplaced)).toBe(false);
  });

  test('values with different units do not conflict; a value without a unit conflicts with any', () => {
    const [ms, s] = [{ unit: 'ms' }, { unit: 's' }];
    expect(inConflict(valued('a', 'x', ms), valued('b', 'y', s))).toBe(false);
    expect(inConflict(valued('a', 'x', ms), valued('b', 'y', { unit: ' MS' }))).toBe(true);
    expect(inConflict(valued('a', 'x', ms), valued('b', 'y'))).toBe(true);
    expect(inConflict(valued('a', 'x'), valued('b', 'y', s))).toBe(true);
  });

  test('among three claims, each side of every conflict lists the others', () => {
    expect(conflictsIn(valued('a', 'x'), valued('b', 'y'), valued('c', 'x'))).toEqual({ a: ['b'], b: ['a', 'c'], c: ['b'] });
  });

  test('among four claims, the first and the third conflict', () => {
    const others = ['b', 'd'].map((id) => valued(id, 'w', { subject: id }));
    expect(conflictsIn(valued('a', 'x'), others[0]!, valued('c', 'y'), others[1]!)).toEqual({ a: ['c'], c: ['a'] });
    const all = ['x', 'x', 'y', 'x'].map((value, i) => valued('abcd'[i]!, value));
    expect(conflictsIn(...all)).toEqual({ a: ['c'], b: ['c'], c: ['a', 'b', 'd'], d: ['c'] });
    const repeated = [5, 5, 6, 5].map((value, i) => claim('abcd'[i]!, limit(String(value)), ['queue', 'limit']));
    expect(conflictsIn(...repeated)).toEqual({ a: ['c'], b: ['c'], c: ['a', 'b', 'd'], d: ['c'] });
  });
});

describe('numbers in text', () => {
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
    // a separate word that is not a lexeme is no unit
    ['30 frobs', '45 tokens'],
  ])('%s conflicts with %s', (a, b) => {
    expect(textsConflict(limit(a), limit(b))).toBe(true);
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
    // different units
    ['40%', '55 tokens'],
    ['40 %', '55 tokens'],
    ['$40', '€55'],
    ['30s', '45ms'],
    ['32K tokens', '65K pages'],
    // not separate numbers
    ['v1.2', 'v1.3'],
    ['10:30', '11:30'],
    ['1.2.3', '1.2.4'],
    ['2026-01-05', '2026-02-06'],
    ['a/5', 'a/6'],
    ['#5', '#6'],
    ['x_5', 'x_6'],
  ])('%s does not conflict with %s', (a, b) => {
    expect(textsConflict(limit(a), limit(b))).toBe(false);
  });

  test('one common number is enough for two sentences to agree', () => {
    expect(textsConflict('The queue limit was 5 and is 7', limit('7'))).toBe(false);
    expect(textsConflict('The queue limit was 5 and is 7', limit('8'))).toBe(true);
    expect(textsConflict('The queue limit is 5. The queue limit is 7.', limit('7'))).toBe(false);
  });

  test('each sentence has its own subject', () => {
    const words = ['queue', 'limit', 'cat', 'age'];
    expect(textsConflict('The cat has an age of 9. The queue limit is 5.', 'The queue limit is 6', words)).toBe(true);
    expect(textsConflict('The cat has an age of 9.\nThe queue limit is 5', 'The queue limit is 5', words)).toBe(false);
  });

  test('the first twelve sentences with a number and the first 8,000 characters are read', () => {
    const behind = (filler: string) => textsConflict(`${filler}${limit('5')}`, limit('6'));
    expect(behind('Cats are 9 now. '.repeat(11))).toBe(true);
    expect(behind('Cats are 9 now. '.repeat(12))).toBe(false);
    expect(behind('No cats are here. '.repeat(100))).toBe(true);
    const sentence = limit('5');
    expect(behind(`${'x'.repeat(8_000 - sentence.length - 1)}\n`)).toBe(true);
    expect(behind(`${'x'.repeat(8_000 - sentence.length)}\n`)).toBe(false);
  });
});

describe('subjects in text', () => {
  const conflict = (a: string, aWords: string, b: string, bWords: string) =>
    inConflict(claim('a', a, aWords.split(' ')), claim('b', b, bWords.split(' ')));

  test('subjects match if they share two words, or their only word, and at least half of the shorter one', () => {
    expect(conflict('queue limit 5', 'queue limit', 'queue limit 6', 'queue limit')).toBe(true);
    expect(conflict('queue 5', 'queue', 'queue limit 6', 'queue limit')).toBe(true);
    expect(conflict('queue depth 5', 'queue depth', 'queue limit size 6', 'queue limit size')).toBe(false);
    expect(conflict('cats 5', 'cat', 'dogs 6', 'dog')).toBe(false);
    // two of four are half, two of five are less than half
    expect(
      conflict(
        'alpha bravo charlie delta 5',
        'alpha bravo charlie delta',
        'alpha bravo echo foxtrot golf 6',
        'alpha bravo echo foxtrot golf',
      ),
    ).toBe(true);
    expect(
      conflict(
        'alpha bravo charlie delta kilo 5',
        'alpha bravo charlie delta kilo',
        'alpha bravo echo foxtrot golf 6',
        'alpha bravo echo foxtrot golf',
      ),
    ).toBe(false);
  });

  test('a common unit counts as a common word', () => {
    expect(conflict('window of 5 tokens', 'window token', 'the tokens of a window: 6', 'window token')).toBe(true);
    expect(
      conflict('32 tokens of the big window', 'big window token', 'the small window takes 65 tokens', 'small window token'),
    ).toBe(false);
    expect(
      conflict('32 tokens of context', 'context token', 'the context of a model takes 65 tokens', 'context model token'),
    ).toBe(true);
    expect(conflict('32 pages of big context', 'big context page', 'the context of a model takes 65', 'context model')).toBe(
      false,
    );
    const two = '2 doors of the context model take 65 tokens';
    const one = '32 tokens of big context';
    expect(conflict(one, 'big context token', two, 'context model token door')).toBe(true);
    expect(conflict(two, 'context model token door', one, 'big context token')).toBe(true);
    // a unit that is a word of the other sentence
    expect(
      conflict('32 pages of big context', 'big context page', 'a page of the context model takes 65', 'page context model'),
    ).toBe(true);
    expect(
      conflict('a page of the context model takes 65', 'page context model', '32 pages of big context', 'big context page'),
    ).toBe(true);
  });

  test('a replaced word makes another subject, an inflected form does not', () => {
    expect(conflict('staging timeout 5', 'staging timeout', 'production timeout 6', 'production timeout')).toBe(false);
    expect(conflict('backup ledger node 5', 'backup ledger node', 'backing ledger node 6', 'back ledger node')).toBe(true);
    // in another order, and with two words replaced
    expect(conflict('alpha bravo charlie 5', 'alpha bravo charlie', 'bravo alpha delta 6', 'alpha bravo delta')).toBe(true);
    expect(
      conflict(
        'alpha bravo charlie delta 5',
        'alpha bravo charlie delta',
        'alpha bravo echo foxtrot 6',
        'alpha bravo echo foxtrot',
      ),
    ).toBe(true);
    expect(conflict('alpha bravo charlie 5', 'alpha bravo charlie', 'alpha bravo delta 6', 'alpha bravo delta')).toBe(false);
  });

  test('words with digits distinguish subjects if both sides have different ones', () => {
    const words = 'latency limit';
    expect(conflict('the p95 latency limit is 5', words, 'the p99 latency limit is 6', words)).toBe(false);
    expect(conflict('the p95 latency limit is 5', words, 'the P95 latency limit is 6', words)).toBe(true);
    expect(conflict('the p95 latency limit is 5', words, 'the latency limit is 6', words)).toBe(true);
    expect(conflict('the latency limit is 5', words, 'the p95 latency limit is 6', words)).toBe(true);
  });

  test('a word is matched by its stem, which is up to six letters shorter or ends in i instead of y', () => {
    expect(conflict('carries heron 5', 'carri heron', 'carry tall heron 6', 'carri tall heron')).toBe(true);
    expect(conflict('abcdefghij 5', 'abcd', 'abcd 6', 'abcd')).toBe(true);
    expect(conflict('abcdefghijk 5', 'abcd', 'abcd 6', 'abcd')).toBe(false);
    expect(conflict('ＱＵＥＵＥ 5', 'queue', 'Queue 6', 'queue')).toBe(true);
  });
});

describe('which texts are compared', () => {
  const words = ['queue', 'limit'];
  test('at least one of the two must be a claim', () => {
    const [a, b] = [claim('a', limit('5'), words), claim('b', limit('6'), words)];
    expect([inConflict(a, { ...b, isClaim: false }), inConflict({ ...a, isClaim: false }, b)]).toEqual([true, true]);
    expect(inConflict({ ...a, isClaim: false }, { ...b, isClaim: false })).toBe(false);
    // even if a third one is a claim
    const cat = claim('c', 'The cat is 9', ['cat']);
    expect(conflictsIn({ ...a, isClaim: false }, { ...b, isClaim: false }, cat)).toEqual({});
  });

  test('a text without a word of a claim is not compared unless it has a structured subject', () => {
    const a = claim('a', limit('5'), words);
    expect(inConflict(a, claim('b', limit('6'), [], { isClaim: false }))).toBe(false);
    const apart = claim('b', 'It grew', [], { isClaim: false, measure: { subject: 'queue limits', value: '6' } });
    expect(inConflict(a, apart)).toBe(true);
  });

  test('a structured measure is a separate statement', () => {
    const measured = (measure: Claim['measure'], more: Partial<Claim> = {}) =>
      claim('b', 'It grew', words, { measure: measure!, ...more });
    const a = claim('a', `${limit('5')} tokens`, [...words, 'token']);
    expect(inConflict(a, measured({ subject: 'queue limit', value: 6, unit: 'tokens' }, { lexemes: [...words, 'token'] }))).toBe(
      true,
    );
    expect(inConflict(a, measured({ subject: 'queue limit', value: '5' }))).toBe(false);
    expect(inConflict(a, measured({ subject: 'queue limit', value: '' }))).toBe(false);
    expect(inConflict(a, measured({ subject: 'queue limit', value: 'many' }))).toBe(false);
    expect(inConflict(a, measured({ subject: 7, value: 6 }))).toBe(false);
    expect(inConflict(a, measured({ subject: 'queue limit', value: 6, unit: 'pages' }))).toBe(false);
    // a word that is not a lexeme is used without its plural ending
    expect(inConflict(measured({ subject: 'gauges', value: 6 }), { ...measured({ subject: 'gauge', value: 7 }), id: 'a' })).toBe(
      true,
    );
  });

  test('structured statements of different scopes or audiences do not conflict', () => {
    const port = (id: string, value: number, stands?: string) =>
      claim(id, '', words, {
        text: `It grew`,
        measure: { subject: 'queue limit', value, unit: 'x' },
        ...(stands !== undefined && { claim_scope: stands }),
      });
    expect(inConflict(port('a', 5, 'team'), port('b', 6, 'public'))).toBe(false);
    expect(inConflict(port('a', 5, 'team'), port('b', 6, 'team'))).toBe(true);
    expect(inConflict(port('a', 5, 'team'), port('b', 6))).toBe(true);
    expect(inConflict(port('a', 5), port('b', 6))).toBe(true);
  });

  test('if both claims have a structured subject in a scope, their texts are not compared; if only one has, they are', () => {
    const named = (id: string, subject: string, value: number) =>
      claim(id, limit(String(value)), words, { measure: { subject, value }, claim_scope: 'team' });
    expect(inConflict(named('a', 'database', 5), named('b', 'gateway', 6))).toBe(false);
    expect(inConflict(named('a', 'database', 5), claim('b', limit('6'), words))).toBe(true);
    expect(inConflict(claim('a', limit('5'), words), named('b', 'gateway', 6))).toBe(true);
    const { claim_scope: _, ...unplaced } = named('b', 'gateway', 6);
    expect(inConflict(named('a', 'database', 5), unplaced)).toBe(true);
  });
});
