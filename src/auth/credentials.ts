import type { IncomingMessage } from 'node:http';
import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Guards } from '../db/unit.ts';
import { Problem } from '../http/problem.ts';
import type { Seal } from '../seal.ts';
import { scopesWithin } from './grants.ts';
import type { KeyGuard } from './key_guard.ts';
import { identifyKey, openKeyStates } from './key_states.ts';
import { type Caller, type Identity, invalidCredential, type Principal, unauthenticated } from './principal.ts';
import type { User } from './schemas.ts';
import { looksLikeKey, readSecret } from './secrets.ts';
import { looksLikeKeyId } from './signature.ts';
import { credentialNamedBy, nameCredential, openSignedKeys } from './signed_keys.ts';
import { readSessionState, type SessionState } from './sql.ts';
import { openStateCache, type StateCache } from './state_cache.ts';
import { type Claims, claimedIdentityIn, type Tokens } from './tokens.ts';

/** A kind of bearer credentials that another feature defines. Its form differs from that of access tokens and keys. */
export interface CredentialKind {
  hasForm(text: string): boolean;
  /** Returns the tenant and id that a credential claims, without verifying it. */
  claimedIn(text: string): { tenant_id: string; id: string } | undefined;
  /** Returns undefined if the credential is not valid. */
  identify(text: string): Promise<Identity | undefined>;
  /** Drops the cached states of a tenant's credentials. */
  invalidate(tenant_id: string): void;
}

/** Authenticates requests. Cached states of credentials are at most `ttl_ms` old. */
export interface Credentials {
  identify(req: IncomingMessage): Promise<Caller>;
  /** Returns the caller with an identity that was established otherwise. Throws if it may not act at present. */
  callerOf(identity: Identity): Promise<Caller>;
  /** Drops the cached states of a tenant's credentials, so that a change takes effect on this daemon at once. */
  invalidate(tenant_id: string): void;
  /** Adds a kind of credentials. */
  accept(kind: CredentialKind): void;
  /** Adds a condition of every request, checked after its credential. */
  admit(condition: Admission): void;
}

/**
 * Throws if the principal may not act at present. Returns the guard that its writes check again in their transactions, or undefined if the
 * condition does not concern this principal.
 */
export type Admission = (principal: Principal, tenant: Tenant) => Promise<Guards | undefined>;

/** `onInvalidated` is called with each tenant whose cached credentials were dropped. */
export function openCredentials(
  tenants: Tenants,
  tokens: Tokens,
  ttl_ms: number,
  guard: KeyGuard,
  seal: Seal | undefined,
  onInvalidated: (tenant_id: string) => void,
): Credentials {
  const admissions: Admission[] = [];
  const sessions = openStateCache<SessionState>(ttl_ms);
  const keys = openKeyStates(tenants, ttl_ms, guard, seal);
  const identifySigned = openSignedKeys(tenants, keys, guard);
  const kinds: CredentialKind[] = [];
  const identifyText = async (req: IncomingMessage, text: string): Promise<Identity | undefined> => {
    if (looksLikeKeyId(text)) return identifySigned(req, text);
    if (looksLikeKey(text)) return identifyKey(keys, req, text);
    const kind = kinds.find(({ hasForm }) => hasForm(text));
    if (kind) {
      const claimed = kind.claimedIn(text);
      if (claimed) nameCredential(req, claimed);
      return kind.identify(text);
    }
    const claims = tokens.verify(text);
    return claims && identifySession(tenants, sessions, claims);
  };
  const callerOf = async (identity: Identity): Promise<Caller> => {
    const { principal } = identity;
    return { ...identity, tenant: await admitted(admissions, principal, tenants(principal.tenant_id)) };
  };
  return {
    identify: async (req) => {
      const identity = await identifyText(req, credentialOf(req));
      if (!identity || isExpired(identity.principal.expires_at)) throw invalidCredential();
      return callerOf(identity);
    },
    callerOf,
    admit: (condition) => void admissions.push(condition),
    invalidate: (tenant_id) => {
      sessions.invalidate(`${tenant_id}.`);
      keys.invalidate(`${tenant_id}.`);
      for (const { invalidate } of kinds) invalidate(tenant_id);
      onInvalidated(tenant_id);
    },
    accept: (kind) => void kinds.push(kind),
  };
}

/** Checks the conditions and returns the tenant with their guards. */
async function admitted(conditions: Admission[], principal: Principal, tenant: Tenant): Promise<Tenant> {
  let guarded = tenant;
  for (const condition of conditions) {
    const guards = await condition(principal, tenant);
    if (guards) guarded = guarded.guarded(guards);
  }
  return guarded;
}

/** A time that cannot be parsed counts as expired. */
const isExpired = (expires_at: string | null) => expires_at !== null && !(Date.parse(expires_at) > Date.now());

async function identifySession(tenants: Tenants, cache: StateCache<SessionState>, claims: Claims): Promise<Identity | undefined> {
  const { tid: tenant_id, sid } = claims;
  const load = () => readSessionState(tenants(tenant_id), sid);
  let state = await cache.get(`${tenant_id}.${sid}`, load);
  // a token with a newer generation than the cached one was issued by another daemon moments ago
  if (state && state.generation < claims.ver) state = await cache.reload(`${tenant_id}.${sid}`, load);
  if (!state || state.generation !== claims.ver || state.user_id !== claims.sub) return undefined;
  const expires_at = new Date(Math.min(claims.exp * 1000, Date.parse(state.expires_at))).toISOString();
  // with the current role, not the one at the time of signing
  return { principal: { ...principalOfUser(tenant_id, state), session_id: sid, expires_at } };
}

export const principalOfUser = (
  tenant_id: string,
  { user_id, username, role, subject }: Pick<User, 'user_id' | 'username' | 'role' | 'subject'>,
): Principal => ({
  tenant_id,
  kind: 'user',
  id: user_id,
  user_id,
  username,
  actor: { type: 'human', id: subject },
  role,
  scopes: scopesWithin(role),
  subject,
  subjects: [subject],
  channels: null,
  expires_at: null,
});

/** Returns the tenant and id that a credential claims, without verifying it. */
export function claimedIdentityOf(req: IncomingMessage): { tenant_id: string; id: string } | undefined {
  const [header = ''] = req.headersDistinct['x-api-key'] ?? req.headersDistinct.authorization ?? [];
  const text = header.replace(/^bearer +/i, '');
  return credentialNamedBy(req) ?? (looksLikeKey(text) ? readSecret('key', text) : claimedIdentityIn(text));
}

/** Returns whether a request has a credential, valid or not. An empty header, as some clients send it, is none. */
export const hasCredential = ({ headersDistinct }: Pick<IncomingMessage, 'headersDistinct'>): boolean =>
  [headersDistinct.authorization, headersDistinct['x-api-key']].some((values) => values?.some((value) => value !== ''));

/** Returns the only credential of a request. Throws if there are several, because they could identify two callers. */
function credentialOf({ headersDistinct }: Pick<IncomingMessage, 'headersDistinct'>): string {
  const bearers = headersDistinct.authorization ?? [];
  const keys = headersDistinct['x-api-key'] ?? [];
  if (!hasCredential({ headersDistinct }))
    throw new Problem('unauthenticated', 'A credential is required: send Authorization: Bearer or X-API-Key.', {
      headers: { 'WWW-Authenticate': 'Bearer realm="agent-memory"' },
    });
  if (bearers.length + keys.length > 1) throw unauthenticated('More than one credential was sent.');
  if (keys.length === 1) return looksLikeKey(keys[0]!) || looksLikeKeyId(keys[0]!) ? keys[0]! : rejectMalformed();
  const [, token] = /^bearer +([\x21-\x7e]+)$/i.exec(bearers[0]!) ?? [];
  return token && !looksLikeKeyId(token) ? token : rejectMalformed();
}

function rejectMalformed(): never {
  throw unauthenticated('The credential is malformed.');
}
