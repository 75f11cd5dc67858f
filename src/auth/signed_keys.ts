import type { IncomingMessage } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Tenants } from '../db/tenant.ts';
import type { KeyGuard } from './key_guard.ts';
import { type KeyStates, principalOf } from './key_states.ts';
import { type Identity, invalidCredential, unauthenticated } from './principal.ts';
import { assertFresh, assertUnaltered, MAX_AGE_S, readSignature } from './signature.ts';
import { claimNonce, findSignedKey } from './sql.ts';

// Identifies requests by their signature. The nonce is claimed later, after the rate limits, so that a client can only store as many nonces
// as it may send requests.

const MAX_KNOWN_KEYS = 20_000;
/** Nonces that this daemon has seen used, here or on another daemon. It remembers them, so that a repeated request neither uses the allowance of the key nor reaches the database. */
const MAX_REMEMBERED_NONCES = 100_000;

interface CredentialName {
  tenant_id: string;
  id: string;
}

/** The credential that a request names, whether its signature was valid or not. */
const named = new WeakMap<IncomingMessage, CredentialName>();
export const credentialNamedBy = (req: IncomingMessage): CredentialName | undefined => named.get(req);
export const nameCredential = (req: IncomingMessage, name: CredentialName): void => void named.set(req, name);

export type IdentifySigned = (req: IncomingMessage, key_id: string) => Promise<Identity | undefined>;

export function openSignedKeys(tenants: Tenants, keys: KeyStates, guard: KeyGuard): IdentifySigned {
  const tenantOf = new LRUCache<string, string>({ max: MAX_KNOWN_KEYS });
  const used = new LRUCache<string, true>({ max: MAX_REMEMBERED_NONCES, ttl: 2 * MAX_AGE_S * 1000 });
  // A stream authenticates its request again while it lasts: then only the state of the key can have changed.
  const verified = new WeakSet<IncomingMessage>();
  const findTenant = async (req: IncomingMessage, key_id: string) => {
    const tenant_id = tenantOf.get(key_id) ?? (await guard(req, () => findSignedKey(tenants(''), key_id)));
    if (tenant_id !== undefined) tenantOf.set(key_id, tenant_id);
    return tenant_id;
  };
  return async (req, key_id) => {
    const signature = readSignature(req);
    if (!verified.has(req)) assertFresh(signature);
    const tenant_id = await findTenant(req, key_id);
    if (tenant_id === undefined) return undefined;
    nameCredential(req, { tenant_id, id: key_id });
    const state = await keys.get(req, tenant_id, key_id, null);
    if (!state?.secret) return undefined;
    const { nonce, digest } = signature;
    const use = `${key_id}.${nonce}`;
    if (!verified.has(req)) {
      assertUnaltered(signature, state.secret);
      if (used.has(use)) throw replayed();
      verified.add(req);
    }
    const claim = async () => {
      const outcome = await claimNonce(tenants(tenant_id), key_id, nonce);
      if (outcome === 'refused') throw invalidCredential();
      used.set(use, true);
      if (outcome === 'replayed') throw replayed();
    };
    return { principal: principalOf(state, tenant_id, key_id), signed: { digest, claim } };
  };
}

const replayed = () => unauthenticated('The request was replayed: its nonce has already been used.');
