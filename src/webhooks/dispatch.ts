import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Watch } from '../db/watch.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { type DeliveryContext, deliverNext, deliverReplays } from './deliver.ts';
import { openFailures } from './failures.ts';
import type { SendSettings } from './send.ts';
import { assignSlots, PER_TENANT, webhookKey } from './slots.ts';
import { type DueWebhook, leaseWebhook, listDue, markDue, releaseWebhook } from './sql.ts';

// Brings the log to the subscriptions. Where a log has grown its subscriptions are marked as due, by the daemon that wrote and every
// other that hears of it. A daemon takes the lease of one that is due, delivers in order and puts it down. A look at what is due finds
// what nobody said (retries, leases of daemons that died), and a slow one at all logs what nobody marked.

const POLL_MS = 2_000;
const COALESCE_MS = 50;
/** Looks, too, take at most so much of the time: where thousands are due every turn that ends asks for one. */
const POLL_SHARE = 10;
/** All logs against all subscriptions: at first, and then so that it takes at most a hundredth of the time. */
const SCAN_MS = 10_000;
const SCAN_SHARE = 100;
/** Receivers that take longer than this are slow. */
const SLOW_MS = 1_000;
const DUE_PER_POLL = 100;
/** How long one may keep its place: while nobody waits for it, and otherwise. The attempt under way is always finished. */
const TURN_MS = 20_000;
const CROWDED_TURN_MS = 1_000;
/** What a delivery may still take when the daemon stops; then it is broken off, and made again by another. */
const LAST_MS = 2_000;
/** A lease outlasts one attempt by this; each settlement renews it. What a daemon held that died waits as long. */
const SPARE_MS = 10_000;

export interface DispatchNeeds {
  tenants: Tenants;
  watch: Pick<Watch, 'subscribeAll'>;
  seal: Seal;
  send: SendSettings;
  maxAttempts: number;
  retryMs: number;
  /** Told of each attempt at a receiver. */
  onAttempt(outcome: Outcome, ms: number): void;
  log: Logger;
}

/** `gone`: the receiver said so, and the subscription was switched off. */
export const outcomes = ['delivered', 'retrying', 'dead', 'gone'] as const;
export type Outcome = (typeof outcomes)[number];

export interface Dispatcher {
  start(): void;
  /** Something of the tenant may be due. */
  wake(tenant_id: string): void;
  /** Subscriptions being delivered for, and those that found no place at the last look (of the first hundred that are due). */
  figures(): { running: number; unassigned: number; stuck: number };
  stop(): Promise<void>;
}

interface Running {
  tenant_id: string;
  slow: boolean;
  work: Promise<void>;
}

export function openDispatcher(needs: DispatchNeeds): Dispatcher {
  const { tenants, watch, log } = needs;
  const running = new Map<string, Running>();
  /** Tenants with subscriptions, as far as is known; what the logs of others do is of no interest. */
  const known = new Set<string>();
  /** Since the survey began. */
  const woken = new Set<string>();
  const grown = new Set<string>();
  const failures = openFailures();
  const stopping = new AbortController();
  const leaseMs = needs.send.timeoutMs + SPARE_MS;
  let stopped = false;
  /** So many found no place at the last look. */
  let unassigned = 0;
  /** How long the last look took. */
  let poll_ms = 0;
  let pollTimer: NodeJS.Timeout | undefined;
  let scanTimer: NodeJS.Timeout | undefined;
  let pollInterval: NodeJS.Timeout | undefined;
  let unsubscribe = () => {};

  function schedulePoll(): void {
    if (!stopped) pollTimer ??= setTimeout(() => void pollDue(), Math.max(COALESCE_MS, POLL_SHARE * poll_ms)).unref();
  }

  function wake(tenant_id: string): void {
    known.add(tenant_id);
    woken.add(tenant_id);
    grown.add(tenant_id);
    schedulePoll();
  }

  async function pollDue(): Promise<void> {
    pollTimer = undefined;
    const begun = performance.now();
    const of = [...grown];
    grown.clear();
    try {
      if (of.length > 0) await markDue(tenants(''), of);
      startDue(await listDue(tenants(''), PER_TENANT, DUE_PER_POLL));
      poll_ms = Math.min(performance.now() - begun, POLL_MS / POLL_SHARE);
    } catch (err) {
      if (!stopped) log.debug({ err }, 'due webhooks could not be listed; the next look finds them');
      for (const tenant_id of of) grown.add(tenant_id);
    }
  }

  function startDue(due: DueWebhook[]): void {
    const choice = assignSlots(due, running);
    unassigned = choice.unassigned;
    if (!stopped) for (const one of choice.start) startTurn(one);
  }

  function startTurn(one: DueWebhook): void {
    const { tenant_id, webhook_id, slow } = one;
    const work = runTurn(tenants(tenant_id), webhook_id).then(
      () => {
        running.delete(webhookKey(one));
        failures.ended(webhookKey(one));
        // what was committed while the lease was held; and who found no place before
        wake(tenant_id);
      },
      (err) => {
        running.delete(webhookKey(one));
        if (stopped) return;
        const { isStuckNow, ...often } = failures.failed(webhookKey(one));
        const where = { err, tenant: tenant_id, webhook: webhook_id, ...often };
        if (isStuckNow) log.error(where, 'a webhook is stuck: its turns fail before an attempt');
        else log.warn(where, 'delivery was interrupted; the next turn resumes it');
      },
    );
    running.set(webhookKey(one), { tenant_id, slow, work });
  }

  async function runTurn(tenant: Tenant, webhook_id: string): Promise<void> {
    const webhook = await leaseWebhook(tenant, webhook_id, leaseMs);
    if (!webhook) return;
    const begun = performance.now();
    const isOver = () => performance.now() - begun >= (unassigned > 0 ? CROWDED_TURN_MS : TURN_MS);
    const at: DeliveryContext = {
      ...needs,
      leaseMs,
      tenant,
      webhook,
      secrets: undefined,
      stopping: stopping.signal,
      isStopping: () => stopped,
      isOver,
      took_ms: 0,
    };
    let held = webhook.replaying ? await deliverReplays(at) : true;
    while (held && !webhook.waiting && !stopped && !isOver()) {
      const next = await deliverNext(at);
      held = next.held;
      // later ones are found by the poll
      if (next.retry_ms !== undefined && next.retry_ms < POLL_MS) setTimeout(schedulePoll, next.retry_ms).unref();
      if (!next.more) break;
    }
    if (held) await releaseWebhook(tenant, webhook, at.took_ms > SLOW_MS);
  }

  async function scanAll(): Promise<void> {
    const begun = performance.now();
    try {
      woken.clear();
      const all = await markDue(tenants(''), null);
      known.clear();
      for (const tenant_id of [...all, ...woken]) known.add(tenant_id);
      schedulePoll();
    } catch (err) {
      if (!stopped) log.debug({ err }, 'the logs could not be surveyed for webhooks; the next time will do');
    }
    const pause = Math.max(SCAN_MS, SCAN_SHARE * (performance.now() - begun));
    if (!stopped) scanTimer = setTimeout(() => void scanAll(), pause).unref();
  }

  return {
    start: () => {
      unsubscribe = watch.subscribeAll((tenant_id) => {
        if (known.has(tenant_id)) wake(tenant_id);
      });
      pollInterval = setInterval(schedulePoll, POLL_MS).unref();
      scanTimer = setTimeout(() => void scanAll(), COALESCE_MS).unref();
    },
    wake,
    figures: () => ({ running: running.size, unassigned, stuck: failures.countStuck() }),
    stop: async () => {
      stopped = true;
      unsubscribe();
      clearInterval(pollInterval);
      clearTimeout(pollTimer);
      clearTimeout(scanTimer);
      const last = setTimeout(() => stopping.abort(new Error('the daemon is stopping')), LAST_MS);
      await Promise.all([...running.values()].map(({ work }) => work));
      clearTimeout(last);
    },
  };
}
