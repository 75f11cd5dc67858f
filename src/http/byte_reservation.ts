import { type BytesInFlight, tooManyBytes } from './body_buffer.ts';
import { Problem } from './problem.ts';

// Reserves the memory of a body before the body is read: a body with a Content-Length can be rejected without reading any of it. One
// tenant may reserve half of the daemon's bytes. Small bodies are always admitted, so that large ones cannot crowd them out;
// MAX_IN_FLIGHT_REQUESTS bounds their number.

export const SMALL_BODY_BYTES = 64 * 1024;
const LARGEST_SHARE = 0.5;

export interface ByteReservation {
  /** Raises the reservation to this many bytes in total; throws if the limit is reached. */
  grow(bytes: number): void;
  release(): void;
}

export function openByteReservation(bytesInFlight: BytesInFlight, tenant: string | undefined): ByteReservation {
  let own = 0;
  const set = (bytes: number) => {
    bytesInFlight.bytes += bytes - own;
    if (tenant !== undefined) {
      const share = (bytesInFlight.byTenant.get(tenant) ?? 0) + bytes - own;
      if (share > 0) bytesInFlight.byTenant.set(tenant, share);
      else bytesInFlight.byTenant.delete(tenant);
    }
    own = bytes;
  };
  return {
    grow: (bytes) => {
      if (bytes <= own) return;
      if (bytes > SMALL_BODY_BYTES) {
        const share = tenant === undefined ? 0 : (bytesInFlight.byTenant.get(tenant) ?? 0);
        // If it is the tenant's only body, the limit of its route applies instead.
        if (share > own && share + bytes - own > bytesInFlight.max * LARGEST_SHARE) throw tenantShareExceeded();
        if (bytesInFlight.bytes + bytes - own > bytesInFlight.max) throw tooManyBytes();
      }
      set(bytes);
    },
    release: () => set(0),
  };
}

const tenantShareExceeded = () =>
  new Problem(
    'rate-limited',
    'The tenant’s requests in progress already use its share of the memory for request bodies (MAX_IN_FLIGHT_BYTES).',
    {
      headers: { 'Retry-After': '1' },
    },
  );
