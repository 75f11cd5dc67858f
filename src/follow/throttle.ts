// Limits the load that followers put on the database: an expensive filter must not occupy its connections, and must not be retried over the same
// range forever.

/** Maximum number of concurrent reads for the followers of a tenant on a daemon, which has twenty connections by default. */
const MAX_CONCURRENT_READS = 3;

/** Runs work in the queue of a tenant. */
export type ReadQueue = <T>(tenant_id: string, work: () => Promise<T>) => Promise<T>;

export function createReadQueue(): ReadQueue {
  const tenants = new Map<string, { running: number; waiting: (() => void)[] }>();
  return async (tenant_id, work) => {
    const queue = tenants.get(tenant_id) ?? { running: 0, waiting: [] };
    tenants.set(tenant_id, queue);
    if (queue.running >= MAX_CONCURRENT_READS) await new Promise<void>((resolve) => queue.waiting.push(resolve));
    else queue.running += 1;
    try {
      return await work();
    } finally {
      // passes the slot to the next waiter, so that a newcomer cannot overtake it
      const next = queue.waiting.shift();
      if (next) next();
      else queue.running -= 1;
      if (queue.running === 0) tenants.delete(tenant_id);
    }
  };
}

/** Maximum number of events that one statement scans, so that a filter that matches very little does not scan the whole log. */
const MAX_SCAN = 10_000;
/** Number of events in the first scan with a filter, whose cost is still unknown. */
const INITIAL_FILTERED_SCAN = 500;
const QUICK_MS = 500;

/** Returns the number of events that the next read scans. */
export const initialScan = (filtered: boolean): number => (filtered ? INITIAL_FILTERED_SCAN : MAX_SCAN);
export const nextScan = (scanned: number, took_ms: number): number =>
  took_ms < QUICK_MS ? Math.min(MAX_SCAN, scanned * 2) : scanned;
/** Returns the number of events to scan after a statement timeout. */
export const scanAfterTimeout = (scanned: number): number => Math.max(1, Math.floor(scanned / 2));

/** Returns true if the database canceled the statement because it took too long. */
export const isStatementTimeout = (error: unknown): boolean => (error as { code?: unknown }).code === '57014';
