import { type Caller, onBehalf, requireSubjectFor, route, visibilityById } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Follow } from '../follow/index.ts';
import { decodeCursor, encodeCursor, toPage } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import { visibilityOfLists } from './audience.ts';
import { type Query, queryObjects } from './query.ts';
import { queryBody } from './query_schemas.ts';
import { byKey, tagged, useOf } from './routes.ts';
import { type At, listQuery, namespaceParams, objectPage, versionPage, versionsQuery } from './schemas.ts';
import { listVersions, momentOf, objectOf } from './sql.ts';
import { findTaggedPage } from './tagged.ts';
import { stateFeed } from './watch.ts';

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
    handle: async ({ caller, params: { namespace }, query: { prefix, tag, limit, cursor, from_commit, ...behalf } }) => {
      if (from_commit !== undefined)
        throw new Problem('validation', '`from_commit` requires `Accept: text/event-stream`.', {
          errors: [{ parameter: 'from_commit', detail: 'requires Accept: text/event-stream' }],
        });
      const query = { namespace, prefix, tags: tag && Object.fromEntries(tag), order: 'key', limit, cursor };
      return { body: await pageOfObjects(onBehalf(caller, behalf), query) };
    },
    streams: ({ params, query, ...input }) => {
      const after = query.from_commit === undefined ? undefined : Math.max(0, query.from_commit - 1);
      return follow.stream({ ...input, feed: stateFeed(params.namespace, query), after });
    },
  }),
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/state/query',
    capability: ({ body: { namespace } }) => [{ op: 'GET', namespace }],
    operation: 'queryState',
    summary: 'Find objects of a namespace',
    description:
      'Returns the objects that meet all conditions, now or at an earlier moment. A page may be empty and still have a `next_cursor`: `scanned_upto` is where its search ended.',
    access: 'read',
    fastPath: true,
    body: queryBody,
    unredactable: ['tags', 'prefix', 'contains', 'filter'],
    success: { status: 200, description: 'A page of objects', schema: objectPage },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found', 'gone'],
    handle: async ({ caller, body: { user_id, all_users, ...query } }) => ({
      body: await pageOfObjects(onBehalf(caller, { user_id, all_users }, 'pointer'), query),
    }),
  }),
  route({
    ...byKey,
    method: 'GET',
    path: '/v1/state/{namespace}/{key}/versions',
    capability: useOf('GET'),
    operation: 'listStateVersions',
    summary: 'List the versions of an object, newest first',
    description: 'Also lists deletions and expiries. A trim removes old versions.',
    access: 'read',
    query: versionsQuery,
    success: { status: 200, description: 'A page of versions', schema: versionPage },
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller, params, query }) => ({ body: await pageOfVersions(onBehalf(caller, query), params, query) }),
  }),
];

/** A page of a list or query. */
interface PageQuery extends Omit<Query, 'by' | 'direction' | 'after' | 'moment'> {
  order: string;
  cursor?: string | undefined;
  at?: At | undefined;
}

/** Returns a page of the objects that match a query. */
export async function pageOfObjects({ tenant, principal }: Caller, { order, cursor, at, limit, ...conditions }: PageQuery) {
  const by = order.replace('-', '') === 'key' ? 'key' : 'seq';
  const after = cursor === undefined ? undefined : decodeCursor(cursor, [by === 'key' ? 'string' : 'number'])[0];
  const { namespace, tags = {}, ...others } = conditions;
  if (order === 'key' && Object.values({ ...others, at }).every((one) => one === undefined)) {
    const query = { namespace, tags, after: after as string | undefined, limit };
    const page = await findTaggedPage(tenant, visibilityOfLists(principal), query);
    if (page !== undefined) return page;
  }
  const direction = order.startsWith('-') ? 'desc' : 'asc';
  const read = async (db: Db) => {
    const moment = at && (await momentOf(db, tenant.id, at));
    return queryObjects(db, tenant.id, visibilityOfLists(principal), {
      ...conditions,
      by,
      direction,
      after,
      moment,
      limit: limit + 1,
    });
  };
  // a trim must not remove what an earlier moment needs between the statements, and the cursor must not pass an object that was not scanned
  const { rows, more, scanned } = await tenant.snapshot(read);
  const page = toPage(rows.map(objectOf), limit, ({ key, commit_seq }) => [by === 'key' ? key : commit_seq]);
  if (more) return { ...page, next_cursor: encodeCursor([rows.at(-1)![by]]) };
  return scanned === undefined ? page : { ...page, next_cursor: encodeCursor([scanned]), scanned_upto: scanned };
}

async function pageOfVersions(
  { tenant, principal }: Caller,
  { namespace, key }: { namespace: string; key: string },
  { limit, cursor }: { limit: number; cursor?: string | undefined },
) {
  const before = cursor === undefined ? undefined : Number(decodeCursor(cursor, ['number'])[0]);
  const range = { namespace, key, before, limit: limit + 1 };
  const { rows, more } = await tenant.read((db) => listVersions(db, tenant.id, range, visibilityById(principal)));
  if (rows.length === 0 && before === undefined) throw new Problem('not-found', 'There is no object with this key.');
  if (rows[0]) requireSubjectFor(principal, rows[0]);
  const versions = rows.map(({ seq, channel: _, listed: __, body, tags, created_at, expires_at, ...version }) => ({
    ...version,
    commit_seq: seq,
    ...(version.change === 'put' && { body, tags: tags ?? {}, ...(created_at !== null && { created_at }) }),
    ...(expires_at !== null && { expires_at }),
  }));
  const page = toPage(versions, limit, ({ version }) => [version]);
  return more ? { ...page, next_cursor: encodeCursor([versions.at(-1)!.version]) } : page;
}
