import type { Tenant } from '../db/tenant.ts';
import type { Models } from '../embeddings/index.ts';
import type { Ranked } from './rank.ts';
import { readPassages, type SearchScope } from './sql.ts';

/**
 * Lets the endpoint order the best hits by their text. They keep the scores of their positions, so that scores still descend. Returns `ranked` unchanged
 * without an endpoint; undefined if it does not answer.
 */
export async function rerankBest(
  tenant: Tenant,
  { rerank, rerank_top }: Models,
  query: string,
  scope: SearchScope,
  ranked: Ranked[],
): Promise<Ranked[] | undefined> {
  const best = ranked.slice(0, rerank_top);
  if (rerank === undefined || best.length < 2) return ranked;
  const rows = await readPassages(tenant, scope, best);
  const order = await rerank(
    query,
    rows.map(({ text }) => text),
  ).catch(() => null);
  if (order === null) return undefined;
  const keyOf = ({ seq, ordinal }: { seq: number; ordinal: number }) => `${seq}.${ordinal}`;
  const places = new Map(order.map((row, place) => [keyOf(rows[row]!), place]));
  const placeOf = (entry: Ranked) => places.get(keyOf(entry)) ?? best.length;
  const sorted = best.toSorted((a, b) => placeOf(a) - placeOf(b));
  return [...sorted.map((entry, i) => ({ ...entry, score: best[i]!.score })), ...ranked.slice(best.length)];
}
