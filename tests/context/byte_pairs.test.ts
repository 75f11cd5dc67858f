import fc from 'fast-check';
import { countMergedTokens } from '../../src/context/byte_pairs.ts';
import { runToEnd } from '../support/steps.ts';

/** Returns a rank table: single bytes first, then the merged tokens by rank. */
const tableOf = (...merged: (string | number[])[]) => [...Array.from({ length: 256 }, (_, byte) => [byte]), ...merged];
const tokens = (piece: string, ...merged: (string | number[])[]) => runToEnd(countMergedTokens(piece, tableOf(...merged)));

/** The definition of byte-pair encoding: repeatedly merges the leftmost pair of the lowest rank. */
function plainCount(piece: string, merged: string[]): number {
  let parts = [...piece];
  for (;;) {
    const ranks = parts.slice(1).map((part, i) => merged.indexOf(parts[i]! + part));
    const lowest = Math.min(...ranks.filter((rank) => rank >= 0));
    if (!Number.isFinite(lowest)) return parts.length;
    const at = ranks.indexOf(lowest);
    parts = [...parts.slice(0, at), parts[at]! + parts[at + 1]!, ...parts.slice(at + 2)];
  }
}

test.each<[string, string[], number]>([
  ['', [], 0],
  ['a', ['aa'], 1],
  ['ab', [], 2],
  ['ab', ['ab'], 1],
  // leftmost first
  ['aaa', ['aa'], 2],
  ['aaaa', ['aa', 'aaaa'], 1],
  // the lowest rank first: after merging bc there is no ab
  ['abc', ['bc', 'ab'], 2],
  ['abc', ['bc', 'ab', 'abc'], 1],
  ['xabcx', ['ab', 'abc'], 3],
])('%j with the tokens %j has %i tokens', (piece, merged, count) => {
  expect(tokens(piece, ...merged)).toBe(count);
});

test('merging works on bytes and not on characters', () => {
  expect(tokens('é')).toBe(2);
  expect(tokens('éé', [0xc3, 0xa9], [0xa9, 0xc3])).toBe(2);
  expect(tokens('éé', [0xa9, 0xc3])).toBe(3);
});

test('for any table and piece, the count equals that of repeated merging', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 2, maxLength: 6 });
  fc.assert(
    fc.property(
      fc.uniqueArray(word, { maxLength: 14 }),
      fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 60 }),
      (merged, piece) => {
        expect(tokens(piece, ...merged)).toBe(plainCount(piece, merged));
      },
    ),
    { seed: 7, numRuns: 400 },
  );
});

test('an empty entry of the table is skipped', () => {
  const table = tableOf('ab');
  table.splice(256, 0, undefined as never);
  expect(runToEnd(countMergedTokens('ab', table))).toBe(1);
});

test('counting yields while it reads the table, the piece and the merges', () => {
  const pausesOf = (piece: string, table = tableOf('aa')) => {
    const steps = countMergedTokens(piece, table);
    let pauses = 0;
    while (!steps.next().done) pauses += 1;
    return pauses;
  };
  const table = tableOf(...Array.from({ length: 2_048 - 256 }, (_, i) => `zz${i}`), 'aa');
  // once per 1,024 of the 2,049 entries, and per 1,024 bytes of the piece
  expect(pausesOf('a', table)).toBe(3);
  // the table is not read again
  expect(pausesOf('a', table)).toBe(0);
  expect(pausesOf('b'.repeat(4_097), table)).toBe(4);
  expect(pausesOf('a'.repeat(4_097), table)).toBeGreaterThanOrEqual(4 + 2);
});
