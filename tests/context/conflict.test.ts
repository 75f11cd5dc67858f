import { type Claim, comparableValue, findConflicts as conflictsInSteps, subjectKey } from '../../src/context/conflict.ts';
import { cpuMsOf, QUADRATIC_MS } from '../support/cost.ts';
import { runToEnd } from '../support/steps.ts';

const findConflicts = (claims: Claim[]) => runToEnd(conflictsInSteps(claims));

// Approximates the lexemes of the index: without stop words and endings.
const stop = new Set(
  'the a an is are was were be to of for in on at by we our it its has have had with and or than that this every each per from now not only up set about takes holds'.split(
    ' ',
  ),
);
const wordsOf = (text: string) =>
  (text.toLowerCase().match(/[\p{L}]+/gu) ?? [])
    .filter((word) => !stop.has(word))
    .map((word) => word.replace(/(?:s|ing|ed)$/, ''));
const claim = (id: string, text: string, more: Partial<Claim> = {}): Claim => ({
  id,
  text,
  lexemes: wordsOf(text),
  contradicts: [],
  ids: [id],
  isClaim: true,
  ...more,
});
const conflict = (a: string, b: string) => findConflicts([claim('a', a), claim('b', b, { isClaim: false })]).size > 0;

test.each([
  ['The context window is 32K tokens', 'The context window is 65K tokens'],
  ['The context window is 32K', 'The context window is 65K tokens.'],
  ['We retry an upload 3 times', 'An upload is retried 5 times before it fails'],
  ['Our token limit for contexts was set to 32K', 'The context budget is 65K tokens'],
  ['The backup of the ledger takes 40 minutes', 'Backing up the ledger takes about 55 minutes'],
  ['Das Kontextfenster fasst 32.5 Prozent', 'Das Kontextfenster fasst 65 Prozent'],
  ['The cache holds 1,000 entries', 'The cache holds 2000 entries'],
  ['Payment timeout: 30s', 'The payment timeout is 45s'],
  ['The plan costs $40 a month', 'The plan costs $55 a month'],
])('%s / %s conflict', (a, b) => expect([a, conflict(a, b)]).toEqual([a, true]));

test.each([
  ['The context window is 65K tokens', 'The context window is 65,000 tokens'],
  ['The cache holds 1,000 entries', 'The cache holds 1000 entries'],
  ['The staging timeout is 30 seconds', 'The production timeout is 60 seconds'],
  ['The context window is 32K tokens', 'The context window was opened 3 times'],
  ['Alice has 3 cats', 'The deploy takes 5 minutes'],
  ['In v1 the window is 32K tokens', 'In v2 the window is 65K tokens'],
  ['The meeting about the window is on 2024-05-01', 'The meeting about the window is on 2024-06-01'],
  ['The window grew from 32K to 65K tokens', 'The window is 65K tokens'],
  ['Nothing is counted here', 'Nor here'],
])('%s / %s do not conflict', (a, b) => expect([a, conflict(a, b)]).toEqual([a, false]));

test('two events do not conflict; a declared contradiction is marked on both sides, and a structured measure conflicts with a text', () => {
  const a = claim('a', 'The window is 32K tokens', { isClaim: false });
  const b = claim('b', 'The window is 65K tokens', { isClaim: false });
  expect(findConflicts([a, b]).size).toBe(0);
  const declared = findConflicts([claim('a', 'x', { contradicts: ['chk_b'] }), claim('b', 'y', { ids: ['b', 'chk_b'] })]);
  expect(Object.fromEntries(declared)).toEqual({ a: ['b'], b: ['a'] });
  expect(Object.fromEntries(findConflicts([claim('a', 'x', { contradicts: ['evt_away'] })]))).toEqual({ a: ['evt_away'] });
  const measured = { subject: 'context window', unit: 'tokens', value: 32_000 };
  expect(findConflicts([claim('a', 'It is small', { measure: measured }), b]).size).toBe(2);
});

test('the time for a hostile text is linear in its length', () => {
  const texts = [
    `${'1 '.repeat(200_000)}`,
    `${'1,000'.repeat(100_000)}`,
    `${'9'.repeat(500_000)}`,
    `window ${'- '.repeat(200_000)}5`,
  ];
  const claims = texts.flatMap((text, i) => [claim(`a${i}`, text), claim(`b${i}`, `${text} window`)]);
  expect(cpuMsOf(() => findConflicts(claims))).toBeLessThan(QUADRATIC_MS);
});

test('two claims with structured subjects are compared by these and not by their texts', () => {
  const port = (id: string, subject: string, value: number) =>
    claim(id, `The port is ${value}`, { measure: { subject, value }, claim_scope: 'team' });
  expect(findConflicts([port('a', 'database', 5432), port('b', 'gateway', 8080)]).size).toBe(0);
  expect(findConflicts([port('a', 'database', 5432), claim('b', 'The port is 8080')]).size).toBe(2);
});

test('a contradiction is listed once on each side and never with itself; an absent claim is listed by the id given', () => {
  const a = claim('a', '', { contradicts: ['b', 'evt_b', 'a', 'evt_a'], ids: ['a', 'evt_a'] });
  const b = claim('b', '', { ids: ['b', 'evt_b'], contradicts: ['a'] });
  expect(Object.fromEntries(findConflicts([a, b]))).toEqual({ a: ['b'], b: ['a'] });
  const away = claim('a', '', { contradicts: ['evt_x', 'evt_y'] });
  expect(Object.fromEntries(findConflicts([away]))).toEqual({ a: ['evt_x', 'evt_y'] });
});

test('subjectKey and comparableValue normalize subjects and values', () => {
  expect(['1e3', 'Infinity', ' ', null, undefined, {}, 0, '0x10'].map(comparableValue)).toEqual([
    '1000',
    'infinity',
    undefined,
    undefined,
    undefined,
    undefined,
    '0',
    '16',
  ]);
  expect([subjectKey({ subject: 'A  b' }, 's'), subjectKey({}, 's'), subjectKey({ subject: 7 }, 's')]).toEqual([
    's a b',
    undefined,
    undefined,
  ]);
});
