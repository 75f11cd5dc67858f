import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Idempotency } from '../http/route.ts';

/**
 * Runs a change of policies or rules in a transaction. Changes of one tenant take turns, so that a rule never names a deleted policy. `work`
 * returns the id of what it changed, which a retry with the same Idempotency-Key returns again.
 */
export function changeOnce<Ref extends object>(
  tenant: Tenant,
  idempotency: Idempotency | null,
  work: (db: Db) => Promise<Ref>,
): Promise<{ ref: Ref; replay: boolean }> {
  return tenant.write(async (db) => {
    await db.run('select from tenants where tenant_id = $1 for no key update', [tenant.id]);
    if (!idempotency) return { ref: await work(db), replay: false };
    const hashes = [tenant.id, idempotency.key, idempotency.body];
    const known = await db.row<{ ref: Ref | null }>('select recall_key($1, $2, $3) as ref', hashes);
    if (known!.ref) return { ref: known!.ref, replay: true };
    const ref = await work(db);
    await db.run('select remember_key($1, $2, $3, $4::jsonb)', [...hashes, JSON.stringify(ref)]);
    return { ref, replay: false };
  });
}
