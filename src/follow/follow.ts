import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Caller, Visibility } from '../auth/index.ts';
import type { Watch } from '../db/watch.ts';
import { Problem } from '../http/problem.ts';
import { STREAMED } from '../http/route.ts';
import type { Logger } from '../log.ts';
import { type Batch, type Feed, ownFormat, readBatch } from './feed.ts';
import { type FollowMetrics, followCounters, registerGauges } from './figures.ts';
import { assertIssued, assertRetained } from './retained.ts';
import { type BufferSize, createSendBuffer, type SendBuffer } from './send_buffer.ts';
import { readLogBounds } from './sql.ts';
import { HEARTBEAT_MS, lastIdOf, openStream } from './sse.ts';
import { createReadQueue, initialScan, isStatementTimeout, nextScan, scanAfterTimeout } from './throttle.ts';

// Follows the log with server-sent events. The cursor of a stream is the last seq that it has read. Because seqs are dense in commit order, every
// event up to the head of the log is readable, and none is missed or repeated.

/** Maximum number and size of the messages of a read. */
const BATCH = { events: 500, bytes: 1024 * 1024 };
const RECHECK_MS = 30_000;
const RETRY_MS = 500;
const OVERFLOW_GRACE_MS = 30_000;
/** Number of consecutive failed reads after which a stream is stuck: the database is unavailable, or an event makes every read fail. */
const STUCK_AFTER = 3;

interface Dependencies {
  watch: Pick<Watch, 'subscribe'>;
  /** Authenticates the request again. Rejects if its credential is no longer valid. */
  recheck(req: IncomingMessage): Promise<Caller>;
  /** Maximum number of streams of a tenant. */
  maxPerTenant: number;
  /** Limits of what is buffered for one client. */
  buffer: BufferSize;
  metrics: FollowMetrics;
  log: Logger;
}

/** The streams of a daemon. */
export interface Follow {
  /** Answers with a stream of the feed's messages after `after`; by default, after the end of the log. */
  stream(input: {
    caller: Caller;
    req: IncomingMessage;
    res: ServerResponse;
    feed: Feed;
    after: number | undefined;
    /** Authenticates the request again, if its route does so in its own way. */
    identify?: Dependencies['recheck'];
  }): Promise<typeof STREAMED>;
  /** Rechecks the streams of a tenant after one of its credentials was restricted. */
  recheck(tenant_id: string): void;
  /** Ends every stream. The clients resume at another daemon from their last id. */
  end(): void;
}

type Shared = ReturnType<typeof shareOf>;

/** A batch is at most half of a buffer, so that another one is read before the client has taken everything. */
const batchFor = ({ events, bytes }: BufferSize): BufferSize => ({
  events: Math.min(BATCH.events, Math.ceil(events / 2)),
  bytes: Math.min(BATCH.bytes, Math.floor(bytes / 2)),
});

/** State that all streams of a daemon share. */
const shareOf = (needs: Dependencies) => ({
  ...needs,
  counters: followCounters(needs.metrics),
  batch: batchFor(needs.buffer),
  buffered: { bytes: 0 },
  open: new Map<string, Set<Stream>>(),
  reading: new Map<string, Promise<Batch>>(),
  reads: createReadQueue(),
  /** True once the daemon is stopping; new streams are refused. */
  ended: false,
});

interface Stream {
  caller: Caller;
  identify: Dependencies['recheck'];
  feed: Feed;
  visibility: Visibility;
  req: IncomingMessage;
  res: ServerResponse;
  buffer: SendBuffer;
  cursor: number;
  head: number;
  /** True once the stream has caught up with the log, so that every further event is new. */
  live: boolean;
  /** Number of events that the next read scans. */
  scan_limit: number;
  /** Number of consecutive failed reads. */
  failures: number;
  over: boolean;
  wake(): void;
}

export function openFollow(needs: Dependencies): Follow {
  const shared = shareOf(needs);
  const all = () => [...shared.open.values()].flatMap((streams) => [...streams]);
  registerGauges(needs.metrics, {
    open: () => all().length,
    furthestBehind: () => all().reduce((most, { buffer, head }) => Math.max(most, head - buffer.sent()), 0),
    stuck: () => all().filter(({ failures }) => failures >= STUCK_AFTER).length,
  });
  return {
    stream: (input) => answer(shared, input),
    recheck: (tenant_id) => {
      for (const at of shared.open.get(tenant_id) ?? []) void recheck(at);
    },
    end: () => {
      shared.ended = true;
      for (const at of all()) end(at);
    },
  };
}

async function answer(
  shared: Shared,
  { caller, req, res, feed, after, identify = shared.recheck }: Parameters<Follow['stream']>[0],
): Promise<typeof STREAMED> {
  const visibility = feed.visibilityOf(caller);
  const bounds = await caller.tenant.read((db) => readLogBounds(db, caller.tenant.id));
  if (!bounds) throw new Problem('not-found', 'The tenant no longer exists.');
  const lastId = lastIdOf(req);
  if (lastId !== undefined) assertIssued(bounds, lastId);
  // Last-Event-ID takes precedence, because a reconnecting browser repeats the original URL
  const cursor = lastId ?? after ?? bounds.last_seq;
  assertRetained(bounds, cursor);
  // nothing is awaited between here and the registration of the stream, so the checks below cannot become stale
  if (res.destroyed) return STREAMED;
  if (shared.ended) throw new Problem('unavailable', 'The daemon is stopping.', { headers: { 'Retry-After': '1' } });
  if ((shared.open.get(caller.tenant.id)?.size ?? 0) >= shared.maxPerTenant)
    throw new Problem('rate-limited', 'The tenant has reached its maximum number of followers.', {
      headers: { 'Retry-After': '5' },
    });
  if (lastId !== undefined) shared.counters.resumed();
  const { buffer: limits, batch, buffered: total, counters } = shared;
  await run(shared, {
    caller,
    identify,
    feed,
    visibility,
    req,
    res,
    buffer: createSendBuffer(res, cursor, { limits, batch, total, onSent: counters.sent }),
    cursor,
    head: bounds.last_seq,
    live: cursor >= bounds.last_seq,
    scan_limit: initialScan(feed.filtered),
    failures: 0,
    over: false,
    wake: () => {},
  });
  return STREAMED;
}

async function run(shared: Shared, at: Stream): Promise<void> {
  const { res, caller, buffer } = at;
  const unsubscribe = shared.watch.subscribe(caller.tenant.id, (lastSeq) => {
    if (lastSeq <= at.head) return;
    at.head = lastSeq;
    at.wake();
  });
  const unregister = register(shared, at);
  res.once('close', () => end(at));
  const isStoppable = caller.principal.agent_id !== undefined;
  const heartbeat = setInterval(() => buffer.isIdle() && res.write(`: alive\nid: ${buffer.sent()}\n\n`), HEARTBEAT_MS);
  const rechecks = setInterval(() => void recheck(at), RECHECK_MS);
  try {
    openStream(res, at.cursor);
    // the credential may have expired since the request was authenticated
    void recheck(at);
    while (!at.over) {
      if (!(await buffer.waitForRoom())) return endSlowStream(shared, at);
      // a kill is an event itself, so it wakes the streams of the tenant on every daemon
      if (isStoppable && at.head > at.cursor) await recheck(at);
      if (at.head > at.cursor && !(await advance(shared, at))) return endWithFilterError(at);
      if (at.head > at.cursor || at.over) continue;
      await new Promise<void>((resolve) => {
        at.wake = resolve;
        if (at.over || at.head > at.cursor) resolve();
      });
    }
    if (!res.writableEnded) res.end(`: closing\nid: ${buffer.sent()}\n\n`);
  } finally {
    buffer.close();
    unsubscribe();
    clearInterval(heartbeat);
    clearInterval(rechecks);
    unregister();
  }
}

/** Ends a stream. What its client has not taken is discarded; the client resumes from its last id. */
function end(at: Stream): void {
  at.over = true;
  at.buffer.close();
  at.wake();
}

/** Registers a stream. Returns a function that removes it. */
function register({ open }: Shared, at: Stream): () => void {
  const tenant_id = at.caller.tenant.id;
  const ofTenant = open.get(tenant_id) ?? new Set();
  open.set(tenant_id, ofTenant.add(at));
  return () => {
    ofTenant.delete(at);
    if (ofTenant.size === 0) open.delete(tenant_id);
  };
}

/** Ends the stream if its credential is no longer valid or its visibility has changed. */
async function recheck(at: Stream): Promise<void> {
  const allowed = await at
    .identify(at.req)
    .then((caller) => JSON.stringify(at.feed.visibilityOf(caller)) === JSON.stringify(at.visibility))
    .catch(() => false);
  if (!allowed) end(at);
}

/**
 * Discards what the client has not taken, sends an `overflow` event with the position that it has reached, and ends the stream. Closes the
 * connection if the client does not read the event in time.
 */
function endSlowStream({ counters }: Shared, { res, buffer, feed: { format = ownFormat } }: Stream): void {
  counters.overflowed(buffer.close());
  res.end(format.overflow(buffer.sent()));
  const cut = setTimeout(() => res.destroy(), OVERFLOW_GRACE_MS);
  res.once('close', () => clearTimeout(cut));
}

function endWithFilterError({ res, cursor }: Stream): void {
  const detail = 'The filter exceeds the statement timeout on the next event. Simplify the filter, or start after this event.';
  res.end(`event: error\ndata: ${JSON.stringify({ title: 'The filter is too expensive', detail, last_seq: cursor })}\n\n`);
}

/**
 * Sends the next messages between the cursor and the head. If the database is unavailable, waits and keeps the stream open. Returns false if the
 * filter exceeds the statement timeout on a single event, which only another filter can solve.
 */
async function advance(shared: Shared, at: Stream): Promise<boolean> {
  const { caller, feed, buffer } = at;
  try {
    const batch = await shared.reads(caller.tenant.id, async () => (at.over ? undefined : readShared(shared, at)));
    at.failures = 0;
    if (!batch || at.over) return true;
    // the client gets 410 when it resumes
    if (batch.trimmed) end(at);
    buffer.push(batch.pieces, batch.cursor);
    // the bounds of the database may be a few ms ahead, which must not yield a negative lag
    if (at.live && batch.since) shared.counters.delivered(Math.max(0, Date.now() - Date.parse(batch.since)) / 1000);
    at.cursor = batch.cursor;
    at.live ||= at.cursor >= at.head;
    at.scan_limit = nextScan(at.scan_limit, batch.took_ms);
  } catch (err) {
    if (isStatementTimeout(err)) {
      if (at.scan_limit === 1 && feed.filtered) return false;
      at.scan_limit = scanAfterTimeout(Math.min(at.scan_limit, at.head - at.cursor));
      return true;
    }
    at.failures += 1;
    const where = { tenant: caller.tenant.id, after: at.cursor, failures: at.failures };
    if (at.failures === STUCK_AFTER) shared.log.error({ err, ...where }, 'a follower is stuck: its reads keep failing');
    else shared.log.warn({ err, ...where }, 'a follower is waiting for the database');
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  return true;
}

function readShared({ reading, batch }: Shared, at: Stream): Promise<Batch> {
  const { caller, feed, visibility, cursor, head, scan_limit } = at;
  const key = JSON.stringify([caller.tenant.id, visibility, feed.key, cursor, head, scan_limit]);
  const known = reading.get(key);
  if (known) return known;
  const range = { after: cursor, upto: Math.min(head, cursor + scan_limit), limit: batch.events, page_bytes: batch.bytes };
  const read = readBatch(caller.tenant, feed, visibility, range).finally(() => setTimeout(() => reading.delete(key), 50).unref());
  reading.set(key, read);
  return read;
}
