import { Problem } from './problem.ts';

/** Requests being served, in all and by tenant: one tenant may hold at most its share of them. */
export interface InFlight {
  count: number;
  readonly max: number;
  readonly byTenant: Map<string, number>;
}

const LARGEST_SHARE = 0.5;
const SOON = { headers: { 'Retry-After': '1' } };

/** Takes a place among all requests; returns how to give it back. */
export function takePlace(inFlight: InFlight): () => void {
  if (inFlight.count >= inFlight.max) throw new Problem('unavailable', 'Too many requests are being served.', SOON);
  inFlight.count += 1;
  return () => {
    inFlight.count -= 1;
  };
}

/** Takes a place of the tenant's share; returns how to give it back. */
export function takeShare({ max, byTenant }: InFlight, tenant: string): () => void {
  const before = byTenant.get(tenant) ?? 0;
  if (before >= Math.max(1, max * LARGEST_SHARE))
    throw new Problem('rate-limited', 'Too many requests of this tenant are being served.', SOON);
  byTenant.set(tenant, before + 1);
  return () => {
    const now = byTenant.get(tenant)! - 1;
    if (now > 0) byTenant.set(tenant, now);
    else byTenant.delete(tenant);
  };
}
