import type { Sight } from '../auth/index.ts';
import type { Tenant } from '../db/tenant.ts';
import { encodeCursor, type Page } from '../http/page.ts';
import { assertKeptAfter } from './kept.ts';
import { firstWalk, tookTooLong, walkAfter, walkAfterTimeout } from './pace.ts';
import type { Event } from './schemas.ts';
import { type Asked, type Entry, eventsOf, type Listed, listEvents, type Stretch } from './sql.ts';

// A page of the log. What it looks through is bounded: a search that matches next to nothing ends with a cursor, not with the log.

/** Events that one request looks through: with a filter, whose cost for an event is the client's choice, fewer. */
const PLAIN_WALK = 20_000;
const FILTERED_WALK = 5_000;
/** No further step of a filter begins after this. */
const FILTERED_MS = 1_000;

export type EventPage = Page<Event> & { scanned_upto?: number };

/** `stretch`: one event further than the page, to know whether another follows. */
export async function readPage(tenant: Tenant, sight: Sight, asked: Asked, stretch: Stretch): Promise<EventPage> {
  const filtered = 'filter' in asked && asked.filter !== undefined;
  const limit = stretch.limit - 1;
  const { entries, more, scanned } = filtered
    ? await searchInSteps(tenant, sight, asked, stretch)
    : await readOnce(tenant, sight, asked, { ...stretch, walk: PLAIN_WALK });
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

const readOnce = (tenant: Tenant, sight: Sight, asked: Asked, stretch: Stretch): Promise<Listed> =>
  tenant.read(async (db) => {
    await assertKeptAfter(db, tenant.id, stretch.after);
    return listEvents(db, tenant.id, sight, asked, stretch);
  });

async function searchInSteps(tenant: Tenant, sight: Sight, asked: Asked, stretch: Stretch): Promise<Listed> {
  const began = performance.now();
  const entries: Entry[] = [];
  let scanned: number | undefined;
  let walk = firstWalk(true);
  for (let left = FILTERED_WALK; ; left -= walk) {
    walk = Math.min(walk, left);
    const from = performance.now();
    try {
      const rest = { ...beyond(stretch, scanned), limit: stretch.limit - entries.length, walk };
      const step = await readOnce(tenant, sight, asked, rest);
      entries.push(...step.entries);
      scanned = step.scanned;
      if (step.more || scanned === undefined) return { entries, more: step.more, scanned };
    } catch (error) {
      if (!tookTooLong(error) || walk === 1) throw error;
      if (scanned !== undefined) return { entries, more: false, scanned };
      walk = walkAfterTimeout(walk);
      continue;
    }
    if (left <= walk || performance.now() - began > FILTERED_MS) return { entries, more: false, scanned };
    walk = walkAfter(walk, performance.now() - from);
  }
}

const beyond = (stretch: Stretch, scanned: number | undefined): Stretch => {
  if (scanned === undefined) return stretch;
  return stretch.order === 'asc' ? { ...stretch, after: scanned } : { ...stretch, upto: scanned - 1 };
};
