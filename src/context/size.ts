import { estimateTokens } from '../passages/index.ts';
import type { Steps } from '../slices.ts';
import type { Item, SectionName } from './pack.ts';
import { normalizeLineEnds, renderItem } from './render.ts';
import type { CountTokens } from './tokens.ts';
import { RESULT_LEFT_OUT } from './tool_calls.ts';

// How an item would be shown and how many tokens that takes. Counting is most of what a context costs outside the database, so an item
// that surely does not fit is not counted, and a long text is cut before it is.

export interface UniqueItem {
  section: SectionName;
  item: Item;
  position: number;
}
/** What would be shown of an item. */
export interface Candidate extends UniqueItem {
  /** Tokens of the item in the bundle. */
  cost: number;
  cut: boolean;
  /** The part that is shown is `item.without`. */
  callOnly?: true;
}

/** A text of more characters for each token of its room is not looked at further. */
const MAX_TOKEN_CHARACTERS = 16;
/** So many characters of a call's results are worth their place. */
const MIN_RESULT_CHARACTERS = 64;
/** What an estimate of tokens is multiplied by to be less than they are. */
const LOWER_BOUND_FACTOR = 0.8;

export function* sizeItem({ section, item, position }: UniqueItem, largest: number, countTokens: CountTokens): Steps<Candidate> {
  // what is longer is cut without being counted: 19 MB of one decision took 3.3 s
  const most = largest * MAX_TOKEN_CHARACTERS;
  const whole = normalizeLineEnds(item.text.length <= most ? item.text : item.text.slice(0, most));
  if (item.text.length <= most) {
    const cost = yield* countTokens(renderItem(whole));
    if (cost <= largest) return { section, item: { ...item, text: whole }, position, cost, cut: false };
  }
  const text = yield* cutToTokens(whole, largest, countTokens);
  // nothing of the result would be there
  if (item.callOnly && text.length < item.callOnly.text.length + MIN_RESULT_CHARACTERS)
    return yield* sizeCallOnly({ section, item, position }, largest, countTokens);
  const cost = yield* countTokens(renderItem(text));
  return { section, item: { ...item, text }, position, cost, cut: true };
}

/** A call without its results: its end says so, however much of it must be cut. */
export function* sizeCallOnly(
  { section, item, position }: UniqueItem,
  largest: number,
  countTokens: CountTokens,
): Steps<Candidate> {
  const { text: callText, ...rest } = item.callOnly!;
  const whole = normalizeLineEnds(callText.slice(0, largest * MAX_TOKEN_CHARACTERS));
  const isShort = callText.length <= largest * MAX_TOKEN_CHARACTERS;
  const uncut = isShort ? yield* countTokens(renderItem(whole)) : Number.POSITIVE_INFINITY;
  const common = { section, position, callOnly: true } as const;
  const fields = { ...rest, resultIds: item.resultIds! };
  if (uncut <= largest) return { ...common, item: { ...fields, text: whole }, cost: uncut, cut: false };
  const available = largest - (yield* countTokens(RESULT_LEFT_OUT)) - 1;
  const text = `${yield* cutToTokens(whole, available, countTokens)}${RESULT_LEFT_OUT}`;
  return { ...common, item: { ...fields, text }, cost: yield* countTokens(renderItem(text)), cut: true };
}

/** The longest beginning, within a few characters, that has at most so many tokens with its mark, ending between two characters. */
function* cutToTokens(text: string, most: number, countTokens: CountTokens): Steps<string> {
  let [fits, tooLong] = [0, Math.min(text.length, most * MAX_TOKEN_CHARACTERS)];
  while (tooLong - fits > 16) {
    const middle = (fits + tooLong) >> 1;
    if ((yield* countTokens(renderItem(withCutMark(text, middle)))) <= most) fits = middle;
    else tooLong = middle;
  }
  return withCutMark(text, fits);
}

const withCutMark = (text: string, length: number) => `${text.slice(0, length).replace(/[\ud800-\udbff]$/, '')} […]`;

/** Prose has what is estimated within a tenth, nearly every other text has more; what is too large for any room is cut to `largest`. */
export function surelyExceeds({ text }: Item, available: number, largest: number): boolean {
  // an estimate is between a quarter of the characters and all of them
  if (text.length * LOWER_BOUND_FACTOR <= available) return false;
  if (Math.min(largest, text.length / 4) * LOWER_BOUND_FACTOR > available) return true;
  return Math.min(largest, estimateTokens(text)) * LOWER_BOUND_FACTOR > available;
}
