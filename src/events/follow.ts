import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Caller, onBehalf, type Visibility, visibilityIn } from '../auth/index.ts';
import type { Watch } from '../db/watch.ts';
import { Problem } from '../http/problem.ts';
import { STREAMED } from '../http/route.ts';
import type { Logger } from '../log.ts';
import { assertIssued, assertRetained } from './retained.ts';
import type { ListQuery } from './schemas.ts';
import { type Entry, listEvents, readLogBounds } from './sql.ts';
import { lastIdOf, openStream, waitForDrain } from './sse.ts';
import { createReadQueue, initialScan, isStatementTimeout, nextScan, type ReadQueue, scanAfterTimeout } from './throttle.ts';

// Follows the log with server-sent events. The cursor of a follower is the last seq that it has read. Because seqs are dense in commit order, every
// event up to the head of the log is readable, and none is missed or repeated.

const BATCH = 500;
const HEARTBEAT_MS = 15_000;
const RECHECK_MS = 30_000;
const MAX_BUFFERED_BYTES = 1024 * 1024;
const RETRY_MS = 500;
const OVERFLOW_GRACE_MS = 30_000;
/** Number of consecutive failed reads after which a stream is stuck: the database is unavailable, or an event makes every read fail. */
const STUCK_AFTER = 3;

export interface FollowDependencies {
  watch: Pick<Watch, 'subscribe'>;
  /** Authenticates the request again. Rejects if its credential is no longer valid. */
  recheck(req: IncomingMessage): Promise<Caller>;
  maxPerTenant: number;
  /** Records the age of the oldest event of a batch, for streams that had caught up with the log before. */
  delivered(age_s: number): void;
  /** Counts a stream that was closed because its client read too slowly. */
  overflowed(): void;
  log: Logger;
}

export interface Follow extends FollowDependencies {
  open: Map<string, Set<OpenStream>>;
  streams: Set<Pick<Stream, 'cursor' | 'head' | 'failures'>>;
  shared: Map<string, Promise<Batch>>;
  reads: ReadQueue;
  /** True once the daemon is stopping; new streams are refused. */
  ended: boolean;
}

/** The operations on an open stream. */
interface OpenStream {
  end(): void;
  /** Ends the stream if its credential is no longer valid or its visibility has changed. */
  recheck(): void;
}

/** Events that are rendered once for all followers with the same cursor and query. */
interface Batch {
  text: string;
  /** Time at which the first event was recorded; undefined without events. */
  since: string | undefined;
  cursor: number;
  took_ms: number;
}

export const createFollow = (needs: FollowDependencies): Follow => ({
  ...needs,
  open: new Map(),
  streams: new Set(),
  shared: new Map(),
  reads: createReadQueue(),
  ended: false,
});

/** Returns the number of open streams, the number of events by which the slowest is behind, and the number of stuck streams. */
export const followerFigures = ({ streams }: Follow) => ({
  open: streams.size,
  furthestBehind: [...streams].reduce((most, { cursor, head }) => Math.max(most, head - cursor), 0),
  stuck: [...streams].filter(({ failures }) => failures >= STUCK_AFTER).length,
});

/** Ends every stream. The clients resume at another daemon from their last id. */
export function endFollowers(follow: Follow): void {
  follow.ended = true;
  for (const set of follow.open.values()) for (const { end } of set) end();
}

/** Rechecks the streams of a tenant after one of its credentials was restricted. */
export function recheckFollowers({ open }: Follow, tenant_id: string): void {
  for (const { recheck } of open.get(tenant_id) ?? []) recheck();
}

export async function followEvents(
  follow: Follow,
  input: { caller: Caller; query: ListQuery; req: IncomingMessage; res: ServerResponse },
): Promise<typeof STREAMED> {
  const { caller, query, req, res } = input;
  const visibility = visibilityOf(caller, query);
  const bounds = await caller.tenant.read((db) => readLogBounds(db, caller.tenant.id));
  if (!bounds) throw new Problem('not-found', 'The tenant no longer exists.');
  const lastId = lastIdOf(req);
  if (lastId !== undefined) assertIssued(bounds, lastId);
  // Last-Event-ID takes precedence over `after`, because a reconnecting browser repeats the original URL
  const cursor = lastId ?? query.after ?? bounds.last_seq;
  assertRetained(bounds, cursor);
  // nothing is awaited between here and the registration of the stream, so the checks below cannot become stale
  if (res.destroyed) return STREAMED;
  if (follow.ended) throw new Problem('unavailable', 'The daemon is stopping.', { headers: { 'Retry-After': '1' } });
  if ((follow.open.get(caller.tenant.id)?.size ?? 0) >= follow.maxPerTenant)
    throw new Problem('rate-limited', 'The tenant has reached its maximum number of followers.', {
      headers: { 'Retry-After': '5' },
    });
  await stream(follow, {
    caller,
    query,
    visibility,
    req,
    res,
    cursor,
    head: bounds.last_seq,
    live: cursor >= bounds.last_seq,
    scan_limit: initialScan(query.filter !== undefined),
    failures: 0,
  });
  return STREAMED;
}

const visibilityOf = (caller: Caller, query: ListQuery): Visibility =>
  visibilityIn(onBehalf(caller, query).principal, query.channel);

interface Stream {
  caller: Caller;
  query: ListQuery;
  visibility: Visibility;
  req: IncomingMessage;
  res: ServerResponse;
  cursor: number;
  head: number;
  /** True once the stream has caught up with the log, so that every further event is new. */
  live: boolean;
  /** Number of events that the next read scans. */
  scan_limit: number;
  /** Number of consecutive failed reads. */
  failures: number;
}

async function stream(follow: Follow, at: Stream): Promise<void> {
  const { res, caller } = at;
  let wake = () => {};
  let over = false;
  const end = () => {
    over = true;
    wake();
  };
  const unsubscribe = follow.watch.subscribe(caller.tenant.id, (lastSeq) => {
    if (lastSeq <= at.head) return;
    at.head = lastSeq;
    wake();
  });
  const recheck = () => void stillAllowed(follow, at).then((allowed) => allowed || end());
  const unregister = register(follow, at, { end, recheck });
  res.once('close', end);
  const isStoppable = caller.principal.agent_id !== undefined;
  const heartbeat = setInterval(() => res.write(`: alive\nid: ${at.cursor}\n\n`), HEARTBEAT_MS);
  const rechecks = setInterval(recheck, RECHECK_MS);
  try {
    openStream(res, at.cursor);
    // the credential may have expired since the request was authenticated
    recheck();
    while (!over) {
      // a kill is an event itself, so it wakes the streams of the tenant on every daemon
      if (isStoppable && at.head > at.cursor && !(await stillAllowed(follow, at))) break;
      if (at.head > at.cursor && !(await advance(follow, at))) return endWithFilterError(at);
      if (res.writableLength > MAX_BUFFERED_BYTES && !(await waitForDrain(res))) return endSlowFollower(follow, at);
      if (at.head > at.cursor || over) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (over || at.head > at.cursor) resolve();
      });
    }
    if (!res.writableEnded) res.end(`: closing\nid: ${at.cursor}\n\n`);
  } finally {
    unsubscribe();
    clearInterval(heartbeat);
    clearInterval(rechecks);
    unregister();
  }
}

/** Registers a stream. Returns a function that removes it. */
function register({ open, streams }: Follow, at: Stream, one: OpenStream): () => void {
  const tenant_id = at.caller.tenant.id;
  const ofTenant = open.get(tenant_id) ?? new Set();
  open.set(tenant_id, ofTenant.add(one));
  streams.add(at);
  return () => {
    streams.delete(at);
    ofTenant.delete(one);
    if (ofTenant.size === 0) open.delete(tenant_id);
  };
}

/** Returns true if the credential is still valid and its visibility is unchanged. */
const stillAllowed = (follow: Follow, { req, query, visibility }: Stream): Promise<boolean> =>
  follow
    .recheck(req)
    .then((caller) => JSON.stringify(visibilityOf(caller, query)) === JSON.stringify(visibility))
    .catch(() => false);

/** Sends an `overflow` event with the cursor and ends the stream. Closes the connection if the client does not read the event in time. */
function endSlowFollower(follow: Follow, { res, cursor }: Stream): void {
  follow.overflowed();
  res.end(`event: overflow\ndata: {"last_seq":${cursor}}\n\n`);
  const cut = setTimeout(() => res.destroy(), OVERFLOW_GRACE_MS);
  res.once('close', () => clearTimeout(cut));
}

/**
 * Sends the next events between the cursor and the head. If the database is unavailable, waits and keeps the stream open. Returns false if the
 * filter exceeds the statement timeout on a single event, which only another filter can solve.
 */
async function advance(follow: Follow, at: Stream): Promise<boolean> {
  const { res, caller, query } = at;
  try {
    const batch = await follow.reads(caller.tenant.id, async () => (res.destroyed ? undefined : readShared(follow, at)));
    at.failures = 0;
    if (!batch || res.destroyed) return true;
    if (batch.text) res.write(batch.text);
    // the bounds of the database may be a few ms ahead, which must not yield a negative lag
    if (at.live && batch.since) follow.delivered(Math.max(0, Date.now() - Date.parse(batch.since)) / 1000);
    at.cursor = batch.cursor;
    at.live ||= at.cursor >= at.head;
    at.scan_limit = nextScan(at.scan_limit, batch.took_ms);
  } catch (err) {
    if (isStatementTimeout(err)) {
      if (at.scan_limit === 1 && query.filter) return false;
      at.scan_limit = scanAfterTimeout(Math.min(at.scan_limit, at.head - at.cursor));
      return true;
    }
    at.failures += 1;
    const where = { tenant: caller.tenant.id, after: at.cursor, failures: at.failures };
    if (at.failures === STUCK_AFTER) follow.log.error({ err, ...where }, 'a follower is stuck: its reads keep failing');
    else follow.log.warn({ err, ...where }, 'a follower is waiting for the database');
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  return true;
}

function endWithFilterError({ res, cursor }: Stream): void {
  const detail = 'The filter exceeds the statement timeout on the next event. Simplify the filter, or start after this event.';
  res.end(`event: error\ndata: ${JSON.stringify({ title: 'The filter is too expensive', detail, last_seq: cursor })}\n\n`);
}

function readShared(follow: Follow, at: Stream): Promise<Batch> {
  const { caller, query, visibility, cursor, head, scan_limit } = at;
  const key = JSON.stringify([caller.tenant.id, visibility, query, cursor, head, scan_limit]);
  const known = follow.shared.get(key);
  if (known) return known;
  const reading = readBatch(at).finally(() => setTimeout(() => follow.shared.delete(key), 50).unref());
  follow.shared.set(key, reading);
  return reading;
}

async function readBatch({ caller, query, visibility, cursor, head, scan_limit }: Stream): Promise<Batch> {
  const upto = Math.min(head, cursor + scan_limit);
  const range = { after: cursor, upto, order: 'asc', limit: BATCH } as const;
  const began = performance.now();
  const { entries, more } = await caller.tenant.read((db) => listEvents(db, caller.tenant.id, visibility, query, range));
  return {
    text: entries.map(render).join(''),
    since: entries.find(({ event }) => event)?.event?.created_at,
    cursor: more || entries.length === BATCH ? entries.at(-1)!.seq : upto,
    took_ms: performance.now() - began,
  };
}

function render({ seq, event_id, event, unreadable }: Entry): string {
  const [name, data] = event ? [event.kind, event] : ['unreadable', { seq, event_id, reason: unreadable }];
  return `id: ${seq}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
