import { hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { canonicalJson } from './json.ts';
import { Problem } from './problem.ts';
import type { Idempotency, Route } from './route.ts';

/** The Idempotency-Key of a request, before its body is hashed. */
export interface IdempotencyRequest {
  key: string;
  /** Canonical query, with the media type if the route accepts any. It is part of the body hash. */
  query: string;
}

export type Mac = (data: string | Buffer) => string;

export function idempotencyRequestOf(
  route: Pick<Route, 'idempotent' | 'method' | 'raw'>,
  req: IncomingMessage,
  pathname: string,
  principal: string | undefined,
  query: unknown,
): IdempotencyRequest | null {
  const key = req.headers['idempotency-key'];
  if (!route.idempotent || principal === undefined || key === undefined) return null;
  if (typeof key !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(key))
    throw new Problem('validation', 'Idempotency-Key must be 1 to 255 printable ASCII characters.', {
      errors: [{ parameter: 'Idempotency-Key', detail: 'must be 1 to 255 printable ASCII characters' }],
    });
  const named = route.raw ? { query, media_type: req.headers['content-type'] ?? null } : query;
  return { key: hash('sha256', JSON.stringify([principal, route.method, pathname, key])), query: canonicalJson(named) };
}

/** Returns the hashes that identify a retry. JSON bodies that are equal as values have the same hash. */
export function idempotencyOf(request: IdempotencyRequest | null, body: unknown, mac: Mac): Idempotency | null {
  if (!request) return null;
  const { key, query } = request;
  if (Buffer.isBuffer(body)) return { key, body: mac(Buffer.concat([Buffer.from(`${query}\n`), body])) };
  return { key, body: mac(`${query}\n${canonicalJson(body ?? null)}`) };
}
