import type { Visibility } from '../auth/index.ts';
import type { Tenant } from '../db/tenant.ts';
import { type Entry, listEvents, readLogBounds } from '../events/index.ts';
import type { DispatchNeeds } from './dispatch.ts';
import { type Attempt, post } from './send.ts';
import { SEAL_PURPOSE, signatures } from './sign.ts';
import { endReplays, type LeasedWebhook, listReplays, settleAttempt } from './sql.ts';

// What happens under the lease of one subscription. No connection to the database is held while a receiver is waited for.

type Event = NonNullable<Entry['event']>;

export interface DeliveryContext extends DispatchNeeds {
  tenant: Tenant;
  webhook: LeasedWebhook;
  leaseMs: number;
  /** Opened when first needed. */
  secrets: string[] | undefined;
  stopping: AbortSignal;
  isStopping(): boolean;
  /** The turn is: others wait. One attempt is made in each. */
  isOver(): boolean;
  /** The longest attempt so far. */
  took_ms: number;
}

const BATCH = 100;
/** A filter that matches next to nothing does not walk the whole log in one statement. */
const SCAN_EVENTS = 10_000;
const REPLAYS = 100;
const LONGEST_RETRY_MS = 3_600_000;
/** A receiver may ask for a longer pause than that, up to this one. */
const LONGEST_PAUSE_MS = 86_400_000;
const GONE = 410;

interface TurnResult {
  /** The lease is still ours. */
  held: boolean;
  more: boolean;
  /** The event failed and is tried again after so long. */
  retry_ms?: number;
}

/** Delivers the next events in order, up to the first that fails. */
export async function deliverNext(at: DeliveryContext): Promise<TurnResult> {
  const { tenant, webhook } = at;
  const { entries, upto, head } = await readNextEvents(at);
  for (const entry of entries) {
    if (at.isStopping() || (entry !== entries[0] && at.isOver())) return { held: true, more: false };
    const settled = await deliverOne(at, entry);
    if (!settled.done) return settled.next;
    webhook.cursor = entry.seq;
    webhook.attempts = 0;
  }
  if (upto > webhook.cursor) {
    if (!(await settleAttempt(tenant, webhook, at.leaseMs, { cursor: upto, retry_ms: null, delivery: null, disable: null })))
      return { held: false, more: false };
    webhook.cursor = upto;
  }
  return { held: true, more: webhook.cursor < head };
}

async function deliverOne(at: DeliveryContext, entry: Entry): Promise<{ done: true } | { done: false; next: TurnResult }> {
  const attempt = entry.event ? await attemptOf(at, entry.event) : undefined;
  // broken off by the end of the daemon: not the receiver's fault, nothing is written
  if (at.stopping.aborted) return { done: false, next: { held: true, more: false } };
  const { retry_ms, ...settlement } = entry.event ? settlementOf(at, entry.event, attempt!) : skip(entry);
  at.onAttempt(settlement.disable === null ? settlement.delivery.state : 'gone', attempt?.duration_ms ?? 0);
  if (!(await settleAttempt(at.tenant, at.webhook, at.leaseMs, { ...settlement, retry_ms })))
    return { done: false, next: { held: false, more: false } };
  if (settlement.cursor !== null) return { done: true };
  return { done: false, next: { held: true, more: false, ...(retry_ms !== null && { retry_ms }) } };
}

/** What cannot be read is not sent: its delivery is dead, says why, and can be replayed once the row is repaired. */
const skip = (entry: Extract<Entry, { unreadable: string }>) => ({
  cursor: entry.seq,
  retry_ms: null,
  disable: null,
  delivery: {
    ...logOf(entry, { status_code: null, error: unreadable(entry), duration_ms: 0 }),
    state: 'dead' as const,
  },
});
const unreadable = (entry: Entry) => `the row cannot be read (${entry.unreadable})`;

/** What follows the cursor and may be told; all up to `upto` has been looked at then. */
function readNextEvents({ tenant, webhook }: DeliveryContext) {
  return tenant.read(async (db) => {
    const head = (await readLogBounds(db, tenant.id))?.last_seq ?? webhook.cursor;
    const last = Math.min(head, webhook.cursor + SCAN_EVENTS);
    const stretch = { after: webhook.cursor, upto: last, order: 'asc', limit: BATCH } as const;
    const { entries, more } = await listEvents(db, tenant.id, visibilityOf(webhook), filterOf(webhook), stretch);
    return { entries, head, upto: more || entries.length === BATCH ? entries.at(-1)!.seq : last };
  });
}

const visibilityOf = ({ channels, sensitivities, user_ids }: LeasedWebhook): Visibility => ({
  channels,
  sensitivities,
  subjects: user_ids,
});
/** An edit withholds in channels of requests: this is the one in which a request would see what the receiver does. */
const channelOf = ({ channels }: LeasedWebhook): LeasedWebhook['channels'][number] =>
  (['private', 'team', 'agent'] as const).find((each) => channels.includes(each)) ?? 'public';
const filterOf = (webhook: LeasedWebhook) => ({
  channel: channelOf(webhook),
  ...(webhook.filter !== null && { filter: webhook.filter }),
});

/** The same body whenever the event is delivered; Webhook-Id is the event's, so that a receiver knows a repetition. */
async function attemptOf(at: DeliveryContext, event: Event): Promise<Attempt> {
  const { webhook, tenant, seal, send, stopping } = at;
  try {
    const bound = `${tenant.id}/${webhook.webhook_id}`;
    const sealed = webhook.old_secret ? [webhook.secret, webhook.old_secret] : [webhook.secret];
    at.secrets ??= sealed.map((each) => seal.open(each, SEAL_PURPOSE, bound).toString());
  } catch (error) {
    return { status_code: null, error: `${(error as Error).message}`, duration_ms: 0 };
  }
  const body = JSON.stringify({ webhook_id: webhook.webhook_id, event });
  const timestamp_s = Math.floor(Date.now() / 1000);
  const headers = {
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    'User-Agent': 'agent-memory-webhooks',
    'Webhook-Id': event.event_id,
    'Webhook-Timestamp': String(timestamp_s),
    'Webhook-Signature': signatures(at.secrets, event.event_id, timestamp_s, body),
  };
  const attempt = await post(webhook.url, headers, body, send, stopping);
  at.took_ms = Math.max(at.took_ms, attempt.duration_ms);
  return attempt;
}

/** Full jitter: receivers that failed together are not asked together again. */
export const backoffOf = (attempts: number, base_ms: number, random = Math.random()): number =>
  Math.ceil(random * Math.min(LONGEST_RETRY_MS, base_ms * 2 ** (attempts - 1)));

const logOf = ({ event_id, seq, kind }: Pick<Event, 'event_id' | 'seq' | 'kind'>, attempt: Attempt) => ({
  event_id,
  seq,
  kind,
  status_code: attempt.status_code,
  error: attempt.error,
  duration_ms: attempt.duration_ms,
});

function settlementOf({ webhook, maxAttempts, retryMs }: DeliveryContext, event: Event, attempt: Attempt) {
  const row = logOf(event, attempt);
  if (attempt.error === null)
    return { cursor: event.seq, retry_ms: null, disable: null, delivery: { ...row, state: 'delivered' as const } };
  if (attempt.status_code === GONE)
    return {
      cursor: null,
      retry_ms: null,
      disable: 'the receiver answered 410 Gone',
      delivery: { ...row, state: 'retrying' as const },
    };
  webhook.attempts += 1;
  if (webhook.attempts >= maxAttempts)
    return { cursor: event.seq, retry_ms: null, disable: null, delivery: { ...row, state: 'dead' as const } };
  const asked_ms = Math.min(attempt.retry_after_ms ?? 0, LONGEST_PAUSE_MS);
  const retry_ms = Math.max(backoffOf(webhook.attempts, retryMs), asked_ms);
  return { cursor: null, retry_ms, disable: null, delivery: { ...row, state: 'retrying' as const } };
}

/** One attempt each, as the events look today. False where the lease was lost. */
export async function deliverReplays(at: DeliveryContext): Promise<boolean> {
  const { tenant, webhook } = at;
  for (const [i, { seq, event_id, kind }] of (await listReplays(tenant, webhook.webhook_id, REPLAYS)).entries()) {
    if (at.isStopping() || (i > 0 && at.isOver())) break;
    const stretch = { after: seq - 1, upto: seq, order: 'asc', limit: 1 } as const;
    const { entries } = await tenant.read((db) =>
      listEvents(db, tenant.id, visibilityOf(webhook), { channel: channelOf(webhook) }, stretch),
    );
    const [entry] = entries;
    const attempt = entry?.event
      ? await attemptOf(at, entry.event)
      : { status_code: null, error: entry ? unreadable(entry) : 'the event may no longer be delivered', duration_ms: 0 };
    if (at.stopping.aborted) return true;
    const state = attempt.error === null ? 'delivered' : 'dead';
    at.onAttempt(state, attempt.duration_ms);
    const delivery = { ...logOf({ event_id, seq, kind }, attempt), state } as const;
    if (!(await settleAttempt(tenant, webhook, at.leaseMs, { cursor: null, retry_ms: null, disable: null, delivery })))
      return false;
  }
  await endReplays(tenant, webhook);
  return true;
}
