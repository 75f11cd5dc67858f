import type { Db } from './query.ts';
import type { Outcome } from './unit.ts';

// Idempotency-Key of writes with a transaction of their own. commit_units handles those of units.

/** Hashes in hex of the Idempotency-Key with its scope, and of the body. */
interface KeyHashes {
  key: string;
  body: string;
}

/** Returns true if the same request was committed before; throws if its body differed. The caller must have locked the resource. */
export async function recallKey(db: Db, tenant_id: string, { key, body }: KeyHashes): Promise<boolean> {
  const known = await db.row<{ same: boolean }>(
    `select body_hash = decode($3, 'hex') as same from idempotency_keys where tenant_id = $1 and key_hash = decode($2, 'hex')`,
    [tenant_id, key, body],
  );
  if (known && !known.same) throw new KeyReused();
  return known !== undefined;
}

/** Returns the outcome of the unit that was committed under this key, if any, to avoid work that a retry does not need. */
export async function findReplay(db: Db, tenant_id: string, { key, body }: KeyHashes): Promise<Outcome | undefined> {
  const known = await db.row<{ same: boolean; outcome: { seq: number; count: number }; at: string }>(
    `select body_hash = decode($3, 'hex') as same, outcome, created_at as at
     from idempotency_keys where tenant_id = $1 and key_hash = decode($2, 'hex')`,
    [tenant_id, key, body],
  );
  return known && { status: known.same ? 'replay' : 'conflict', at: known.at, ...known.outcome };
}

export const rememberKey = (db: Db, tenant_id: string, { key, body }: KeyHashes): Promise<number> =>
  db.run(
    `insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
     values ($1, decode($2, 'hex'), decode($3, 'hex'), '{}', now())`,
    [tenant_id, key, body],
  );

/** Has the SQLSTATE of a unique violation, which becomes 409. */
class KeyReused extends Error {
  readonly code = '23505';
  constructor() {
    super('the Idempotency-Key was used with a different body');
    this.name = 'KeyReused';
  }
}
