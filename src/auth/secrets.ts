import { createHash, createHmac, randomBytes } from 'node:crypto';
import { newId } from '../id.ts';

// Secrets that the database stores as hashes: API keys, refresh tokens, invites and password resets. Each contains its tenant in clear text,
// so the lookup happens within that tenant. They have 256 bits of entropy, so a fast hash is sufficient.

const prefixes = { key: 'amk', ref: 'amr', inv: 'ami', rst: 'amp' } as const;
export type Kind = keyof typeof prefixes;

export interface Secret {
  tenant_id: string;
  id: string;
  /** Shown to the client once and not stored. */
  text: string;
  hash: Buffer;
}

const shape = /^(am[krip])\.([A-Za-z0-9][A-Za-z0-9_-]{0,62})\.([a-z]{3}_[0-9a-z]{26})\.([A-Za-z0-9_-]{43})$/;

const hashOf = (secret: string) => createHash('sha256').update(secret).digest();

const formatSecret = (kind: Kind, tenant_id: string, id: string, secret: string): Secret => ({
  tenant_id,
  id,
  text: `${prefixes[kind]}.${tenant_id}.${id}.${secret}`,
  hash: hashOf(secret),
});

export const makeSecret = (kind: Kind, tenant_id: string): Secret =>
  formatSecret(kind, tenant_id, newId(kind), randomBytes(32).toString('base64url'));

/** Returns undefined for a text that this service cannot have issued. */
export function readSecret(kind: Kind, text: string): Secret | undefined {
  if (text.length > 200) return undefined;
  const [, prefix, tenant_id, id, secret] = shape.exec(text) ?? [];
  if (prefix !== prefixes[kind] || !id?.startsWith(`${kind}_`)) return undefined;
  return { tenant_id: tenant_id!, id, text, hash: hashOf(secret!) };
}

export const looksLikeKey = (text: string): boolean => text.startsWith(`${prefixes.key}.`);

/**
 * Derives the successor of a refresh token from its secret and a nonce that only the database has. All parallel refreshes of one token thus
 * get the same successor although only hashes are stored, and the holder of a stolen token cannot continue the chain unnoticed.
 */
export function deriveSuccessor(parent: Secret, id: string, nonce: Buffer): Secret {
  const secret = parent.text.slice(parent.text.lastIndexOf('.') + 1);
  return formatSecret('ref', parent.tenant_id, id, createHmac('sha256', secret).update(nonce).digest('base64url'));
}
