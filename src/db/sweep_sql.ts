import type { Tenant } from './tenant.ts';

// The single row of sweep_walks. Every daemon reads it; only the holder of the lease updates it.

/** A run over all tenants whose lease this daemon holds. */
export interface SweepRun {
  token: number;
  /** The last tenant processed. */
  after: string;
  /** Number of tenants whose sweep has failed so far. */
  failed: number;
  /** Sums of the tallies of the tenants processed. */
  tallies: Tallies;
}

/** Numbers by name, added up over tenants. */
export type Tallies = Record<string, number>;

/** The last completed run of any daemon. */
export interface CompletedRun {
  succeeded_at: string;
  failed: number;
  /** Null if it was a run of an earlier release. */
  tallies: Tallies | null;
}

const values = ({ token, after, failed, tallies }: SweepRun) => [token, after, failed, tallies];

async function isHeld(any: Tenant, text: string, parameters: unknown[]): Promise<boolean> {
  return (await any.call(text, parameters)).length > 0;
}

/**
 * Claims the run that a daemon left unfinished, otherwise a new one if it is due or `now` is set. Returns undefined if another daemon holds
 * the lease or no run is due.
 */
export async function claimRun(any: Tenant, lease_ms: number, now: boolean): Promise<SweepRun | undefined> {
  const [run] = await any.call<SweepRun>(
    `update sweep_walks w
     set token = w.token + 1,
       held_until = clock_timestamp() + interval '1 millisecond' * $1::int,
       begun_at = coalesce(w.begun_at, clock_timestamp()),
       after = case when w.begun_at is null then '' else w.after end,
       failed = case when w.begun_at is null then 0 else w.failed end,
       tallies = case when w.begun_at is null then '{}' else w.tallies end
     where w.held_until <= clock_timestamp() and (w.begun_at is not null or $2::boolean or w.due_at <= clock_timestamp())
     returning w.token, w.after, w.failed, w.tallies`,
    [lease_ms, now],
  );
  return run;
}

/** Renews the lease; returns false if another daemon has taken it. */
export const renewRun = (any: Tenant, run: SweepRun, lease_ms: number): Promise<boolean> =>
  isHeld(
    any,
    `update sweep_walks
     set after = $2, failed = $3, tallies = $4, held_until = clock_timestamp() + interval '1 millisecond' * $5::int
     where token = $1
     returning 1`,
    [...values(run), lease_ms],
  );

/** Releases an unfinished run, so that any daemon can continue it at once. */
export const releaseRun = (any: Tenant, run: SweepRun): Promise<boolean> =>
  isHeld(
    any,
    `update sweep_walks set after = $2, failed = $3, tallies = $4, held_until = '-infinity' where token = $1 returning 1`,
    values(run),
  );

/** Completes the run; the next one is due after `pause_ms`. */
export const finishRun = (any: Tenant, run: SweepRun, pause_ms: number): Promise<boolean> =>
  isHeld(
    any,
    `update sweep_walks
     set after = $2, begun_at = null, held_until = '-infinity', due_at = clock_timestamp() + interval '1 millisecond' * $5::int,
       succeeded_at = clock_timestamp(), last_failed = $3, last_tallies = $4
     where token = $1
     returning 1`,
    [...values(run), pause_ms],
  );

export async function readLastRun(any: Tenant): Promise<CompletedRun | undefined> {
  const [row] = await any.call<CompletedRun>(
    'select succeeded_at, last_failed as failed, last_tallies as tallies from sweep_walks',
    [],
  );
  return row;
}

export const listTenants = async (any: Tenant, after: string, limit: number): Promise<string[]> => {
  const rows = await any.call<{ tenant_id: string }>('select tenant_id from list_tenants($1, $2)', [after, limit]);
  return rows.map(({ tenant_id }) => tenant_id);
};

/** Returns the numbers of one tenant, from the hooks `tally`. */
export async function tallyTenant(tenant: Tenant): Promise<Tallies> {
  const [row] = await tenant.call<{ tallies: Tallies }>('select tally_rows($1) as tallies', [tenant.id], 'tally_rows');
  return row!.tallies;
}
