// From a sample of the log to the two questions put to the index. `full` reaches the whole log and asks only for passages whose
// terms together weigh enough to be among the best; `recent` takes whatever matches lately. Both are expected to find some hundred
// passages in a log of any length, so a search of 10⁶ passages reads about as much as one of 10⁴.

export interface Survey {
  as_of_seq: number;
  /** A rebuild runs: not every passage can be found. */
  partial_index: boolean;
  /** The question's terms, and what passages keep of each. */
  terms: string[];
  keys: number[];
  /** How many passages of the log each sampled one stands for. */
  scale: number;
  /** How many passages were sampled, and of those that the request may see: where they lie and which terms they have, as bits. */
  sampled: number;
  seqs: number[];
  masks: number[];
}

export interface Plan {
  /** About how many passages the request may see. */
  visible: number;
  weights: number[];
  /** Of which terms the pool will have every passage of the scope: those that are enough alone. */
  complete: boolean[];
  full: string | null;
  recent: string | null;
  recent_from: number | null;
  /** Whether few of the passages may be seen, so that the index should look for those alone. */
  narrow_audience: boolean;
}

/** So many matches are simply all taken. */
const TAKE_ALL = 2_400;
const TARGET_FULL = 800;
const TARGET_RECENT = 600;
/** Terms that a threshold is made of: its formula grows with the subsets of them. */
const MAX_THRESHOLD_TERMS = 9;
/**
 * The index walks the lists of those terms of which a match must have one. At about a microsecond an entry this is where the time of a
 * search of 10⁶ passages goes; terms commoner than that only help the rarer ones.
 */
const LONGEST_WALK = 30_000;

export function planSearch(survey: Survey): Plan {
  const { terms, keys, scale, seqs, masks } = survey;
  const visible = Math.max(1, seqs.length * scale);
  const weights = terms.map((_, i) => termWeight(visible, (countMatching(masks, i) + (scale > 1 ? 0.5 : 0)) * scale));
  const matched = seqs.filter((_, i) => masks[i]! !== 0);
  const base = { weights, visible, narrow_audience: seqs.length * 2 < survey.sampled };
  const any = keys.map(quote).join(' | ') || null;
  if (matched.length * scale <= TAKE_ALL)
    return { ...base, complete: terms.map(() => true), full: any, recent: null, recent_from: null };
  const rarest = terms
    .map((_, i) => i)
    .sort((a, b) => weights[b]! - weights[a]!)
    .slice(0, MAX_THRESHOLD_TERMS);
  const counts = terms.map((_, i) => countMatching(masks, i) * scale);
  const need = Math.max(threshold(rarest, weights, masks, scale), walkThreshold(rarest, weights, counts));
  const complete = terms.map((_, term) => rarest.includes(term) && weights[term]! >= need);
  return {
    ...base,
    complete,
    full: thresholdQuery(rarest, weights, need, keys),
    recent: any,
    recent_from: recentFrom(matched, survey),
  };
}

/** Inverse document frequency, raised so that one rare word outweighs several common ones (as good as without on dialogue). */
export const termWeight = (passages: number, matching: number) => Math.log(1 + (passages + 1) / (matching + 0.5)) ** 1.5;

const countMatching = (masks: number[], term: number) => masks.reduce((n, mask) => n + (hasTerm(mask, term) ? 1 : 0), 0);

/** Terms are at most 31, so that masks are JavaScript's own integers. */
export const hasTerm = (mask: number, term: number) => ((mask >> term) & 1) === 1;

/** The least weight that no more passages are expected to reach than are wanted. */
function threshold(rarest: number[], weights: number[], masks: number[], scale: number): number {
  const reached = masks
    .map((mask) => rarest.reduce((sum, term) => sum + (hasTerm(mask, term) ? weights[term]! : 0), 0))
    .sort((a, b) => b - a);
  const target = Math.max(1, Math.floor(TARGET_FULL / scale));
  const next = reached[target];
  // Just above it: weights that no sampled passage has are rarer still.
  return next === undefined ? Number.MIN_VALUE : next + 1e-6;
}

/** The least weight with which the walk stays short: what the terms that cannot be walked weigh together is not enough. */
function walkThreshold(order: number[], weights: number[], counts: number[]): number {
  let walked = 0;
  const first = order.findIndex((term, i) => {
    walked += counts[term]!;
    return i > 0 && walked > LONGEST_WALK;
  });
  if (first < 0) return 0;
  return order.slice(first).reduce((sum, term) => sum + weights[term]!, 1e-6);
}

/** The terms' subsets that weigh at least `need`, as one nested query; null where even all of them weigh less. */
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

/** Where the newest matches that are wanted begin. */
function recentFrom(matched: number[], { as_of_seq, scale }: Survey): number {
  const dense = matched.length >= 64;
  if (dense) return Math.max(1, Math.floor(as_of_seq - (TARGET_RECENT * as_of_seq) / (matched.length * scale)));
  return matched.at(-Math.max(1, Math.round(TARGET_RECENT / scale))) ?? matched[0] ?? 1;
}

/** A key as PostgreSQL reads it in a query: without quotes a minus would be a sign of the query. */
const quote = (key: number) => `'${key}'`;
