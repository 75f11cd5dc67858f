import type { Db } from './query.ts';
import type { Outcome } from './unit.ts';

// Idempotency-Key of writes that are a transaction of their own. Units of the log have theirs in commit_units.

/** Hex SHA-256 of who asks for what under which key, and of the body. */
interface Retry {
  key: string;
  body: string;
}

/** Whether the same request was committed before. Another body under its key is a conflict. To be called with the thing locked. */
export async function recallKey(db: Db, tenant_id: string, { key, body }: Retry): Promise<boolean> {
  const known = await db.row<{ same: boolean }>(
    `select body_hash = decode($3, 'hex') as same from idempotency_keys where tenant_id = $1 and key_hash = decode($2, 'hex')`,
    [tenant_id, key, body],
  );
  if (known && !known.same) throw new KeyReused();
  return known !== undefined;
}

/** What a unit of the log came to that was committed under this key, if there is one: looked up before work that a retry does not need. */
export async function recallUnit(db: Db, tenant_id: string, { key, body }: Retry): Promise<Outcome | undefined> {
  const known = await db.row<{ same: boolean; outcome: { seq: number; count: number }; at: string }>(
    `select body_hash = decode($3, 'hex') as same, outcome, created_at as at
     from idempotency_keys where tenant_id = $1 and key_hash = decode($2, 'hex')`,
    [tenant_id, key, body],
  );
  return known && { status: known.same ? 'replay' : 'conflict', at: known.at, ...known.outcome };
}

export const rememberKey = (db: Db, tenant_id: string, { key, body }: Retry): Promise<number> =>
  db.run(
    `insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
     values ($1, decode($2, 'hex'), decode($3, 'hex'), '{}', now())`,
    [tenant_id, key, body],
  );

/** Told like a uniqueness that is broken: 409. */
class KeyReused extends Error {
  readonly code = '23505';
  constructor() {
    super('the Idempotency-Key was used with a different body');
    this.name = 'KeyReused';
  }
}
