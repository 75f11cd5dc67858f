import { LRUCache } from 'lru-cache';
import { Problem } from '../http/problem.ts';
import { blockOf, type Counter, isLow, isSettled, openCounter, type Policy, secondsLeft } from './counter.ts';
import type { Leases } from './lease.ts';

// What bodies cost is judged by their length, before they are read. A token is a KiB.

const KIB = 1024;
/** Counters in memory; one that is pushed out costs its tokens and one more asking. */
const MAX_COUNTERS = 20_000;

export interface ByteBudgets {
  principal: number;
  tenant: number;
}

interface ChargedCounter {
  counter: Counter;
  setting: string;
}

/** Charges a body to its principal and to its tenant, and refuses it where either has not so many bytes left. */
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

  /** Undefined where tokens are in hand: nothing is waited for. */
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

  /** One after the other: a principal that is refused must not use up its tenant's budget. */
  async function admitLater(principal: ChargedCounter, tenant: ChargedCounter, n: number): Promise<void> {
    const own = costFor(principal.counter, n);
    if (!(await leases.spend(principal.counter, waitMs, own))) throw budgetExceeded(principal);
    if (await leases.spend(tenant.counter, waitMs, costFor(tenant.counter, n))) return;
    principal.counter.tokens += own;
    throw budgetExceeded(tenant);
  }

  return admit;
}

/** A body that is larger than the whole budget costs all of it. */
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
