import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { newId } from '../id.ts';

// Access tokens. jsonwebtoken checks the signature, issuer, audience and times; it lets through a missing `exp`, any `typ`, unknown
// `crit`, arrays in claims and endless lifetimes, so all of that is checked here.

const MAX_TOKEN_BYTES = 4096;
const TOLERANCE_S = 30;
const TYPE = 'at+jwt';
/** A lifetime that is lowered must not refuse the tokens that daemons with the older setting still make. */
const LEAST_MAX_LIFETIME_S = 86_400;

interface SigningKey {
  kid: string;
  // Made once: with a string jsonwebtoken makes one a verification (445 µs instead of 9).
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

/** What every daemon can tell from the key alone, without telling the key. */
const keyOf = (secret: string): SigningKey => ({
  kid: createHash('sha256').update(`agent-memory kid\n${secret}`).digest('base64url').slice(0, 12),
  key: createSecretKey(Buffer.from(secret)),
});

export interface Tokens {
  lifetime_s: number;
  sign(claims: Pick<Claims, 'sub' | 'tid' | 'role' | 'sid' | 'ver'>): string;
  /** The claims of a token that is ours, whole and in time; undefined for anything else. */
  verify(token: string): Claims | undefined;
}

export function openTokens(settings: TokenSettings): Tokens {
  const active = keyOf(settings.active);
  const accepted = [settings.next, settings.previous].filter((secret) => secret !== undefined).map(keyOf);
  const keys = new Map([active, ...accepted].map(({ kid, key }) => [kid, key]));
  // The whole token is the key: what is found here has been verified byte for byte.
  const verified = new LRUCache<string, Claims>({ max: 10_000 });
  return {
    lifetime_s: settings.lifetime_s,
    sign: (own) =>
      jwt.sign({ ...own, jti: newId('jti') }, active.key, {
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

/** What a token says of itself, whoever wrote it. */
export function claimedIdentityIn(token: string): { tenant_id: string; id: string } | undefined {
  if (token.length > MAX_TOKEN_BYTES) return undefined;
  const said = claims.pick({ tid: true, sid: true }).loose().safeParse(jwt.decode(token)).data;
  return said && { tenant_id: said.tid, id: said.sid };
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

/** The header is read before the signature is checked, only to choose among our own keys. */
function headerOf(token: string): z.output<typeof header> | undefined {
  try {
    const text = Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString('utf8');
    return header.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
