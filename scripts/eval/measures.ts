import type { Question } from './dialogues.ts';

// The measures of one question and their means. Each is between 0 and 1, and higher is better.

/** The results of a system for a question. Ids are those of the messages in the file. */
export interface Answer {
  /** Found messages, best first, each once. */
  ranked: string[];
  /** Messages that a context of this many tokens carries, by the budget. */
  carried: Map<number, string[]>;
  search_ms?: number;
  context_ms?: number[];
}

export interface Measured {
  question: Question;
  answer: Answer;
  /** By name. A question without evidence only has `nothing found`. */
  values: Map<string, number>;
}

export const NOTHING_FOUND = 'nothing found';
/** Ranks of the recall curve in the page; the table shows 1, 5 and 10. */
export const RANKS = [1, 2, 3, 5, 10, 20, 50];

export function measure(question: Question, answer: Answer): Measured {
  const { evidence } = question;
  const { ranked, carried } = answer;
  const values = new Map<string, number>();
  if (evidence.length === 0) return { question, answer, values: values.set(NOTHING_FOUND, ranked.length === 0 ? 1 : 0) };
  for (const rank of RANKS) values.set(`R@${rank}`, shareOf(evidence, ranked.slice(0, rank)));
  values.set('nDCG@10', ndcg(ranked.slice(0, 10), evidence));
  const first = ranked.findIndex((id) => evidence.includes(id));
  values.set('MRR', first < 0 ? 0 : 1 / (first + 1));
  for (const [tokens, ids] of carried) values.set(`in ${tokens} tokens`, shareOf(evidence, ids));
  return { question, answer, values };
}

const shareOf = (evidence: string[], found: string[]): number =>
  evidence.filter((id) => found.includes(id)).length / evidence.length;

/** Normalized discounted cumulative gain with binary relevance (Järvelin and Kekäläinen, 2002). */
function ndcg(ranked: string[], evidence: string[]): number {
  const gain = (rank: number) => 1 / Math.log2(rank + 2);
  const dcg = ranked.reduce((sum, id, rank) => sum + (evidence.includes(id) ? gain(rank) : 0), 0);
  const ideal = evidence.slice(0, 10).reduce((sum, _, rank) => sum + gain(rank), 0);
  return dcg / ideal;
}

/** Returns the mean of a measure over the questions that have it, or undefined if none has. */
export function meanOf(measured: Measured[], name: string): number | undefined {
  const values = measured.flatMap(({ values: all }) => all.get(name) ?? []);
  return values.length === 0 ? undefined : mean(values);
}

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Returns the value below which this share of the values lies (nearest rank). */
export function percentile(values: number[], share: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

export interface Difference {
  /** Mean of b minus a. */
  mean: number;
  /** Bounds of the 95 % confidence interval. */
  low: number;
  high: number;
  questions: number;
}

/** Resamples of a bootstrap. Efron and Tibshirani (1993) recommend at least 1,000 for the bounds of an interval. */
const RESAMPLES = 2000;

/**
 * Returns the difference of a measure between two systems over the same questions, with a percentile bootstrap interval: questions are drawn
 * with replacement, always with their values of both systems. The same values give the same interval.
 */
export function differenceOf(a: Measured[], b: Measured[], name: string): Difference | undefined {
  const differences = a.flatMap(({ values }, i) => {
    const [before, after] = [values.get(name), b[i]!.values.get(name)];
    return before === undefined || after === undefined ? [] : [after - before];
  });
  const count = differences.length;
  if (count === 0) return undefined;
  const random = randomFrom(count);
  const draw = () => differences[Math.floor(random() * count)]!;
  const means = Array.from({ length: RESAMPLES }, () => mean(Array.from({ length: count }, draw)));
  return { mean: mean(differences), low: percentile(means, 0.025)!, high: percentile(means, 0.975)!, questions: count };
}

/** A seeded generator of numbers from 0 to 1 (mulberry32), so that a run can be repeated. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
