import type { z } from 'zod';
import { type Caller, route } from '../auth/index.ts';
import type { Feed } from '../follow/index.ts';
import { replayHeaders } from '../http/outcome.ts';
import { type Idempotency, parseBody } from '../http/route.ts';
import { newId } from '../id.ts';
import { type Change, commitChanges, pageOfObjects, queryBody, readObject, type StateObject, stateFeed } from '../state/index.ts';
import { asConflict, fencedBy } from './fence.ts';
import { jsonArray, sendList } from './lists.ts';
import { type Needs, tagged, useOf } from './needs.ts';
import { type AgentObject, agentObjectOf, changeOf, format, TYPE_TAG, withFields } from './objects.ts';
import { agentObject, namespaceParams, newObject, objectParams, objectQuery, type Query, query, watchQuery } from './schemas.ts';

const byId = { ...tagged, path: '/v1/{+namespace}/objects/{id}', params: objectParams } as const;
const ofBody = ['malformed-json', 'impossible-text', 'validation', 'forbidden'] as const;
const ofChange = ['conflict', 'gone', 'too-large', 'quota-exceeded'] as const;

export const objectRoutes = ({ identify, limitsOf, follow }: Needs) => [
  ...changeRoutes({ identify, limitsOf }),
  route({
    ...byId,
    identify,
    method: 'GET',
    operation: 'readAgentStateObject',
    summary: 'Get an object',
    access: 'read',
    capability: useOf('GET'),
    query: objectQuery,
    success: { status: 200, description: 'The object', schema: agentObject },
    problems: ['validation', 'forbidden', 'not-found', 'gone'],
    handle: async ({ caller, params: { namespace, id }, query: { at } }) => ({
      body: agentObjectOf(await readObject(caller, { namespace, key: id }, at)),
    }),
  }),
  route({
    ...tagged,
    identify,
    method: 'POST',
    path: '/v1/{+namespace}/query',
    operation: 'queryAgentStateObjects',
    summary: 'Find objects by their tags',
    description: 'Without `limit`, the list is complete, whatever its length.',
    access: 'read',
    capability: useOf('GET'),
    params: namespaceParams,
    body: query,
    unredactable: ['tags', 'tag_filter', 'jsonpath'],
    success: { status: 200, description: 'The objects by id', schema: agentObject.array() },
    problems: [...ofBody, 'not-found'],
    handle: ({ caller, params: { namespace }, body, res, signal }) =>
      sendList(res, signal, jsonArray, find(caller, namespace, body)),
  }),
  route({
    ...tagged,
    identify,
    method: 'GET',
    path: '/v1/{+namespace}/watch',
    operation: 'watchAgentStateObjects',
    summary: 'Watch the objects of a namespace',
    description: 'Server-sent events. `Last-Event-ID` continues after a seq and takes precedence over `from_commit`.',
    access: 'read',
    capability: useOf('WATCH'),
    noTimeout: true,
    params: namespaceParams,
    query: watchQuery,
    success: { status: 200, description: 'A stream of changes', mediaType: 'text/event-stream' },
    problems: ['validation', 'forbidden', 'gone', 'rate-limited'],
    handle: ({ params, query: { from_commit }, ...input }) => {
      const after = from_commit === undefined ? undefined : Math.max(0, from_commit - 1);
      return follow.stream({ ...input, identify, feed: feedOf(params.namespace), after });
    },
  }),
];

const changeRoutes = ({ identify, limitsOf }: Pick<Needs, 'identify' | 'limitsOf'>) => [
  route({
    ...tagged,
    identify,
    method: 'POST',
    path: '/v1/{+namespace}/objects',
    operation: 'putAgentStateObject',
    summary: 'Create or replace an object',
    access: 'write',
    capability: useOf('PUT'),
    idempotent: true,
    params: namespaceParams,
    body: newObject,
    success: { status: 200, description: 'The object', schema: agentObject },
    problems: [...ofBody, 'not-found', ...ofChange],
    handle: async ({ caller, params: { namespace }, body: { id, type, ...given }, req, idempotency }) => {
      const fenced = await fencedBy(req, caller, namespace, idempotency);
      const tags = type === '' ? given.tags : { ...given.tags, [TYPE_TAG]: type };
      const object = { key: id ?? newId('obj'), body: given.body, tags, ttl_seconds: given.ttl_seconds ?? undefined };
      const change = { op: 'put', namespace, ...object, caller: fenced, pointer: '#' } as const;
      const { written, replay } = await write(change, idempotency, limitsOf);
      return { body: agentObjectOf(written[0]!.result as StateObject), headers: replayHeaders(replay) };
    },
  }),
  route({
    ...byId,
    identify,
    method: 'DELETE',
    operation: 'deleteAgentStateObject',
    summary: 'Delete an object',
    access: 'write',
    capability: useOf('DELETE'),
    idempotent: true,
    success: { status: 204, description: 'The object was deleted' },
    problems: ['validation', 'forbidden', 'not-found', ...ofChange],
    handle: async ({ caller, params: { namespace, id }, req, idempotency }) => {
      const fenced = await fencedBy(req, caller, namespace, idempotency);
      const change = { op: 'delete', namespace, key: id, caller: fenced, pointer: '#' } as const;
      return { headers: replayHeaders((await write(change, idempotency, limitsOf)).replay) };
    },
  }),
];

const write = (change: Change, retry: Idempotency | null, limitsOf: Needs['limitsOf']) =>
  asConflict(async () => commitChanges(change.caller, [change], retry, await limitsOf(change.caller)));

const PAGE = 1000;

/** Yields the objects that match a query, page by page. */
async function* find(caller: Caller, namespace: string, { limit, fields, ...conditions }: Query): AsyncGenerator<AgentObject[]> {
  const tags = { ...conditions.tag_filter, ...conditions.tags };
  const values = Object.entries(conditions.jsonpath?.equals ?? {}).map(([path, value]) => [path.replace('$', 'body'), value]);
  const filter = values.length > 0 ? Object.fromEntries(values) : undefined;
  const query = parseBody(queryBody, { namespace, tags, filter, limit: PAGE }) as z.output<typeof queryBody>;
  let cursor: string | undefined;
  for (let rest = limit ?? Number.POSITIVE_INFINITY; rest > 0; ) {
    const answer = await pageOfObjects(caller, { ...query, limit: Math.min(PAGE, rest), cursor });
    const page: ObjectPage = typeof answer === 'string' ? JSON.parse(answer) : answer;
    yield page.data.map(agentObjectOf).map((object) => (fields ? withFields(object, fields) : object));
    if (page.next_cursor === null) return;
    rest -= page.data.length;
    cursor = page.next_cursor;
  }
}

interface ObjectPage {
  data: StateObject[];
  next_cursor: string | null;
}

/** The changes of a namespace, in the form of AgentState. */
function feedOf(namespace: string): Feed {
  const own = stateFeed(namespace, { limit: 1 });
  return {
    ...own,
    key: ['compat', namespace],
    format,
    read: async (...range) => {
      const { messages, more } = await own.read(...range);
      return { messages: messages.map((message) => ({ ...message, data: changeOf(message) })), more };
    },
  };
}
