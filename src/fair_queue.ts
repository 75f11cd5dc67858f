// A fair queue: serves the tenants round-robin, with a limit of concurrent items per tenant.

export interface FairQueue<T> {
  readonly waiting: number;
  /** Number of tenants with waiting items. */
  readonly tenants: number;
  waitingOf(tenant: string): number;
  add(tenant: string, item: T): void;
  /** Removes and returns the next item of a tenant that has fewer than `most` running, or undefined. */
  take(runningOf: (tenant: string) => number, most: number): T | undefined;
  remove(tenant: string, item: T): void;
}

export function openFairQueue<T>(): FairQueue<T> {
  const queues = new Map<string, T[]>();
  let waiting = 0;
  return {
    get waiting() {
      return waiting;
    },
    get tenants() {
      return queues.size;
    },
    waitingOf: (tenant) => queues.get(tenant)?.length ?? 0,
    add: (tenant, item) => {
      const queue = queues.get(tenant) ?? [];
      queue.push(item);
      queues.set(tenant, queue);
      waiting += 1;
    },
    take: (runningOf, most) => {
      for (const [tenant, queue] of queues) {
        if (runningOf(tenant) >= most) continue;
        // Move the tenant to the end, so that tenants take turns.
        queues.delete(tenant);
        const item = queue.shift()!;
        if (queue.length > 0) queues.set(tenant, queue);
        waiting -= 1;
        return item;
      }
      return undefined;
    },
    remove: (tenant, item) => {
      const queue = queues.get(tenant);
      const at = queue?.indexOf(item) ?? -1;
      if (at < 0) return;
      queue!.splice(at, 1);
      if (queue!.length === 0) queues.delete(tenant);
      waiting -= 1;
    },
  };
}
