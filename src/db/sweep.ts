import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import {
  claimRun,
  finishRun,
  listTenants,
  readLastRun,
  releaseRun,
  renewRun,
  type SweepRun,
  type Tallies,
  tallyTenant,
} from './sweep_sql.ts';
import type { Tenant, Tenants } from './tenant.ts';

// Removes expired rows to reclaim space. Correctness does not depend on it: queries exclude expired rows by predicate. One daemon at a time
// sweeps all tenants. A tenant whose sweep fails is logged and counted, and the run continues with the next one. The run also adds up the numbers
// of all tenants for the metrics, which no scrape could afford: 2.4 s for 10,000 tenants with 20 mandates each (2 × AMD EPYC, PostgreSQL 15).

const EVERY_MS = 3_600_000;
/** Interval at which a daemon checks whether a run is due, or was left unfinished by a daemon that died. */
const POLL_MS = 60_000;
const LEASE_MS = 60_000;
const RENEW_MS = 15_000;
/** Pause between two tenants, which keeps the load low: an hour suffices for 360,000 tenants. */
const PAUSE_MS = 10;
/** Time limit per tenant and sweep. If rows are left, the next run is due after SOON_MS. */
const MAX_SWEEP_MS = 10_000;
const SOON_MS = 60_000;
const TENANTS_PER_PAGE = 1000;
const ROWS_PER_BATCH = 1000;

/** Removes at most `limit` expired rows of one tenant; returns how many it removed. */
export type Sweep = (tenant: Tenant, limit: number) => Promise<number>;

interface SweepFigures {
  /** Unix time in seconds; undefined until it has been read from the database. */
  last_success_s: number | undefined;
  /** Number of tenants whose sweep failed in the last run. */
  failed: number | undefined;
  tallies: Tallies | undefined;
}

export interface Sweeper {
  /** Sweeps all tenants, unless another daemon does. Returns the number of rows removed. */
  run(): Promise<number>;
  /** Figures of the last completed run of any daemon. */
  figures(): SweepFigures;
  stop(): Promise<void>;
}

/** Starts the sweeper. The first run begins after `delay_ms`; if undefined, tenants are swept only by `run`. */
export function startSweeper(tenants: Tenants, sweeps: Sweep[], log: Logger, delay_ms?: number): Sweeper {
  const stopping = new AbortController();
  let figures: SweepFigures = { last_success_s: undefined, failed: undefined, tallies: undefined };
  let polling: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  async function poll(now: boolean): Promise<number> {
    const run = await claimRun(tenants(''), LEASE_MS, now);
    const removed = run ? await sweepTenants({ tenants, sweeps, log, run, stopping: stopping.signal }) : 0;
    const last = await readLastRun(tenants(''));
    if (last)
      figures = {
        last_success_s: Date.parse(last.succeeded_at) / 1000,
        failed: last.failed,
        tallies: last.tallies ?? undefined,
      };
    return removed;
  }

  function pollAfter(ms: number, now: boolean): void {
    timer = setTimeout(() => {
      polling = poll(now)
        .catch(
          (err) => stopping.signal.aborted || log.warn({ err }, 'the sweep was interrupted; it will resume within two minutes'),
        )
        .then(() => stopping.signal.aborted || pollAfter(POLL_MS, false));
    }, ms);
    timer.unref();
  }

  if (delay_ms !== undefined) pollAfter(delay_ms, true);
  return {
    run: () => poll(true),
    figures: () => figures,
    stop: async () => {
      stopping.abort();
      clearTimeout(timer);
      await polling;
    },
  };
}

interface SweepContext {
  tenants: Tenants;
  sweeps: Sweep[];
  log: Logger;
  run: SweepRun;
  stopping: AbortSignal;
}

/** Sweeps the remaining tenants of a run, until the daemon stops or another daemon has taken the lease. */
async function sweepTenants(context: SweepContext): Promise<number> {
  const { tenants, run, stopping } = context;
  const renewLease = leaseRenewerOf(tenants(''), run);
  let removed = 0;
  let unfinished = false;
  for (let page: string[] | undefined; page === undefined || page.length === TENANTS_PER_PAGE; ) {
    page = await listTenants(tenants(''), run.after, TENANTS_PER_PAGE);
    for (const tenant_id of page) {
      const swept = await sweepTenant(context, tenants(tenant_id), renewLease);
      removed += swept.removed;
      unfinished ||= swept.unfinished;
      if (stopping.aborted) {
        await releaseRun(tenants(''), run);
        return removed;
      }
      run.after = tenant_id;
      run.failed += swept.failed ? 1 : 0;
      for (const [name, count] of Object.entries(swept.tallies)) run.tallies[name] = (run.tallies[name] ?? 0) + count;
      // Renew at once after a failure: if the database is unavailable, the run ends here instead of failing for every tenant.
      if (!(await renewLease(swept.failed))) return removed;
      await sleep(PAUSE_MS, undefined, { signal: stopping }).catch(() => undefined);
    }
  }
  await finishRun(tenants(''), run, unfinished ? SOON_MS : EVERY_MS);
  return removed;
}

/** Returns a function that renews the lease if due; it returns false if another daemon has the lease. */
function leaseRenewerOf(any: Tenant, run: SweepRun): (at_once?: boolean) => Promise<boolean> {
  let renewed = performance.now();
  let held = true;
  return async (at_once = false) => {
    if (held && (at_once || performance.now() - renewed > RENEW_MS)) {
      held = await renewRun(any, run, LEASE_MS);
      renewed = performance.now();
    }
    return held;
  };
}

/** Runs all sweeps of a tenant. A failed one does not prevent the others. */
async function sweepTenant({ sweeps, log, stopping }: SweepContext, tenant: Tenant, renewLease: () => Promise<boolean>) {
  const swept = { removed: 0, failed: false, unfinished: false, tallies: {} as Tallies };
  // before the sweeps, which remove what is overdue
  const tally: Sweep = async () => {
    swept.tallies = await tallyTenant(tenant);
    return 0;
  };
  for (const sweep of [tally, ...sweeps])
    try {
      const end = performance.now() + MAX_SWEEP_MS;
      let batch = ROWS_PER_BATCH;
      for (; batch === ROWS_PER_BATCH && !stopping.aborted && performance.now() < end; swept.removed += batch) {
        if (!(await renewLease())) return swept;
        batch = await sweep(tenant, ROWS_PER_BATCH);
      }
      swept.unfinished ||= batch === ROWS_PER_BATCH;
    } catch (err) {
      if (stopping.aborted) return swept;
      swept.failed = true;
      log.warn({ err, tenant_id: tenant.id, sweep: sweep.name }, 'a tenant could not be swept; the run continues with the next');
    }
  return swept;
}

/** Removes stored outcomes of idempotent requests that are older than `ttl_s` seconds. */
export const sweepIdempotency = (ttl_s: number): Sweep => {
  const sweepIdempotencyKeys: Sweep = (tenant, limit) =>
    tenant.write((db) =>
      db.run(
        `delete from idempotency_keys
        where tenant_id = $1 and key_hash in (
          select key_hash from idempotency_keys where tenant_id = $1 and created_at < now() - make_interval(secs => $2) limit $3)`,
        [tenant.id, ttl_s, limit],
      ),
    );
  return sweepIdempotencyKeys;
};
