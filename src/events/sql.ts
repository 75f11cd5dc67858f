import { type Channel, isHiddenById, type Visibility, visibilityValues, visible, withheldIn } from '../auth/index.ts';
import { bindNamed } from '../db/named_parameters.ts';
import type { Db, RowChecker } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Outcome } from '../db/unit.ts';
import type { Filter } from '../filter/index.ts';
import { Problem } from '../http/problem.ts';
import { applyEdits, type EventView, type Overlay } from './overlay.ts';
import type { Event, Recorded } from './schemas.ts';

const columns = `e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id, e.project_id,
  e.sensitivity, e.tags, e.refs, e.metadata, e.artifact_id, e.redactions, e.chunk_count, e.occurred_at, e.created_at,
  o.edit_ids, o.content as edited, o.blocked_in, o.chunk_count as edited_count`;

export interface EventRecord extends Overlay {
  seq: number;
  event_id: string;
  session_id: string;
  channel: Event['channel'];
  actor_type: string;
  actor_id: string;
  kind: string;
  content: Record<string, unknown>;
  user_id: string | null;
  agent_id: string | null;
  project_id: string | null;
  sensitivity: Event['sensitivity'];
  tags: string[];
  refs: string[];
  metadata: Record<string, unknown>;
  artifact_id: string | null;
  redactions: number | null;
  chunk_count: number;
  occurred_at: string;
  created_at: string;
}

/**
 * Returns the ids of the chunks of an event. An id consists of the event's id and an ordinal, so it need not be stored and a rebuild does not change
 * it.
 */
export const chunkIds = (event_id: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `chk_${event_id.slice(4)}_${i}`);

function toEvent(row: EventRecord, view: EventView): Event {
  const event: Event = {
    event_id: row.event_id,
    seq: row.seq,
    session_id: row.session_id,
    channel: row.channel,
    actor: { type: row.actor_type, id: row.actor_id },
    kind: row.kind,
    content: row.content,
    ...(row.user_id !== null && { user_id: row.user_id }),
    ...(row.agent_id !== null && { agent_id: row.agent_id }),
    ...(row.project_id !== null && { project_id: row.project_id }),
    sensitivity: row.sensitivity,
    tags: row.tags,
    refs: row.refs,
    metadata: row.metadata,
    ...(row.artifact_id !== null && { artifact_id: row.artifact_id }),
    ...(row.redactions !== null && { redactions: row.redactions }),
    chunk_ids: chunkIds(row.event_id, row.chunk_count),
    occurred_at: row.occurred_at,
    created_at: row.created_at,
  };
  return row.edit_ids === null ? event : applyEdits(event, row, view, (count) => chunkIds(row.event_id, count));
}

/** The types of columns in a well-formed row. A row without them was not written by this service. */
export const EVENT_SHAPE = { objects: ['content', 'metadata'], maybe: ['edited'], lists: ['tags', 'refs'] };

/** A position in the log: the event, or the reason why it is unreadable. */
export type Entry = { seq: number; event_id: string; kind: string } & (
  | { event: Event; unreadable?: undefined }
  | { event?: undefined; unreadable: string }
);

function toEntry(checker: RowChecker, row: EventRecord, view: EventView): Entry {
  const position = { seq: row.seq, event_id: row.event_id, kind: row.kind };
  const unreadable = checker.faultOf(row, EVENT_SHAPE);
  return unreadable === undefined ? { ...position, event: toEvent(row, view) } : { ...position, unreadable };
}

/** Returns the readable events. */
export const eventsOf = (entries: Entry[]): Event[] => entries.flatMap(({ event }) => event ?? []);

export async function readEvent(
  tenant: Tenant,
  event_id: string,
  visibility: Visibility,
  view: EventView,
): Promise<Event | undefined> {
  const row = await findEvent(tenant, event_id, visibility);
  return row && readable(tenant, row, view);
}

function readable(tenant: Tenant, row: EventRecord, view: EventView): Event {
  const { event, unreadable } = toEntry(tenant, row, view);
  if (!event) throw new Problem('unreadable', `The event at seq ${row.seq} cannot be read (${unreadable}).`);
  return event;
}

/** Reads the original of an event. Returns undefined if an edit has changed its content or hides it. */
export async function readUnedited(
  tenant: Tenant,
  event_id: string,
  visibility: Visibility,
  asking: Channel[],
): Promise<Event | undefined> {
  const row = await findEvent(tenant, event_id, visibility);
  if (!row || row.edited !== null || isHiddenById(row.blocked_in, asking)) return undefined;
  return readable(tenant, row, { asking });
}

const READ_EVENTS = {
  text: 'select * from read_events($1, $2, $3, $4, $5, $6)',
  name: 'read_events',
  id: 'event_id',
};
/** Larger or edited events are not read in a batch, because parsing a batch of them would block the event loop. */
const MAX_BATCHED_BYTES = 16 * 1024;

async function findEvent(tenant: Tenant, event_id: string, visibility: Visibility): Promise<EventRecord | undefined> {
  const values = visibilityValues(visibility);
  const batched = await tenant.lookUp<EventRecord>(READ_EVENTS, event_id, [...values, MAX_BATCHED_BYTES]);
  if (batched) return batched;
  const [row] = await tenant.call<EventRecord>(READ_EVENTS.text, [tenant.id, [event_id], ...values, null], READ_EVENTS.name);
  return row;
}

interface EventFilter {
  session_id?: string;
  kind?: string;
  about_user_id?: string;
  agent_id?: string;
  project_id?: string;
  tag?: string;
  since?: string;
  until?: string;
  filter?: Filter;
}

/** A range of the log: after `after`, up to and including `upto`, the order, and the maximum number of events to return. */
export interface LogRange {
  after: number | undefined;
  upto: number | undefined;
  order: 'asc' | 'desc';
  limit: number;
  /** Maximum number of events to scan, counting only those of the requested session or project; by default the whole range. */
  scan_limit?: number;
  /** Maximum size of the events to return, in bytes; by default PAGE_BYTES. The first event is always returned. */
  page_bytes?: number;
}

/** Maximum size of a page in bytes, so that a thousand events of a megabyte are not read at once. */
const PAGE_BYTES = 4 * 1024 * 1024;
/** Excludes events that a trim kept before the beginning of the log. */
const IN_LOG = 'e.seq >= (select c.oldest_seq from tenant_clocks c where c.tenant_id = $1)';
/** The approximate size of an event in an answer, including the ids of its passages. */
const READ_BYTES = '(l.byte_count + 40 * l.chunk_count)';

export interface ListResult {
  entries: Entry[];
  /** True if the page ended because of its size and the range has more events. */
  more: boolean;
  /** The seq of the last scanned event if the scan ended before the range; the entries end there or before. */
  scanned: number | undefined;
}

/**
 * Filters within one channel, or everything that is visible in some channels. A withheld event is filtered only by the fields that the list shows
 * of it.
 */
export type ListFilter = (EventFilter & { channel: Channel }) | { channels: Channel[] };

/** The events to scan. An index alone selects them, so that a filter that matches nothing ends at the scan limit. */
const SCANNED = `e.tenant_id = $1 and ${IN_LOG}
  and ($after::bigint is null or e.seq > $after)
  and ($upto::bigint is null or e.seq <= $upto)
  and ($session_id::text is null or e.session_key = session_key($1, $session_id) and e.session_id = $session_id)
  and ($project_id::text is null or e.project_id = $project_id)`;

/** The filters that are applied to the scanned events. */
const MATCHING = `($kind::text is null or e.kind = $kind)
  and ($about_user_id::text is null or e.user_id = $about_user_id)
  and ($agent_id::text is null or e.agent_id = $agent_id)
  and ($tag::text is null or ($tag = any (e.tags) and not ${withheldIn('channel')}))
  and ($since::timestamptz is null or e.occurred_at >= $since)
  and ($until::timestamptz is null or e.occurred_at < $until)
  and ($filter::jsonb is null or event_matches(e, $filter, ${withheldIn('channel')}, $channel))`;

const NO_FILTER: Record<keyof EventFilter | 'channel', undefined> = {
  session_id: undefined,
  project_id: undefined,
  kind: undefined,
  about_user_id: undefined,
  agent_id: undefined,
  tag: undefined,
  since: undefined,
  until: undefined,
  filter: undefined,
  channel: undefined,
};
const valuesOf = (query: ListFilter): Record<string, unknown> => ({ ...NO_FILTER, ...('channels' in query ? {} : query) });

/** Lists the visible events of a range. The statement is unnamed, so that each filter gets its own plan. */
export async function listEvents(
  db: Db,
  tenant: string,
  visibility: Visibility,
  query: ListFilter,
  range: LogRange,
): Promise<ListResult> {
  const values = { ...valuesOf(query), scan_limit: undefined, page_bytes: PAGE_BYTES, ...range };
  const { order } = range;
  const rows = await db.rows<EventRecord & { listed: number }>(
    ...bindNamed(
      `select ${columns}, e.listed
      from (
        select l.*, sum(${READ_BYTES}) over (order by l.seq ${order === 'asc' ? 'asc' : 'desc'}) - ${READ_BYTES} as before, count(*) over () as listed
        from (
          select e.*
          from (select e.* from events e where ${SCANNED} order by e.seq ${order === 'asc' ? 'asc' : 'desc'} limit $scan_limit::bigint) e
          where ${visible(2, 'e.')} and ${MATCHING}
          order by e.seq ${order === 'asc' ? 'asc' : 'desc'}
          limit $limit
        ) l
      ) e
      left join overlays o on o.tenant_id = $1 and o.seq = e.seq
      where e.before < $page_bytes
      order by e.seq ${order === 'asc' ? 'asc' : 'desc'}`,
      values,
      [tenant, ...visibilityValues(visibility)],
    ),
  );
  const more = rows.length > 0 && rows.length < rows[0]!.listed;
  // after a full page, the next one starts at its last event
  const scanned = more || rows.length === range.limit ? undefined : await findScanEnd(db, tenant, values, range);
  return { entries: rows.map((row) => toEntry(db, row, query)), more, scanned };
}

/** Returns the seq at which the scan of listEvents ended; undefined if it reached the end of the range. */
async function findScanEnd(db: Db, tenant: string, values: Record<string, unknown>, { scan_limit, order }: LogRange) {
  if (scan_limit === undefined) return undefined;
  const row = await db.row<{ seq: number }>(
    ...bindNamed(
      `select e.seq from events e where ${SCANNED} order by e.seq ${order === 'asc' ? 'asc' : 'desc'} offset $scan_limit::bigint - 1 limit 1`,
      values,
      [tenant],
    ),
  );
  return row?.seq;
}

type RecordedRow = EventRecord & { unindexed_bytes: number | null };

/** Returns the original answer for these events. */
export async function readRecorded(db: Db, tenant: string, { seq, count }: Outcome): Promise<Recorded[]> {
  const rows = await db.rows<RecordedRow>(
    `select e.event_id, e.seq, e.chunk_count, e.artifact_id, e.redactions, e.sensitivity, e.created_at,
       case when e.artifact_id is not null and e.content ? 'truncated' then (e.content ->> 'unindexed_bytes')::int end as unindexed_bytes
    from events e
    where e.tenant_id = $1 and e.seq >= $2 and e.seq < $2 + $3::bigint
    order by e.seq`,
    [tenant, seq, count],
    'read_recorded',
  );
  // some or all of them were trimmed since
  if (rows.length < count)
    throw new Problem('gone', 'The result of the first request with this Idempotency-Key is no longer stored.');
  return rows.map((row) => ({
    event_id: row.event_id,
    seq: row.seq,
    chunk_ids: chunkIds(row.event_id, row.chunk_count),
    ...(row.artifact_id !== null && { artifact_id: row.artifact_id }),
    sensitivity: row.sensitivity,
    ...(row.redactions !== null && { redactions: row.redactions }),
    ...(row.unindexed_bytes !== null && { unindexed_bytes: row.unindexed_bytes }),
    created_at: row.created_at,
  }));
}
