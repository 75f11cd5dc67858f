import { estimateTokens } from '../passages/index.ts';
import type { Steps } from '../slices.ts';
import { LEFT_OUT } from './calls.ts';
import type { Item, SectionName } from './pack.ts';
import { renderItem, withPlainLines } from './render.ts';
import type { CountTokens } from './tokens.ts';

// How an item would be shown and how many tokens that takes. Counting is most of what a context costs outside the database, so an item
// that surely does not fit is not counted, and a long text is cut before it is.

export interface Fresh {
  section: SectionName;
  item: Item;
  place: number;
}
/** What would be shown of an item. */
export interface Candidate extends Fresh {
  /** Tokens of the item in the bundle. */
  cost: number;
  cut: boolean;
  /** The part that is shown is `item.without`. */
  bare?: true;
}

/** A text of more characters for each token of its room is not looked at further. */
const MAX_TOKEN_CHARACTERS = 16;
/** So many characters of a call's results are worth their place. */
const LEAST_RESULT = 64;
/** What an estimate of tokens is multiplied by to be less than they are. */
const SURELY = 0.8;

export function* sizeOf({ section, item, place }: Fresh, largest: number, countTokens: CountTokens): Steps<Candidate> {
  // what is longer is cut without being counted: 19 MB of one decision took 3.3 s
  const most = largest * MAX_TOKEN_CHARACTERS;
  const whole = withPlainLines(item.text.length <= most ? item.text : item.text.slice(0, most));
  if (item.text.length <= most) {
    const cost = yield* countTokens(renderItem(whole));
    if (cost <= largest) return { section, item: { ...item, text: whole }, place, cost, cut: false };
  }
  const text = yield* cutToTokens(whole, largest, countTokens);
  // nothing of the result would be there
  if (item.without && text.length < item.without.text.length + LEAST_RESULT)
    return yield* bareOf({ section, item, place }, largest, countTokens);
  const cost = yield* countTokens(renderItem(text));
  return { section, item: { ...item, text }, place, cost, cut: true };
}

/** A call without its results: its end says so, however much of it must be cut. */
export function* bareOf({ section, item, place }: Fresh, largest: number, countTokens: CountTokens): Steps<Candidate> {
  const { text: said, ...without } = item.without!;
  const whole = withPlainLines(said.slice(0, largest * MAX_TOKEN_CHARACTERS));
  const isShort = said.length <= largest * MAX_TOKEN_CHARACTERS;
  const uncut = isShort ? yield* countTokens(renderItem(whole)) : Number.POSITIVE_INFINITY;
  const bare = { section, place, bare: true } as const;
  const left = { ...without, beside: item.beside! };
  if (uncut <= largest) return { ...bare, item: { ...left, text: whole }, cost: uncut, cut: false };
  const room = largest - (yield* countTokens(LEFT_OUT)) - 1;
  const text = `${yield* cutToTokens(whole, room, countTokens)}${LEFT_OUT}`;
  return { ...bare, item: { ...left, text }, cost: yield* countTokens(renderItem(text)), cut: true };
}

/** The longest beginning, within a few characters, that has at most so many tokens with its mark, ending between two characters. */
function* cutToTokens(text: string, most: number, countTokens: CountTokens): Steps<string> {
  let [fits, exceeds] = [0, Math.min(text.length, most * MAX_TOKEN_CHARACTERS)];
  while (exceeds - fits > 16) {
    const middle = (fits + exceeds) >> 1;
    if ((yield* countTokens(renderItem(marked(text, middle)))) <= most) fits = middle;
    else exceeds = middle;
  }
  return marked(text, fits);
}

const marked = (text: string, length: number) => `${text.slice(0, length).replace(/[\ud800-\udbff]$/, '')} […]`;

/** Prose has what is estimated within a tenth, nearly every other text has more; what is too large for any room is cut to `largest`. */
export function exceeds({ text }: Item, left: number, largest: number): boolean {
  // an estimate is between a quarter of the characters and all of them
  if (text.length * SURELY <= left) return false;
  if (Math.min(largest, text.length / 4) * SURELY > left) return true;
  return Math.min(largest, estimateTokens(text)) * SURELY > left;
}
