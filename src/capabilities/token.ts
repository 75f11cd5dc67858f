import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { capabilityOps } from '../http/capability.ts';
import { nameOf } from '../http/name.ts';
import type { CapabilityKey, CapabilityKeys } from './keys.ts';
import { patterns } from './namespaces.ts';

// A capability is `kid.payload.mac`: the id of the key, the claims as JSON in base64url, and the HMAC-SHA256 of that JSON in base64url.

/** Longest capability in characters: a header of a request has at most 16 KiB. */
export const MAX_TOKEN_LENGTH = 8192;
/** Longest lifetime in seconds: 366 days. */
export const MAX_LIFETIME_S = 31_622_400;
/** The clocks of daemons may differ by this much, in seconds. */
const TOLERANCE_S = 60;

const FORM = /^([a-z0-9-]{1,32})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$/;
const seconds = z.int().positive().max(0xffff_ffff);

/** The restrictions of a capability, as a request names them and as its payload contains them. */
export const restrictions = {
  ns: patterns.describe(
    'Namespaces, one pattern or a list. `agent://demo` covers itself and everything under `agent://demo/`; `*` stands for one segment, `**` for any number. The keys of leases must match, too.',
  ),
  ops: z
    .array(z.enum(capabilityOps))
    .min(1)
    .max(capabilityOps.length)
    .describe(
      'Permitted operations. PUT includes PATCH; GET includes lists, queries and versions; ADMIN is snapshots, restore, diff and fork.',
    ),
  regions: z
    .array(z.string().regex(/^[\w.-]{1,64}$/, 'must have at most 64 letters, digits, ".", "_" or "-"'))
    .min(1)
    .max(32)
    .optional()
    .describe('Regions in which it is valid (setting `REGION` of the daemon). Default: all.'),
  max_bytes: z
    .int()
    .min(1)
    .max(2 ** 40)
    .optional()
    .describe('Largest request body in bytes.'),
  max_qps: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .describe('Requests per second over all daemons; up to twice as many in a burst.'),
  agent: nameOf().optional().describe('The only agent that it can act as.'),
};

const claims = z
  .strictObject({
    ten: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/),
    jti: z.string().regex(/^jti_[0-9a-z]{26}$/),
    sub: z.string().regex(/^(?:usr|key)_[0-9a-z]{26}$/),
    iat: seconds,
    exp: seconds,
    ...restrictions,
  })
  .refine(({ iat, exp }) => exp > iat && exp - iat <= MAX_LIFETIME_S);
export type Claims = z.output<typeof claims>;

interface VerifiedToken {
  claims: Claims;
  digest: Buffer;
}

export const hasForm = (text: string): boolean => FORM.test(text);

const macOf = (payload: Buffer, key: Buffer): string => createHmac('sha256', key).update(payload).digest('base64url');
const digestOf = (payload: Buffer): Buffer => createHash('sha256').update(payload).digest();

/** Returns the capability, with the SHA-256 of its payload. */
export function signClaims(content: Claims, { kid, key }: CapabilityKey): { text: string; digest: Buffer } {
  const payload = Buffer.from(JSON.stringify(content));
  return { text: `${kid}.${payload.toString('base64url')}.${macOf(payload, key)}`, digest: digestOf(payload) };
}

/** Returns the claims of a capability that one of the keys signed and that has not expired, and the SHA-256 of its payload; otherwise undefined. */
export function verifyToken(
  text: string,
  accepted: CapabilityKeys['accepted'],
  now_s = Date.now() / 1000,
): VerifiedToken | undefined {
  if (text.length > MAX_TOKEN_LENGTH) return undefined;
  const [, kid = '', encoded = '', mac = ''] = FORM.exec(text) ?? [];
  const key = accepted.get(kid);
  const payload = Buffer.from(encoded, 'base64url');
  if (!key || !timingSafeEqual(Buffer.from(macOf(payload, key)), Buffer.from(mac))) return undefined;
  const content = claims.safeParse(jsonOf(payload)).data;
  if (!content || payload.toString('base64url') !== encoded) return undefined;
  if (content.exp <= now_s || content.iat > now_s + TOLERANCE_S) return undefined;
  return { claims: content, digest: digestOf(payload) };
}

const named = z.looseObject({ ten: claims.shape.ten, jti: claims.shape.jti });

/** Returns the tenant and id that a capability claims, without verifying it. */
export function claimedIn(text: string): { tenant_id: string; id: string } | undefined {
  if (text.length > MAX_TOKEN_LENGTH) return undefined;
  const claimed = named.safeParse(jsonOf(Buffer.from(FORM.exec(text)?.[2] ?? '', 'base64url'))).data;
  return claimed && { tenant_id: claimed.ten, id: claimed.jti };
}

function jsonOf(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined;
  }
}
