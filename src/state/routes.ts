import type { z } from 'zod';
import { actingFor, type Caller, onBehalf, requireSubjectFor, route, visibilityById } from '../auth/index.ts';
import type { Follow } from '../follow/index.ts';
import type { Use } from '../http/capability.ts';
import { etagOf, isNotModified } from '../http/etag.ts';
import { replayHeaders } from '../http/outcome.ts';
import { decodeCursor, encodeCursor, toPage } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import type { Secrets } from '../secrets/index.ts';
import { visibilityOfLists } from './audience.ts';
import {
  changeQuery,
  type ListQuery,
  listQuery,
  namespaceParams,
  object,
  objectPage,
  objectParams,
  objectQuery,
  putBody,
  type StateObject,
} from './schemas.ts';
import { findObject, findObjectAt, listObjects, momentOf, objectOf } from './sql.ts';
import { stateFeed } from './watch.ts';
import { commitChanges, conditionsOf, type WriteLimits } from './write.ts';

const tagged = { tag: 'State', limit: 'v1' } as const;
const byKey = { ...tagged, path: '/v1/state/{namespace}/{key}', params: objectParams } as const;

/** Returns the operation of a request for one namespace, which a capability must permit. */
const useOf =
  (op: Use['op']) =>
  ({ params: { namespace } }: { params: { namespace: string } }): Use[] => [{ op, namespace }];

/** Returns the limits and the secret screener for a caller's writes. */
export type LimitsOf = (caller: Caller) => Promise<WriteLimits>;

export const limitsOf =
  (maxBytes: number, secrets: Secrets): LimitsOf =>
  async ({ tenant }) => ({ maxBytes, screener: await secrets.of(tenant) });

const noObject = () => new Problem('not-found', 'There is no object with this key.');

export const objectRoutes = (limits: LimitsOf) => [
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
    problems: [
      ...(['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found', 'conflict', 'gone'] as const),
      ...(['precondition-failed', 'too-large', 'quota-exceeded'] as const),
    ],
    handle: async ({ caller, params, body, req, idempotency }) => {
      const change = {
        ...params,
        ...body,
        ...conditionsOf(req),
        op: 'put',
        caller: actingFor(caller, body.user_id),
        pointer: '#',
      } as const;
      const { written, replay } = await commitChanges(caller, [change], idempotency, await limits(caller));
      return { status: written[0]!.created ? 201 : 200, ...answer(written[0]!.object!, replay) };
    },
  }),
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
    handle: async ({ caller: original, params, query, req }) => {
      const caller = onBehalf(original, query);
      const found = await readObject(caller, params, query.at);
      if (isNotModified(req, found)) return { status: 304, headers: { ETag: etagOf(found) } };
      return { body: found, headers: { ETag: etagOf(found) } };
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
    problems: ['validation', 'forbidden', 'not-found', 'conflict', 'precondition-failed', 'quota-exceeded'],
    handle: async ({ caller: original, params, query, req, idempotency }) => {
      const caller = onBehalf(original, query);
      const change = { ...params, ...conditionsOf(req), op: 'delete', caller, pointer: '#' } as const;
      const { replay } = await commitChanges(caller, [change], idempotency, await limits(caller));
      return { headers: replayHeaders(replay) };
    },
  }),
];

const answer = (found: StateObject, replay: boolean) => ({
  body: found,
  headers: { ETag: etagOf(found), ...replayHeaders(replay) },
});

/** Reads an object now or at an earlier moment. Throws `not-found` if it does not exist then or the caller may not see it. */
async function readObject(
  { tenant, principal }: Caller,
  { namespace, key }: { namespace: string; key: string },
  at: z.output<typeof objectQuery>['at'],
): Promise<StateObject> {
  const visibility = visibilityById(principal);
  const row = await tenant.read(async (db) =>
    at === undefined
      ? findObject(db, tenant.id, namespace, key, visibility)
      : findObjectAt(db, tenant.id, namespace, key, await momentOf(db, tenant.id, at), visibility),
  );
  if (!row) throw noObject();
  requireSubjectFor(principal, row);
  return objectOf(row);
}

export const listRoutes = (follow: Follow) => [
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/state/{namespace}',
    capability: ({ streams, ...input }) => useOf(streams ? 'WATCH' : 'GET')(input),
    operation: 'listState',
    summary: 'List the objects of a namespace, or watch them',
    description:
      'The list is in the order of the keys. Send `Accept: text/event-stream` to receive each change as a server-sent event. A key for all subjects that names no user sees shared objects only.',
    access: 'read',
    params: namespaceParams,
    query: listQuery,
    success: { status: 200, description: 'A page of objects', schema: objectPage },
    otherAnswers: [
      {
        status: 200,
        description:
          'With `Accept: text/event-stream`, a stream of changes: `id` is the seq, `event` is put, delete or expired, and `data` the object, or the namespace, key, version and commit_seq of one that is gone',
        mediaType: 'text/event-stream',
      },
    ],
    problems: ['validation', 'forbidden', 'gone', 'rate-limited'],
    handle: async ({ caller, params, query }) => ({ body: await listPage(onBehalf(caller, query), params.namespace, query) }),
    streams: ({ params, query, ...input }) => {
      const after = query.from_commit === undefined ? undefined : Math.max(0, query.from_commit - 1);
      return follow.stream({ ...input, feed: stateFeed(params.namespace, query), after });
    },
  }),
];

async function listPage(
  { tenant, principal }: Caller,
  namespace: string,
  { prefix, tag, limit, cursor, from_commit }: ListQuery,
) {
  if (from_commit !== undefined)
    throw new Problem('validation', 'from_commit: only a watch begins at a seq. Send Accept: text/event-stream.', {
      errors: [{ parameter: 'from_commit', detail: 'requires Accept: text/event-stream' }],
    });
  const after = cursor === undefined ? undefined : String(decodeCursor(cursor, ['string'])[0]);
  const range = { namespace, prefix, after, tags: tag && Object.fromEntries(tag), limit: limit + 1 };
  const { rows, more } = await tenant.read((db) => listObjects(db, tenant.id, range, visibilityOfLists(principal)));
  const page = toPage(rows.map(objectOf), limit, ({ key }) => [key]);
  return more ? { ...page, next_cursor: encodeCursor([rows.at(-1)!.key]) } : page;
}
