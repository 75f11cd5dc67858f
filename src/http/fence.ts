import type { IncomingMessage } from 'node:http';
import { nameOf } from './name.ts';
import { Problem } from './problem.ts';
import type { Route } from './route.ts';

// The header `Lease` of a write: the write takes effect only while that lease is held with that token.

/** The lease that a write depends on. */
export interface Fence {
  key: string;
  token: number;
}

/** Returns true for routes that change something of a tenant. Reads by POST are not writes. */
export const isFenced = ({ method, path, access }: Pick<Route<never>, 'method' | 'path' | 'access'>): boolean =>
  method !== 'GET' && path.startsWith('/v1/') && access !== 'read' && access !== 'none';

const HEADER = /^([^\s;,]{1,3000}) *; *token=(\d{1,16})$/;
const names = nameOf();

/** Returns the fence of a write; null without the header. Throws `malformed-request` if it cannot be read. */
export function fenceOf(route: Pick<Route<never>, 'method' | 'path' | 'access'>, { headers }: IncomingMessage): Fence | null {
  const { lease } = headers;
  if (lease === undefined || !isFenced(route)) return null;
  const [, encoded, token] = (typeof lease === 'string' && HEADER.exec(lease.trim())) || [];
  const key = names.safeParse(encoded === undefined ? undefined : decoded(encoded));
  if (!key.success || !Number.isSafeInteger(Number(token)))
    throw new Problem('malformed-request', 'The header Lease must be `<percent-encoded key>;token=<n>`.');
  return { key: key.data, token: Number(token) };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
