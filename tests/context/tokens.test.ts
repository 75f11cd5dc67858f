import fc from 'fast-check';
import { countTokens as reference } from 'gpt-tokenizer/encoding/o200k_base';
import { type CountTokens, loadTokenCounter } from '../../src/context/tokens.ts';

let countTokens: CountTokens;
beforeAll(async () => {
  countTokens = await loadTokenCounter();
});
const asText = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };

test('counts are those of the encoding, for long runs as for prose', () => {
  const run = fc
    .tuple(fc.constantFrom('a', 'Zq', '漢', '😀', ' ', '\n', '=', '字か', '0', '\t ', 'é', '<|endoftext|>'), fc.nat(300))
    .map(([unit, times]) => unit.repeat(times));
  fc.assert(
    fc.property(fc.array(fc.oneof(run, fc.string({ unit: 'grapheme' })), { maxLength: 6 }), (parts) => {
      const text = parts.join('');
      expect(countTokens(text)).toBe(reference(text, asText));
    }),
    { numRuns: 200 },
  );
});

test.each(['a', '漢', '😀', ' ', '='])('a million of %j are counted in seconds', (unit) => {
  expect(countTokens(unit.repeat(1_000_000))).toBeGreaterThan(1000);
  // the library alone takes minutes to hours: this ends before the test's own time limit
});
