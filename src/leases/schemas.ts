import { z } from 'zod';
import { nameOf } from '../http/name.ts';
import { integerParameter, pageOf } from '../http/page.ts';

/** Longest duration of a lease, and longest wait for one. */
const MAX_TTL_MS = 3_600_000;
const MAX_WAIT_MS = 8_000;

const owner = nameOf().describe('the name under which the caller holds the lease, such as a process; chosen by the client');
const ttl_ms = z.int().min(100).max(MAX_TTL_MS).describe('duration of the lease from now, in ms');
const token = z.int().min(0).describe('the fencing token');

export const leaseParams = z.strictObject({
  lease_key: nameOf()
    .refine((key) => key !== '.' && key !== '..', 'must not be `.` or `..`')
    .describe('the name of the lease, percent-encoded'),
});

export const leaseRequest = z
  .strictObject({
    owner,
    ttl_ms,
    wait_ms: z.int().min(0).max(MAX_WAIT_MS).default(0).describe('longest wait for a held lease, in ms'),
  })
  .meta({ id: 'LeaseRequest' });
export type LeaseRequest = z.output<typeof leaseRequest>;

export const leaseRenewal = z.strictObject({ owner, token, ttl_ms }).meta({ id: 'LeaseRenewal' });
export const leaseRelease = z.strictObject({ owner, token: integerParameter(0, Number.MAX_SAFE_INTEGER) });

const shown = {
  key: z.string(),
  owner: z.string(),
  expires_at: z.string().describe('when the lease ends unless it is renewed, by the clock of the database'),
};
export const lease = z
  .object({ ...shown, token: z.int().describe('larger than every earlier token of the key; send it in the header `Lease`') })
  .meta({ id: 'Lease' });
export type Lease = z.output<typeof lease>;

const heldLease = z
  .object({ ...shown, token: z.int().optional().describe('only if the caller holds the lease'), acquired_at: z.string() })
  .meta({ id: 'HeldLease' });
export type HeldLease = z.output<typeof heldLease>;

export const leasePage = pageOf(heldLease);
export const leaseList = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(50),
  cursor: z.string().max(500).optional(),
});
