import { Problem } from './problem.ts';

/** Requests in flight, in total and by tenant. One tenant may occupy at most half of the slots. */
export interface InFlight {
  count: number;
  readonly max: number;
  readonly byTenant: Map<string, number>;
}

const LARGEST_SHARE = 0.5;
const retryLater = { headers: { 'Retry-After': '1' } };

/** Reserves a slot for a request. Returns a function that releases it. */
export function reserveSlot(inFlight: InFlight): () => void {
  if (inFlight.count >= inFlight.max) throw new Problem('unavailable', 'Too many requests are in progress.', retryLater);
  inFlight.count += 1;
  return () => {
    inFlight.count -= 1;
  };
}

/** Reserves a slot of the tenant's share. Returns a function that releases it. */
export function reserveTenantSlot({ max, byTenant }: InFlight, tenant: string): () => void {
  const before = byTenant.get(tenant) ?? 0;
  if (before >= Math.max(1, max * LARGEST_SHARE))
    throw new Problem('rate-limited', 'Too many requests of this tenant are in progress.', retryLater);
  byTenant.set(tenant, before + 1);
  return () => {
    const now = byTenant.get(tenant)! - 1;
    if (now > 0) byTenant.set(tenant, now);
    else byTenant.delete(tenant);
  };
}
