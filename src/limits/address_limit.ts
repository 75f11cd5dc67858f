import type { ServerResponse } from 'node:http';
import { type AugmentedRequest, ipKeyGenerator, rateLimit, type Store } from 'express-rate-limit';
import { LRUCache } from 'lru-cache';
import type { Logger } from '../log.ts';
import { type Counter, openCounter, type Policy, remaining } from './counter.ts';
import { type LimitStatus, limitExceeded, limitHeader, policyHeader, setHeaders } from './headers.ts';
import type { Leases } from './lease.ts';

/** Bounds the memory that an attacker with many addresses can occupy: about 10 MB. */
const MAX_ADDRESSES = 20_000;
/** Providers assign a /56 to one customer. */
const IPV6_SUBNET = 56;

export function createAddressLimit(policy: Policy, leases: Leases, waitMs: number, log: Logger) {
  const policies = policyHeader([policy]);
  const middleware = rateLimit({
    windowMs: policy.windowMs,
    limit: policy.max,
    store: storeOf(policy, leases, waitMs),
    keyGenerator: (req) => ipKeyGenerator(req.ip!, IPV6_SUBNET),
    // The draft-8 headers of the library require Express's `res.append` and would differ from those of /v1.
    standardHeaders: false,
    legacyHeaders: false,
    handler: (_req, _res, next) => next(),
    logger: {
      warn: (...args) => log.warn({ args }, 'express-rate-limit'),
      error: (...args) => log.error({ args }, 'express-rate-limit'),
    },
  });

  /** Calls the middleware of express-rate-limit, which only reads `ip` of the request. */
  return async function admit(address: string, res: ServerResponse): Promise<void> {
    const req = { ip: address } as AugmentedRequest;
    await new Promise<void>((resolve, reject) => {
      void middleware(req, res as never, (error?: unknown) => (error ? reject(error) : resolve()));
    });
    const { used, limit, remaining, resetTime } = req.rateLimit!;
    const status: LimitStatus = {
      policy,
      remaining,
      seconds: Math.max(1, Math.ceil((resetTime!.getTime() - Date.now()) / 1000)),
    };
    setHeaders(res, policies, limitHeader(status));
    if (used > limit) throw limitExceeded(status);
  };
}

/** Adapts the shared windows to a store of express-rate-limit. A request to an exhausted window is rejected without a call of the shared store. */
function storeOf(policy: Policy, leases: Leases, waitMs: number): Store {
  const counters = new LRUCache<string, Counter>({ max: MAX_ADDRESSES });
  return {
    async increment(address) {
      const counter = counters.get(address) ?? openCounter(policy, address);
      counters.set(address, counter);
      const granted = await leases.spend(counter, waitMs);
      return {
        totalHits: granted ? policy.max - remaining(counter) : policy.max + 1,
        resetTime: new Date(Date.now() + counter.ends - performance.now()),
      };
    },
    // The library only calls these with options that are not used here.
    decrement: () => undefined,
    resetKey: () => undefined,
  };
}
