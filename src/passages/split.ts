// Splits text into passages of whole sentences and lines, and cuts sentences that are too long. The passages concatenate to the text.
// Each character is examined a bounded number of times, regardless of the text.

/** Maximum estimated number of tokens of a passage. The estimate never exceeds the number of UTF-8 bytes. */
export const PASSAGE_TOKENS = 192;
/** Maximum number of characters examined for one passage. */
export const PASSAGE_CHARACTERS = 1_600;

// Ends after the end of a sentence and the spaces behind it, or after the end of a line.
const sentence = /[^\n.!?。！？…]*(?:[.!?。！？…]+["'”’)\]]*[^\S\n]*|\n+|$)/gu;

/** Yields the passages one by one, so that a caller can stop or pause within a long text. */
export function* splitText(text: string): Generator<string> {
  if (fits(text)) {
    if (text !== '') yield text;
    return;
  }
  let open = '';
  let openTokens = 0;
  for (const unit of units(text)) {
    const tokens = estimateTokens(unit);
    if (openTokens + tokens > PASSAGE_TOKENS) {
      yield open;
      open = '';
      openTokens = 0;
    }
    open += unit;
    openTokens += tokens;
  }
  if (open !== '') yield open;
}

/** Returns the first `limit` characters without splitting a surrogate pair. */
export function cutAt(text: string, limit: number): string {
  if (text.length <= limit) return text;
  return text.slice(0, isHighSurrogate(text, limit - 1) ? limit - 1 : limit);
}

/** Estimates the tokens of a text: within 10 % for prose, half for random letters. Exact counting would cost each write more than its insert. */
export function estimateTokens(text: string): number {
  let quarters = 0;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    quarters += code >= 0x800 ? 4 : code >= 0x80 ? 2 : isWordOrSpace(code) ? 1 : 3;
  }
  return Math.ceil(quarters / 4);
}

const isWordOrSpace = (code: number) =>
  code === 32 || (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 48 && code <= 57);
const isHighSurrogate = (text: string, at: number) => (text.charCodeAt(at) & 0xfc00) === 0xd800;
const fits = (text: string) => text.length <= PASSAGE_CHARACTERS && estimateTokens(text) <= PASSAGE_TOKENS;

function* units(text: string): Generator<string> {
  for (const [piece] of text.matchAll(sentence)) if (piece !== '') yield* pieces(piece);
}

/** Yields a sentence, or the parts of one that is too long. */
function* pieces(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    const rest = text.slice(from, from + PASSAGE_CHARACTERS);
    const part = from + rest.length === text.length && fits(rest) ? rest : rest.slice(0, lengthOfPart(rest));
    yield part;
    from += part.length;
  }
}

/** Returns the length of the first part of a text that is too long: it ends at a space in the second half, or else between two characters. */
function lengthOfPart(text: string): number {
  let length = text.length;
  while (!fits(text.slice(0, length))) length = Math.ceil(length / 2);
  const space = lastSpace(text, length);
  if (space > 0) return space;
  return isHighSurrogate(text, length - 1) ? length - 1 : length;
}

/** Returns the position after the last space in the second half, or 0. */
function lastSpace(text: string, before: number): number {
  for (let at = before; at > before / 2; at -= 1) if (/\s/.test(text[at - 1]!)) return at;
  return 0;
}
