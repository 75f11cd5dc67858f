import type { ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import { blockOf, type Counter, isLow, isSettled, openCounter, type Policy, remaining, secondsLeft } from './counter.ts';
import { limitExceeded, limitHeader, policyHeader, setHeaders } from './headers.ts';
import type { Leases } from './lease.ts';

/** Maximum number of counters in memory. An evicted counter loses its tokens and needs one more call of the shared store. */
const MAX_COUNTERS = 20_000;
const ADMITTED = Promise.resolve();

/** The principal of a request. An API key without its own limit shares the limit of its owner. */
export interface LimitedPrincipal {
  tenant_id: string;
  id: string;
  user_id: string;
  rate_limit?: { max: number; window_ms: number };
  /** The principal whose own limit it shares. */
  payer?: string;
}

/** Returns the id whose limit applies. */
export const payerOf = ({ id, user_id, rate_limit, payer }: LimitedPrincipal): string => payer ?? (rate_limit ? id : user_id);

/** Returns a function that counts a request for its principal and its tenant, and throws `rate-limited` if either limit is reached. */
export function createPrincipalLimit(principalPolicy: Policy, tenantPolicy: Policy, leases: Leases, waitMs: number) {
  const principals = new LRUCache<string, Counter>({ max: MAX_COUNTERS });
  const tenants = new LRUCache<string, Counter>({ max: MAX_COUNTERS });

  function counterOf(counters: LRUCache<string, Counter>, policy: Policy, subject: string): Counter {
    const known = counters.get(subject);
    if (known?.policy.max === policy.max && known.policy.windowMs === policy.windowMs) return known;
    const counter = openCounter(policy, subject);
    counters.set(subject, counter);
    return counter;
  }

  /** Not async, because usually tokens are available locally. */
  function admit(spender: LimitedPrincipal, res: ServerResponse): Promise<void> {
    const { tenant_id, rate_limit } = spender;
    const policy = rate_limit ? ownPolicy(rate_limit, tenantPolicy) : principalPolicy;
    const principal = counterOf(principals, policy, `${tenant_id}/${payerOf(spender)}`);
    const tenant = counterOf(tenants, tenantPolicy, tenant_id);
    const now = performance.now();
    if (!isSettled(principal, now) || !isSettled(tenant, now)) return admitLater(principal, tenant, res);
    const refusing = principal.tokens <= 0 ? principal : tenant.tokens <= 0 ? tenant : undefined;
    if (!refusing) {
      principal.tokens -= 1;
      tenant.tokens -= 1;
    }
    answer(principal, tenant, refusing, now, res);
    return ADMITTED;
  }

  /** Spends the principal's token first: otherwise many requests over the principal's limit would take many of the tenant's tokens. */
  async function admitLater(principal: Counter, tenant: Counter, res: ServerResponse): Promise<void> {
    // Requests tokens for the tenant at the same time, so that usually one call serves both.
    if (!isSettled(tenant, performance.now())) leases.refill(tenant);
    let refusing: Counter | undefined;
    if (!(await leases.spend(principal, waitMs))) refusing = principal;
    else if (!(await leases.spend(tenant, waitMs))) {
      refusing = tenant;
      principal.tokens += 1;
    }
    answer(principal, tenant, refusing, performance.now(), res);
  }

  function answer(principal: Counter, tenant: Counter, refusing: Counter | undefined, now: number, res: ServerResponse): void {
    if (isLow(principal)) leases.refill(principal);
    if (isLow(tenant)) leases.refill(tenant);
    setHeaders(
      res,
      policyHeader([principal.policy, tenant.policy]),
      `${limitHeader(statusOf(principal, now))}, ${limitHeader(statusOf(tenant, now))}`,
    );
    if (refusing) throw limitExceeded(statusOf(refusing, now));
  }

  return admit;
}

/** Returns the policy of a key with its own limit, capped by the tenant's limit, which an operator may have lowered. */
function ownPolicy({ max, window_ms }: NonNullable<LimitedPrincipal['rate_limit']>, tenant: Policy): Policy {
  const most = Math.max(1, Math.min(max, Math.floor((tenant.max * window_ms) / tenant.windowMs), tenant.max));
  return { name: 'principal', max: most, windowMs: window_ms, block: blockOf(most) };
}

const statusOf = (counter: Counter, now: number) => ({
  policy: counter.policy,
  remaining: remaining(counter),
  seconds: secondsLeft(counter, now),
});
