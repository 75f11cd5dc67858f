import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Watch } from '../db/watch.ts';
import type { Logger } from '../log.ts';
import type { EmbeddingClient, Model } from './client.ts';
import { extendLease, leaseBacklog, listBacklogs, nextToEmbed, writeVectors } from './sql.ts';

// Embeds the passages of all tenants after they were committed. Daemons share the work: each takes the lease of a tenant for a turn. The position in the
// log is in the database, so that any daemon continues after a crash. While the endpoint does not answer, the backlog grows and nothing else waits.

export interface BacklogNeeds {
  tenants: Tenants;
  watch: Pick<Watch, 'subscribeAll'>;
  model: Model;
  client: EmbeddingClient;
  /** Passages per request. */
  batch: number;
  /** Time after which another daemon continues the work of one that died. */
  lease_ms: number;
  log: Logger;
}

export interface Backlog {
  start(): void;
  /** Events that wait in all tenants, as of the last scan; undefined before the first. */
  lag(): number | undefined;
  stop(): Promise<void>;
}

/** Turns that this daemon runs at a time. */
const TURNS = 2;
/** Requests per turn, after which other tenants have theirs. */
const BATCHES_PER_TURN = 16;
/** Collects the passages of several commits into one request. */
const COALESCE_MS = 100;
/** Interval of the scan of all tenants, which finds work that no notification announced. Scans take at most a twentieth of the time. */
const SCAN_MS = 5_000;
const SCAN_SHARE = 20;
const TENANTS_PER_SCAN = 1_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

export function openBacklog({ tenants, watch, model, client, batch, lease_ms, log }: BacklogNeeds): Backlog {
  const queue = new Set<string>();
  const running = new Map<string, Promise<void>>();
  const stopping = new AbortController();
  let lag: number | undefined;
  /** Failed turns in a row. After each, no turn begins for a while, because the endpoint is the same for all tenants. */
  let failures = 0;
  let pausedUntil = 0;
  let turnTimer: NodeJS.Timeout | undefined;
  let scanTimer: NodeJS.Timeout | undefined;
  let unsubscribe = () => {};

  function schedule(delay_ms = COALESCE_MS): void {
    if (!stopping.signal.aborted) turnTimer ??= setTimeout(beginTurns, Math.max(delay_ms, pausedUntil - Date.now())).unref();
  }

  function beginTurns(): void {
    turnTimer = undefined;
    for (const tenant_id of queue) {
      if (running.size >= TURNS) return;
      if (running.has(tenant_id)) continue;
      queue.delete(tenant_id);
      const turn = runTurn(tenants(tenant_id)).then(
        (unfinished) => ended(tenant_id, unfinished),
        (err) => failed(tenant_id, err),
      );
      running.set(tenant_id, turn);
    }
  }

  function ended(tenant_id: string, unfinished: boolean): void {
    running.delete(tenant_id);
    failures = 0;
    if (unfinished) queue.add(tenant_id);
    if (queue.size > 0) schedule(0);
  }

  function failed(tenant_id: string, err: unknown): void {
    running.delete(tenant_id);
    if (stopping.signal.aborted) return;
    queue.add(tenant_id);
    const pause_ms = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
    failures += 1;
    pausedUntil = Date.now() + pause_ms;
    log.warn({ err, tenant: tenant_id, pause_ms }, 'passages could not be embedded; they stay in the backlog');
    schedule();
  }

  /** Returns true if passages are left. */
  async function runTurn(tenant: Tenant): Promise<boolean> {
    const id = await leaseBacklog(tenant, model.key, lease_ms);
    if (id === undefined) return false;
    const extend = () =>
      void extendLease(tenant, model.key, id, lease_ms).catch((err) =>
        log.debug({ err }, 'the lease of a backlog was not extended'),
      );
    const renewing = setInterval(extend, lease_ms / 3).unref();
    try {
      for (let i = 0; i < BATCHES_PER_TURN && !stopping.signal.aborted; i += 1) {
        const stretch = await nextToEmbed(tenant, model.key, batch);
        if (!stretch.rest) return false;
        const texts = stretch.passages.map(({ text }) => text);
        const vectors = texts.length === 0 ? [] : await client.passages(model, tenant.id, texts, stopping.signal);
        if (!(await writeVectors(tenant, model.key, { id, ms: lease_ms }, stretch, vectors))) return true;
      }
      return true;
    } finally {
      clearInterval(renewing);
      await extendLease(tenant, model.key, id, 0);
    }
  }

  async function scan(): Promise<void> {
    const began = performance.now();
    try {
      const lagging = await listBacklogs(tenants(''), model.key, TENANTS_PER_SCAN);
      lag = lagging.reduce((sum, { events }) => sum + events, 0);
      for (const { tenant_id } of lagging) queue.add(tenant_id);
      if (queue.size > 0) schedule();
    } catch (err) {
      if (!stopping.signal.aborted)
        log.debug({ err }, 'the backlog of embeddings could not be read; retrying with the next scan');
    }
    const pause_ms = Math.max(SCAN_MS, SCAN_SHARE * (performance.now() - began));
    if (!stopping.signal.aborted) scanTimer = setTimeout(() => void scan(), pause_ms).unref();
  }

  return {
    start: () => {
      unsubscribe = watch.subscribeAll((tenant_id) => {
        queue.add(tenant_id);
        schedule();
      });
      scanTimer = setTimeout(() => void scan(), COALESCE_MS).unref();
    },
    lag: () => lag,
    stop: async () => {
      stopping.abort(new Error('the daemon is stopping'));
      unsubscribe();
      clearTimeout(turnTimer);
      clearTimeout(scanTimer);
      await Promise.all(running.values());
    },
  };
}
