import { LRUCache } from 'lru-cache';
import type { Logger } from './log.ts';
import type { SkippedRow } from './readable.ts';

const SKIPPED_ROWS = 10_000;
const HOUR_MS = 3_600_000;

export type OnSkipped = (tenant: string, row: SkippedRow) => void;

/** Logs and counts each skipped row at most once an hour, because every read that includes the row reports it again. */
export function logSkippedRows(log: Logger, count: () => void): OnSkipped {
  const logged = new LRUCache<string, true>({ max: SKIPPED_ROWS, ttl: HOUR_MS });
  return (tenant, { row, reason }) => {
    const key = JSON.stringify([tenant, row]);
    if (logged.has(key)) return;
    logged.set(key, true);
    count();
    log.error({ tenant, row, reason }, 'skipped a row that cannot be read');
  };
}
