import type { Tenant } from '../db/tenant.ts';
import { planSearch } from './plan.ts';
import { type Ranked, rankPool } from './rank.ts';
import { type PassageRow, readNewest, readPassages, readPool, type Scope, surveyChunks } from './sql.ts';

/** The most that one search ranks and hands on. */
export const MAX_FOUND = 200;

export interface Hit extends PassageRow {
  score: number;
  scores: Ranked['scores'];
  /** False: not among the best, read because it is a decision. */
  retrieved: boolean;
}

export interface Found {
  as_of_seq: number;
  terms: string[];
  /** How many passages were considered. */
  pool_size: number;
  hits: Hit[];
  degraded: string[];
}

/** How a feature asks: the question, what it may see, and how much of the answer it wants. */
export interface Question {
  query: string;
  scope: Scope;
  limit: number;
  /** How many decisions to add, best first, where the pool has more than are among the hits. */
  decisions?: number;
}

/** Three round trips: sample, pool, texts. Nothing is held between them; the seq of the first bounds the others. */
export async function find(tenant: Tenant, { query, scope, limit, decisions = 0 }: Question): Promise<Found> {
  const survey = await surveyChunks(tenant, query, scope);
  const { as_of_seq, terms } = survey;
  const base = { as_of_seq, terms, degraded: survey.partial_index ? ['partial_index'] : [] };
  if (terms.length === 0) {
    const newest = await readNewest(tenant, scope, as_of_seq, limit);
    return { ...base, pool_size: newest.length, hits: await withTexts(tenant, newest.map(unranked), limit) };
  }
  const plan = planSearch(survey);
  const pool = await readPool(tenant, { ...scope, as_of_seq }, terms, plan);
  const ranked = rankPool(pool, plan, pool.seqs.length + pool.neighbours.length);
  const wanted = new Set([...ranked.slice(0, limit), ...bestDecisions(ranked, new Set(pool.decisions), decisions)]);
  return { ...base, pool_size: ranked.length, hits: await withTexts(tenant, [...wanted], limit) };
}

const unranked = (place: { seq: number; ordinal: number }): Ranked => ({
  ...place,
  score: 0,
  scores: { passage: 0, around: 0, session: 0 },
});

/** A decision is asked for by what it says; what was said around it does not make it the answer. */
function bestDecisions(ranked: Ranked[], decisions: Set<number>, limit: number): Ranked[] {
  return ranked
    .filter(({ seq }) => decisions.has(seq))
    .sort((a, b) => b.scores.passage - a.scores.passage || b.score - a.score || b.seq - a.seq)
    .slice(0, limit);
}

async function withTexts(tenant: Tenant, ranked: Ranked[], limit: number): Promise<Hit[]> {
  const rows = await readPassages(tenant, ranked);
  const scored = new Map(ranked.map((entry, i) => [`${entry.seq}.${entry.ordinal}`, { ...entry, retrieved: i < limit }]));
  return rows.map((row) => {
    const { score, scores, retrieved } = scored.get(`${row.seq}.${row.ordinal}`)!;
    return { ...row, score, scores, retrieved };
  });
}
