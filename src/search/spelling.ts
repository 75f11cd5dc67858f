import type { Tenant } from '../db/tenant.ts';
import { withoutPhrases } from './phrases.ts';
import { hasTerm, type SearchPlan, type Survey } from './plan.ts';
import type { Pool } from './rank.ts';
import { readSpellings, type SearchScope } from './sql.ts';

// Corrects misspelt names: words of a query that no passage in its scope contains. The words to choose from are those of passages in the scope, so a
// correction shows nothing that the caller may not read.

/** Words of the query that are corrected at most, and their length in characters: shorter ones have too many neighbours (Jane, Jan). */
const MAX_WORDS = 4;
const MIN_LENGTH = 5;
const MAX_LENGTH = 32;
/** From this length, two differences are allowed instead of one. */
const LONG = 8;
/** Number of events from which words are taken, evenly from those of the sample. Reading 1,000 passages takes 21 ms of CPU time. */
const MAX_EVENTS = 500;

/**
 * Returns the corrections of a query: misspelt words in lower case, each with the word that replaces it. If the query matches anything, only words
 * with a capital letter are corrected, because they may be names.
 */
export async function correctionsOf(
  tenant: Tenant,
  query: string,
  scope: SearchScope,
  { seqs }: Survey,
  plan: SearchPlan,
  pool: Pool,
): Promise<Record<string, string>> {
  const words = wordsOf(
    query,
    pool.masks.some((mask) => mask !== 0),
  );
  const absent = absentKeys(plan, pool);
  if (words.length === 0 || absent.length === 0) return {};
  const { missing, known } = await readSpellings(tenant, scope, evenly([...new Set(seqs)]), words, absent);
  const pairs = missing.map((word) => [word, nearest(word, known)]);
  return Object.fromEntries(pairs.filter(([, other]) => other !== undefined));
}

function evenly(seqs: number[]): number[] {
  const step = Math.ceil(seqs.length / MAX_EVENTS);
  return seqs.filter((_, i) => (seqs.length - 1 - i) % step === 0);
}

export const correct = (query: string, corrections: Record<string, string>): string =>
  query.replace(/[\p{L}\p{M}]+/gu, (word) => corrections[word.toLowerCase()] ?? word);

function wordsOf(query: string, onlyNames: boolean): string[] {
  const words = withoutPhrases(query).match(/[\p{L}\p{M}]+/gu) ?? [];
  const names = words.filter(
    (word) => word.length >= MIN_LENGTH && word.length <= MAX_LENGTH && (!onlyNames || /^\p{Lu}/u.test(word)),
  );
  return [...new Set(names.map((word) => word.toLowerCase()))].slice(0, MAX_WORDS);
}

/** Returns the keys that no passage in the scope has: the pool contains every passage with such a term, and there is none. */
const absentKeys = ({ keys, complete }: SearchPlan, { masks }: Pool): number[] =>
  keys.filter((_, term) => complete[term] && !masks.some((mask) => hasTerm(mask, term)));

/** Returns the word with the fewest differences; of several, the first, which is the most frequent. */
export function nearest(word: string, known: string[]): string | undefined {
  const most = word.length >= LONG ? 2 : 1;
  const distances = known.map((other) => distance(word, other, most));
  const least = Math.min(most, ...distances);
  return known[distances.indexOf(least)];
}

/** Returns the number of letters to insert, remove, replace or swap with the next one; more than `most` if it is greater. */
function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      const least = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + same);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(swapped ? Math.min(least, before[j - 2]! + 1) : least);
    }
    if (Math.min(...row) > most) return most + 1;
    [before, last] = [last, row];
  }
  return last[b.length]!;
}
