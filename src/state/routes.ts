import { actingFor, type Caller, onBehalf, requireSubjectFor, route, visibilityById } from '../auth/index.ts';
import type { Use } from '../http/capability.ts';
import { etagOf, isNotModified } from '../http/etag.ts';
import { replayHeaders } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import { parseBody } from '../http/route.ts';
import type { Secrets } from '../secrets/index.ts';
import { patchOperations } from './batch_schemas.ts';
import { createKeyLocks } from './key_locks.ts';
import type { Patch, PatchLimits, PatchOperation } from './patch.ts';
import { type Limits, writeChanges } from './patches.ts';
import { type At, changeQuery, object, objectParams, objectQuery, patchBody, putBody, type StateObject } from './schemas.ts';
import { findObject, findObjectAt, momentOf, objectOf } from './sql.ts';
import { commitChanges, conditionsOf, type WriteLimits } from './write.ts';
import type { Outcomes } from './written.ts';

export const tagged = { tag: 'State', limit: 'v1' } as const;
export const byKey = { ...tagged, path: '/v1/state/{namespace}/{key}', params: objectParams } as const;

/** Returns the operation of a request for one namespace, which a capability must permit. */
export const useOf =
  (op: Use['op']) =>
  ({ params: { namespace } }: { params: { namespace: string } }): Use[] => [{ op, namespace }];

/** The dependencies of the routes that write. */
export interface Writing {
  limitsOf(caller: Caller): Promise<Limits>;
  locks: ReturnType<typeof createKeyLocks>;
}

export const writingOf = (limits: PatchLimits & Pick<WriteLimits, 'maxTotalBytes'>, secrets: Secrets): Writing => ({
  limitsOf: async ({ tenant }) => ({ ...limits, screener: await secrets.of(tenant) }),
  locks: createKeyLocks(),
});

const noObject = () => new Problem('not-found', 'There is no object with this key.');
const ofBody = ['malformed-json', 'impossible-text', 'validation'] as const;
const ofChange = ['forbidden', 'not-found', 'conflict', 'gone', 'precondition-failed', 'too-large', 'quota-exceeded'] as const;

const changeRoutes = ({ limitsOf, locks }: Writing) => [
  route({
    ...byKey,
    method: 'PUT',
    capability: useOf('PUT'),
    operation: 'putState',
    summary: 'Create or replace an object',
    description:
      'Replaces body, tags and expiry. The first write fixes the audience; a later one must name the same or none. With `If-None-Match: *`, the request fails with 412 if the object exists.',
    access: 'write',
    fastPath: true,
    idempotent: true,
    body: putBody,
    success: { status: 200, description: 'The object', schema: object },
    otherAnswers: [{ status: 201, description: 'The object, which did not exist before', schema: object }],
    problems: [...ofBody, ...ofChange],
    handle: async ({ caller, params, body, req, idempotency }) => {
      const conditions = conditionsOf(req);
      const change = {
        ...params,
        ...body,
        ...conditions,
        op: 'put',
        caller: actingFor(caller, body.user_id),
        pointer: '#',
      } as const;
      const outcomes = await commitChanges(caller, [change], idempotency, await limitsOf(caller));
      return { status: outcomes.written[0]!.created ? 201 : 200, ...answer(outcomes) };
    },
  }),
  route({
    ...byKey,
    method: 'PATCH',
    capability: useOf('PUT'),
    operation: 'patchState',
    summary: 'Change the body of an object',
    description:
      'Applies a JSON merge patch (`application/merge-patch+json`, also `application/json`) or a JSON patch (`application/json-patch+json`) to the body. Tags and expiry stay. A `test` that fails returns 409. Concurrent patches are applied one after the other.',
    access: 'write',
    idempotent: true,
    body: patchBody,
    bodyTypes: ['application/merge-patch+json', 'application/json-patch+json', 'application/json'],
    query: changeQuery,
    success: { status: 200, description: 'The object', schema: object },
    problems: [...ofBody, ...ofChange],
    handle: async ({ caller: original, params, query, body, req, idempotency }) => {
      const caller = onBehalf(original, query);
      const patch = patchOf(req.headers['content-type'], body);
      const change = { ...params, ...conditionsOf(req), op: 'patch', patch, caller, pointer: '#' } as const;
      return answer(await writeChanges(caller, [change], idempotency, await limitsOf(caller), locks));
    },
  }),
  route({
    ...byKey,
    method: 'DELETE',
    capability: useOf('DELETE'),
    operation: 'deleteState',
    summary: 'Delete an object',
    description: 'Earlier versions can still be read with `at`.',
    access: 'write',
    idempotent: true,
    query: changeQuery,
    success: { status: 204, description: 'The object was deleted' },
    problems: ['validation', 'forbidden', 'not-found', 'conflict', 'gone', 'precondition-failed', 'quota-exceeded'],
    handle: async ({ caller: original, params, query, req, idempotency }) => {
      const caller = onBehalf(original, query);
      const change = { ...params, ...conditionsOf(req), op: 'delete', caller, pointer: '#' } as const;
      const { replay } = await commitChanges(caller, [change], idempotency, await limitsOf(caller));
      return { headers: replayHeaders(replay) };
    },
  }),
];

export const objectRoutes = (writing: Writing) => [
  ...changeRoutes(writing),
  route({
    ...byKey,
    method: 'GET',
    capability: useOf('GET'),
    operation: 'readState',
    summary: 'Get an object',
    access: 'read',
    fastPath: true,
    query: objectQuery,
    success: { status: 200, description: 'The object', schema: object },
    otherAnswers: [{ status: 304, description: 'The client already has this version (`If-None-Match`)' }],
    problems: ['validation', 'forbidden', 'not-found', 'gone'],
    handle: async ({ caller, params, query, req }) => {
      const found = await readObject(onBehalf(caller, query), params, query.at);
      const headers = { ETag: etagOf(found) };
      return isNotModified(req, found) ? { status: 304, headers } : { body: found, headers };
    },
  }),
];

/** Returns the patch of a request by its media type. */
function patchOf(mediaType: string | undefined, body: unknown): Patch {
  if (!/^application\/json-patch\+json\b/i.test(mediaType ?? '')) return { merge: body };
  return { operations: parseBody(patchOperations, body) as PatchOperation[] };
}

function answer({ written, replay }: Outcomes) {
  const { result } = written[0]!;
  return { body: result, headers: { ETag: etagOf(result), ...replayHeaders(replay) } };
}

/** Reads an object now or at an earlier moment. Throws `not-found` if it does not exist then or the caller may not see it. */
export async function readObject(
  { tenant, principal }: Caller,
  { namespace, key }: { namespace: string; key: string },
  at: At | undefined,
): Promise<StateObject> {
  const visibility = visibilityById(principal);
  // a snapshot, because a trim must not remove what the moment needs between the statements
  const row =
    at === undefined
      ? await findObject(tenant, namespace, key, visibility)
      : await tenant.snapshot(async (db) =>
          findObjectAt(db, tenant.id, namespace, key, await momentOf(db, tenant.id, at), visibility),
        );
  if (!row) throw noObject();
  requireSubjectFor(principal, row);
  return objectOf(row);
}
