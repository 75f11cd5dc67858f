import { openFairQueue } from '../fair_queue.ts';

// Who gets the next connection. Tenants take turns, and one tenant has at most its share of the connections at once, so that nobody waits
// behind all that another asks for. A tenant's batches of writes take turns as a tenant of their own. What is of no tenant has no share.

/** The queue for connections is full: shed the request instead of letting it wait for its timeout. */
export class PoolSaturated extends Error {
  readonly code = 'pool_saturated';
  constructor(waiting: number) {
    super(`${waiting} requests are waiting for a database connection already`);
    this.name = 'PoolSaturated';
  }
}

/** So many of one tenant’s wait already. */
export class ShareSaturated extends Error {
  readonly code = 'pool_share';
  constructor(waiting: number) {
    super(`${waiting} requests of the tenant are waiting for a database connection already`);
    this.name = 'ShareSaturated';
  }
}

export interface ConnectionQueue {
  readonly waiting: number;
  /** When it is one's turn; undefined: at once. `leave` follows in any case but where it throws or rejects. */
  acquire(tenant: string): Promise<void> | undefined;
  release(tenant: string): void;
}

export interface ConnectionQueueLimits {
  /** Connections. */
  max: number;
  maxWaiting: number;
  /** Nobody waits longer. */
  wait_ms: number;
}

interface Waiting {
  tenant: string;
  begin(): void;
}

export const NO_TENANT = '';

/** More than the followers of a tenant may have at once, so that its other requests do not wait for those. */
const LEAST_SHARE = 4;
const shareOf = (max: number): number => Math.max(1, Math.min(max - 1, Math.max(LEAST_SHARE, Math.floor(max / 2))));

export function openConnectionQueue({ max, maxWaiting, wait_ms }: ConnectionQueueLimits): ConnectionQueue {
  const share = shareOf(max);
  const queue = openFairQueue<Waiting>();
  const lent = new Map<string, number>();
  let lentInAll = 0;

  const of = (tenant: string) => (tenant === NO_TENANT ? 0 : (lent.get(tenant) ?? 0));

  function take(tenant: string): void {
    lentInAll += 1;
    lent.set(tenant, (lent.get(tenant) ?? 0) + 1);
  }

  function next(): void {
    while (lentInAll < max) {
      const waiting = queue.take(of, share);
      if (!waiting) return;
      take(waiting.tenant);
      waiting.begin();
    }
  }

  /**
   * A full queue refuses whoever has an equal part of it already; so a tenant that is alone may fill it, and cannot keep another out by
   * that. MAX_IN_FLIGHT_REQUESTS bounds them all.
   */
  function refuseMore(own: number): void {
    if (queue.waiting < maxWaiting) return;
    const others = queue.tenants - (own > 0 ? 1 : 0);
    if (own < maxWaiting / (others + 1)) return;
    throw others > 0 ? new ShareSaturated(own) : new PoolSaturated(queue.waiting);
  }

  function wait(tenant: string): Promise<void> {
    if (tenant !== NO_TENANT) refuseMore(queue.waitingOf(tenant));
    return new Promise((resolve, reject) => {
      const begin = () => {
        clearTimeout(timer);
        resolve();
      };
      const one = { tenant, begin };
      const timer = setTimeout(() => {
        queue.remove(tenant, one);
        // as pg says it
        reject(new Error('timeout exceeded when trying to connect'));
      }, wait_ms).unref();
      queue.add(tenant, one);
    });
  }

  return {
    get waiting() {
      return queue.waiting;
    },
    acquire: (tenant) => {
      if (lentInAll >= max || of(tenant) >= share) return wait(tenant);
      return void take(tenant);
    },
    release: (tenant) => {
      lentInAll -= 1;
      const left = lent.get(tenant)! - 1;
      if (left > 0) lent.set(tenant, left);
      else lent.delete(tenant);
      next();
    },
  };
}
