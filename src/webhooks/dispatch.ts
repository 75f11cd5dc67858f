import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Watch } from '../db/watch.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { type Delivering, deliverNext, deliverReplays } from './deliver.ts';
import type { SendSettings } from './send.ts';
import { leaseWebhook, listDue, releaseWebhook } from './sql.ts';

// Brings the log to the subscriptions. A daemon takes the lease of one that is due, delivers in order and puts it down; the watch says
// at once where a log has grown, a poll finds what nobody said (retries, other daemons' tenants, leases of daemons that died).

const POLL_MS = 2_000;
const COALESCE_MS = 50;
/** Subscriptions that one daemon delivers for at once. */
const PARALLEL = 16;
const DUE_A_LOOK = 200;
/** After so long others get their turn. */
const TURN_MS = 20_000;
/** What a delivery may still take when the daemon stops; then it is broken off, and made again by another. */
const LAST_MS = 2_000;
/** A lease outlasts one attempt by this; each settlement renews it. What a daemon held that died waits as long. */
const SPARE_MS = 10_000;

export interface DispatchNeeds {
  tenants: Tenants;
  watch: Watch;
  seal: Seal;
  send: SendSettings;
  maxAttempts: number;
  retryMs: number;
  log: Logger;
}

export interface Dispatcher {
  /** Something of the tenant may be due. */
  wake(tenant_id: string): void;
  stop(): Promise<void>;
}

export function startDispatcher(needs: DispatchNeeds): Dispatcher {
  const { tenants, watch, log } = needs;
  const running = new Map<string, Promise<void>>();
  /** Tenants with subscriptions, each with the way to stop watching. */
  const watched = new Map<string, () => void>();
  const woken = new Set<string>();
  const stopping = new AbortController();
  const leaseMs = needs.send.timeoutMs + SPARE_MS;
  let [stopped, full] = [false, false];
  let timer: NodeJS.Timeout | undefined;

  function wake(tenant_id: string): void {
    if (stopped) return;
    if (!watched.has(tenant_id))
      watched.set(
        tenant_id,
        watch.subscribe(tenant_id, () => wake(tenant_id)),
      );
    woken.add(tenant_id);
    timer ??= setTimeout(() => void look([...woken]), COALESCE_MS).unref();
  }

  /** Begins with what is due; null: over all tenants. */
  async function look(of: string[] | null): Promise<void> {
    if (of) {
      timer = undefined;
      woken.clear();
    }
    try {
      const due = await listDue(tenants(''), of, DUE_A_LOOK);
      full = due.length > PARALLEL - running.size;
      for (const { tenant_id, webhook_id } of due) begin(tenant_id, webhook_id);
    } catch (err) {
      if (!stopped) log.debug({ err }, 'due webhooks could not be listed; the next look finds them');
    }
  }

  function begin(tenant_id: string, webhook_id: string): void {
    const name = `${tenant_id}/${webhook_id}`;
    if (stopped || running.has(name) || running.size >= PARALLEL) return;
    const work = turn(tenants(tenant_id), webhook_id).then(
      () => {
        running.delete(name);
        // what was committed while the lease was held; and what found no place before
        wake(tenant_id);
        if (full && !stopped) void look(null);
      },
      (err) => {
        running.delete(name);
        if (!stopped)
          log.warn({ err, tenant: tenant_id, webhook: webhook_id }, 'delivering was interrupted; the next look goes on');
      },
    );
    running.set(name, work);
  }

  async function turn(tenant: Tenant, webhook_id: string): Promise<void> {
    const webhook = await leaseWebhook(tenant, webhook_id, leaseMs);
    if (!webhook) return;
    const at: Delivering = {
      ...needs,
      leaseMs,
      tenant,
      webhook,
      secrets: undefined,
      stopping: stopping.signal,
      isStopping: () => stopped,
    };
    const until = Date.now() + TURN_MS;
    let held = webhook.replaying ? await deliverReplays(at) : true;
    while (held && !webhook.waiting && !stopped && Date.now() < until) {
      const next = await deliverNext(at);
      held = next.held;
      if (next.retry_ms !== undefined) setTimeout(() => wake(tenant.id), next.retry_ms + COALESCE_MS).unref();
      if (!next.more) break;
    }
    if (held) await releaseWebhook(tenant, webhook);
  }

  const poll = setInterval(() => void look(null), POLL_MS);
  poll.unref();
  return {
    wake,
    stop: async () => {
      stopped = true;
      clearInterval(poll);
      clearTimeout(timer);
      for (const unsubscribe of watched.values()) unsubscribe();
      const last = setTimeout(() => stopping.abort(new Error('the daemon is stopping')), LAST_MS);
      await Promise.all(running.values());
      clearTimeout(last);
    },
  };
}
