import { LRUCache } from 'lru-cache';
import type { Logger } from './log.ts';
import type { SkippedRow } from './readable.ts';

const SKIPPED_ROWS = 10_000;
const HOUR_MS = 3_600_000;

export type OnSkipped = (tenant: string, row: SkippedRow) => void;

/** Each row once an hour: it is met again by everyone who reads past it. */
export function tellSkipped(log: Logger, count: () => void): OnSkipped {
  const told = new LRUCache<string, true>({ max: SKIPPED_ROWS, ttl: HOUR_MS });
  return (tenant, { row, reason }) => {
    const key = JSON.stringify([tenant, row]);
    if (told.has(key)) return;
    told.set(key, true);
    count();
    log.error({ tenant, row, reason }, 'a row cannot be read and is skipped');
  };
}
