import { requireChannel, route } from '../auth/index.ts';
import { replayHeaders } from '../http/outcome.ts';
import { decodeCursor, toPage } from '../http/page.ts';
import { acquire, acquireOrQueue, type Held, release, renew } from './hold.ts';
import type { Queues } from './queue.ts';
import { lease, leaseList, leasePage, leaseParams, leaseRelease, leaseRenewal, leaseRequest } from './schemas.ts';
import { listLeases } from './sql.ts';

const capability = ({ params }: { params: { lease_key: string } }) => [{ op: 'LEASE' as const, namespace: params.lease_key }];
const tagged = { tag: 'Leases', limit: 'v1' } as const;
const fenced = ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'conflict'] as const;

export const leaseRoutes = (queues: Queues) => [acquireRoute(queues), ...holderRoutes, listRoute];

const answer = ({ lease, replay }: Held) => ({ body: lease, headers: replayHeaders(replay) });

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
    handle: async ({ caller, params: { lease_key }, body, idempotency, signal }) =>
      answer(
        body.wait_ms > 0
          ? await acquireOrQueue(caller, lease_key, body, idempotency, queues, signal)
          : await acquire(caller, lease_key, body, idempotency),
      ),
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
    handle: async ({ caller, params: { lease_key }, body, idempotency }) =>
      answer(await renew(caller, lease_key, body, idempotency)),
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
    handle: async ({ caller, params: { lease_key }, query, idempotency }) => ({
      headers: replayHeaders(await release(caller, lease_key, query, idempotency)),
    }),
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
