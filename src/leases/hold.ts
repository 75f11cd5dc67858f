import { actorOf, type Caller, isAdmin, requireChannel } from '../auth/index.ts';
import { type EventRow, type Outcome, serviceEventOf, type Unit, unitOf } from '../db/unit.ts';
import { assertWritten } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { containsSecret } from '../secrets/index.ts';
import type { Queues } from './queue.ts';
import type { Lease, LeaseRequest } from './schemas.ts';
import { type Acquisition, acquireOrWait, leaveQueues, type Place, renewLease } from './sql.ts';

// Acquires, renews and releases leases.

/** A lease that the caller holds. `replay`: an earlier request with the same Idempotency-Key was answered with it. */
export interface Held {
  lease: Lease;
  replay: boolean;
}

type Term = Pick<LeaseRequest, 'owner' | 'ttl_ms'>;
type Claim = Pick<Lease, 'owner' | 'token'>;

/** Acquires the lease at once. Throws `lease-held` if another owner holds it or waits for it. */
export async function acquire(caller: Caller, key: string, term: Term, retry: Idempotency | null): Promise<Held> {
  assertKey(caller, key);
  return heldOf(await caller.tenant.commit(acquisition(caller, key, term, retry)));
}

/** Extends the lease. Throws `stale-lease` if the caller does not hold it with this token. */
export async function renew(caller: Caller, key: string, claim: Claim & Term, retry: Idempotency | null): Promise<Held> {
  assertKey(caller, key);
  const { lease, replay } = heldOf(await renewLease(caller.tenant, { ...holderOf(caller), ...claim, key }, retry));
  return { lease: { ...lease, key, owner: claim.owner }, replay };
}

/** Releases the lease. Throws `stale-lease` if the caller does not hold it with this token. Returns whether the request is a replay. */
export async function release(caller: Caller, key: string, claim: Claim, retry: Idempotency | null): Promise<boolean> {
  assertKey(caller, key);
  const effect = { op: 'release', key, ...claim, ...holderOf(caller) };
  const outcome = await caller.tenant.commit(unitOf(retry, [eventOf(caller, 'lease.released', key, claim.owner, effect)]));
  assertWritten(outcome);
  return outcome.status === 'replay';
}

/** Keys and owners are shown to the whole team, so a caller must be allowed to use its channel. */
function assertKey({ principal }: Caller, key: string): void {
  requireChannel(principal, 'team');
  if (containsSecret(key))
    throw new Problem('validation', 'The key contains a secret.', {
      errors: [{ parameter: 'lease_key', detail: 'must not contain a secret' }],
    });
}

const holderOf = ({ principal }: Caller) => ({ principal: principal.id, admin: isAdmin(principal) });

const eventOf = ({ principal }: Caller, kind: string, key: string, owner: string, effect: object): EventRow => {
  const actor = actorOf(principal, principal.agent_id);
  return serviceEventOf({
    ...{ kind, session_id: 'leases', channel: 'team', actor_type: actor.type, actor_id: actor.id, content: { key, owner } },
    ...(principal.agent_id !== undefined && { agent_id: principal.agent_id }),
    effects: { leases: effect },
  });
};

/** `place`: the place in the queue of a request that waits. */
function acquisition(caller: Caller, key: string, { owner, ttl_ms }: Term, retry: Idempotency | null, place?: number): Unit {
  const { agent_id } = caller.principal;
  const effect = { op: 'acquire', key, owner, ttl_ms, ...holderOf(caller), agent_id, place };
  return unitOf(retry, [eventOf(caller, 'lease.acquired', key, owner, effect)]);
}

/** A request with an Idempotency-Key looks this often whether an equal one, which waits too, was served. */
const RETRY_MS = 1000;

/** Acquires the lease, after waiting for it if necessary. Throws `lease-held` if it could not. */
export async function acquireOrQueue(
  caller: Caller,
  key: string,
  { wait_ms, ...term }: LeaseRequest,
  retry: Idempotency | null,
  queues: Queues,
  signal: AbortSignal,
): Promise<Held> {
  assertKey(caller, key);
  const { tenant } = caller;
  const end = performance.now() + wait_ms;
  const first: Acquisition = await acquireOrWait(tenant, acquisition(caller, key, term, retry), wait_ms);
  if (first.place === undefined) return heldOf(first);
  const place: Place = { key, place: first.place };
  let outcome: Outcome = first;
  try {
    while (isHeld(outcome) && performance.now() < end) {
      const rest_ms = end - performance.now();
      await queues.turn(tenant, place, retry ? Math.min(rest_ms, RETRY_MS) : rest_ms, signal);
      // nobody would learn the token
      if (signal.aborted) break;
      outcome = await tenant.commit(acquisition(caller, key, term, retry, place.place));
    }
    return heldOf(outcome);
  } finally {
    // a request that left would keep the next one waiting until its row expires
    if (isHeld(outcome)) await leaveQueues(tenant, [place]);
  }
}

const isHeld = ({ refusal }: Outcome): boolean => refusal?.code === 'AMHLD';

function heldOf(outcome: Outcome): Held {
  assertWritten(outcome);
  return { lease: outcome.made!['leases/0'] as Lease, replay: outcome.status === 'replay' };
}
