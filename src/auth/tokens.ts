import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { newId } from '../id.ts';

// Access tokens. jsonwebtoken verifies the signature, issuer, audience and times. It accepts a missing `exp`, any `typ`, unknown `crit`,
// arrays in claims and unlimited lifetimes, so these are checked here.

const MAX_TOKEN_BYTES = 4096;
const TOLERANCE_S = 30;
const TYPE = 'at+jwt';
/** After JWT_EXPIRES_IN is lowered, tokens from daemons that still have the old setting must remain valid. */
const LEAST_MAX_LIFETIME_S = 86_400;

interface SigningKey {
  kid: string;
  // a KeyObject: jsonwebtoken creates one per verification from a string (445 µs instead of 9 µs)
  key: KeyObject;
}

export interface TokenSettings {
  active: string;
  next?: string | undefined;
  previous?: string | undefined;
  issuer: string;
  audience: string;
  lifetime_s: number;
}

const seconds = z.int().positive().max(0xffff_ffff);
const claims = z.strictObject({
  iss: z.string(),
  aud: z.string(),
  sub: z.string().regex(/^usr_[0-9a-z]{26}$/),
  tid: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/),
  role: z.enum(['owner', 'admin', 'member', 'reader']),
  sid: z.string().regex(/^ses_[0-9a-z]{26}$/),
  ver: z.int().positive(),
  iat: seconds,
  exp: seconds,
  jti: z.string().regex(/^jti_[0-9a-z]{26}$/),
});
export type Claims = z.output<typeof claims>;
const header = z.strictObject({ alg: z.literal('HS256'), typ: z.literal(TYPE), kid: z.string() });

/** Derives the key id from the secret, so that all daemons agree on it; the id does not reveal the secret. */
const keyOf = (secret: string): SigningKey => ({
  kid: createHash('sha256').update(`agent-memory kid\n${secret}`).digest('base64url').slice(0, 12),
  key: createSecretKey(Buffer.from(secret)),
});

export interface Tokens {
  lifetime_s: number;
  sign(claims: Pick<Claims, 'sub' | 'tid' | 'role' | 'sid' | 'ver'>): string;
  /** Returns the claims of a valid, unexpired token that this service signed; undefined for anything else. */
  verify(token: string): Claims | undefined;
}

export function openTokens(settings: TokenSettings): Tokens {
  const active = keyOf(settings.active);
  const accepted = [settings.next, settings.previous].filter((secret) => secret !== undefined).map(keyOf);
  const keys = new Map([active, ...accepted].map(({ kid, key }) => [kid, key]));
  // the cache key is the whole token, so a hit is byte for byte the token that was verified
  const verified = new LRUCache<string, Claims>({ max: 10_000 });
  return {
    lifetime_s: settings.lifetime_s,
    sign: (identity) =>
      jwt.sign({ ...identity, jti: newId('jti') }, active.key, {
        algorithm: 'HS256',
        keyid: active.kid,
        header: { alg: 'HS256', typ: TYPE },
        issuer: settings.issuer,
        audience: settings.audience,
        expiresIn: settings.lifetime_s,
      }),
    verify: (token) => {
      const known = verified.get(token);
      if (known) return known.exp * 1000 > Date.now() ? known : undefined;
      const fresh = verifyOnce(token, keys, settings);
      if (fresh) verified.set(token, fresh, { ttl: Math.max(1, fresh.exp * 1000 - Date.now()) });
      return fresh;
    },
  };
}

/** Returns the tenant and session that a token claims, without verifying it. */
export function claimedIdentityIn(token: string): { tenant_id: string; id: string } | undefined {
  if (token.length > MAX_TOKEN_BYTES) return undefined;
  const claimed = claims.pick({ tid: true, sid: true }).loose().safeParse(jwt.decode(token)).data;
  return claimed && { tenant_id: claimed.tid, id: claimed.sid };
}

function verifyOnce(token: string, keys: Map<string, KeyObject>, settings: TokenSettings): Claims | undefined {
  if (token.length > MAX_TOKEN_BYTES) return undefined;
  const key = keys.get(headerOf(token)?.kid ?? '');
  if (!key) return undefined;
  try {
    const payload = jwt.verify(token, key, { algorithms: ['HS256'], issuer: settings.issuer, audience: settings.audience });
    const parsed = claims.safeParse(payload).data;
    if (!parsed) return undefined;
    const longest = Math.max(settings.lifetime_s, LEAST_MAX_LIFETIME_S);
    const fits = parsed.iat <= Date.now() / 1000 + TOLERANCE_S && parsed.exp > parsed.iat && parsed.exp - parsed.iat <= longest;
    return fits ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** Reads the header before the signature is verified, only to select one of our keys. */
function headerOf(token: string): z.output<typeof header> | undefined {
  try {
    const text = Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString('utf8');
    return header.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
