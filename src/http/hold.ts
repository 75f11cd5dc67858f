import { type Held, tooManyBytes } from './gather.ts';
import { Problem } from './problem.ts';

// The memory that a body takes, reserved before the body is read: a body whose length is announced is refused without reading any of
// it. One tenant may reserve half of the daemon's bytes. Small bodies are always admitted, because large ones must not crowd them
// out; MAX_IN_FLIGHT_REQUESTS bounds how many there are.

export const SMALL_BODY_BYTES = 64 * 1024;
const LARGEST_SHARE = 0.5;

export interface Hold {
  /** Reserves so many bytes in all; throws where there is no room. */
  grow(bytes: number): void;
  release(): void;
}

export function openHold(held: Held, tenant: string | undefined): Hold {
  let own = 0;
  const set = (bytes: number) => {
    held.bytes += bytes - own;
    if (tenant !== undefined) {
      const share = (held.byTenant.get(tenant) ?? 0) + bytes - own;
      if (share > 0) held.byTenant.set(tenant, share);
      else held.byTenant.delete(tenant);
    }
    own = bytes;
  };
  return {
    grow: (bytes) => {
      if (bytes <= own) return;
      if (bytes > SMALL_BODY_BYTES) {
        const share = tenant === undefined ? 0 : (held.byTenant.get(tenant) ?? 0);
        // alone, a body is judged by the limit of its route
        if (share > own && share + bytes - own > held.max * LARGEST_SHARE) throw tenantHoldsTooMuch();
        if (held.bytes + bytes - own > held.max) throw tooManyBytes();
      }
      set(bytes);
    },
    release: () => set(0),
  };
}

const tenantHoldsTooMuch = () =>
  new Problem('rate-limited', 'The tenant’s requests in progress hold too many bytes (MAX_IN_FLIGHT_BYTES).', {
    headers: { 'Retry-After': '1' },
  });
