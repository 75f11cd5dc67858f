// Token counts, exact by the model's own encoding. The encoding's tables take 30 MB and 200 ms, so they are loaded when first asked for.

/** How many tokens a text is. */
export type CountTokens = (text: string) => number;

// The library merges pairs by scanning the piece again and again: 10⁵ equal letters took 8 s, 10⁵ equal CJK characters 98 s.
const LONGEST_SHORT_PIECE = 64;
const maybeLong = /\S{65}|\s{65}/;
const asText = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };

let loading: Promise<CountTokens> | undefined;

export function loadTokenCounter(): Promise<CountTokens> {
  loading ??= load();
  return loading;
}

async function load(): Promise<CountTokens> {
  const [encoding, { O200K_TOKEN_SPLIT_REGEX }, { default: table }, { mergedCount }] = await Promise.all([
    import('gpt-tokenizer/encoding/o200k_base'),
    import('gpt-tokenizer/encodingParams/constants'),
    import('gpt-tokenizer/bpeRanks/o200k_base'),
    import('./merge.ts'),
  ]);
  // Merging never crosses a piece, so counting piece by piece is exact.
  const countPiece = (piece: string) =>
    piece.length <= LONGEST_SHORT_PIECE ? encoding.countTokens(piece, asText) : mergedCount(piece, table);
  return (text) => {
    if (!maybeLong.test(text)) return encoding.countTokens(text, asText);
    let count = 0;
    for (const [piece] of text.matchAll(O200K_TOKEN_SPLIT_REGEX)) count += countPiece(piece);
    return count;
  };
}
