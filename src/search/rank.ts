import { traits } from '../passages/index.ts';
import { type Cues, dateFit } from './cues.ts';
import type { Closeness } from './meaning.ts';
import { hasTerm, type SearchPlan, termWeight } from './plan.ts';

// Ranks passages by three scores: the terms in the passage itself, in its neighbours, and in its session. On long real dialogues (five
// conversations, 760 questions) recall@10 was 64 % with the passage alone, 70 % with either of the other two, 75 % with both, and did not
// depend much on the weights. The score uses the presence of a term, not its frequency: frequency gained nothing and rewards keyword stuffing.
// The session's score is scaled by that of the passage and its neighbours, and is the sum of its two best events: otherwise a session of 500
// decisions ranked each of them above the one supporting passage elsewhere.

export interface Pool {
  seqs: number[];
  ordinals: number[];
  /** The number of each passage's session. */
  sessions: number[];
  /** The bit mask of the terms in each passage. */
  masks: number[];
  /** The keys of the plan's words near the terms, and those that each passage contains. */
  near_keys: number[];
  near: number[][];
  /** The number of terms in each passage. */
  sizes: number[];
  /** A hash of the actor of each passage. */
  actors: number[];
  /** The bits of each passage's traits. */
  traits: number[];
  /** The UTC day of each passage, in days since 1970. */
  days: number[];
  /** The seqs of decisions. */
  decisions: number[];
  /** [seq, number of the memory that the event is a version of] */
  memories: [number, number][];
  /** [seq, ordinal, weight] of passages that an edit attenuates. */
  weights: [number, number, number][];
  /** [seq, distance within the session, and of the neighbour: seq, mask, size, actor, traits, day, near] */
  neighbours: [number, number, number, number, number, number, number, number, number[]][];
}

export interface Ranked {
  seq: number;
  ordinal: number;
  score: number;
  /**
   * The parts of the score. `cues`: the factor by which the passage fits the names, the kind and the dates of the query. `coverage`: the share of the
   * weight of the query's terms that the best passage has, the same for every passage. `phrases`: the number of quoted phrases that the passage has,
   * if any passage has one.
   */
  scores: { passage: number; around: number; session: number; cues: number; coverage: number; phrases?: number };
}

const NEXT = 0.5;
const SECOND = 0.15;
const SESSION = 0.8;
// On the same dialogues and on 160 questions about chats with an assistant, each of these raised recall@10 by 0.3 to 1.3 points and none lowered it.
/** Share of a question's score that the answer to it gets: the next turn, by another actor. */
const ANSWER = 0.35;
/** Maximum number of terms of an answer: a long reply to a short question contains the topic itself. */
const ANSWER_TERMS = 90;
const ACTOR = 0.3;
const TRAIT = 0.2;
const DATE = 0.6;
/** Weight of the greatest z, next to the best own score: R@10 on dialogues 81.0 without and 82.7 with a MiniLM model. */
const VECTOR = 0.35;
/** The sum of the parts at which a score is a half. A short passage that has every term of the query, alone in its session, scores 0.78. */
const HALF = 0.5;

/** The weights of the scores, for provenance. */
export const scoring = {
  passage: 1,
  next: NEXT,
  second: SECOND,
  session: SESSION,
  answer: ANSWER,
  actor: ACTOR,
  trait: TRAIT,
  date: DATE,
  vector: VECTOR,
};

interface ScoredPassage {
  seq: number;
  ordinal: number;
  session: number;
  mask: number;
  size: number;
  actor: number;
  traits: number;
  day: number;
  ownScore: number;
}

/** Hints of a query in addition to its terms: hashes of the actors that it may name, the trait of an answer, and dates. */
export interface RankCues extends Pick<Cues, 'trait' | 'dates'> {
  name_keys: number[];
}

/** The part of a plan that the ranking reads. */
export type RankPlan = Pick<SearchPlan, 'weights' | 'complete' | 'visible' | 'near_terms' | 'near_full' | 'least_length'>;

const NO_CUES: RankCues = { name_keys: [], trait: 0, dates: [] };

export function rankPool(pool: Pool, plan: RankPlan, limit: number, cues: RankCues = NO_CUES, closeness?: Closeness): Ranked[] {
  const weights = refineWeights(pool, plan);
  const divisor = (size: number) => lengthDivisor(size, plan.least_length);
  const near = nearScore(pool, plan, weights);
  const termScore = (mask: number) => weights.reduce((sum, weight, term) => sum + (hasTerm(mask, term) ? weight : 0), 0);
  const rows = scorePassages(pool, (mask, size, keys) => (termScore(mask) + near(mask, keys)) / divisor(size));
  // a short passage is raised among others, not as a share of the query
  const bestByWords = Math.max(0, ...rows.map((row) => row.ownScore * Math.min(1, divisor(row.size))));
  const covered = Math.min(1, bestByWords / (weights.reduce((sum, weight) => sum + weight, 0) || 1));
  if (closeness) addCloseness(rows, closeness);
  const cueFactor = cueFactors(rows, cues);
  const around = neighbourScores(rows, pool.neighbours);
  const sessions = sessionScores(rows);
  const bestOwnScore = largest(rows.map((row) => row.ownScore));
  const bestSession = largest([...sessions.values()]);
  const coverage = Math.max(covered, closeness?.coverage ?? 0);
  return rows
    .map((row) => {
      const [passage, beside] = [row.ownScore / bestOwnScore, around(row) / bestOwnScore];
      const session = (SESSION * Math.min(1, passage + beside) * sessions.get(row.session)!) / bestSession;
      const factor = cueFactor(row);
      return {
        seq: row.seq,
        ordinal: row.ordinal,
        score: toScore((passage + beside + session) * factor * coverage),
        scores: { passage, around: beside, session, cues: factor, coverage },
      };
    })
    .sort((a, b) => b.score - a.score || b.seq - a.seq || a.ordinal - b.ordinal)
    .slice(0, limit);
}

/**
 * Adds to each passage's share of the best own score its share of the greatest z. On dialogues, this beat both a rank fusion and an addition after the
 * neighbours were scored.
 */
function addCloseness(rows: ScoredPassage[], { of }: Closeness): void {
  const best = largest(rows.map((row) => row.ownScore));
  const z = rows.map(({ seq, ordinal, ownScore }) => of(seq, ordinal, ownScore > 0));
  const closest = largest(z);
  for (const [i, row] of rows.entries()) row.ownScore = row.ownScore / best + (VECTOR * z[i]!) / closest;
}

/** Maps a sum of parts to 0 to 1. Because the parts are multiplied by the coverage, scores of different queries can be compared. */
const toScore = (sum: number) => sum / (sum + HALF);

/**
 * Returns the actor that the query names, if it names exactly one in the pool: a query about two people does not ask for the words of one of them.
 */
function cueFactors(rows: ScoredPassage[], { name_keys, trait, dates }: RankCues): (row: ScoredPassage) => number {
  const names = new Set(name_keys);
  const named = new Set(rows.map(({ actor }) => actor).filter((actor) => names.has(actor)));
  const [only] = named.size === 1 ? named : [];
  return (row) =>
    (1 + (row.actor === only ? ACTOR : 0)) *
    (1 + ((row.traits & trait) !== 0 ? TRAIT : 0)) *
    (1 + DATE * dateFit(dates, row.day));
}

const largest = (values: number[]) => values.reduce((a, b) => Math.max(a, b), 0) || 1;

/** Recomputes the weights of the terms for which the pool is complete, because their exact frequency is now known. */
const refineWeights = (pool: Pool, { weights, complete, visible }: RankPlan): number[] =>
  weights.map((weight, term) =>
    complete[term]
      ? termWeight(
          visible,
          pool.masks.reduce((n, mask) => n + (hasTerm(mask, term) ? 1 : 0), 0),
        )
      : weight,
  );

/** Number of terms from which on near words count less: most words of a long query do not name what it asks for. */
const NEAR_TERMS = 4;

/**
 * Returns a function that scores the words near the terms that a passage does not contain: for each term the best of them, with its cosine and at most
 * the weight of either word. Recall@10 is 80.7 % with them and 79.0 % without on dialogues of people (questions with several answers 51.5 and 46.6),
 * 51.4 and 49.4 on chats with an assistant, 54.7 and 51.8 on single facts.
 */
function nearScore(pool: Pool, plan: RankPlan, weights: number[]): (mask: number, near: number[]) => number {
  const counts = new Map<number, number>();
  for (const key of pool.near.flat()) counts.set(key, (counts.get(key) ?? 0) + 1);
  const selecting = new Set(plan.near_full);
  const scored = new Map(
    pool.near_keys.map((key, i) => {
      const { word, share, terms } = plan.near_terms[i]!;
      // exact if the pool has every passage that contains the word
      const matching = selecting.has(word) ? (counts.get(key) ?? 0) : share * plan.visible;
      const weight = termWeight(plan.visible, matching);
      return [key, terms.map(([term, cosine]) => [term, cosine * Math.min(weight, weights[term]!)] as const)];
    }),
  );
  const share = Math.min(1, NEAR_TERMS / weights.length);
  return (mask, near) => {
    const best = new Map<number, number>();
    for (const key of near)
      for (const [term, score] of scored.get(key) ?? [])
        if (!hasTerm(mask, term) && score > (best.get(term) ?? 0)) best.set(term, score);
    return share * [...best.values()].reduce((sum, score) => sum + score, 0);
  };
}

function scorePassages(pool: Pool, weigh: (mask: number, size: number, near: number[]) => number): ScoredPassage[] {
  const attenuated = new Map(pool.weights.map(([seq, ordinal, weight]) => [`${seq}.${ordinal}`, weight]));
  const rows = pool.seqs.map((seq, i) => ({
    seq,
    ordinal: pool.ordinals[i]!,
    session: pool.sessions[i]!,
    mask: pool.masks[i]!,
    size: pool.sizes[i]!,
    actor: pool.actors[i]!,
    traits: pool.traits[i]!,
    day: pool.days[i]!,
    ownScore: weigh(pool.masks[i]!, pool.sizes[i]!, pool.near[i]!) * (attenuated.get(`${seq}.${pool.ordinals[i]!}`) ?? 1),
  }));
  const known = new Map(rows.map((row) => [row.seq, row]));
  for (const [centre, , seq, mask, size, actor, traits, day, keys] of pool.neighbours) {
    if (known.has(seq)) continue;
    const session = known.get(centre)!.session;
    const row = { seq, ordinal: 0, session, mask, size, actor, traits, day, ownScore: weigh(mask, size, keys) };
    rows.push(row);
    known.set(seq, row);
  }
  return rows;
}

/** As length_divisor in functions.sql. */
const lengthDivisor = (size: number, least: number) => 0.25 + 0.75 * Math.max(least, size / 30);

/**
 * Returns a function that scores the neighbours of a passage: the better of the two adjacent events, and a little of the two events behind
 * those. Other passages of the same event do not count: they let a long output win by its length (recall@10 on long dialogues 45.0 with
 * them, 45.2 without).
 */
function neighbourScores(rows: ScoredPassage[], neighbours: Pool['neighbours']): (row: ScoredPassage) => number {
  const best = bestOfEvents(rows);
  const beside = new Map<number, Map<number, ScoredPassage>>();
  const addNeighbour = (seq: number, distance: number, other: number) => {
    const row = best.get(other);
    if (row) beside.set(seq, (beside.get(seq) ?? new Map()).set(distance, row));
  };
  for (const [centre, distance, seq] of neighbours) {
    addNeighbour(centre, distance, seq);
    addNeighbour(seq, -distance, centre);
  }
  return (row) => {
    const at = (distance: number) => beside.get(row.seq)?.get(distance);
    const score = (distance: number) => at(distance)?.ownScore ?? 0;
    const answer = isAnswer(row, at(-1)) ? ANSWER * score(-1) : 0;
    return NEXT * Math.max(score(-1), score(1)) + SECOND * (score(-2) + score(2)) + answer;
  };
}

const isAnswer = (row: ScoredPassage, previous: ScoredPassage | undefined): boolean =>
  previous !== undefined && (previous.traits & traits.asks) !== 0 && previous.actor !== row.actor && row.size <= ANSWER_TERMS;

/** Returns the best passage of each event, by seq. */
function bestOfEvents(rows: ScoredPassage[]): Map<number, ScoredPassage> {
  const best = new Map<number, ScoredPassage>();
  for (const row of rows) if (row.ownScore >= (best.get(row.seq)?.ownScore ?? 0)) best.set(row.seq, row);
  return best;
}

/** Keeps the best passage of each memory: a memory is one result, however many passages state it. */
export function onePerMemory(ranked: Ranked[], memories: Pool['memories']): Ranked[] {
  if (memories.length === 0) return ranked;
  const memoryOf = new Map(memories);
  const seen = new Set<number>();
  return ranked.filter(({ seq }) => {
    const memory = memoryOf.get(seq);
    if (memory === undefined) return true;
    if (seen.has(memory)) return false;
    seen.add(memory);
    return true;
  });
}

/** Keeps the best `most` passages of each event. */
export function limitPerEvent(ranked: Ranked[], most: number): Ranked[] {
  const counts = new Map<number, number>();
  return ranked.filter(({ seq }) => {
    const count = (counts.get(seq) ?? 0) + 1;
    counts.set(seq, count);
    return count <= most;
  });
}

/** Scores each session by its two best events, so that the many passages of one long output do not raise it. */
function sessionScores(rows: ScoredPassage[]): Map<number, number> {
  const best = new Map<number, [number, number]>();
  for (const { session, ownScore } of bestOfEvents(rows).values()) {
    const [first, second] = best.get(session) ?? [0, 0];
    best.set(session, ownScore > first ? [ownScore, first] : [first, Math.max(second, ownScore)]);
  }
  return new Map([...best].map(([session, [first, second]]) => [session, first + second]));
}
