import { type Client, send } from '../support/client.ts';
import { eventually } from '../support/eventually.ts';

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

/** The same user on another daemon. */
export const clientAt = (url: string, client: Client): Client => ({
  ...client,
  url,
  request: (method, path, options) => send(url, method, path, options, client.token),
});

/** Waits until this many requests of a daemon wait for a lease. */
export const waitForWaiters = (n: number, url: string) =>
  eventually(
    async () => new RegExp(`^agent_memory_lease_waiters ${n}$`, 'm').test(await (await fetch(`${url}/metrics`)).text()),
    `${n} requests to wait`,
  );
