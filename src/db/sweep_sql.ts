import type { Tenant } from './tenant.ts';

// The one row of sweep_walks. Every daemon reads it; who holds the lease moves it on.

/** A walk that this daemon holds. */
export interface Walk {
  token: number;
  /** The last tenant that was dealt with. */
  after: string;
  /** Tenants that could not be swept so far. */
  failed: number;
}

/** The last walk that reached the end, whichever daemon took it. */
export interface LastWalk {
  succeeded_at: string;
  failed: number;
}

const values = ({ token, after, failed }: Walk) => [token, after, failed];

async function isHeld(any: Tenant, text: string, parameters: unknown[]): Promise<boolean> {
  return (await any.call(text, parameters)).length > 0;
}

/**
 * The walk that a daemon left unfinished, or else a new one if it is due or `now` is set. Undefined: another daemon holds the lease, or
 * nothing is due.
 */
export async function takeWalk(any: Tenant, lease_ms: number, now: boolean): Promise<Walk | undefined> {
  const [walk] = await any.call<Walk>(
    `update sweep_walks w
     set token = w.token + 1,
       held_until = clock_timestamp() + interval '1 millisecond' * $1::int,
       begun_at = coalesce(w.begun_at, clock_timestamp()),
       after = case when w.begun_at is null then '' else w.after end,
       failed = case when w.begun_at is null then 0 else w.failed end
     where w.held_until <= clock_timestamp() and (w.begun_at is not null or $2::boolean or w.due_at <= clock_timestamp())
     returning w.token, w.after, w.failed`,
    [lease_ms, now],
  );
  return walk;
}

/** False: another daemon holds the walk by now. */
export const renewWalk = (any: Tenant, walk: Walk, lease_ms: number): Promise<boolean> =>
  isHeld(
    any,
    `update sweep_walks
     set after = $2, failed = $3, held_until = clock_timestamp() + interval '1 millisecond' * $4::int
     where token = $1
     returning 1`,
    [...values(walk), lease_ms],
  );

/** Puts an unfinished walk down; any daemon may go on with it at once. */
export const releaseWalk = (any: Tenant, walk: Walk): Promise<boolean> =>
  isHeld(
    any,
    `update sweep_walks set after = $2, failed = $3, held_until = '-infinity' where token = $1 returning 1`,
    values(walk),
  );

/** The walk reached the end; the next one is due after `pause_ms`. */
export const finishWalk = (any: Tenant, walk: Walk, pause_ms: number): Promise<boolean> =>
  isHeld(
    any,
    `update sweep_walks
     set after = $2, begun_at = null, held_until = '-infinity', due_at = clock_timestamp() + interval '1 millisecond' * $4::int,
       succeeded_at = clock_timestamp(), last_failed = $3
     where token = $1
     returning 1`,
    [...values(walk), pause_ms],
  );

export async function readLastWalk(any: Tenant): Promise<LastWalk | undefined> {
  const [row] = await any.call<LastWalk>('select succeeded_at, last_failed as failed from sweep_walks', []);
  return row;
}

export const listTenants = async (any: Tenant, after: string, limit: number): Promise<string[]> => {
  const rows = await any.call<{ tenant_id: string }>('select tenant_id from list_tenants($1, $2)', [after, limit]);
  return rows.map(({ tenant_id }) => tenant_id);
};
