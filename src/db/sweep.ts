import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import type { Tenant, Tenants } from './tenant.ts';

// Reclaims what is no longer answered with. Nothing needs this to be correct: what has expired is refused by predicate.

const EVERY_MS = 3_600_000;
/** A pause between two tenants, so that ten thousand of them are a trickle: an hour has room for 360,000. */
const PAUSE_MS = 10;
const TENANTS_A_PAGE = 1000;
const ROWS_A_BATCH = 1000;

/** Removes at most `limit` expired rows of one tenant and says how many it removed. */
export type Sweep = (tenant: Tenant, limit: number) => Promise<number>;

export interface Sweeper {
  /** One walk over all tenants; the daemon takes one an hour. Returns how many rows were removed. */
  run(): Promise<number>;
  stop(): Promise<void>;
}

export function startSweeper(tenants: Tenants, sweeps: Sweep[], log: Logger): Sweeper {
  const stopping = new AbortController();
  let walk: Promise<number> = Promise.resolve(0);

  async function run(): Promise<number> {
    let removed = 0;
    for (let after: string | undefined = ''; after !== undefined && !stopping.signal.aborted; ) {
      const page: { tenant_id: string }[] = await tenants('').call('select tenant_id from list_tenants($1, $2)', [
        after,
        TENANTS_A_PAGE,
      ]);
      for (const { tenant_id } of page) removed += await sweepTenant(tenants(tenant_id));
      after = page.length === TENANTS_A_PAGE ? page.at(-1)!.tenant_id : undefined;
    }
    return removed;
  }

  async function sweepTenant(tenant: Tenant): Promise<number> {
    let removed = 0;
    for (const sweep of sweeps)
      for (let batch = ROWS_A_BATCH; batch === ROWS_A_BATCH && !stopping.signal.aborted; removed += batch)
        batch = await sweep(tenant, ROWS_A_BATCH);
    await sleep(PAUSE_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    return removed;
  }

  const tick = setInterval(() => {
    walk = run().catch((err) => {
      if (!stopping.signal.aborted) log.warn({ err }, 'sweeping was interrupted; the next hour goes on');
      return 0;
    });
  }, EVERY_MS);
  tick.unref();
  return {
    run,
    stop: async () => {
      clearInterval(tick);
      stopping.abort();
      await walk;
    },
  };
}

/** Answers kept for retries, older than `ttl_s` seconds. */
export const sweepIdempotency =
  (ttl_s: number): Sweep =>
  (tenant, limit) =>
    tenant.write((db) =>
      db.run(
        `delete from idempotency_keys
        where tenant_id = $1 and key_hash in (
          select key_hash from idempotency_keys where tenant_id = $1 and created_at < now() - make_interval(secs => $2) limit $3)`,
        [tenant.id, ttl_s, limit],
      ),
    );
