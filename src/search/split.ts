// Text → passages: whole sentences and lines together while they are short, cut where nothing else ends. Their concatenation is
// the text. Time is linear: each character is looked at once for boundaries and counted a bounded number of times.

type CountTokens = (text: string) => number;

/** Characters of one event that are searchable; what lies beyond them is kept, and not found by search. */
export const SEARCHABLE_CHARACTERS = 262_144;

const TARGET_TOKENS = 160;
/** Characters too: a passage and its word list must stay within a page of the table. */
const MAX_CHARACTERS = 1_600;

// After a sentence's end and the space behind it, or after a line's.
const sentence = /[^\n.!?。！？…]*(?:[.!?。！？…]+["'”’)\]]*[^\S\n]*|\n+|$)/gu;

export function splitText(text: string, countTokens: CountTokens): string[] {
  const searchable = cutAt(text, SEARCHABLE_CHARACTERS);
  if (fits(searchable, countTokens)) return searchable === '' ? [] : [searchable];
  const passages: string[] = [];
  let open = '';
  let openTokens = 0;
  for (const unit of units(searchable, countTokens)) {
    const tokens = countTokens(unit);
    if (open !== '' && (openTokens + tokens > TARGET_TOKENS || open.length + unit.length > MAX_CHARACTERS)) {
      passages.push(open);
      open = '';
      openTokens = 0;
    }
    open += unit;
    openTokens += tokens;
  }
  if (open !== '') passages.push(open);
  return passages;
}

/** The first `limit` characters, never half a surrogate pair. */
export function cutAt(text: string, limit: number): string {
  if (text.length <= limit) return text;
  return text.slice(0, isHighSurrogate(text, limit - 1) ? limit - 1 : limit);
}

const isHighSurrogate = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xd800;

// No character is more than four bytes, and no token less than one.
const fits = (text: string, countTokens: CountTokens) =>
  text.length <= MAX_CHARACTERS && (text.length * 4 <= TARGET_TOKENS || countTokens(text) <= TARGET_TOKENS);

function* units(text: string, countTokens: CountTokens): Generator<string> {
  for (const [piece] of text.matchAll(sentence)) if (piece !== '') yield* pieces(piece, countTokens);
}

/** A sentence, or parts of one that is too long. */
function* pieces(text: string, countTokens: CountTokens): Generator<string> {
  if (fits(text, countTokens)) return yield text;
  if (text.length > MAX_CHARACTERS) {
    for (let from = 0; from < text.length; ) {
      const to = from + lengthOfPart(text.slice(from, from + MAX_CHARACTERS), from + MAX_CHARACTERS >= text.length);
      yield* pieces(text.slice(from, to), countTokens);
      from = to;
    }
    return;
  }
  const half = lengthOfPart(text.slice(0, Math.ceil(text.length / 2)), false);
  yield* pieces(text.slice(0, half), countTokens);
  yield* pieces(text.slice(half), countTokens);
}

/** Where a slice that ends anywhere may end: behind its last space in the second half, else between two characters. */
function lengthOfPart(slice: string, isLast: boolean): number {
  if (isLast) return slice.length;
  const space = slice.search(/\s\S*$/u);
  if (space >= slice.length / 2) return space + 1;
  return slice.length > 1 && isHighSurrogate(slice, slice.length - 1) ? slice.length - 1 : slice.length;
}
