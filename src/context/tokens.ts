import type { Steps } from '../slices.ts';

// Token counts, exact by the model's own encoding. The encoding's tables take 30 MB and 200 ms, so who does not count does without them; the daemon loads them as it starts.

/** How many tokens a text is. */
export type CountTokens = (text: string) => Steps<number>;

// The library merges pairs by scanning the piece again and again: 10⁵ equal letters took 8 s, 10⁵ equal CJK characters 98 s.
const MAX_SHORT_PIECE = 64;
/** What is longer is counted piece by piece. */
const MAX_CHARACTERS_AT_ONCE = 4_096;
const maybeLong = /\S{65}|\s{65}/;
const asText = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };

const split = { o200k_base: 'O200K_TOKEN_SPLIT_REGEX', cl100k_base: 'CL100K_TOKEN_SPLIT_REGEX' } as const;
export type Encoding = keyof typeof split;

const loading = new Map<Encoding, Promise<CountTokens>>();

export function loadTokenCounter(name: Encoding): Promise<CountTokens> {
  const known = loading.get(name) ?? load(name);
  loading.set(name, known);
  return known;
}

// Each named as a whole, so that the compiler knows their types.
const libraries = {
  o200k_base: () => Promise.all([import('gpt-tokenizer/encoding/o200k_base'), import('gpt-tokenizer/bpeRanks/o200k_base')]),
  cl100k_base: () => Promise.all([import('gpt-tokenizer/encoding/cl100k_base'), import('gpt-tokenizer/bpeRanks/cl100k_base')]),
};

async function load(name: Encoding): Promise<CountTokens> {
  const [[encoding, { default: table }], patterns, { countMergedTokens }] = await Promise.all([
    libraries[name](),
    import('gpt-tokenizer/encodingParams/constants'),
    import('./byte_pairs.ts'),
  ]);
  const pieces = patterns[split[name]];
  // Merging never crosses a piece, so counting piece by piece is exact.
  return function* (text) {
    if (text.length <= MAX_CHARACTERS_AT_ONCE && !maybeLong.test(text)) return encoding.countTokens(text, asText);
    let count = 0;
    let since = 0;
    for (const [piece] of text.matchAll(pieces)) {
      const isShort = piece.length <= MAX_SHORT_PIECE;
      count += isShort ? encoding.countTokens(piece, asText) : yield* countMergedTokens(piece, table);
      since += piece.length;
      if (since < MAX_CHARACTERS_AT_ONCE) continue;
      since = 0;
      yield;
    }
    return count;
  };
}
