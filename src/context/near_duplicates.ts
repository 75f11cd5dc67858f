import type { Steps } from '../slices.ts';

// Whether two texts say the same. Equal texts do. Two longer passages of evidence do when they share most of their words and differ
// as a paraphrase does: in their order, in several words, or in words that only one of them adds. A text that has one or two words in
// the place of others ("Alice prefers", "Bob prefers"; "passes", "fails"), another number or a negation states another fact.
// Words come stemmed and without stop words, so "rotates" and "rotated" agree.

const MIN_WORDS = 4;
const MIN_SHARED = 0.6;
const MAX_LENGTH_RATIO = 2.5;
/** Characters. */
const MAX_COMPARED_CHARACTERS = 20_000;
/** So few words in the place of others, with the rest in the same order, are another fact in the same frame. */
const MAX_SUBSTITUTED_WORDS = 2;

export interface ComparableText {
  text: string;
  /** What is compared: stemmed words. */
  lexemes: string[];
  /** Only items that may be said in other words are compared by words; of others only equal texts repeat each other. */
  fuzzy: boolean;
}

interface SeenText {
  /** The text, normalized. */
  normalized: string;
  lexemes: Set<string>;
  numbers: string;
  negated: boolean;
  /** Made when it is first compared with another of the same words. */
  order?: string[];
}

/** Tells of each item in turn whether it repeats one before it. Only what was kept is compared with, so likeness does not spread. */
export function createDuplicateDetector(): (item: ComparableText) => Steps<boolean> {
  const texts = new Set<string>();
  const seen: SeenText[] = [];
  const seenByLexeme = new Map<string, number[]>();
  return function* ({ text, lexemes, fuzzy }) {
    yield;
    // comparing a megabyte took 0.1 s: texts this long are duplicates only if they are equal
    const normalized = text.length > MAX_COMPARED_CHARACTERS ? text : normalize(text);
    if (texts.has(normalized)) return true;
    const own = fuzzy &&
      text.length <= MAX_COMPARED_CHARACTERS && {
        normalized,
        lexemes: new Set(lexemes),
        numbers: numbersOf(lexemes),
        negated: negation.test(text),
      };
    if (own && (yield* duplicatesAny(own, seen, seenByLexeme))) return true;
    texts.add(normalized);
    if (!own) return false;
    for (const word of own.lexemes) {
      const held = seenByLexeme.get(word);
      if (held) held.push(seen.length);
      else seenByLexeme.set(word, [seen.length]);
    }
    seen.push(own);
    return false;
  };
}

function* duplicatesAny(own: SeenText, seen: SeenText[], seenByLexeme: Map<string, number[]>): Steps<boolean> {
  // as a map of those that share a word, it and what it left to collect were a third of a context's time
  const shared = new Uint32Array(seen.length);
  for (const word of own.lexemes) for (const holder of seenByLexeme.get(word) ?? []) shared[holder]! += 1;
  for (const [holder, count] of shared.entries()) {
    if (count === 0) continue;
    yield;
    if (isDuplicate(seen[holder]!, own, count)) return true;
  }
  return false;
}

function isDuplicate(other: SeenText, own: SeenText, shared: number): boolean {
  if (own.numbers !== other.numbers || own.negated !== other.negated) return false;
  const fewer = Math.min(own.lexemes.size, other.lexemes.size);
  const more = Math.max(own.lexemes.size, other.lexemes.size);
  if (fewer < MIN_WORDS || shared < MIN_SHARED * fewer || more > MAX_LENGTH_RATIO * fewer) return false;
  const replaced = fewer - shared > 0 && more - shared <= MAX_SUBSTITUTED_WORDS;
  return !(replaced && hasSameWordOrder(orderOf(own), orderOf(other)));
}

/** Whether the words that both texts have stand in the same order. */
function hasSameWordOrder(a: string[], b: string[]): boolean {
  const [inA, inB] = [new Set(a), new Set(b)];
  return a.filter((word) => inB.has(word)).join(' ') === b.filter((word) => inA.has(word)).join(' ');
}

// Enough of a word to tell it by, and the same for its forms.
const STEM_CHARACTERS = 5;
/** A text's words in their order, cut to their beginnings. */
const orderOf = (seen: SeenText): string[] => {
  seen.order ??= seen.normalized.split(' ').map((word) => word.slice(0, STEM_CHARACTERS));
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
