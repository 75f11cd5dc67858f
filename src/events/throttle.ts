// What followers may take of the database: a filter that costs much must not hold its connections, nor be tried as a whole for ever.

/** So many reads of one tenant's followers run at once on a daemon, of the twenty connections that it has by default. */
const MAX_CONCURRENT_READS = 3;

/** Runs work in turn, by tenant. */
export type ReadQueue = <T>(tenant_id: string, work: () => Promise<T>) => Promise<T>;

export function createReadQueue(): ReadQueue {
  const tenants = new Map<string, { running: number; waiting: (() => void)[] }>();
  return async (tenant_id, work) => {
    const at = tenants.get(tenant_id) ?? { running: 0, waiting: [] };
    tenants.set(tenant_id, at);
    if (at.running >= MAX_CONCURRENT_READS) await new Promise<void>((resolve) => at.waiting.push(resolve));
    else at.running += 1;
    try {
      return await work();
    } finally {
      // handed on, not given back: a newcomer cannot take it from who waits
      const next = at.waiting.shift();
      if (next) next();
      else at.running -= 1;
      if (at.running === 0) tenants.delete(tenant_id);
    }
  };
}

/** The most that one statement looks through: a filter that matches next to nothing must not walk the whole log. */
const MAX_SCAN = 10_000;
/** Where a filter begins, whose cost nobody knows yet. */
const INITIAL_FILTERED_SCAN = 500;
const QUICK_MS = 500;

/** How many events of the log the next read looks through. */
export const initialScan = (filtered: boolean): number => (filtered ? INITIAL_FILTERED_SCAN : MAX_SCAN);
export const nextScan = (scanned: number, took_ms: number): number => (took_ms < QUICK_MS ? Math.min(MAX_SCAN, scanned * 2) : scanned);
/** After a statement that took too long. */
export const scanAfterTimeout = (scanned: number): number => Math.max(1, Math.floor(scanned / 2));

/** The database gave the statement up: it is there, and the statement asked too much. */
export const isStatementTimeout = (error: unknown): boolean => (error as { code?: unknown }).code === '57014';
