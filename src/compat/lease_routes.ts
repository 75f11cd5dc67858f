import { route } from '../auth/index.ts';
import { replayHeaders } from '../http/outcome.ts';
import { acquire, release, renew } from '../leases/index.ts';
import { asConflict, leaseKeyOf } from './fence.ts';
import { type Needs, tagged } from './needs.ts';
import * as schemas from './schemas.ts';

const shared = {
  ...tagged,
  method: 'POST',
  access: 'write',
  capability: ({ params, body }: { params: { namespace: string }; body: { key: string } }) => [
    { op: 'LEASE' as const, namespace: leaseKeyOf(params.namespace, body.key) },
  ],
  idempotent: true,
  params: schemas.namespaceParams,
  unredactable: ['key', 'owner'] as string[],
} as const;
const problems = ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'conflict'] as const;

export const leaseRoutes = ({ identify }: Pick<Needs, 'identify'>) => [
  route({
    ...shared,
    identify,
    path: '/v1/{+namespace}/lease/acquire',
    operation: 'acquireAgentStateLease',
    summary: 'Acquire a lease',
    body: schemas.acquisition,
    success: { status: 200, description: 'The lease', schema: schemas.lease },
    problems: [...problems, 'lease-held', 'quota-exceeded'],
    handle: async ({ caller, params, body: { key, owner, ttl }, idempotency }) =>
      answer(await acquire(caller, leaseKeyOf(params.namespace, key), { owner, ttl_ms: ttl * 1000 }, idempotency)),
  }),
  route({
    ...shared,
    identify,
    path: '/v1/{+namespace}/lease/renew',
    operation: 'renewAgentStateLease',
    summary: 'Extend a lease',
    body: schemas.renewal,
    success: { status: 200, description: 'The lease', schema: schemas.lease },
    problems: [...problems],
    handle: async ({ caller, params, body: { key, owner, token, ttl }, idempotency }) => {
      const claim = { owner, token, ttl_ms: ttl * 1000 };
      return answer(await asConflict(() => renew(caller, leaseKeyOf(params.namespace, key), claim, idempotency)));
    },
  }),
  route({
    ...shared,
    identify,
    path: '/v1/{+namespace}/lease/release',
    operation: 'releaseAgentStateLease',
    summary: 'Release a lease',
    body: schemas.release,
    success: { status: 204, description: 'The lease is free' },
    problems: [...problems, 'quota-exceeded'],
    handle: async ({ caller, params, body: { key, owner, token }, idempotency }) => {
      const replay = await asConflict(() => release(caller, leaseKeyOf(params.namespace, key), { owner, token }, idempotency));
      return { headers: replayHeaders(replay) };
    },
  }),
];

const answer = ({ lease: { token, expires_at }, replay }: Awaited<ReturnType<typeof acquire>>) => ({
  body: { token, expires_at },
  headers: replayHeaders(replay),
});
