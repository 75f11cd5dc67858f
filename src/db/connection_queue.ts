import { openFairQueue } from '../fair_queue.ts';

// The queue for database connections. Tenants take turns and use at most their share of the connections at once, so that no tenant waits
// behind all requests of another. The write batches of a tenant take turns as if they were a separate tenant. Work without a tenant is not
// limited to a share.

/** The connection queue is full: the request is shed instead of waiting for its timeout. */
export class PoolSaturated extends Error {
  readonly code = 'pool_saturated';
  constructor(waiting: number) {
    super(`${waiting} requests are waiting for a database connection already`);
    this.name = 'PoolSaturated';
  }
}

/** The connection queue is full, and this tenant already has its part of it. */
export class ShareSaturated extends Error {
  readonly code = 'pool_share';
  constructor(waiting: number) {
    super(`${waiting} requests of the tenant are waiting for a database connection already`);
    this.name = 'ShareSaturated';
  }
}

export interface ConnectionQueue {
  readonly waiting: number;
  /** Resolves when a connection may be used; undefined: immediately. Unless it throws or rejects, the caller must call `release`. */
  acquire(tenant: string): Promise<void> | undefined;
  release(tenant: string): void;
}

export interface ConnectionQueueLimits {
  /** Number of connections. */
  max: number;
  maxWaiting: number;
  /** Maximum waiting time. */
  wait_ms: number;
}

interface Waiting {
  tenant: string;
  start(): void;
}

export const NO_TENANT = '';

/** More connections than the followers of a tenant may use, so that its other requests do not wait for them. */
const MIN_SHARE = 4;
const shareOf = (max: number): number => Math.max(1, Math.min(max - 1, Math.max(MIN_SHARE, Math.floor(max / 2))));

export function openConnectionQueue({ max, maxWaiting, wait_ms }: ConnectionQueueLimits): ConnectionQueue {
  const share = shareOf(max);
  const queue = openFairQueue<Waiting>();
  const inUse = new Map<string, number>();
  let inUseTotal = 0;

  const inUseBy = (tenant: string) => (tenant === NO_TENANT ? 0 : (inUse.get(tenant) ?? 0));

  function reserve(tenant: string): void {
    inUseTotal += 1;
    inUse.set(tenant, (inUse.get(tenant) ?? 0) + 1);
  }

  function startNext(): void {
    while (inUseTotal < max) {
      const waiting = queue.take(inUseBy, share);
      if (!waiting) return;
      reserve(waiting.tenant);
      waiting.start();
    }
  }

  /**
   * Throws if the queue is full and the tenant already has an equal part of it. A tenant alone may fill the queue, but cannot keep others
   * out. MAX_IN_FLIGHT_REQUESTS bounds the total.
   */
  function assertAllowed(own: number): void {
    if (queue.waiting < maxWaiting) return;
    const others = queue.tenants - (own > 0 ? 1 : 0);
    if (own < maxWaiting / (others + 1)) return;
    throw others > 0 ? new ShareSaturated(own) : new PoolSaturated(queue.waiting);
  }

  function wait(tenant: string): Promise<void> {
    if (tenant !== NO_TENANT) assertAllowed(queue.waitingOf(tenant));
    return new Promise((resolve, reject) => {
      const start = () => {
        clearTimeout(timer);
        resolve();
      };
      const entry = { tenant, start };
      const timer = setTimeout(() => {
        queue.remove(tenant, entry);
        // the message of pg, which toProblem recognizes
        reject(new Error('timeout exceeded when trying to connect'));
      }, wait_ms).unref();
      queue.add(tenant, entry);
    });
  }

  return {
    get waiting() {
      return queue.waiting;
    },
    acquire: (tenant) => {
      if (inUseTotal >= max || inUseBy(tenant) >= share) return wait(tenant);
      return void reserve(tenant);
    },
    release: (tenant) => {
      inUseTotal -= 1;
      const left = inUse.get(tenant)! - 1;
      if (left > 0) inUse.set(tenant, left);
      else inUse.delete(tenant);
      startNext();
    },
  };
}
