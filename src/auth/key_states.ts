import { createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Tenants } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import type { Seal, Sealed } from '../seal.ts';
import { scopesWithin } from './grants.ts';
import type { KeyGuard } from './key_guard.ts';
import { ALL_SUBJECTS, type Identity, type Principal, unauthenticated } from './principal.ts';
import { readSecret } from './secrets.ts';
import { type KeyState, readKeyState } from './sql.ts';
import { openStateCache } from './state_cache.ts';

/** The state of a key, with the secret of a signed key decrypted. */
interface OpenKeyState extends KeyState {
  secret?: KeyObject;
}

/** The cached states of API keys. */
export interface KeyStates {
  /** `hash`: of the secret in the request, or null if it contains none. Failed look-ups count against the address of `req`. */
  get(req: IncomingMessage, tenant_id: string, key_id: string, hash: Buffer | null): Promise<OpenKeyState | undefined>;
  /** Drops all entries whose key starts with the prefix. */
  invalidate(prefix: string): void;
}

export function openKeyStates(tenants: Tenants, ttl_ms: number, guard: KeyGuard, seal: Seal | undefined): KeyStates {
  const cache = openStateCache<OpenKeyState>(ttl_ms);
  const load = async (tenant_id: string, key_id: string, hash: Buffer | null): Promise<OpenKeyState | undefined> => {
    const state = await readKeyState(tenants(tenant_id), key_id, hash);
    return state?.sealed_secret ? { ...state, secret: openSecret(seal, state.sealed_secret, tenant_id, key_id) } : state;
  };
  return {
    get: (req, tenant_id, key_id, hash) =>
      cache.get(`${tenant_id}.${key_id}`, () => guard(req, () => load(tenant_id, key_id, hash))),
    invalidate: cache.invalidate,
  };
}

const SEAL_PURPOSE = 'api-keys';

/** Encrypts the secret of a signed key. Throws `conflict` if no encryption key is configured. */
export function sealSecret(seal: Seal | undefined, secret: string, tenant_id: string, key_id: string): Sealed {
  if (seal) return seal.seal(secret, SEAL_PURPOSE, `${tenant_id}/${key_id}`);
  throw new Problem('conflict', 'Signed keys require an encryption key: the operator must set ENCRYPTION_KEY.');
}

function openSecret(seal: Seal | undefined, sealed: Sealed, tenant_id: string, key_id: string): KeyObject {
  try {
    if (!seal) throw new Error('ENCRYPTION_KEY is not set');
    return createSecretKey(seal.open(sealed, SEAL_PURPOSE, `${tenant_id}/${key_id}`));
  } catch (cause) {
    throw new Problem(
      'unavailable',
      'The secret of this key cannot be decrypted: the encryption key of the service has changed.',
      {
        headers: { 'Retry-After': '60' },
        cause,
      },
    );
  }
}

/** Identifies a request that contains the whole key. */
export async function identifyKey(keys: KeyStates, req: IncomingMessage, text: string): Promise<Identity | undefined> {
  const key = readSecret('key', text);
  const state = key && (await keys.get(req, key.tenant_id, key.id, key.hash));
  if (!state || !timingSafeEqual(state.secret_hash, key.hash)) return undefined;
  if (state.secret)
    throw unauthenticated('The signature is missing: this key signs its requests, and its secret must never be sent.');
  return { principal: principalOf(state, key.tenant_id, key.id) };
}

export const principalOf = (state: KeyState, tenant_id: string, key_id: string): Principal => ({
  tenant_id,
  kind: 'key',
  id: key_id,
  user_id: state.created_by,
  actor: { type: 'agent', id: state.agent_id ?? state.name },
  ...(state.agent_id !== null && { agent_id: state.agent_id }),
  ...(state.rate_limit !== null && { rate_limit: state.rate_limit }),
  role: state.role,
  scopes: scopesWithin(state.role).filter((scope) => state.scopes.includes(scope)),
  subject: state.subject,
  subjects: state.subject === ALL_SUBJECTS ? null : [state.subject],
  channels: state.channels,
  expires_at: state.expires_at,
});
