import type { Client } from '../support/client.ts';

const pathOf = (key: string) => `/v1/leases/${encodeURIComponent(key)}`;
export const acquire = (client: Client, key: string, more: object = {}, headers: Record<string, string> = {}) =>
  client.request('PUT', pathOf(key), { body: { owner: 'one', ttl_ms: 60_000, ...more }, headers });
export const release = (client: Client, key: string, token: number, owner = 'one', headers: Record<string, string> = {}) =>
  client.request('DELETE', `${pathOf(key)}?owner=${owner}&token=${token}`, { headers });
export const renew = (client: Client, key: string, token: number, more: object = {}, headers: Record<string, string> = {}) =>
  client.request('POST', `${pathOf(key)}/renew`, { body: { owner: 'one', token, ttl_ms: 60_000, ...more }, headers });
/** Records an event that depends on a lease. */
export const record = (client: Client, lease: string, text = 'hello') =>
  client.request('POST', '/v1/events', { body: { text }, headers: { lease } });
