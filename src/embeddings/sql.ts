import type { Sweep } from '../db/sweep.ts';
import type { Tenant } from '../db/tenant.ts';
import type { QueryVector } from './models.ts';
import { cosine, signsOf, type Vector } from './vector.ts';

interface LaggingTenant {
  tenant_id: string;
  /** Events that the model has not examined. */
  events: number;
}

/** Any tenant can call the function: it reads the positions of all tenants. */
export const listBacklogs = (any: Tenant, model: string, limit: number): Promise<LaggingTenant[]> =>
  any.call('select tenant_id, events from list_embedding_backlogs($1, $2)', [model, limit]);

/** Returns undefined if another daemon works on the tenant. */
export async function leaseBacklog(tenant: Tenant, model: string, lease_ms: number): Promise<number | undefined> {
  const [row] = await tenant.call<{ lease_id: number | null }>('select lease_embeddings($1, $2, $3) as lease_id', [
    tenant.id,
    model,
    lease_ms,
  ]);
  return row!.lease_id ?? undefined;
}

/** Extends the lease; with 0 ms, ends it. */
export const extendLease = (tenant: Tenant, model: string, lease_id: number, lease_ms: number): Promise<unknown> =>
  tenant.call('select extend_embedding_lease($1, $2, $3, $4)', [tenant.id, model, lease_id, lease_ms]);

interface PassageToEmbed {
  seq: number;
  ordinal: number;
  text: string;
  /** The hash of the text. */
  source: string;
}

/** Passages to embed, with the position after them. */
interface Stretch {
  gap: number | null;
  version: number | null;
  to_seq: number;
  to_ordinal: number;
  /** False if nothing was left to examine. */
  rest: boolean;
  passages: PassageToEmbed[];
}

export async function nextToEmbed(tenant: Tenant, model: string, limit: number): Promise<Stretch> {
  const [row] = await tenant.call<Stretch>('select * from next_to_embed($1, $2, $3)', [tenant.id, model, limit]);
  return row!;
}

interface Lease {
  id: number;
  ms: number;
}

/** Returns false if another daemon has the lease. Nothing was written then. A null vector: the endpoint refused the text. */
export async function writeVectors(
  tenant: Tenant,
  model: string,
  lease: Lease,
  { gap, version, to_seq, to_ordinal, passages }: Stretch,
  vectors: (Vector | null)[],
): Promise<boolean> {
  const rows = passages.map(({ seq, ordinal, source }, i) => ({ seq, ordinal, source, ...stored(vectors[i]!) }));
  const [row] = await tenant.call<{ leased: boolean }>('select write_embeddings($1, $2, $3, $4, $5, $6, $7, $8, $9) as leased', [
    tenant.id,
    model,
    lease.id,
    lease.ms,
    gap,
    version,
    to_seq,
    to_ordinal,
    JSON.stringify(rows),
  ]);
  return row!.leased;
}

const stored = (vector: Vector | null) =>
  vector === null
    ? { vector: '', signs: '' }
    : { vector: Buffer.from(vector.buffer, vector.byteOffset, vector.length).toString('base64'), signs: signsOf(vector) };

/** Returns true if passages up to `as_of_seq` wait for their vectors. */
export async function arePassagesPending(tenant: Tenant, model: string, as_of_seq: number): Promise<boolean> {
  const [row] = await tenant.call<{ pending: boolean }>('select embeddings_pending($1, $2, $3) as pending', [
    tenant.id,
    model,
    as_of_seq,
  ]);
  return row!.pending;
}

/** The cosines of passages with a query. `positions`: the indexes of the passages that have a vector of the model, ascending. */
export interface Cosines {
  positions: number[];
  cosines: number[];
}

/** Compares passages with a query, by each model for which it has a vector. */
export async function readCosines(
  tenant: Tenant,
  queries: QueryVector[],
  passages: { seq: number; ordinal: number }[],
): Promise<Cosines[]> {
  const rows = await tenant.call<{ model: string; positions: number[]; vectors: Buffer }>(
    'select * from read_embeddings($1, $2, $3, $4)',
    [tenant.id, queries.map(({ model }) => model), passages.map(({ seq }) => seq), passages.map(({ ordinal }) => ordinal)],
  );
  return queries.flatMap(({ model, vector }) => {
    const row = rows.find((each) => each.model === model);
    // vectors of another dimension, from before the setting was changed
    if (!row || row.vectors.length !== row.positions.length * vector.length) return [];
    const stored = new Int8Array(row.vectors.buffer, row.vectors.byteOffset, row.vectors.length);
    const cosines = row.positions.map((_, i) => cosine(vector, stored.subarray(i * vector.length, (i + 1) * vector.length)));
    return [{ positions: row.positions, cosines }];
  });
}

/** Deletes the vectors of models that this one has replaced. */
export const sweepReplaced = (model: string): Sweep => {
  const sweepEmbeddings: Sweep = async (tenant, limit) => {
    const [row] = await tenant.call<{ removed: number }>('select drop_replaced_embeddings($1, $2, $3) as removed', [
      tenant.id,
      model,
      limit,
    ]);
    return row!.removed;
  };
  return sweepEmbeddings;
};
