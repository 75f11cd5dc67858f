import type { Isolation } from '../feature.ts';

const open = 'A key is a name within the tenant of the caller: with the same key, another tenant has another lease.';

export const isolation: Isolation = {
  make: async ({ request }) => {
    const lease_key = 'alpha-lock';
    await request('PUT', `/v1/leases/${lease_key}`, { body: { owner: 'alpha', ttl_ms: 3_600_000 } });
    return { lease_key };
  },
  holdings: ['/v1/leases'],
  cases: {
    acquireLease: { open, body: () => ({ owner: 'mallory', ttl_ms: 1000 }) },
    renewLease: { open, body: () => ({ owner: 'alpha', token: 1, ttl_ms: 1000 }) },
    releaseLease: { open, query: () => '?owner=alpha&token=1' },
    listLeases: { ownAnswer: true },
  },
};
