import { createHmac } from 'node:crypto';
import type { Call } from '../auth/client.ts';

export const KEY = Buffer.alloc(32, 'capabilities').toString('base64');
export const settings = { CAP_KEY_ACTIVE: KEY, CAP_KEY_ACTIVE_ID: 'test-1', AUDIT_WINDOW_MS: '100' };
export const grant = { ns: 'agent://demo', ops: ['GET', 'PUT'], expires_in: 600 };

interface Minter {
  token?: string;
  key?: string;
}

export const payloadOf = (capability: string) => JSON.parse(Buffer.from(capability.split('.')[1]!, 'base64url').toString());

/** Signs a payload with the key of the service. */
export function sign(payload: object): string {
  const bytes = Buffer.from(JSON.stringify(payload));
  const mac = createHmac('sha256', Buffer.from(KEY, 'base64')).update(bytes).digest('base64url');
  return `test-1.${bytes.toString('base64url')}.${mac}`;
}

export const mint = (call: Call, { token, key }: Minter, more: object = {}) =>
  call('POST', '/v1/capabilities', { ...(token && { token }), ...(key && { key }), body: { ...grant, ...more } });

export async function minted(call: Call, by: Minter, more: object = {}): Promise<{ capability: string; jti: string }> {
  const { status, body } = await mint(call, by, more);
  if (status !== 201) throw new Error(`not minted: ${status} ${JSON.stringify(body)}`);
  return body;
}

/** Returns whether a capability is valid. A valid one gets 403 from a route that it cannot use, an invalid one 401. */
export async function isValid(call: Call, capability: string): Promise<boolean> {
  const { status } = await call('GET', '/v1/events', { token: capability });
  if (status !== 401 && status !== 403) throw new Error(`unexpected status ${status}`);
  return status === 403;
}

export const makeKey = async (call: Call, { token }: { token: string }, more: object = {}) =>
  (await call('POST', '/auth/api-keys', { token, body: { name: 'k', role: 'member', scopes: ['read', 'write'], ...more } })).body;
