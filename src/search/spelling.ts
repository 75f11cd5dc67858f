import type { Tenant } from '../db/tenant.ts';
import { inSlices, type Steps } from '../slices.ts';
import { QUOTED, withoutPhrases } from './phrases.ts';
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
): Promise<Map<string, string>> {
  const words = wordsOf(
    query,
    pool.masks.some((mask) => mask !== 0),
  );
  const absent = absentKeys(plan, pool);
  if (words.length === 0 || absent.length === 0) return new Map();
  const { missing, known } = await readSpellings(tenant, scope, evenly([...new Set(seqs)]), words, absent);
  return inSlices(nearestOfEach(missing, known));
}

/** Yields after each word, as one of 32 letters takes up to 8 ms of CPU time against 4,000. */
function* nearestOfEach(words: string[], known: string[]): Steps<Map<string, string>> {
  const found = new Map<string, string>();
  for (const word of words) {
    const other = nearest(word, known);
    if (other !== undefined) found.set(word, other);
    yield;
  }
  return found;
}

function evenly(seqs: number[]): number[] {
  const step = Math.ceil(seqs.length / MAX_EVENTS);
  return seqs.filter((_, i) => (seqs.length - 1 - i) % step === 0);
}

/** Matches a quoted phrase, which is not a key of the corrections because of its marks, or a word outside of phrases. */
const PHRASE_OR_WORD = new RegExp(`${QUOTED.source}|[\\p{L}\\p{M}]+`, 'gu');

export const correct = (query: string, corrections: Map<string, string>): string =>
  query.replace(PHRASE_OR_WORD, (text) => corrections.get(text.toLowerCase()) ?? text);

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
  let most = word.length >= LONG ? 2 : 1;
  let best: string | undefined;
  for (const other of known) {
    const differences = distance(word, other, most);
    if (differences > most) continue;
    best = other;
    most = differences - 1;
  }
  return best;
}

/**
 * Returns the number of letters to insert, remove, replace or swap with the next one; more than `most` if it is greater. Computes only the cells
 * that are at most `most` off the diagonal, because all others are greater.
 */
function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let [before, last, row] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j), [] as number[]];
  for (let i = 1; i <= a.length; i += 1) {
    const [from, to] = [Math.max(1, i - most), Math.min(b.length, i + most)];
    let least = from === 1 ? i : most + 1;
    row[from - 1] = least;
    for (let j = from; j <= to; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      const swapped = same === 1 && i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const changed = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + same);
      row[j] = swapped ? Math.min(changed, before[j - 2]! + 1) : changed;
      least = Math.min(least, row[j]!);
    }
    row[to + 1] = most + 1;
    if (least > most) return most + 1;
    [before, last, row] = [last, row, before];
  }
  return last[b.length]!;
}
