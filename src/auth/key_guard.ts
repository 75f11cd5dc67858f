import type { IncomingMessage } from 'node:http';
import { LRUCache } from 'lru-cache';
import { Problem } from '../http/problem.ts';
import { networkOf } from './throttle.ts';

// Who sends a key is known only after the database was asked, before any limit of a principal can hold. So the look-ups that find
// nothing are counted by address, in this process: a stream of made-up keys costs memory, not transactions.

const WINDOW_MS = 60_000;
/** Look-ups of a minute that may find nothing. */
export const MAX_FAILED_KEYS = 60;
/** At once, before the first has failed; far above what good keys need, which are known after one. */
const MAX_PENDING_LOOKUPS = 200;
/** What an attacker with many addresses can make us remember. */
const MAX_ADDRESSES = 20_000;

/** Looks a key up for a request, or throws `rate-limited` without looking. */
export type KeyGuard = <S>(req: IncomingMessage, look: () => Promise<S | undefined>) => Promise<S | undefined>;

export const unguarded: KeyGuard = (_req, look) => look();

export function openKeyGuard(addressOf: (req: IncomingMessage) => string): KeyGuard {
  const seen = new LRUCache<string, { since: number; looking: number; failed: number }>({ max: MAX_ADDRESSES, ttl: WINDOW_MS });
  return async (req, look) => {
    const network = networkOf(addressOf(req));
    const address = seen.get(network) ?? { since: performance.now(), looking: 0, failed: 0 };
    if (address.failed >= MAX_FAILED_KEYS) throw tooMany(Math.ceil((address.since + WINDOW_MS - performance.now()) / 1000));
    if (address.looking >= MAX_PENDING_LOOKUPS) throw tooMany(1);
    if (!seen.has(network)) seen.set(network, address);
    address.looking += 1;
    try {
      const found = await look();
      if (!found) address.failed += 1;
      return found;
    } finally {
      address.looking -= 1;
    }
  };
}

const tooMany = (seconds: number) =>
  new Problem('rate-limited', 'This address sent too many unknown keys.', {
    headers: { 'Retry-After': String(Math.max(1, seconds)) },
  });
