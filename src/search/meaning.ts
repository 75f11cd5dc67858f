import type { Tenant } from '../db/tenant.ts';
import { type Models, type QueryVector, readCosines } from '../embeddings/index.ts';
import type { Survey } from './plan.ts';
import type { Pool } from './rank.ts';
import { type PassageKey, readClosest, readNearest, type SearchScope } from './sql.ts';

// Compares passages with a query by the vectors of an embedding model. The cosines of a model have a range of their own, so they are compared with those
// of a sample of the log: z is the number of standard deviations above its mean.

/** How close passages are to the query. */
export interface Closeness {
  /** Returns z, at least 0; 0 for a passage without a vector. `hasTerms`: the passage contains a term of the query. */
  of(seq: number, ordinal: number, hasTerms: boolean): number;
  /** A substitute for the share of the query's terms that the best passage has: from 0 to 1. */
  coverage: number;
}

/** In a larger log, the passages closest to the query are found by the index of pgvector, because without it all vectors are read. */
const MAX_SCANNED = 20_000;
/** Number of passages that are added to the pool, the closest ones first. */
const MAX_CLOSEST = 100;
/** Number of passages that the mean and the deviation are computed from. */
const SAMPLE = 128;
/** With fewer vectors in the sample, the pool is part of it. */
const SMALL_SAMPLE = 32;
/** Lowest z of a passage that has no term of the query: one of 160 passages reaches it by chance. */
const LEAST_Z = 2.5;
/** Among n passages, this divided by n is added: the deviation of few values is uncertain. */
const SMALL_Z = 6;
/** z at which a passage is surely about the same: one of 30,000 reaches it by chance. */
const SURE_Z = 4;
/** Highest coverage by vectors alone. */
const MOST_COVERAGE = 0.5;

/** Starts to embed the query. Resolves to null if the endpoint does not answer, and to an empty list if there is none. */
export const embedQuery = ({ embedQuery: embed }: Models, { id }: Tenant, query: string): Promise<QueryVector[] | null> =>
  embed === undefined ? Promise.resolve([]) : embed(id, query).catch(() => null);

/** Passages close to a query. */
interface Closest {
  passages: PassageKey[];
  /** False if closer passages may be missing. */
  complete: boolean;
}

/** Returns the passages in scope that are closest to the query. */
export async function findClosest(
  tenant: Tenant,
  scope: SearchScope,
  [query]: QueryVector[],
  { sampled, scale }: Survey,
): Promise<Closest> {
  if (!query) return { passages: [], complete: true };
  if (sampled * scale <= MAX_SCANNED) return { passages: await readClosest(tenant, scope, query, MAX_CLOSEST), complete: true };
  const passages = (await readNearest(tenant, scope, query, MAX_CLOSEST)) ?? [];
  return { passages, complete: passages.length === MAX_CLOSEST };
}

/** Compares the pool with the query. Returns undefined if no passage has a vector. */
export async function compare(
  tenant: Tenant,
  vectors: QueryVector[],
  pool: Pool,
  survey: Survey,
): Promise<Closeness | undefined> {
  if (vectors.length === 0) return undefined;
  const keys = keysOf(pool);
  const sample = distinct(spread(survey.seqs, SAMPLE).map((seq) => ({ seq, ordinal: 0 })));
  const all = distinct([...sample, ...keys]);
  const found = await readCosines(tenant, vectors, all);
  const scores = new Map<string, number>();
  let required = LEAST_Z;
  // the current model comes first, and its scores last, so that they replace those of the previous one
  for (const { positions, cosines } of found.reverse()) {
    const isSampled = positions.filter((position) => position < sample.length).length;
    const compared = isSampled < SMALL_SAMPLE ? cosines : cosines.slice(0, isSampled);
    const { mean, deviation } = momentsOf(compared);
    required = LEAST_Z + SMALL_Z / compared.length;
    for (const [i, position] of positions.entries()) {
      const { seq, ordinal } = all[position]!;
      scores.set(`${seq}.${ordinal}`, deviation === 0 ? 0 : Math.max(0, (cosines[i]! - mean) / deviation));
    }
  }
  if (scores.size === 0) return undefined;
  const best = keys.reduce((most, { seq, ordinal }) => Math.max(most, scores.get(`${seq}.${ordinal}`) ?? 0), 0);
  return {
    of: (seq, ordinal, hasTerms) => {
      const z = scores.get(`${seq}.${ordinal}`) ?? 0;
      return hasTerms || z >= required ? z : 0;
    },
    coverage: best >= required ? MOST_COVERAGE * Math.min(1, best / SURE_Z) : 0,
  };
}

const keysOf = ({ seqs, ordinals, neighbours }: Pool): PassageKey[] => [
  ...seqs.map((seq, i) => ({ seq, ordinal: ordinals[i]! })),
  ...neighbours.map(([, , seq]) => ({ seq, ordinal: 0 })),
];

/** Returns at most `count` values, evenly spread. */
const spread = (values: number[], count: number): number[] => {
  const step = Math.max(1, values.length / count);
  return Array.from({ length: Math.min(count, values.length) }, (_, i) => values[Math.floor(i * step)]!);
};

const distinct = (keys: PassageKey[]): PassageKey[] => [
  ...new Map(keys.map((key) => [`${key.seq}.${key.ordinal}`, key])).values(),
];

/** Returns the mean and the standard deviation of the values without the largest, which would hide itself among few others. */
function momentsOf(values: number[]): { mean: number; deviation: number } {
  const others = values.toSorted((a, b) => a - b).slice(0, -1);
  const count = others.length || 1;
  const mean = others.reduce((sum, value) => sum + value, 0) / count;
  const variance = others.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
  return { mean, deviation: Math.sqrt(variance) };
}
