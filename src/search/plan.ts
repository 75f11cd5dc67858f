import { nearWords } from './near_words.ts';

// Turns a sample of the log into two index queries. `full` covers the whole log, but selects only passages whose terms weigh enough together to
// be among the best. `recent` selects every match near the end of the log. Each is planned to find several hundred passages in a log of any
// length, so a search of 10⁶ passages reads about as much as one of 10⁴.

export interface Survey {
  as_of_seq: number;
  /** True while a rebuild runs: some passages cannot be found. */
  partial_index: boolean;
  /** The terms of the query, and the hash under which passages store each of them. */
  terms: string[];
  keys: number[];
  /** Number of passages of the log per sampled passage. */
  scale: number;
  /** Number of sampled passages; for those that the request may see, the seq and the bit mask of the terms that they contain. */
  sampled: number;
  seqs: number[];
  masks: number[];
  /** For each of these passages, the keys beyond the first 52 that it contains; empty if the query has no more. */
  rest: number[][];
  /** The hashes of the names in the query, as passages store their actor. */
  name_keys: number[];
  /** The tenant's setting: hits below it are left out. */
  min_score: number;
}

interface Plan {
  /** The terms that the plan uses, by their hash; masks of the pool have them in this order. */
  keys: number[];
  /** Estimated number of passages that the request may see. */
  visible: number;
  weights: number[];
  /** For each term, true if it reaches the threshold alone: the pool then contains every passage of the scope that has the term. */
  complete: boolean[];
  full: string | null;
  recent: string | null;
  recent_from: number | null;
  /** Words near the terms. The pool returns which passages contain them. */
  near: string[];
  /** Those of them that also select passages: as many as keep the pool small. */
  near_full: string[];
  /** Up to this share of 30 terms, a passage does not count as shorter; see leastLength. */
  least_length: number;
  /** True if the request may see fewer than half of the passages, so that the index should select by audience. */
  narrow_audience: boolean;
}

/** A word that is near terms of the query, at most as similar as 1. */
interface NearTerm {
  word: string;
  /** Estimated share of the passages that contain it. */
  share: number;
  /** [number of a term, cosine] */
  terms: [number, number][];
}

/** A plan, and what the ranking knows about the words `near`, in the same order. */
export interface SearchPlan extends Plan {
  near_terms: NearTerm[];
}

/** Up to this many matches, the pool contains all of them. */
const TAKE_ALL = 2_400;
/** Up to this many matches, near words add passages to the pool: 2,500 more passages tripled the time of a pool. */
const TAKE_NEAR = 1_000;
const TARGET_FULL = 800;
const TARGET_RECENT = 600;
/** Maximum number of terms in a threshold query: it grows with the number of subsets of the terms. */
const MAX_THRESHOLD_TERMS = 9;
/**
 * Maximum number of index entries to scan. The index scans the posting lists of the terms of which a match must contain one, at about a
 * microsecond per entry; in a search of 10⁶ passages this takes most of the time. More frequent terms only contribute to the score.
 */
const LONGEST_WALK = 30_000;

/** `phrases`: the keys of the terms of each quoted phrase; the plan also finds the passages with all of them, unless even the rarest is frequent. */
export function planSearch(survey: Survey, phrases: number[][] = []): SearchPlan {
  const { scale, seqs } = survey;
  const visible = Math.max(1, seqs.length * scale);
  const weigh = (matching: number) => termWeight(visible, (matching + (scale > 1 ? 0.5 : 0)) * scale);
  const { keys, terms, masks } = selectRarest(survey, weigh);
  const weights = keys.map((_, i) => weigh(countMatching(masks, i)));
  const matched = seqs.filter((_, i) => masks[i]! !== 0);
  const counts = terms.map((_, i) => countMatching(masks, i) * scale);
  const near_terms = findNearTerms(terms, weights, visible, counts);
  const near = near_terms.map(({ word }) => word);
  const narrow_audience = seqs.length * 2 < survey.sampled;
  const base = {
    keys,
    weights,
    visible,
    near,
    near_full: [],
    near_terms,
    least_length: leastLength(keys.length),
    narrow_audience,
  };
  const any = keys.map(quote).join(' | ') || null;
  if (matched.length * scale <= TAKE_ALL) {
    const near_full = selectAffordable(near_terms, visible, TAKE_NEAR - matched.length * scale);
    return { ...base, near_full, complete: terms.map(() => true), full: any, recent: null, recent_from: null };
  }
  const rarest = terms
    .map((_, i) => i)
    .sort((a, b) => weights[b]! - weights[a]!)
    .slice(0, MAX_THRESHOLD_TERMS);
  const need = Math.max(threshold(rarest, weights, masks, scale), walkThreshold(rarest, weights, counts));
  const isShortWalk = (phrase: number[]) =>
    phrase.some((key) => keys.includes(key) && counts[keys.indexOf(key)]! <= LONGEST_WALK / phrases.length);
  const complete = terms.map((_, term) => rarest.includes(term) && weights[term]! >= need);
  return {
    ...base,
    complete,
    full: anyOf([thresholdQuery(rarest, weights, need, keys), ...phrases.filter(isShortWalk).map(allOf)]),
    recent: any,
    recent_from: recentFrom(matched, survey),
  };
}

/**
 * Inverse document frequency, raised so that one rare word outweighs several common ones. With near words, recall@10 on chats with an assistant is
 * 50.1 % at the power 1.5, 51.6 % at 1.25 and 52.7 % at 1; on dialogues of people 80.8 %, 80.6 % and 80.2 %.
 */
export const termWeight = (passages: number, matching: number) => Math.log(1 + (passages + 1) / (matching + 0.5)) ** 1.25;

/**
 * Returns the length, as a share of 30 terms, below which passages are not told apart: 1 for queries of up to 10 terms, down to 0.3 for 16 and more. A
 * long query, such as a whole message, matches some of its words in any passage, the more the longer the passage is. Recall@10 on single facts with
 * queries of 23 terms rose from 54.2 % to 55.9 %. For short queries it stays 1: their chats have many turns of a few words, and recall@10 fell by 3 points.
 */
const leastLength = (terms: number) => Math.min(1, Math.max(0.3, 1 - (0.7 * (terms - 10)) / 6));

/** Maximum number of near words of a query. */
const MAX_NEAR = 200;
/** A word of this rank or a more frequent one is assumed to occur in every passage; one of a hundred times this rank in one of a hundred. */
const COMMON_RANK = 30;

/**
 * The least cosine of near words, and that for a term without a match. Recall@10 of dialogues of people is the same from 0.3 to 0.5, but 0.3 lowers
 * that of chats with an assistant by 0.7 points.
 */
const LEAST_COSINE = 0.4;
const LEAST_WITHOUT_MATCH = 0.3;

/** Returns the words near the terms, those with the greatest possible contribution first. `counts`: the estimated number of matches of each term. */
function findNearTerms(terms: string[], weights: number[], visible: number, counts: number[]): NearTerm[] {
  const found = new Map<string, NearTerm & { value: number }>();
  for (const [i, term] of terms.entries())
    for (const { word, cosine, rank } of nearWords(term)) {
      if (cosine < (counts[i]! > 0 ? LEAST_COSINE : LEAST_WITHOUT_MATCH)) continue;
      const share = Math.min(1, COMMON_RANK / rank);
      const entry = found.get(word) ?? { word, share, terms: [], value: 0 };
      entry.terms.push([i, cosine]);
      entry.value = Math.max(entry.value, cosine * Math.min(weights[i]!, termWeight(visible, visible * share)));
      found.set(word, entry);
    }
  return [...found.values()]
    .sort((a, b) => b.value - a.value || (a.word < b.word ? -1 : 1))
    .slice(0, MAX_NEAR)
    .map(({ value: _, ...term }) => term);
}

/** Returns the first words that together are estimated to match at most `most` of the visible passages. */
function selectAffordable(terms: NearTerm[], visible: number, most: number): string[] {
  if (visible <= TAKE_NEAR) return terms.map(({ word }) => word);
  let matches = 0;
  const end = terms.findIndex(({ share }) => {
    matches += share * visible;
    return matches > most;
  });
  return terms.slice(0, end < 0 ? terms.length : end).map(({ word }) => word);
}

const countMatching = (masks: number[], term: number) => masks.reduce((n, mask) => n + (hasTerm(mask, term) ? 1 : 0), 0);

/** Maximum number of terms in a mask: JavaScript's numbers hold integers of 53 bits exactly. */
export const MASK_TERMS = 52;

export const hasTerm = (mask: number, term: number) => Math.floor(mask / 2 ** term) % 2 === 1;

/**
 * Returns the rarest MASK_TERMS terms of the query with their masks. On 160 Chinese questions recall@10 is 35 % with the first 31 terms instead.
 * A term that no sampled passage has occurs nowhere if the sample is the whole log; otherwise such terms get at most half of the places.
 */
function selectRarest(survey: Survey, weigh: (matching: number) => number) {
  const { keys, terms, masks, rest, scale } = survey;
  if (keys.length <= MASK_TERMS) return { keys, terms, masks };
  const rows = masks.map(
    (mask, row) => new Set([...keys.slice(0, MASK_TERMS).filter((_, i) => hasTerm(mask, i)), ...rest[row]!]),
  );
  const columns = keys
    .map((key, i) => {
      const sampled = rows.reduce((n, held) => n + (held.has(key) ? 1 : 0), 0);
      return { key, term: terms[i]!, weight: weigh(sampled), isSampled: sampled > 0 };
    })
    .sort((a, b) => b.weight - a.weight);
  const unsampled = scale > 1 ? columns.filter(({ isSampled }) => !isSampled).slice(0, MASK_TERMS / 2) : [];
  const rarest = [...unsampled, ...columns.filter(({ isSampled }) => isSampled)].slice(0, MASK_TERMS);
  return {
    keys: rarest.map(({ key }) => key),
    terms: rarest.map(({ term }) => term),
    masks: rows.map((held) => rarest.reduce((mask, { key }, i) => mask + (held.has(key) ? 2 ** i : 0), 0)),
  };
}

/** Returns the lowest weight that at most TARGET_FULL passages are expected to reach. */
function threshold(rarest: number[], weights: number[], masks: number[], scale: number): number {
  const reached = masks
    .map((mask) => rarest.reduce((sum, term) => sum + (hasTerm(mask, term) ? weights[term]! : 0), 0))
    .sort((a, b) => b - a);
  const target = Math.max(1, Math.floor(TARGET_FULL / scale));
  const next = reached[target];
  // just above: weights that no sampled passage has are rarer still
  return next === undefined ? Number.MIN_VALUE : next + 1e-6;
}

/** Returns the lowest weight that keeps the scan short: all the terms that are too frequent to scan do not reach it together. */
function walkThreshold(order: number[], weights: number[], counts: number[]): number {
  let walked = 0;
  const first = order.findIndex((term, i) => {
    walked += counts[term]!;
    return i > 0 && walked > LONGEST_WALK;
  });
  if (first < 0) return 0;
  return order.slice(first).reduce((sum, term) => sum + weights[term]!, 1e-6);
}

/** Returns a nested tsquery for the subsets of the terms that weigh at least `need`; null if all terms together weigh less. */
function thresholdQuery(order: number[], weights: number[], need: number, keys: number[]): string | null {
  const rest = order.map((_, i) => order.slice(i).reduce((sum, term) => sum + weights[term]!, 0));
  const expand = (i: number, missing: number): string | true | null => {
    if (missing <= 1e-9) return true;
    if (i >= order.length || rest[i]! < missing - 1e-9) return null;
    const term = quote(keys[order[i]!]!);
    const remainder = expand(i + 1, missing - weights[order[i]!]!);
    const withoutTerm = expand(i + 1, missing);
    const withTerm = remainder === true ? term : remainder && `${term} & (${remainder})`;
    if (withoutTerm === true) return true;
    return withTerm && withoutTerm ? `${withTerm} | ${withoutTerm}` : (withTerm ?? withoutTerm);
  };
  const query = expand(0, need);
  return query === true ? order.map((term) => quote(keys[term]!)).join(' | ') : query;
}

const anyOf = (queries: (string | null)[]) => queries.filter((query) => query !== null).join(' | ') || null;
const allOf = (keys: number[]) => `(${keys.map(quote).join(' & ')})`;

/** Returns the seq from which about TARGET_RECENT passages match. */
function recentFrom(matched: number[], { as_of_seq, scale }: Survey): number {
  const dense = matched.length >= 64;
  if (dense) return Math.max(1, Math.floor(as_of_seq - (TARGET_RECENT * as_of_seq) / (matched.length * scale)));
  return matched.at(-Math.max(1, Math.round(TARGET_RECENT / scale))) ?? matched[0] ?? 1;
}

/** Quotes a key for a tsquery, in which an unquoted minus is an operator. */
const quote = (key: number) => `'${key}'`;
