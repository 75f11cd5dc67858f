import type { Steps } from '../slices.ts';

// Exact token counts with the encoding of the model. The tables of an encoding take 30 MB and 200 ms to load, so they are imported only on use;
// the daemon loads them at startup.

/** Returns the number of tokens of a text. */
export type CountTokens = (text: string) => Steps<number>;

// The library scans a piece again after each merge: 10⁵ equal letters took 8 s, 10⁵ equal CJK characters 98 s.
const MAX_SHORT_PIECE = 64;
/** Longer texts are counted piece by piece. */
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

// Complete import paths, so that the compiler can infer their types.
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
  // merging never crosses the boundary of a piece, so counting piece by piece is exact
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
