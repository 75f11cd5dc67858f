import type { Tenant } from '../db/tenant.ts';
import { planSearch } from './plan.ts';
import { limitPerEvent, onePerMemory, type Ranked, rankPool } from './rank.ts';
import { type PassageRow, readPassages, readPool, type SearchScope, surveyChunks } from './sql.ts';

/** The most that one search ranks and hands on. */
export const MAX_RESULTS = 200;

export interface Hit extends PassageRow {
  score: number;
  scores: Ranked['scores'];
}

export interface SearchResult {
  as_of_seq: number;
  terms: string[];
  /** How many passages were considered. */
  pool_size: number;
  /** How many were left out because they say a memory again. */
  deduplicated: number;
  hits: Hit[];
  degraded: string[];
}

/** How a feature asks: the question, what it may see, and how much of the answer it wants. */
export interface SearchOptions {
  query: string;
  scope: SearchScope;
  limit: number;
  /** The most passages of one event among the hits: a long output must not hide what was said about it. */
  per_event?: number;
  /** The most decisions among the hits. Without it a decision is a passage like any other. */
  decisions?: number;
}

/** Passages of one event in an answer that does not ask for more. */
export const DEFAULT_PER_EVENT = 2;

/** Three round trips: sample, pool, texts. Nothing is held between them; the seq of the first bounds the others. */
export async function searchPassages(tenant: Tenant, question: SearchOptions): Promise<SearchResult> {
  const { query, scope, limit, decisions, per_event = DEFAULT_PER_EVENT } = question;
  const survey = await surveyChunks(tenant, query, scope);
  const { as_of_seq, terms, keys } = survey;
  const base = { as_of_seq, terms, degraded: survey.partial_index ? ['partial_index'] : [] };
  // no word to look for (signs, stop words): nothing answers it
  if (terms.length === 0) return { ...base, pool_size: 0, deduplicated: 0, hits: [] };
  const plan = planSearch(survey);
  const pool = await readPool(tenant, { ...scope, as_of_seq }, keys, plan);
  const all = rankPool(pool, plan, pool.seqs.length + pool.neighbours.length);
  const distinct = onePerMemory(all, pool.memories);
  const ranked = limitPerEvent(distinct, per_event);
  const selected =
    decisions === undefined ? ranked.slice(0, limit) : selectWithDecisions(ranked, new Set(pool.decisions), decisions, limit);
  const hits = await withTexts(tenant, { ...scope, as_of_seq }, selected);
  return { ...base, pool_size: all.length, deduplicated: all.length - distinct.length, hits };
}

/** The best decisions and the best of everything else, so that neither crowds out the other. */
function selectWithDecisions(ranked: Ranked[], decisionSeqs: Set<number>, decisions: number, limit: number): Ranked[] {
  const best = bestDecisions(ranked, decisionSeqs, decisions);
  const others = ranked.filter(({ seq }) => !decisionSeqs.has(seq));
  return [...best, ...others.slice(0, limit - best.length)];
}

/** A decision is asked for by what it says; what was said around it does not make it the answer. */
function bestDecisions(ranked: Ranked[], decisionSeqs: Set<number>, limit: number): Ranked[] {
  return ranked
    .filter(({ seq }) => decisionSeqs.has(seq))
    .sort((a, b) => b.scores.passage - a.scores.passage || b.score - a.score || b.seq - a.seq)
    .slice(0, limit);
}

async function withTexts(tenant: Tenant, scope: SearchScope, ranked: Ranked[]): Promise<Hit[]> {
  const rows = await readPassages(tenant, scope, ranked);
  const scored = new Map(ranked.map((entry) => [`${entry.seq}.${entry.ordinal}`, entry]));
  return rows.map((row) => {
    const { score, scores } = scored.get(`${row.seq}.${row.ordinal}`)!;
    return { ...row, score, scores };
  });
}
