import type { Sweep } from '../db/sweep.ts';
import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import { openCounter } from './counter.ts';
import { sweepWindows } from './sql.ts';

// Token buckets of single credentials, in the database: exact over all daemons, at the price of a statement per request. They apply
// whether the limits on requests are enabled or not.

const BURST_S = 2;

/** Takes a token from the bucket of `id`, which holds twice `per_second` tokens. Throws `rate-limited` if it is empty. */
export async function spendToken(tenant: Tenant, id: string, per_second: number): Promise<void> {
  const { key } = openCounter({ name: 'bucket', max: per_second, windowMs: 1000, block: 0 }, `${tenant.id}/${id}`);
  const [row] = await tenant.call<{ wait_s: number }>(
    'select spend_token($1, $2, $3, $4) as wait_s',
    [tenant.id, key, per_second, BURST_S],
    'spend_token',
  );
  if (row!.wait_s <= 0) return;
  throw new Problem(
    'rate-limited',
    `The limit of ${per_second} requests per second (max_qps), with a burst of ${BURST_S * per_second}, is reached.`,
    { headers: { 'Retry-After': String(Math.max(1, Math.ceil(row!.wait_s))) } },
  );
}

/** Deletes buckets that are full again. Windows of other limits, which are in the same table, may be among them. */
export const sweepBuckets: Sweep = (tenant, limit) => tenant.write((db) => sweepWindows(db, limit));
