// Whether two texts say the same: they share most of the words of the shorter one, and name the same numbers. Words come stemmed
// and without stop words, so "rotates" and "rotated" agree. Numbers must, because a fact with another number is another fact.

const FEWEST_WORDS = 3;
// Between passages of one section: 33 paraphrases of three facts came down to 4 items. Between a decision and anything, and between
// sections, nearly all words must agree: "use Redis for caching" and "use Kafka for caching" are two decisions.
const loose = { shared: 0.6, lengthRatio: 2.5 };
const strict = { shared: 0.85, lengthRatio: 1.5 };

export interface Worded {
  /** What is compared: stemmed words. */
  words: string[];
  /** Items of one kind may say the same in other words; null: this one must nearly be repeated. */
  family: string | null;
}

interface Seen {
  family: string | null;
  words: Set<string>;
  numbers: string;
  group: number;
}

/** Tells of each item in turn which earlier one it repeats, or undefined. What repeats a repetition belongs to the first. */
export function createRepetition(): (item: Worded) => number | undefined {
  const seen: Seen[] = [];
  const holders = new Map<string, number[]>();
  return ({ words, family }) => {
    const own = new Set(words);
    const numbers = numbersOf(words);
    const shared = new Map<number, number>();
    for (const word of own) for (const holder of holders.get(word) ?? []) shared.set(holder, (shared.get(holder) ?? 0) + 1);
    const match = [...shared].find(([holder, count]) => isRepeat(seen[holder]!, { words: own, numbers, family }, count));
    const index = seen.length;
    const group = match ? seen[match[0]]!.group : index;
    seen.push({ words: own, numbers, family, group });
    for (const word of own) holders.set(word, [...(holders.get(word) ?? []), index]);
    return match && group;
  };
}

function isRepeat(other: Seen, own: Omit<Seen, 'group'>, shared: number): boolean {
  const fewer = Math.min(own.words.size, other.words.size);
  const more = Math.max(own.words.size, other.words.size);
  if (own.numbers !== other.numbers) return false;
  if (fewer < FEWEST_WORDS) return shared === more;
  const bound = own.family !== null && own.family === other.family ? loose : strict;
  return shared >= bound.shared * fewer && more <= bound.lengthRatio * fewer;
}

const numbersOf = (words: string[]) =>
  words
    .filter((word) => /\d/.test(word))
    .sort()
    .join(' ');
