import fc from 'fast-check';
import { headersFor, partsOf } from '../../src/passages/header.ts';
import { passagesOf } from '../../src/passages/passages.ts';
import { cpuMsOf, QUADRATIC_MS } from '../support/cost.ts';

const about = { actor_id: 'coder', kind: 'tool_call', tags: ['topic:storage'], names: ['readFile'] };

test('a header has the actor, kind, names, labels and the parts of compound names', () => {
  expect(headersFor(about)('see src/db/queryPlan.ts')).toBe(
    'coder tool call readFile topic storage read File src db query Plan ts',
  );
});

test('the tags of an event are read once, however many passages it has', () => {
  let reads = 0;
  const tags = new Proxy(
    Array.from({ length: 256 }, (_, i) => `t:${i}`),
    {
      get: (target, key) => {
        if (/^\d+$/.test(String(key))) reads += 1;
        return Reflect.get(target, key);
      },
    },
  );
  const passages = passagesOf({ kind: 'message', actor_id: 'alice', content: { text: 'A sentence. '.repeat(20_000) }, tags });
  expect(passages.length).toBeGreaterThan(250);
  expect(reads).toBeLessThanOrEqual(256);
});

test('partsOf returns the same as a naive implementation', () => {
  const word = fc.string({ unit: fc.constantFrom(...'abAB09./_-@#:\\!ä '), maxLength: 30 });
  fc.assert(
    fc.property(fc.array(word, { maxLength: 4 }), (words) => {
      const text = words.join(' ');
      const plain = text
        .split(/[^A-Za-z0-9_./\\:@#-]/)
        .filter((name) => /[./\\:@#_-][A-Za-z0-9]|[a-z0-9][A-Z]/.test(name))
        .flatMap((name) => name.replaceAll(/([a-z0-9])(?=[A-Z])/g, '$1 ').split(/[^A-Za-z0-9]+/))
        .filter((part) => part.length > 1);
      expect([...partsOf(text)]).toEqual([...new Set(plain)]);
    }),
    { seed: 4, numRuns: 500 },
  );
});

test.each(['a', '!', 'aB', 'a/', '.', 'aA-'])('a million repetitions of %j take linear time', (piece) => {
  const text = piece.repeat(1_000_000 / piece.length);
  const cost = cpuMsOf(() => {
    partsOf(text);
    headersFor({ ...about, actor_id: text, names: [text] })(text);
  });
  expect(cost).toBeLessThan(QUADRATIC_MS);
});

const partsIn = (text: string, known: string[] = []) => [...partsOf(text, known)];

test('parts have 2 to 63 characters, names at most 200, and a header at most 48 parts', () => {
  expect(partsIn(`a/bc/${'x'.repeat(63)}/${'y'.repeat(64)}`)).toEqual(['bc', 'x'.repeat(63)]);
  const longest = `${'ab/'.repeat(66)}cd`;
  expect([longest.length, partsIn(longest)]).toEqual([200, ['ab', 'cd']]);
  expect(partsIn(`${longest}e`)).toEqual([]);
  // no new name is split once there are 48 parts
  const names = Array.from({ length: 30 }, (_, i) => `x${i}a/y${i}b`);
  expect(partsIn(names.join(' '))).toHaveLength(48);
  expect(
    partsIn(
      'c/dd',
      Array.from({ length: 47 }, (_, i) => `known${i}`),
    ),
  ).toHaveLength(48);
});

test('a header is truncated to 1,000 characters without splitting a surrogate pair', () => {
  const of = (tag: string, passage = '') => headersFor({ actor_id: 'a', kind: 'message', names: [], tags: [tag] })(passage);
  expect(of('t'.repeat(2_000))).toBe(`a ${'t'.repeat(998)}`);
  expect(of('t'.repeat(997), 'src/query')).toBe(`a ${'t'.repeat(997)} `.slice(0, 1_000));
  expect(of('t'.repeat(990), 'src/query')).toBe(`a ${'t'.repeat(990)} src que`.slice(0, 1_000));
  expect(of(`${'t'.repeat(997)}😀`).isWellFormed()).toBe(true);
  expect(of(`${'t'.repeat(990)}`, `ab/cd ${'x'.repeat(30)}`).isWellFormed()).toBe(true);
});

test('the header of a message omits the kind and empty names', () => {
  expect(headersFor({ actor_id: 'ann', kind: 'message', names: [''], tags: ['a_b/c-d'] })('')).toBe('ann a b c d');
});
