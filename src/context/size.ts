import { estimateTokens } from '../passages/index.ts';
import type { Steps } from '../slices.ts';
import type { Item, SectionName } from './pack.ts';
import { normalizeLineEnds, renderItem } from './render.ts';
import type { CountTokens } from './tokens.ts';
import { RESULT_LEFT_OUT } from './tool_calls.ts';

// Computes the form of an item and its number of tokens. Counting takes most of the time of a context outside the database, so an item that
// certainly does not fit is not counted, and a long text is cut before counting.

export interface UniqueItem {
  section: SectionName;
  item: Item;
  position: number;
}
/** An item in the form in which the context would show it. */
export interface Candidate extends UniqueItem {
  /** Number of tokens of the rendered item. */
  cost: number;
  cut: boolean;
  /** True if only the tool call is shown, without its results. */
  callOnly?: true;
}

/** A text is cut to this many characters per available token before counting. */
const MAX_TOKEN_CHARACTERS = 16;
/** If fewer characters of the results fit, only the call is shown. */
const MIN_RESULT_CHARACTERS = 64;
/** An estimate of tokens multiplied by this is lower than the exact count. */
const LOWER_BOUND_FACTOR = 0.8;

export function* sizeItem({ section, item, position }: UniqueItem, largest: number, countTokens: CountTokens): Steps<Candidate> {
  // longer texts are cut without being counted: counting a decision of 19 MB took 3.3 s
  const most = largest * MAX_TOKEN_CHARACTERS;
  const whole = normalizeLineEnds(item.text.length <= most ? item.text : item.text.slice(0, most));
  if (item.text.length <= most) {
    const cost = yield* countTokens(renderItem(whole));
    if (cost <= largest) return { section, item: { ...item, text: whole }, position, cost, cut: false };
  }
  const text = yield* cutToTokens(whole, largest, countTokens);
  // almost nothing of the result would be shown
  if (item.callOnly && text.length < item.callOnly.text.length + MIN_RESULT_CHARACTERS)
    return yield* sizeCallOnly({ section, item, position }, largest, countTokens);
  const cost = yield* countTokens(renderItem(text));
  return { section, item: { ...item, text }, position, cost, cut: true };
}

/** Returns a call without its results. It ends with RESULT_LEFT_OUT even if the call itself is cut. */
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

/** Returns the longest prefix, within a few characters, that has at most `most` tokens together with the cut mark. Splits no surrogate pair. */
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

/**
 * Returns true if an item certainly has more than `available` tokens. The estimate is within a tenth for prose and too low for nearly every other
 * text. An item of more than `largest` tokens counts as `largest`, because it is cut.
 */
export function surelyExceeds({ text }: Item, available: number, largest: number): boolean {
  // an estimate is between a quarter of the characters and all of them
  if (text.length * LOWER_BOUND_FACTOR <= available) return false;
  if (Math.min(largest, text.length / 4) * LOWER_BOUND_FACTOR > available) return true;
  return Math.min(largest, estimateTokens(text)) * LOWER_BOUND_FACTOR > available;
}
