import { z } from 'zod';
import { type Breaker, withinTime } from './breaker.ts';
import { type Endpoint, EndpointError } from './endpoint.ts';

/** Reranks texts. Returns the indexes of the texts, best first; the endpoint may leave some out. Throws if it fails or takes too long. */
export type Rerank = (query: string, texts: string[]) => Promise<number[]>;

/** Further characters of a query are not sent. */
const MAX_QUERY_CHARACTERS = 2_000;
const MAX_ANSWER_BYTES = 1024 * 1024;

/** Cohere and Jina answer with `results`, TEI with a list of `index` and `score`. */
const result = z.object({ index: z.int().min(0), relevance_score: z.number().optional(), score: z.number().optional() });
const answer = z.union([z.object({ results: z.array(result) }), z.array(result)]);

export const openRerank =
  (endpoint: Endpoint, breaker: Breaker, model: string | undefined, timeout_ms: number): Rerank =>
  (query, texts) => {
    const shortened = query.slice(0, MAX_QUERY_CHARACTERS).toWellFormed();
    const body = { ...(model && { model }), query: shortened, documents: texts, top_n: texts.length };
    const asked = breaker.run(async () => orderIn(await endpoint.post(body, MAX_ANSWER_BYTES, timeout_ms), texts.length));
    return withinTime(asked, timeout_ms);
  };

function orderIn(value: unknown, count: number): number[] {
  const parsed = answer.safeParse(value);
  if (!parsed.success) throw new EndpointError('the answer is not one of /rerank');
  const results = Array.isArray(parsed.data) ? parsed.data : parsed.data.results;
  const scored = results.map(({ index, relevance_score, score }) => ({ index, score: relevance_score ?? score }));
  if (scored.some(({ index, score }) => index >= count || score === undefined))
    throw new EndpointError('the answer has an unknown index or no score');
  if (new Set(scored.map(({ index }) => index)).size < scored.length) throw new EndpointError('the answer has an index twice');
  return scored.sort((a, b) => b.score! - a.score! || a.index - b.index).map(({ index }) => index);
}
