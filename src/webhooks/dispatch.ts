import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Watch } from '../db/watch.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { type DeliveryContext, deliverNext, deliverReplays } from './deliver.ts';
import { openFailures } from './failures.ts';
import type { SendSettings } from './send.ts';
import { assignSlots, PER_TENANT, webhookKey } from './slots.ts';
import { type DueWebhook, leaseWebhook, listDue, markDue, releaseWebhook } from './sql.ts';

// Schedules the deliveries. When a log grows, its webhooks are marked as due, both by the daemon that wrote and by every daemon that is
// notified. A daemon leases a due webhook, delivers its events in order and releases it. A poll of the due webhooks finds those that no
// notification announced (retries, leases of daemons that died). A slower scan of all logs finds webhooks that nobody marked.

const POLL_MS = 2_000;
const COALESCE_MS = 50;
/** Polls take at most a tenth of the time. With thousands of due webhooks, each turn that ends requests one. */
const POLL_SHARE = 10;
/** Interval of the scan that compares all logs with all webhooks. It is extended so that scans take at most a hundredth of the time. */
const SCAN_MS = 10_000;
const SCAN_SHARE = 100;
/** A receiver that takes longer counts as slow. */
const SLOW_MS = 1_000;
const DUE_PER_POLL = 100;
/** Longest turn if no other webhook waits, and if others wait. An attempt in flight is always completed. */
const TURN_MS = 20_000;
const CROWDED_TURN_MS = 1_000;
/** Time for attempts in flight at shutdown. After that they are aborted, and another daemon repeats them. */
const LAST_MS = 2_000;
/** A lease outlasts one attempt by this time; each settlement renews it. The webhooks of a daemon that died wait as long. */
const SPARE_MS = 10_000;

export interface DispatchNeeds {
  tenants: Tenants;
  watch: Pick<Watch, 'subscribeAll'>;
  seal: Seal;
  send: SendSettings;
  maxAttempts: number;
  retryMs: number;
  /** Called after each attempt. */
  onAttempt(outcome: Outcome, ms: number): void;
  log: Logger;
}

/** `gone`: the receiver answered 410, and the webhook was deactivated. */
export const outcomes = ['delivered', 'retrying', 'dead', 'gone'] as const;
export type Outcome = (typeof outcomes)[number];

export interface Dispatcher {
  start(): void;
  /** Marks the webhooks of the tenant as due if its log has grown. */
  wake(tenant_id: string): void;
  /** Webhooks in delivery, those of the first 100 due ones that got no slot in the last poll, and stuck ones. */
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
  /** Tenants known to have webhooks. Notifications about other tenants are ignored. */
  const known = new Set<string>();
  /** Tenants that were woken since the scan started. */
  const woken = new Set<string>();
  const grown = new Set<string>();
  const failures = openFailures();
  const stopping = new AbortController();
  const leaseMs = needs.send.timeoutMs + SPARE_MS;
  let stopped = false;
  /** Due webhooks that got no slot in the last poll. */
  let unassigned = 0;
  /** Duration of the last poll. */
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
    const started = performance.now();
    const tenant_ids = [...grown];
    grown.clear();
    try {
      if (tenant_ids.length > 0) await markDue(tenants(''), tenant_ids);
      startDue(await listDue(tenants(''), PER_TENANT, DUE_PER_POLL));
      poll_ms = Math.min(performance.now() - started, POLL_MS / POLL_SHARE);
    } catch (err) {
      if (!stopped) log.debug({ err }, 'due webhooks could not be listed; retrying with the next poll');
      for (const tenant_id of tenant_ids) grown.add(tenant_id);
    }
  }

  function startDue(due: DueWebhook[]): void {
    const choice = assignSlots(due, running);
    unassigned = choice.unassigned;
    if (!stopped) for (const webhook of choice.start) startTurn(webhook);
  }

  function startTurn(webhook: DueWebhook): void {
    const { tenant_id, webhook_id, slow } = webhook;
    const work = runTurn(tenants(tenant_id), webhook_id).then(
      () => {
        running.delete(webhookKey(webhook));
        failures.ended(webhookKey(webhook));
        // finds events committed during the lease, and webhooks that got no slot before
        wake(tenant_id);
      },
      (err) => {
        running.delete(webhookKey(webhook));
        if (stopped) return;
        const { isStuckNow, ...often } = failures.failed(webhookKey(webhook));
        const fields = { err, tenant: tenant_id, webhook: webhook_id, ...often };
        if (isStuckNow) log.error(fields, 'a webhook is stuck: its turns fail before an attempt');
        else log[often.failures === 1 ? 'warn' : 'debug'](fields, 'delivery was interrupted; the next turn resumes it');
      },
    );
    running.set(webhookKey(webhook), { tenant_id, slow, work });
  }

  async function runTurn(tenant: Tenant, webhook_id: string): Promise<void> {
    const webhook = await leaseWebhook(tenant, webhook_id, leaseMs);
    if (!webhook) return;
    const started = performance.now();
    const isOver = () => performance.now() - started >= (unassigned > 0 ? CROWDED_TURN_MS : TURN_MS);
    const context: DeliveryContext = {
      ...needs,
      leaseMs,
      tenant,
      webhook,
      secrets: undefined,
      stopping: stopping.signal,
      isStopping: () => stopped,
      isOver,
      longest_ms: 0,
    };
    let leased = webhook.replaying ? await deliverReplays(context) : true;
    while (leased && !webhook.waiting && !stopped && !isOver()) {
      const next = await deliverNext(context);
      leased = next.leased;
      // longer waits are found by the poll
      if (next.retry_ms !== undefined && next.retry_ms < POLL_MS) setTimeout(schedulePoll, next.retry_ms).unref();
      if (!next.more) break;
    }
    if (leased) await releaseWebhook(tenant, webhook, context.longest_ms > SLOW_MS);
  }

  async function scanAll(): Promise<void> {
    const started = performance.now();
    try {
      woken.clear();
      const all = await markDue(tenants(''), null);
      known.clear();
      for (const tenant_id of [...all, ...woken]) known.add(tenant_id);
      schedulePoll();
    } catch (err) {
      if (!stopped) log.debug({ err }, 'the logs could not be scanned for due webhooks; retrying with the next scan');
    }
    const pause = Math.max(SCAN_MS, SCAN_SHARE * (performance.now() - started));
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
      const abortTimer = setTimeout(() => stopping.abort(new Error('the daemon is stopping')), LAST_MS);
      await Promise.all([...running.values()].map(({ work }) => work));
      clearTimeout(abortTimer);
    },
  };
}
