import { LRUCache } from 'lru-cache';
import { Problem } from '../http/problem.ts';
import { blockOf, type Counter, isLow, isSettled, openCounter, type Policy, secondsLeft } from './counter.ts';
import type { Leases } from './lease.ts';

// Byte budgets for request bodies. A body is charged by its length before it is read. One token is one KiB.

const KIB = 1024;
/** Maximum number of counters in memory. An evicted counter loses its tokens and needs one more call to the shared store. */
const MAX_COUNTERS = 20_000;

export interface ByteBudgets {
  principal: number;
  tenant: number;
}

interface ChargedCounter {
  counter: Counter;
  setting: string;
}

/** Returns a function that charges a body to its principal and its tenant, and throws `rate-limited` if either budget is exceeded. */
export function createByteLimit(budgets: ByteBudgets, windowMs: number, leases: Leases, waitMs: number) {
  const policyOf = (name: string, bytes: number): Policy => {
    const max = Math.floor(bytes / KIB);
    return { name, max, windowMs, block: blockOf(max) };
  };
  const [principalPolicy, tenantPolicy] = [
    policyOf('principal bytes', budgets.principal),
    policyOf('tenant bytes', budgets.tenant),
  ];
  const counters = new LRUCache<string, Counter>({ max: MAX_COUNTERS });
  const counterOf = (policy: Policy, subject: string): Counter => {
    const known = counters.get(subject);
    if (known) return known;
    const counter = openCounter(policy, subject);
    counters.set(subject, counter);
    return counter;
  };

  /** Returns undefined if enough tokens are available locally. */
  function admit(tenant_id: string, principal_id: string, bytes: number): Promise<void> | undefined {
    const principal: ChargedCounter = {
      counter: counterOf(principalPolicy, `${tenant_id}/${principal_id}`),
      setting: 'RATE_LIMIT_MAX_BYTES',
    };
    const tenant: ChargedCounter = { counter: counterOf(tenantPolicy, tenant_id), setting: 'RATE_LIMIT_TENANT_BYTES' };
    const n = Math.ceil(bytes / KIB);
    const now = performance.now();
    const inHand = [principal, tenant].every(
      ({ counter }) => isSettled(counter, now, costFor(counter, n)) && counter.tokens >= n,
    );
    if (!inHand) return admitLater(principal, tenant, n);
    for (const { counter } of [principal, tenant]) {
      counter.tokens -= n;
      if (isLow(counter)) leases.refill(counter);
    }
    return undefined;
  }

  /** Charges the principal first: a rejected principal must not use up the budget of its tenant. */
  async function admitLater(principal: ChargedCounter, tenant: ChargedCounter, n: number): Promise<void> {
    const own = costFor(principal.counter, n);
    if (!(await leases.spend(principal.counter, waitMs, own))) throw budgetExceeded(principal);
    if (await leases.spend(tenant.counter, waitMs, costFor(tenant.counter, n))) return;
    principal.counter.tokens += own;
    throw budgetExceeded(tenant);
  }

  return admit;
}

/** Returns the cost of a body. A body larger than the whole budget costs all of it. */
const costFor = ({ policy }: Counter, n: number): number => Math.min(n, policy.max);

function budgetExceeded({ counter, setting }: ChargedCounter): Problem {
  const seconds = secondsLeft(counter, performance.now());
  const { max, windowMs } = counter.policy;
  return new Problem(
    'rate-limited',
    `The request bodies exceed ${max * KIB} bytes in ${windowMs / 1000} s (${setting}); try again in ${seconds} s.`,
    { headers: { 'Retry-After': String(seconds) } },
  );
}
