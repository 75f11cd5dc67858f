import { z } from 'zod';
import { pageOf } from '../http/page.ts';
import { time } from '../http/time.ts';
import { MAX_LIFETIME_S, restrictions } from './token.ts';

export const capabilityBody = z
  .strictObject({
    ...restrictions,
    expires_in: z.int().min(1).max(MAX_LIFETIME_S).describe('Lifetime in seconds, at most 366 days.'),
  })
  .meta({ id: 'NewCapability' });
export type CapabilityBody = z.output<typeof capabilityBody>;

export const mintedCapability = z
  .object({
    capability: z.string().describe('The credential, to be sent as `Authorization: Bearer`. Shown only in this response.'),
    jti: z.string(),
    expires_at: time,
  })
  .meta({ id: 'MintedCapability' });

const capability = z
  .object({
    jti: z.string(),
    kid: z.string().describe('Id of the key that signed it.'),
    ns: z.array(z.string()),
    ops: z.array(z.string()),
    regions: z.array(z.string()).nullable(),
    max_bytes: z.int().nullable(),
    max_qps: z.int().nullable(),
    agent: z.string().nullable(),
    created_by: z.string().describe('The user who minted it, or whose key did.'),
    created_with: z.string().nullable().describe('The API key that minted it.'),
    created_at: time,
    expires_at: time,
    revoked_at: time.nullable(),
  })
  .meta({ id: 'Capability' });
export type Capability = z.output<typeof capability>;

export const capabilityPage = pageOf(capability);
export const capabilityParams = z.strictObject({ jti: z.string().regex(/^jti_[0-9a-z]{26}$/) });
export const capabilityList = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(50),
  cursor: z.string().max(1000).optional(),
});
