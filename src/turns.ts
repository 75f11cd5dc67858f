// A fair queue: serves the tenants round-robin, with a limit of concurrent items per tenant.

export interface Turns<T> {
  readonly waiting: number;
  /** Number of tenants with waiting items. */
  readonly tenants: number;
  waitingOf(tenant: string): number;
  add(tenant: string, item: T): void;
  /** Removes and returns the next item of a tenant that has fewer than `most` running, or undefined. */
  take(runningOf: (tenant: string) => number, most: number): T | undefined;
  remove(tenant: string, item: T): void;
}

export function openTurns<T>(): Turns<T> {
  const lines = new Map<string, T[]>();
  let waiting = 0;
  return {
    get waiting() {
      return waiting;
    },
    get tenants() {
      return lines.size;
    },
    waitingOf: (tenant) => lines.get(tenant)?.length ?? 0,
    add: (tenant, item) => {
      const line = lines.get(tenant) ?? [];
      line.push(item);
      lines.set(tenant, line);
      waiting += 1;
    },
    take: (runningOf, most) => {
      for (const [tenant, line] of lines) {
        if (runningOf(tenant) >= most) continue;
        // Move the tenant to the end, so that tenants take turns.
        lines.delete(tenant);
        const item = line.shift()!;
        if (line.length > 0) lines.set(tenant, line);
        waiting -= 1;
        return item;
      }
      return undefined;
    },
    remove: (tenant, item) => {
      const line = lines.get(tenant);
      const at = line?.indexOf(item) ?? -1;
      if (at < 0) return;
      line!.splice(at, 1);
      if (line!.length === 0) lines.delete(tenant);
      waiting -= 1;
    },
  };
}
