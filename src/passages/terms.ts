import type { Tenant } from '../db/tenant.ts';
import { type EventRow, encodeJsonb, type Unit, withPrepared } from '../db/unit.ts';
import type { Passage } from './passages.ts';

// The terms of thousands of passages take longer than a statement may, in particular on the embedded engine, where all other requests wait meanwhile.
// They are computed before the commit, in several statements.

/** More passages than this are too many for one statement. */
const MANY = 512;
/** Passages per statement: on the embedded engine, 128 passages of log lines take about 200 ms of CPU time. */
const AT_ONCE = 128;

/** A passage as terms_of_passages reads it. Without `at`, its day is today. */
export interface Indexable {
  text: string;
  header: string;
  at: string | undefined;
}

/** Returns the passages of these events in pieces, as jsonb; none if one statement can index them all. */
export const termPieces = (rows: EventRow[]): Buffer[] =>
  piecesOf(
    rows.flatMap(({ occurred_at, effects }) => {
      const { chunks = [] } = (effects?.passages ?? {}) as { chunks?: Passage[] };
      return chunks.map(({ text, header }) => ({ text, header, at: occurred_at }));
    }),
  );

export function piecesOf(passages: Indexable[]): Buffer[] {
  if (passages.length <= MANY) return [];
  const count = Math.ceil(passages.length / AT_ONCE);
  return Array.from({ length: count }, (_, i) => encodeJsonb(passages.slice(i * AT_ONCE, (i + 1) * AT_ONCE)));
}

/** Returns the unit with the terms of its passages, so that the commit need not compute them. Throws between two statements once `signal` is aborted. */
export async function withTerms(tenant: Tenant, unit: Unit, pieces: Buffer[], signal?: AbortSignal): Promise<Unit> {
  if (pieces.length === 0) return unit;
  const lists: string[] = [];
  for await (const list of termsOf(tenant, pieces, signal)) lists.push(list);
  return withPrepared(unit, 'passages', `[${lists.join()}]`);
}

/** Yields the terms of each piece: the members of a JSON array of strings, each of which is an array of PostgreSQL. */
export async function* termsOf(tenant: Tenant, pieces: Buffer[], signal?: AbortSignal): AsyncGenerator<string> {
  for (const piece of pieces) {
    signal?.throwIfAborted();
    const [row] = await tenant.call<{ terms: string }>('select terms_of_passages($1, $2)::text as terms', [tenant.id, piece]);
    yield row!.terms.slice(1, -1);
  }
}
