import type { Steps } from '../slices.ts';

// Whether two texts say the same. Equal texts do. Two longer passages of evidence do when they share most of their words and differ
// as a paraphrase does: in their order, in several words, or in words that only one of them adds. A text that has one or two words in
// the place of others ("Alice prefers", "Bob prefers"; "passes", "fails"), another number or a negation states another fact.
// Words come stemmed and without stop words, so "rotates" and "rotated" agree.

const FEWEST_WORDS = 4;
const SHARED = 0.6;
const LENGTH_RATIO = 2.5;
/** Characters. */
const LONGEST_COMPARED = 20_000;
/** So few words in the place of others, with the rest in the same order, are another fact in the same frame. */
const SUBSTITUTION = 2;

export interface Worded {
  text: string;
  /** What is compared: stemmed words. */
  words: string[];
  /** Only items that may be said in other words are compared by words; of others only equal texts repeat each other. */
  loose: boolean;
}

interface Seen {
  /** The text, normalized. */
  plain: string;
  words: Set<string>;
  numbers: string;
  negated: boolean;
  /** Made when it is first compared with another of the same words. */
  order?: string[];
}

/** Tells of each item in turn whether it repeats one before it. Only what was kept is compared with, so likeness does not spread. */
export function createRepetition(): (item: Worded) => Steps<boolean> {
  const texts = new Set<string>();
  const seen: Seen[] = [];
  const holders = new Map<string, number[]>();
  return function* ({ text, words, loose }) {
    yield;
    // comparing a megabyte took 0.1 s: texts this long are duplicates only if they are equal
    const plain = text.length > LONGEST_COMPARED ? text : normalize(text);
    if (texts.has(plain)) return true;
    const own = loose &&
      text.length <= LONGEST_COMPARED && {
        plain,
        words: new Set(words),
        numbers: numbersOf(words),
        negated: negation.test(text),
      };
    if (own && (yield* repeatsAny(own, seen, holders))) return true;
    texts.add(plain);
    if (!own) return false;
    for (const word of own.words) {
      const held = holders.get(word);
      if (held) held.push(seen.length);
      else holders.set(word, [seen.length]);
    }
    seen.push(own);
    return false;
  };
}

function* repeatsAny(own: Seen, seen: Seen[], holders: Map<string, number[]>): Steps<boolean> {
  // as a map of those that share a word, it and what it left to collect were a third of a context's time
  const shared = new Uint32Array(seen.length);
  for (const word of own.words) for (const holder of holders.get(word) ?? []) shared[holder]! += 1;
  for (const [holder, count] of shared.entries()) {
    if (count === 0) continue;
    yield;
    if (isRepeat(seen[holder]!, own, count)) return true;
  }
  return false;
}

function isRepeat(other: Seen, own: Seen, shared: number): boolean {
  if (own.numbers !== other.numbers || own.negated !== other.negated) return false;
  const fewer = Math.min(own.words.size, other.words.size);
  const more = Math.max(own.words.size, other.words.size);
  if (fewer < FEWEST_WORDS || shared < SHARED * fewer || more > LENGTH_RATIO * fewer) return false;
  const replaced = fewer - shared > 0 && more - shared <= SUBSTITUTION;
  return !(replaced && isSameFrame(orderOf(own), orderOf(other)));
}

/** Whether the words that both texts have stand in the same order. */
function isSameFrame(a: string[], b: string[]): boolean {
  const [inA, inB] = [new Set(a), new Set(b)];
  return a.filter((word) => inB.has(word)).join(' ') === b.filter((word) => inA.has(word)).join(' ');
}

// Enough of a word to tell it by, and the same for its forms.
const STEM = 5;
/** A text's words in their order, cut to their beginnings. */
const orderOf = (seen: Seen): string[] => {
  seen.order ??= seen.plain.split(' ').map((word) => word.slice(0, STEM));
  return seen.order;
};

const normalize = (text: string) =>
  text
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

const negation = /\b(?:not|no|never|none|nobody|nothing|without|cannot)\b|n['’]t\b/i;

const numbersOf = (words: string[]) =>
  words
    .filter((word) => /\d/.test(word))
    .sort()
    .join(' ');
