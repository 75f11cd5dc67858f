import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Outcome, Unit } from '../db/unit.ts';
import type { Idempotency } from '../http/route.ts';
import type { HeldLease } from './schemas.ts';

/** A request in a queue. */
export interface Place {
  key: string;
  place: number;
}

/** `wait_ms`: after how many ms it can be the turn of the request although nothing changes; null if it is its turn. */
interface Turn {
  key: string;
  due: boolean;
  wait_ms: number | null;
}

/** The outcome of an acquisition; `place` if the request was queued. */
export type Acquisition = Outcome & { place?: number };

/** Acquires the lease of the unit's event, or queues the request for wait_ms. */
export const acquireOrWait = (tenant: Tenant, unit: Unit, wait_ms: number): Promise<Acquisition> =>
  tenant.change('select * from acquire_or_wait($1, $2::jsonb, $3)', [tenant.id, JSON.stringify(unit), wait_ms]);

export const readTurns = (tenant: Tenant, places: Place[]): Promise<Turn[]> =>
  tenant.call(
    'select key, due, wait_ms from lease_turns($1, $2, $3)',
    [tenant.id, places.map(({ key }) => key), places.map(({ place }) => place)],
    'lease_turns',
  );

export const leaveQueues = (tenant: Tenant, places: Place[]): Promise<unknown> =>
  tenant.call('select leave_queues($1, $2, $3)', [tenant.id, places.map(({ key }) => key), places.map(({ place }) => place)]);

/** The members of a renewal as renew_lease reads them. */
interface Renewal {
  key: string;
  owner: string;
  token: number;
  ttl_ms: number;
  principal: string;
  admin: boolean;
}

export const renewLease = (tenant: Tenant, renewal: Renewal, retry: Idempotency | null): Promise<Outcome> =>
  tenant.change('select * from renew_lease($1, $2::jsonb, $3, $4)', [
    tenant.id,
    JSON.stringify(renewal),
    retry?.key ?? null,
    retry?.body ?? null,
  ]);

/** Returns the held leases after a key, with the token of those that the principal holds. */
export const listLeases = (db: Db, tenant: string, principal: string, after: string, limit: number): Promise<HeldLease[]> =>
  db.rows(
    `select l.key, l.owner, case when l.principal = $2 then l.token end as token, l.acquired_at, l.expires_at
     from leases l
     where l.tenant_id = $1 and l.key > $3 and l.expires_at > clock_timestamp() and l.acquired_at >= coalesce(void_before($1), '-infinity')
     order by l.key
     limit $4`,
    [tenant, principal, after, limit],
  );

export const sweepLeases = async (tenant: Tenant, limit: number): Promise<number> => {
  const [row] = await tenant.call<{ removed: number }>('select sweep_leases($1, $2) as removed', [tenant.id, limit]);
  return row!.removed;
};
