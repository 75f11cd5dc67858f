import type { Steps } from '../slices.ts';

// Detects duplicates. Equal texts are duplicates. Two longer passages of evidence are duplicates if they share most of their words and differ as
// a paraphrase does: in word order, in several words, or in words that only one of them adds. A text in which one or two words are replaced
// ("Alice prefers", "Bob prefers"; "passes", "fails"), or that has another number or a negation, states another fact.
// Words are stemmed and without stop words, so "rotates" equals "rotated".

const MIN_WORDS = 4;
const MIN_SHARED = 0.6;
const MAX_LENGTH_RATIO = 2.5;
/** Characters. */
const MAX_COMPARED_CHARACTERS = 20_000;
/** If at most this many words are replaced and the others are in the same order, the texts state different facts. */
const MAX_SUBSTITUTED_WORDS = 2;

export interface ComparableText {
  text: string;
  /** The stemmed words, which are compared. */
  lexemes: string[];
  /** True if the item is also compared by its words; otherwise only an equal text is a duplicate. */
  fuzzy: boolean;
}

interface SeenText {
  /** The text in lower case without punctuation. */
  normalized: string;
  lexemes: Set<string>;
  numbers: string;
  negated: boolean;
  /** The stemmed words in order; computed on the first comparison that needs them. */
  order?: string[];
}

/**
 * Returns a function that returns true if an item duplicates one that was kept before. Items are compared only with kept ones, so similarity is not
 * transitive.
 */
export function createDuplicateDetector(): (item: ComparableText) => Steps<boolean> {
  const texts = new Set<string>();
  const seen: SeenText[] = [];
  const seenByLexeme = new Map<string, number[]>();
  return function* ({ text, lexemes, fuzzy }) {
    yield;
    // comparing a megabyte took 0.1 s, so texts this long are duplicates only if they are equal
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
      const indexes = seenByLexeme.get(word);
      if (indexes) indexes.push(seen.length);
      else seenByLexeme.set(word, [seen.length]);
    }
    seen.push(own);
    return false;
  };
}

function* duplicatesAny(own: SeenText, seen: SeenText[], seenByLexeme: Map<string, number[]>): Steps<boolean> {
  // with a map instead of an array, counting and its garbage collection took a third of the time of a context
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

/** Returns true if the words that both texts contain are in the same order. */
function hasSameWordOrder(a: string[], b: string[]): boolean {
  const [inA, inB] = [new Set(a), new Set(b)];
  return a.filter((word) => inB.has(word)).join(' ') === b.filter((word) => inA.has(word)).join(' ');
}

// Enough characters to identify a word, and the same for its inflected forms.
const STEM_CHARACTERS = 5;
/** Returns the words of a text in order, cut to their first characters. */
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
