import type { Visibility } from '../auth/index.ts';
import type { Tenant } from '../db/tenant.ts';
import { type Entry, listEvents } from '../events/index.ts';
import { readLogBounds } from '../follow/index.ts';
import { SealBroken, type Sealed } from '../seal.ts';
import type { DispatchNeeds } from './dispatch.ts';
import { type Attempt, post } from './send.ts';
import { SEAL_PURPOSE, signatures } from './sign.ts';
import { endReplays, type LeasedWebhook, listReplays, settleAttempt } from './sql.ts';

// Deliveries under the lease of one webhook. No database connection is held while a receiver is being waited for.

type Event = NonNullable<Entry['event']>;

export interface DeliveryContext extends DispatchNeeds {
  tenant: Tenant;
  webhook: LeasedWebhook;
  leaseMs: number;
  /** Decrypted when first needed. */
  secrets: string[] | undefined;
  stopping: AbortSignal;
  isStopping(): boolean;
  /** Returns whether the turn must end, because other webhooks wait. A turn makes at least one attempt. */
  isOver(): boolean;
  /** Duration of the longest attempt of the turn. */
  longest_ms: number;
}

const BATCH = 100;
/** Events that one statement scans at most, so that a filter with few matches does not scan the whole log at once. */
const SCAN_EVENTS = 10_000;
const REPLAYS = 100;
const LONGEST_RETRY_MS = 3_600_000;
/** Upper limit of a longer pause that a receiver requests with Retry-After. */
const LONGEST_PAUSE_MS = 86_400_000;
const GONE = 410;

interface TurnResult {
  /** This daemon still has the lease. */
  leased: boolean;
  more: boolean;
  /** The event failed and is due again after this time. */
  retry_ms?: number;
}

/** Delivers the next events in order until one fails. */
export async function deliverNext(context: DeliveryContext): Promise<TurnResult> {
  const { tenant, webhook } = context;
  const { entries, upto, head } = await readNextEvents(context);
  for (const entry of entries) {
    if (context.isStopping() || (entry !== entries[0] && context.isOver())) return { leased: true, more: false };
    const settled = await deliverOne(context, entry);
    if (!settled.done) return settled.next;
    webhook.cursor = entry.seq;
    webhook.attempts = 0;
  }
  if (upto > webhook.cursor) {
    if (!(await settleAttempt(tenant, webhook, context.leaseMs, { cursor: upto, retry_ms: null, delivery: null, disable: null })))
      return { leased: false, more: false };
    webhook.cursor = upto;
  }
  return { leased: true, more: webhook.cursor < head };
}

async function deliverOne(context: DeliveryContext, entry: Entry): Promise<{ done: true } | { done: false; next: TurnResult }> {
  const attempt = entry.event ? await attemptOf(context, entry.event, 'retrying') : undefined;
  // aborted by the shutdown: not a failure of the receiver, so nothing is recorded
  if (context.stopping.aborted) return { done: false, next: { leased: true, more: false } };
  const { retry_ms, ...settlement } = entry.event ? settlementOf(context, entry.event, attempt!) : skip(entry);
  context.onAttempt(settlement.disable === null ? settlement.delivery.state : 'gone', attempt?.duration_ms ?? 0);
  if (!(await settleAttempt(context.tenant, context.webhook, context.leaseMs, { ...settlement, retry_ms })))
    return { done: false, next: { leased: false, more: false } };
  if (settlement.cursor !== null) return { done: true };
  return { done: false, next: { leased: true, more: false, ...(retry_ms !== null && { retry_ms }) } };
}

/** Records an unreadable event as a dead letter with the reason. It can be replayed once the row is repaired. */
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

/** Reads the next events that the receiver may get. All events up to `upto` have been considered then. */
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
/** Edits withhold items by the channel of a request. Returns the channel whose visibility corresponds to that of the receiver. */
const channelOf = ({ channels }: LeasedWebhook): LeasedWebhook['channels'][number] =>
  (['private', 'team', 'agent'] as const).find((each) => channels.includes(each)) ?? 'public';
const filterOf = (webhook: LeasedWebhook) => ({
  channel: channelOf(webhook),
  ...(webhook.filter !== null && { filter: webhook.filter }),
});

/** Returns the secrets, newest first. A previous secret whose key is no longer configured does not sign. Throws SealBroken for the current one. */
function openSecrets({ webhook, tenant, seal }: DeliveryContext): string[] {
  const open = (sealed: Sealed) => seal.open(sealed, SEAL_PURPOSE, `${tenant.id}/${webhook.webhook_id}`).toString();
  const current = open(webhook.secret);
  try {
    return webhook.old_secret ? [current, open(webhook.old_secret)] : [current];
  } catch (error) {
    if (error instanceof SealBroken) return [current];
    throw error;
  }
}

/**
 * Returns the secrets, which are decrypted once per turn. If that fails, every attempt would fail until the operator restores the key: records
 * the reason without counting an attempt, and throws, which ends the turn. The next turn begins when the lease expires.
 */
async function signingSecrets(context: DeliveryContext, event: Event, state: 'retrying' | 'replaying'): Promise<string[]> {
  try {
    context.secrets ??= openSecrets(context);
    return context.secrets;
  } catch (error) {
    const reason = `${(error as Error).message}: restore ENCRYPTION_KEY or rotate the secret of the webhook`;
    const delivery = { ...logOf(event, { status_code: null, error: reason, duration_ms: 0 }), state, tries: 0 as const };
    await settleAttempt(context.tenant, context.webhook, context.leaseMs, {
      cursor: null,
      retry_ms: null,
      delivery,
      disable: null,
    });
    throw error;
  }
}

/** Sends an event. Body and Webhook-Id are the same in each attempt, so that receivers can recognize a repetition. */
async function attemptOf(context: DeliveryContext, event: Event, state: 'retrying' | 'replaying'): Promise<Attempt> {
  const { webhook, send, stopping } = context;
  const secrets = await signingSecrets(context, event, state);
  const body = JSON.stringify({ webhook_id: webhook.webhook_id, event });
  const timestamp_s = Math.floor(Date.now() / 1000);
  const headers = {
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    'User-Agent': 'agent-memory-webhooks',
    'Webhook-Id': event.event_id,
    'Webhook-Timestamp': String(timestamp_s),
    'Webhook-Signature': signatures(secrets, event.event_id, timestamp_s, body),
  };
  const attempt = await post(webhook.url, headers, body, send, stopping);
  context.longest_ms = Math.max(context.longest_ms, attempt.duration_ms);
  return attempt;
}

/** Exponential backoff with full jitter, so that receivers that failed together are not retried together. */
export const backoffOf = (attempts: number, base_ms: number, random = Math.random()): number =>
  Math.ceil(random * Math.min(LONGEST_RETRY_MS, base_ms * 2 ** (attempts - 1)));

const logOf = ({ event_id, seq, kind }: Pick<Event, 'event_id' | 'seq' | 'kind'>, attempt: Attempt) => ({
  event_id,
  seq,
  kind,
  tries: 1 as const,
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
  const requested_ms = Math.min(attempt.retry_after_ms ?? 0, LONGEST_PAUSE_MS);
  const retry_ms = Math.max(backoffOf(webhook.attempts, retryMs), requested_ms);
  return { cursor: null, retry_ms, disable: null, delivery: { ...row, state: 'retrying' as const } };
}

/** Makes one attempt for each replay, with the current content of its event. Returns false if the lease was lost. */
export async function deliverReplays(context: DeliveryContext): Promise<boolean> {
  const { tenant, webhook } = context;
  for (const [i, { seq, event_id, kind }] of (await listReplays(tenant, webhook.webhook_id, REPLAYS)).entries()) {
    if (context.isStopping() || (i > 0 && context.isOver())) break;
    const stretch = { after: seq - 1, upto: seq, order: 'asc', limit: 1 } as const;
    const { entries } = await tenant.read((db) =>
      listEvents(db, tenant.id, visibilityOf(webhook), { channel: channelOf(webhook) }, stretch),
    );
    const [entry] = entries;
    const attempt = entry?.event
      ? await attemptOf(context, entry.event, 'replaying')
      : { status_code: null, error: entry ? unreadable(entry) : 'the receiver may no longer get this event', duration_ms: 0 };
    if (context.stopping.aborted) return true;
    const state = attempt.error === null ? 'delivered' : 'dead';
    context.onAttempt(state, attempt.duration_ms);
    const delivery = { ...logOf({ event_id, seq, kind }, attempt), state } as const;
    if (!(await settleAttempt(tenant, webhook, context.leaseMs, { cursor: null, retry_ms: null, disable: null, delivery })))
      return false;
  }
  await endReplays(tenant, webhook);
  return true;
}
