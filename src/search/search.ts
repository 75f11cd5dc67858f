import type { Tenant } from '../db/tenant.ts';
import { arePassagesPending, type Models } from '../embeddings/index.ts';
import { cuesOf } from './cues.ts';
import { compare, embedQuery, findClosest } from './meaning.ts';
import { phrasesIn, rankPhrases } from './phrases.ts';
import { planSearch } from './plan.ts';
import { limitPerEvent, onePerMemory, type Ranked, rankPool } from './rank.ts';
import { rerankBest } from './rerank.ts';
import { correct, correctionsOf } from './spelling.ts';
import { type PassageRow, readPassages, readPhraseKeys, readPool, type SearchScope, surveyChunks } from './sql.ts';

/** Maximum number of results of a search. */
export const MAX_RESULTS = 200;

export interface Hit extends PassageRow {
  score: number;
  scores: Ranked['scores'];
}

export interface SearchResult {
  as_of_seq: number;
  terms: string[];
  /** Number of passages that were ranked. */
  pool_size: number;
  /** Number of passages left out because a better passage of the same memory is present. */
  deduplicated: number;
  hits: Hit[];
  degraded: string[];
  /** Misspelt words of the query in lower case, each with the word that was searched for instead. */
  corrected?: Record<string, string>;
}

/** The query, what the caller may see, and how many hits to return. */
export interface SearchOptions {
  query: string;
  scope: SearchScope;
  limit: number;
  /** Maximum number of passages of one event among the hits, so that a long output does not hide the messages about it. */
  per_event?: number;
  /** Hits with a lower score are left out; default: the tenant's setting. */
  min_score?: number | undefined;
  /** The corrections that `query` contains. */
  corrected?: Record<string, string>;
  /** Number of hits reserved for decisions. If undefined, decisions compete with all other passages. */
  decisions?: number;
}

/** Default for `per_event`. */
export const DEFAULT_PER_EVENT = 2;

/**
 * Searches in three round trips: sample, pool, texts. No connection is held between them; the last seq of the first bounds the other two. With an embedding
 * model there are two more, and the query is embedded while the first one runs.
 */
export async function searchPassages(tenant: Tenant, models: Models, question: SearchOptions): Promise<SearchResult> {
  const { query, scope, limit, decisions, per_event = DEFAULT_PER_EVENT } = question;
  const cues = cuesOf(query, scope.as_of === undefined ? new Date() : new Date(scope.as_of));
  const phrases = phrasesIn(query);
  const embedding = embedQuery(models, tenant, query);
  const [survey, phraseKeys] = await Promise.all([
    surveyChunks(tenant, query, scope, cues.names),
    readPhraseKeys(tenant, phrases),
  ]);
  const { as_of_seq, terms, name_keys } = survey;
  const degraded = survey.partial_index ? ['partial_index'] : [];
  const base = { as_of_seq, terms, degraded, ...(question.corrected && { corrected: question.corrected }) };
  // the query has only punctuation and stop words
  if (terms.length === 0) return { ...base, pool_size: 0, deduplicated: 0, hits: [] };
  const plan = planSearch(survey, phraseKeys);
  // before the vectors are read: those that are written in between only add to the answer
  const [vectors, pending] = await Promise.all([
    embedding,
    models.vectors !== undefined && arePassagesPending(tenant, models.vectors, as_of_seq),
  ]);
  if (vectors === null) degraded.push('embeddings');
  const closest = await findClosest(tenant, { ...scope, as_of_seq }, vectors ?? [], survey);
  if (!closest.complete || (vectors !== null && pending)) degraded.push('vectors');
  const pool = await readPool(tenant, { ...scope, as_of_seq }, plan, closest.passages);
  const corrections = question.corrected
    ? new Map()
    : await correctionsOf(tenant, query, { ...scope, as_of_seq }, survey, plan, pool);
  if (corrections.size > 0)
    return searchPassages(tenant, models, {
      ...question,
      query: correct(query, corrections),
      corrected: Object.fromEntries(corrections),
    });
  const closeness = await compare(tenant, vectors ?? [], pool, survey);
  const byWords = rankPool(pool, plan, pool.seqs.length + pool.neighbours.length, { ...cues, name_keys }, closeness);
  const all = await rankPhrases(tenant, phrases, byWords);
  const minScore = question.min_score ?? survey.min_score;
  const distinct = onePerMemory(
    all.filter(({ score }) => score > 0 && score >= minScore),
    pool.memories,
  );
  const limited = limitPerEvent(distinct, per_event);
  // a quoted phrase is to be found exactly, whatever else a passage is about
  const reranked = phrases.length > 0 ? limited : await rerankBest(tenant, models, query, { ...scope, as_of_seq }, limited);
  if (reranked === undefined) degraded.push('rerank');
  const ranked = reranked ?? limited;
  const selected =
    decisions === undefined ? ranked.slice(0, limit) : selectWithDecisions(ranked, new Set(pool.decisions), decisions, limit);
  const hits = await withTexts(tenant, { ...scope, as_of_seq }, selected);
  return { ...base, pool_size: all.length, deduplicated: all.length - distinct.length, hits };
}

/** Returns the best decisions and the best of the other passages, so that neither crowds out the other. */
function selectWithDecisions(ranked: Ranked[], decisionSeqs: Set<number>, decisions: number, limit: number): Ranked[] {
  const best = bestDecisions(ranked, decisionSeqs, decisions);
  const others = ranked.filter(({ seq }) => !decisionSeqs.has(seq));
  return [...best, ...others.slice(0, limit - best.length)];
}

/** Ranks decisions by their own text first: a match in the messages around a decision does not make it an answer. */
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
