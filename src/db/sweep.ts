import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import { finishWalk, listTenants, readLastWalk, releaseWalk, renewWalk, takeWalk, type Walk } from './sweep_sql.ts';
import type { Tenant, Tenants } from './tenant.ts';

// Reclaims the space of what has expired. Nothing needs this to be correct: what has expired is refused by predicate. One daemon at a
// time walks over all tenants. A tenant that cannot be swept is logged and counted, and the walk goes on behind it.

const EVERY_MS = 3_600_000;
/** How often a daemon looks whether a walk is due, or was left unfinished by a daemon that died. */
const LOOK_MS = 60_000;
const LEASE_MS = 60_000;
const RENEW_MS = 15_000;
/** A pause between two tenants keeps the load low: an hour has room for 360,000. */
const PAUSE_MS = 10;
/** One tenant may not hold up the others: what is left of it is swept in the next walk, which is then due soon. */
const LONGEST_SWEEP_MS = 10_000;
const SOON_MS = 60_000;
const TENANTS_A_PAGE = 1000;
const ROWS_A_BATCH = 1000;

/** Removes at most `limit` expired rows of one tenant and returns how many it removed. */
export type Sweep = (tenant: Tenant, limit: number) => Promise<number>;

interface SweepFigures {
  /** Unix time in seconds; undefined until the database was asked. */
  last_success_s: number | undefined;
  /** Tenants that the last walk could not sweep. */
  failed: number | undefined;
}

export interface Sweeper {
  /** One walk over all tenants, unless another daemon walks. Returns how many rows were removed. */
  run(): Promise<number>;
  /** Of the last walk that reached the end, whichever daemon took it. */
  figures(): SweepFigures;
  stop(): Promise<void>;
}

/** `delay_ms`: when the first walk begins; undefined: only `run` walks. */
export function startSweeper(tenants: Tenants, sweeps: Sweep[], log: Logger, delay_ms?: number): Sweeper {
  const stopping = new AbortController();
  let figures: SweepFigures = { last_success_s: undefined, failed: undefined };
  let looking: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  async function look(now: boolean): Promise<number> {
    const walk = await takeWalk(tenants(''), LEASE_MS, now);
    const removed = walk ? await walkTenants({ tenants, sweeps, log, walk, stopping: stopping.signal }) : 0;
    const last = await readLastWalk(tenants(''));
    if (last) figures = { last_success_s: Date.parse(last.succeeded_at) / 1000, failed: last.failed };
    return removed;
  }

  function lookIn(ms: number, now: boolean): void {
    timer = setTimeout(() => {
      looking = look(now)
        .catch((err) => stopping.signal.aborted || log.warn({ err }, 'the sweep was interrupted; it resumes within two minutes'))
        .then(() => stopping.signal.aborted || lookIn(LOOK_MS, false));
    }, ms);
    timer.unref();
  }

  if (delay_ms !== undefined) lookIn(delay_ms, true);
  return {
    run: () => look(true),
    figures: () => figures,
    stop: async () => {
      stopping.abort();
      clearTimeout(timer);
      await looking;
    },
  };
}

interface Walking {
  tenants: Tenants;
  sweeps: Sweep[];
  log: Logger;
  walk: Walk;
  stopping: AbortSignal;
}

/** From where the walk stands to the end, or until the daemon stops or another daemon has taken the lease. */
async function walkTenants(at: Walking): Promise<number> {
  const { tenants, walk, stopping } = at;
  const keep = leaseOf(tenants(''), walk);
  let removed = 0;
  let unfinished = false;
  for (let page: string[] | undefined; page === undefined || page.length === TENANTS_A_PAGE; ) {
    page = await listTenants(tenants(''), walk.after, TENANTS_A_PAGE);
    for (const tenant_id of page) {
      const swept = await sweepTenant(at, tenants(tenant_id), keep);
      removed += swept.removed;
      unfinished ||= swept.unfinished;
      if (stopping.aborted) {
        await releaseWalk(tenants(''), walk);
        return removed;
      }
      walk.after = tenant_id;
      walk.failed += swept.failed ? 1 : 0;
      // after a failure at once: where the whole database is away, the walk ends here instead of failing for every tenant
      if (!(await keep(swept.failed))) return removed;
      await sleep(PAUSE_MS, undefined, { signal: stopping }).catch(() => undefined);
    }
  }
  await finishWalk(tenants(''), walk, unfinished ? SOON_MS : EVERY_MS);
  return removed;
}

/** Renews the lease where that is due. False: another daemon holds it. */
function leaseOf(any: Tenant, walk: Walk): (at_once?: boolean) => Promise<boolean> {
  let renewed = performance.now();
  let held = true;
  return async (at_once = false) => {
    if (held && (at_once || performance.now() - renewed > RENEW_MS)) {
      held = await renewWalk(any, walk, LEASE_MS);
      renewed = performance.now();
    }
    return held;
  };
}

/** Each sweep by itself: one that fails keeps neither the others nor the next tenant from being swept. */
async function sweepTenant({ sweeps, log, stopping }: Walking, tenant: Tenant, keep: () => Promise<boolean>) {
  const swept = { removed: 0, failed: false, unfinished: false };
  for (const sweep of sweeps)
    try {
      const end = performance.now() + LONGEST_SWEEP_MS;
      let batch = ROWS_A_BATCH;
      for (; batch === ROWS_A_BATCH && !stopping.aborted && performance.now() < end; swept.removed += batch) {
        if (!(await keep())) return swept;
        batch = await sweep(tenant, ROWS_A_BATCH);
      }
      swept.unfinished ||= batch === ROWS_A_BATCH;
    } catch (err) {
      if (stopping.aborted) return swept;
      swept.failed = true;
      log.warn({ err, tenant_id: tenant.id, sweep: sweep.name }, 'a tenant could not be swept; the walk continues with the next');
    }
  return swept;
}

/** Stored answers for idempotent retries, older than `ttl_s` seconds. */
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
