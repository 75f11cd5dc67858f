import { actorOf, type Caller, isAdmin, requireChannel, route } from '../auth/index.ts';
import { type EventRow, type Outcome, serviceEventOf, type Unit, unitOf } from '../db/unit.ts';
import { assertWritten, replayHeaders } from '../http/outcome.ts';
import { decodeCursor, toPage } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { containsSecret } from '../secrets/index.ts';
import type { Queues } from './queue.ts';
import {
  type Lease,
  type LeaseRequest,
  lease,
  leaseList,
  leasePage,
  leaseParams,
  leaseRelease,
  leaseRenewal,
  leaseRequest,
} from './schemas.ts';
import { type Acquisition, acquireOrWait, leaveQueues, listLeases, type Place, renewLease } from './sql.ts';

const capability = ({ params }: { params: { lease_key: string } }) => [{ op: 'LEASE' as const, namespace: params.lease_key }];
const tagged = { tag: 'Leases', limit: 'v1' } as const;
const fenced = ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'conflict'] as const;

export const leaseRoutes = (queues: Queues) => [acquireRoute(queues), ...holderRoutes, listRoute];

const acquireRoute = (queues: Queues) =>
  route({
    ...tagged,
    method: 'PUT',
    path: '/v1/leases/{lease_key}',
    operation: 'acquireLease',
    summary: 'Acquire a lease, or wait for it',
    description:
      'The same owner gets a new token, and its previous one is stale. Requests are served in the order of their arrival.',
    access: 'write',
    capability,
    fastPath: true,
    idempotent: true,
    params: leaseParams,
    body: leaseRequest,
    unredactable: ['owner'],
    success: { status: 200, description: 'The lease with its token', schema: lease },
    problems: [...fenced, 'lease-held', 'quota-exceeded'],
    handle: async ({ caller, params, body, idempotency, signal }) => {
      const outcome = await acquire(caller, keyOf(caller, params), body, idempotency, queues, signal);
      return { body: outcome.made!['leases/0'] as Lease, headers: replayHeaders(outcome.status === 'replay') };
    },
  });

const holderRoutes = [
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/leases/{lease_key}/renew',
    operation: 'renewLease',
    summary: 'Extend a lease',
    description: 'The token stays the same. Only the principal that acquired the lease, or an admin, may renew it.',
    access: 'write',
    capability,
    fastPath: true,
    idempotent: true,
    params: leaseParams,
    body: leaseRenewal,
    unredactable: ['owner'],
    success: { status: 200, description: 'The lease with its new expiry', schema: lease },
    problems: [...fenced, 'stale-lease'],
    handle: async ({ caller, params, body, idempotency }) => {
      const key = keyOf(caller, params);
      const outcome = await renewLease(caller.tenant, { ...holderOf(caller), ...body, key }, idempotency);
      assertWritten(outcome);
      const renewed = outcome.made!['leases/0'] as Lease;
      return { body: { ...renewed, key, owner: body.owner }, headers: replayHeaders(outcome.status === 'replay') };
    },
  }),
  route({
    ...tagged,
    method: 'DELETE',
    path: '/v1/leases/{lease_key}',
    operation: 'releaseLease',
    summary: 'Release a lease',
    description: 'Only the principal that acquired the lease, or an admin, may release it.',
    access: 'write',
    capability,
    fastPath: true,
    idempotent: true,
    params: leaseParams,
    query: leaseRelease,
    success: { status: 204, description: 'The lease is free' },
    problems: [...fenced, 'stale-lease', 'quota-exceeded'],
    handle: async ({ caller, params, query, idempotency }) => {
      const key = keyOf(caller, params);
      const effect = { op: 'release', key, ...query, ...holderOf(caller) };
      const outcome = await caller.tenant.commit(
        unitOf(idempotency, [eventOf(caller, 'lease.released', key, query.owner, effect)]),
      );
      assertWritten(outcome);
      return { headers: replayHeaders(outcome.status === 'replay') };
    },
  }),
];

const listRoute = route({
  ...tagged,
  method: 'GET',
  path: '/v1/leases',
  operation: 'listLeases',
  summary: 'List held leases by key',
  access: 'read',
  query: leaseList,
  success: { status: 200, description: 'A page of leases', schema: leasePage },
  problems: ['validation', 'forbidden'],
  handle: async ({ caller: { tenant, principal }, query }) => {
    requireChannel(principal, 'team');
    const after = query.cursor === undefined ? '' : String(decodeCursor(query.cursor, ['string'])[0]);
    const rows = await tenant.read((db) => listLeases(db, tenant.id, principal.id, after, query.limit + 1));
    const page = toPage(rows, query.limit, ({ key }) => [key]);
    return { body: { ...page, data: page.data.map(({ token, ...row }) => (token === null ? row : { ...row, token })) } };
  },
});

/** Returns the key of the path. Keys and owners are shown to the whole team, so a caller must be allowed to use its channel. */
function keyOf({ principal }: Caller, { lease_key }: { lease_key: string }): string {
  requireChannel(principal, 'team');
  if (containsSecret(lease_key))
    throw new Problem('validation', 'The key contains a secret.', {
      errors: [{ parameter: 'lease_key', detail: 'must not contain a secret' }],
    });
  return lease_key;
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

/** A request with an Idempotency-Key looks this often whether an equal one, which waits too, was served. */
const RETRY_MS = 1000;

/** Acquires the lease, after waiting if the request says so. Throws `lease-held` if it could not. */
async function acquire(
  caller: Caller,
  key: string,
  { owner, ttl_ms, wait_ms }: LeaseRequest,
  retry: Idempotency | null,
  queues: Queues,
  signal: AbortSignal,
): Promise<Outcome> {
  const { tenant, principal } = caller;
  const effect = { op: 'acquire', key, owner, ttl_ms, ...holderOf(caller), agent_id: principal.agent_id };
  const unitAt = (place?: number): Unit => unitOf(retry, [eventOf(caller, 'lease.acquired', key, owner, { ...effect, place })]);
  const end = performance.now() + wait_ms;
  const first: Acquisition = wait_ms > 0 ? await acquireOrWait(tenant, unitAt(), wait_ms) : await tenant.commit(unitAt());
  if (first.place === undefined) return written(first);
  const place: Place = { key, place: first.place };
  let outcome: Outcome = first;
  try {
    while (isHeld(outcome) && performance.now() < end) {
      const rest_ms = end - performance.now();
      await queues.turn(tenant, place, retry ? Math.min(rest_ms, RETRY_MS) : rest_ms, signal);
      // nobody would learn the token
      if (signal.aborted) break;
      outcome = await tenant.commit(unitAt(place.place));
    }
    return written(outcome);
  } finally {
    // a request that left would keep the next one waiting until its row expires
    if (isHeld(outcome)) await leaveQueues(tenant, [place]);
  }
}

const isHeld = ({ refusal }: Outcome): boolean => refusal?.code === 'AMHLD';

function written(outcome: Outcome): Outcome {
  assertWritten(outcome);
  return outcome;
}
