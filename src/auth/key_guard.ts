import type { IncomingMessage } from 'node:http';
import { LRUCache } from 'lru-cache';
import { Problem } from '../http/problem.ts';
import { networkOf } from './throttle.ts';

// A key can be attributed to a principal only after a database lookup, so the limits of a principal cannot bound these lookups. Failed
// lookups are therefore counted by address in this process: a stream of invented keys costs memory, not transactions.

const WINDOW_MS = 60_000;
/** Failed lookups per window and address. */
export const MAX_FAILED_KEYS = 60;
/** Concurrent lookups per address. Valid keys need far fewer, because they are cached after the first lookup. */
const MAX_PENDING_LOOKUPS = 200;
/** Bounds the memory that an attacker with many addresses can occupy. */
const MAX_ADDRESSES = 20_000;

/** Runs the lookup of a key, or throws `rate-limited` without running it. */
export type KeyGuard = <S>(req: IncomingMessage, lookUp: () => Promise<S | undefined>) => Promise<S | undefined>;

export const unguarded: KeyGuard = (_req, lookUp) => lookUp();

export function openKeyGuard(addressOf: (req: IncomingMessage) => string): KeyGuard {
  const seen = new LRUCache<string, { since: number; pending: number; failed: number }>({ max: MAX_ADDRESSES, ttl: WINDOW_MS });
  return async (req, lookUp) => {
    const network = networkOf(addressOf(req));
    const address = seen.get(network) ?? { since: performance.now(), pending: 0, failed: 0 };
    if (address.failed >= MAX_FAILED_KEYS)
      throw tooMany(UNKNOWN, Math.ceil((address.since + WINDOW_MS - performance.now()) / 1000));
    if (address.pending >= MAX_PENDING_LOOKUPS) throw tooMany(PENDING, 1);
    if (!seen.has(network)) seen.set(network, address);
    address.pending += 1;
    try {
      const found = await lookUp();
      if (!found) address.failed += 1;
      return found;
    } finally {
      address.pending -= 1;
    }
  };
}

const UNKNOWN = 'Too many requests from this address had an unknown API key.';
const PENDING = 'Too many API keys from this address are being verified.';

const tooMany = (detail: string, seconds: number) =>
  new Problem('rate-limited', detail, {
    headers: { 'Retry-After': String(Math.max(1, seconds)) },
  });
