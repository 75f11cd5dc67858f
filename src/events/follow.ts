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

// Following the log over server-sent events. A follower's cursor is the last seq it has looked at; since seq is dense in commit
// order, everything up to the log's head is there to be read, and nothing is missed or repeated.

const BATCH = 500;
const HEARTBEAT_MS = 15_000;
const RECHECK_MS = 30_000;
const MAX_BUFFERED_BYTES = 1024 * 1024;
const RETRY_MS = 500;
const OVERFLOW_GRACE_MS = 30_000;
/** Reads that failed one after another: the database is away, or something in the log cannot be read past. */
const STUCK_AFTER = 3;

export interface FollowDependencies {
  watch: Pick<Watch, 'subscribe'>;
  /** Authenticates the request anew; rejects when its credential is no longer good. */
  recheck(req: IncomingMessage): Promise<Caller>;
  maxPerTenant: number;
  /** Told how old the oldest of the events is that a stream was just given, of those that had caught up with the log before. */
  delivered(age_s: number): void;
  /** Told of each reader that was too slow and let go. */
  overflowed(): void;
  log: Logger;
}

export interface Follow extends FollowDependencies {
  open: Map<string, Set<OpenStream>>;
  streams: Set<Pick<Stream, 'cursor' | 'head' | 'failures'>>;
  shared: Map<string, Promise<Batch>>;
  reads: ReadQueue;
  /** The daemon is stopping: no stream may begin. */
  ended: boolean;
}

/** A stream as others reach it. */
interface OpenStream {
  end(): void;
  /** Ends it unless its credential still shows what it shows. */
  recheck(): void;
}

/** Events rendered once for all followers that stand at the same place with the same question. */
interface Batch {
  text: string;
  /** When the first of them was recorded; undefined where there is none. */
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

/** How many streams are open, and how many events the one that is furthest behind has yet to look at. */
export const followerFigures = ({ streams }: Follow) => ({
  open: streams.size,
  furthestBehind: [...streams].reduce((most, { cursor, head }) => Math.max(most, head - cursor), 0),
  stuck: [...streams].filter(({ failures }) => failures >= STUCK_AFTER).length,
});

/** Ends every stream; each client resumes elsewhere from its last id. */
export function endFollowers(follow: Follow): void {
  follow.ended = true;
  for (const set of follow.open.values()) for (const { end } of set) end();
}

/** Something was taken from a credential of the tenant. */
export function recheckFollowers({ open }: Follow, tenant_id: string): void {
  for (const { recheck } of open.get(tenant_id) ?? []) recheck();
}

export async function followEvents(
  follow: Follow,
  input: { caller: Caller; query: ListQuery; req: IncomingMessage; res: ServerResponse },
): Promise<typeof STREAMED> {
  const { caller, query, req, res } = input;
  const visibility = visibilityOf(caller, query);
  const clock = await caller.tenant.read((db) => readLogBounds(db, caller.tenant.id));
  if (!clock) throw new Problem('not-found', 'The tenant no longer exists.');
  const given = lastIdOf(req);
  if (given !== undefined) assertIssued(clock, given);
  // a reconnecting browser's Last-Event-ID counts more than the URL it was first given
  const cursor = given ?? query.after ?? clock.last_seq;
  assertRetained(clock, cursor);
  // From here to the stream's registration nothing is awaited: a client that has left, and a place that is taken, are seen here.
  if (res.destroyed) return STREAMED;
  if (follow.ended) throw new Problem('unavailable', 'The daemon is stopping.', { headers: { 'Retry-After': '1' } });
  if ((follow.open.get(caller.tenant.id)?.size ?? 0) >= follow.maxPerTenant)
    throw new Problem('rate-limited', 'The tenant has as many followers as are allowed.', { headers: { 'Retry-After': '5' } });
  await stream(follow, {
    caller,
    query,
    visibility,
    req,
    res,
    cursor,
    head: clock.last_seq,
    live: cursor >= clock.last_seq,
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
  /** Has caught up: what it is given from now on is new. */
  live: boolean;
  /** So many events of the log are looked through next. */
  scan_limit: number;
  /** Reads that failed since the last that did not. */
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
  const heartbeat = setInterval(() => res.write(`: alive\nid: ${at.cursor}\n\n`), HEARTBEAT_MS);
  const rechecks = setInterval(recheck, RECHECK_MS);
  try {
    openStream(res, at.cursor);
    // the credential may have ended since the request was let in
    recheck();
    while (!over) {
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

/** Makes a stream known; the answer undoes it. */
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

/** Whether the credential is still good, and still shows what this stream shows. */
const stillAllowed = (follow: Follow, { req, query, visibility }: Stream): Promise<boolean> =>
  follow
    .recheck(req)
    .then((caller) => JSON.stringify(visibilityOf(caller, query)) === JSON.stringify(visibility))
    .catch(() => false);

/** Tells a reader that is too slow where it stands; one that does not even read that is cut off. */
function endSlowFollower(follow: Follow, { res, cursor }: Stream): void {
  follow.overflowed();
  res.end(`event: overflow\ndata: {"last_seq":${cursor}}\n\n`);
  const cut = setTimeout(() => res.destroy(), OVERFLOW_GRACE_MS);
  res.once('close', () => clearTimeout(cut));
}

/**
 * Sends what lies between the cursor and the head. A database that is away is waited for: the stream stays open. False where a
 * single event takes the filter longer than a statement may: nothing but another filter helps.
 */
async function advance(follow: Follow, at: Stream): Promise<boolean> {
  const { res, caller, query } = at;
  try {
    const batch = await follow.reads(caller.tenant.id, async () => (res.destroyed ? undefined : readShared(follow, at)));
    at.failures = 0;
    if (!batch || res.destroyed) return true;
    if (batch.text) res.write(batch.text);
    // the database's clock against ours: a difference of a few ms must not make a lag below none
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
    if (at.failures === STUCK_AFTER) follow.log.error({ err, ...where }, 'a follower is stuck: its reads fail');
    else follow.log.warn({ err, ...where }, 'a follower waits for the database');
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  return true;
}

function endWithFilterError({ res, cursor }: Stream): void {
  const detail = 'The filter takes too long for the next event; ask for less, or begin after it.';
  res.end(`event: error\ndata: ${JSON.stringify({ title: 'The filter costs too much', detail, last_seq: cursor })}\n\n`);
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
  const stretch = { after: cursor, upto, order: 'asc', limit: BATCH } as const;
  const began = performance.now();
  const { entries, more } = await caller.tenant.read((db) => listEvents(db, caller.tenant.id, visibility, query, stretch));
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
