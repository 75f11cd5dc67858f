// Whether two texts say the same: they share most of the words of the shorter one, and name the same numbers. Words come stemmed
// and without stop words, so "rotates" and "rotated" agree. Numbers must, because a fact with another number is another fact.

const FEWEST_WORDS = 3;
const SHARED = 0.6;
const MAX_LENGTH_RATIO = 2.5;

export interface Worded {
  /** What is compared: stemmed words. */
  words: string[];
}

interface Seen {
  words: Set<string>;
  numbers: string;
  group: number;
}

/** Tells of each item in turn which earlier one it repeats, or undefined. What repeats a repetition belongs to the first. */
export function createRepetition(): (item: Worded) => number | undefined {
  const seen: Seen[] = [];
  const holders = new Map<string, number[]>();
  return ({ words }) => {
    const own = new Set(words);
    const numbers = numbersOf(words);
    const shared = new Map<number, number>();
    for (const word of own) for (const holder of holders.get(word) ?? []) shared.set(holder, (shared.get(holder) ?? 0) + 1);
    const match = [...shared].find(([holder, count]) => isRepeat(seen[holder]!, own, numbers, count));
    const index = seen.length;
    const group = match ? seen[match[0]]!.group : index;
    seen.push({ words: own, numbers, group });
    for (const word of own) holders.set(word, [...(holders.get(word) ?? []), index]);
    return match && group;
  };
}

function isRepeat(other: Seen, own: Set<string>, numbers: string, shared: number): boolean {
  const fewer = Math.min(own.size, other.words.size);
  const more = Math.max(own.size, other.words.size);
  if (numbers !== other.numbers) return false;
  if (fewer < FEWEST_WORDS) return shared === more;
  return shared >= SHARED * fewer && more <= MAX_LENGTH_RATIO * fewer;
}

const numbersOf = (words: string[]) =>
  words
    .filter((word) => /\d/.test(word))
    .sort()
    .join(' ');
