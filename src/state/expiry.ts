import { setTimeout as sleep } from 'node:timers/promises';
import type { Tenants } from '../db/tenant.ts';
import type { Logger } from '../log.ts';
import { listExpired, listTenantsWithExpired } from './sql.ts';
import { expiryUnit } from './write.ts';

// Records the end of expired objects, so that followers learn of it. Reads do not depend on it: they judge the expiry themselves. Every daemon looks;
// of two that find the same object, the commit of the second is refused.

const EVERY_MS = 2_000;
const TENANTS_PER_ROUND = 100;
/** Objects of a tenant that are ended at once: a batch of the group commit. */
const OBJECTS_PER_BATCH = 100;
/** A tenant in which the sweep failed is left out for this time, so that it does not delay others. */
const SKIP_MS = 60_000;

export interface Expiry {
  start(): void;
  stop(): Promise<void>;
}

export function openExpiry(tenants: Tenants, log: Logger): Expiry {
  const stopping = new AbortController();
  /** When each tenant in which the sweep failed is tried again. */
  const skipped = new Map<string, number>();
  let running: Promise<void> = Promise.resolve();

  async function sweepTenant(tenant_id: string): Promise<boolean> {
    const tenant = tenants(tenant_id);
    const expired = await tenant.read((db) => listExpired(db, tenant_id, OBJECTS_PER_BATCH));
    await Promise.all(expired.map((object) => tenant.commit(expiryUnit(object))));
    return expired.length === OBJECTS_PER_BATCH;
  }

  /** Returns true if there may be more. */
  async function sweep(): Promise<boolean> {
    for (const [tenant_id, until] of skipped) if (until < performance.now()) skipped.delete(tenant_id);
    const found = await listTenantsWithExpired(tenants(''), [...skipped.keys()], TENANTS_PER_ROUND * OBJECTS_PER_BATCH);
    let more = false;
    for (const tenant_id of found) {
      if (stopping.signal.aborted) return false;
      try {
        more = (await sweepTenant(tenant_id)) || more;
      } catch (err) {
        skipped.set(tenant_id, performance.now() + SKIP_MS);
        log.warn({ err, tenant_id }, 'expired state could not be recorded; the tenant is skipped for a minute');
      }
    }
    return more;
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const more = await sweep().catch((err) => {
        if (!stopping.signal.aborted) log.debug({ err }, 'expired state could not be listed; retrying');
        return false;
      });
      if (!more) await sleep(EVERY_MS, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined);
    }
  }

  return {
    start: () => {
      running = run();
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}
