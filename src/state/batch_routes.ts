import { actingFor, type Caller, onBehalf, route } from '../auth/index.ts';
import { replayHeaders } from '../http/outcome.ts';
import { type BatchOperation, batchBody, batchResult } from './batch_schemas.ts';
import { type PatchChange, writeChanges } from './patches.ts';
import { tagged, type Writing } from './routes.ts';
import type { Change } from './write.ts';

export const batchRoutes = ({ limitsOf, locks }: Writing) => [
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/state/batch',
    capability: ({ body: { operations } }) =>
      operations.map(({ op, namespace }) => ({ op: op === 'delete' ? ('DELETE' as const) : ('PUT' as const), namespace })),
    operation: 'changeStates',
    summary: 'Change several objects at once',
    description:
      'Writes all changes or none. They are applied in order, each with a seq of its own. A problem names the operation that was refused.',
    access: 'write',
    idempotent: true,
    body: batchBody,
    success: { status: 200, description: 'The results, in the order of the request', schema: batchResult },
    problems: [
      ...(['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found', 'conflict', 'gone'] as const),
      ...(['precondition-failed', 'too-large', 'quota-exceeded'] as const),
    ],
    handle: async ({ caller, body, idempotency }) => {
      const changes = body.operations.map((operation, i) => changeOf(caller, operation, `#/operations/${i}`));
      const { written, replay } = await writeChanges(caller, changes, idempotency, await limitsOf(caller), locks);
      return { body: { data: written.map(({ result }) => result) }, headers: replayHeaders(replay) };
    },
  }),
];

function changeOf(caller: Caller, operation: BatchOperation, pointer: string): Change | PatchChange {
  const { namespace, key, if_match } = operation;
  const target = { namespace, key, pointer, match: if_match === undefined ? undefined : [if_match] };
  if (operation.op === 'put') {
    const { op, body, tags, ttl_seconds, channel, user_id, agent_id, session_id, project_id } = operation;
    const audience = { channel, user_id, agent_id, session_id, project_id };
    return {
      ...target,
      ...audience,
      op,
      body,
      tags,
      ttl_seconds,
      onlyNew: operation.if_none_match,
      caller: actingFor(caller, user_id),
    };
  }
  const behalf = { ...target, caller: onBehalf(caller, operation, 'pointer') };
  if (operation.op === 'delete') return { ...behalf, op: 'delete' };
  return { ...behalf, op: 'patch', patch: operation.patch ? { operations: operation.patch } : { merge: operation.merge } };
}
