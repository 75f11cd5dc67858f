import type { Visibility } from '../auth/index.ts';
import type { Tenant } from '../db/tenant.ts';
import { assertRetainedAfter, initialScan, isStatementTimeout, nextScan, scanAfterTimeout } from '../follow/index.ts';
import { encodeCursor, type Page } from '../http/page.ts';
import type { Event } from './schemas.ts';
import { type Entry, eventsOf, type ListFilter, type ListResult, type LogRange, listEvents } from './sql.ts';

// Reads a page of the log. The number of scanned events is bounded: a filter that matches very little ends the page with a cursor.

/** Maximum number of events that a request scans; lower with a filter, because the client determines its cost. */
const MAX_SCANNED = 20_000;
const MAX_FILTERED_SCANNED = 5_000;
/** No further step of a filtered scan starts after this time. */
const MAX_FILTERED_MS = 1_000;

export type EventPage = Page<Event> & { scanned_upto?: number };

/** `range` is one event longer than the page, which shows whether another page follows. */
export async function readPage(tenant: Tenant, visibility: Visibility, query: ListFilter, range: LogRange): Promise<EventPage> {
  const filtered = 'filter' in query && query.filter !== undefined;
  const limit = range.limit - 1;
  const { entries, more, scanned } = filtered
    ? await searchInSteps(tenant, visibility, query, range)
    : await readOnce(tenant, visibility, query, { ...range, scan_limit: MAX_SCANNED });
  const page = entries.slice(0, limit);
  const last = more || entries.length > limit ? page.at(-1)!.seq : scanned;
  const unreadable = page.filter(({ event }) => !event).map(({ seq }) => seq);
  return {
    data: eventsOf(page),
    next_cursor: last === undefined ? null : encodeCursor([last]),
    ...(last !== undefined && last === scanned && { scanned_upto: scanned }),
    ...(unreadable.length > 0 && { unreadable }),
  };
}

const readOnce = (tenant: Tenant, visibility: Visibility, query: ListFilter, range: LogRange): Promise<ListResult> =>
  tenant.snapshot(async (db) => {
    await assertRetainedAfter(db, tenant.id, range.after);
    return listEvents(db, tenant.id, visibility, query, range);
  });

async function searchInSteps(tenant: Tenant, visibility: Visibility, query: ListFilter, range: LogRange): Promise<ListResult> {
  const began = performance.now();
  const entries: Entry[] = [];
  let scanned: number | undefined;
  let scan_limit = initialScan(true);
  for (let left = MAX_FILTERED_SCANNED; ; left -= scan_limit) {
    scan_limit = Math.min(scan_limit, left);
    const from = performance.now();
    try {
      const rest = { ...remainingRange(range, scanned), limit: range.limit - entries.length, scan_limit };
      const step = await readOnce(tenant, visibility, query, rest);
      entries.push(...step.entries);
      scanned = step.scanned;
      if (step.more || scanned === undefined) return { entries, more: step.more, scanned };
    } catch (error) {
      if (!isStatementTimeout(error) || scan_limit === 1) throw error;
      if (scanned !== undefined) return { entries, more: false, scanned };
      scan_limit = scanAfterTimeout(scan_limit);
      continue;
    }
    if (left <= scan_limit || performance.now() - began > MAX_FILTERED_MS) return { entries, more: false, scanned };
    scan_limit = nextScan(scan_limit, performance.now() - from);
  }
}

const remainingRange = (range: LogRange, scanned: number | undefined): LogRange => {
  if (scanned === undefined) return range;
  return range.order === 'asc' ? { ...range, after: scanned } : { ...range, upto: scanned - 1 };
};
