// Who is next: tenants in turn, each at most so many at a time.

export interface Turns<T> {
  readonly waiting: number;
  /** So many tenants have something waiting. */
  readonly tenants: number;
  waitingOf(tenant: string): number;
  add(tenant: string, item: T): void;
  /** The next item of a tenant that has fewer than `most` running. */
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
        // to the end: tenants take turns
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
