import { z } from 'zod';
import { commitWithArtifacts } from '../artifacts/index.ts';
import {
  allowedChannels,
  behalf,
  behalfQuery,
  type Caller,
  isAdmin,
  onBehalf,
  requireSubjectFor,
  route,
  visibilityById,
  visibilityIn,
} from '../auth/index.ts';
import type { Outcome } from '../db/unit.ts';
import type { Follow } from '../follow/index.ts';
import type { JsonLimits } from '../http/json.ts';
import { nameOf } from '../http/name.ts';
import { assertWritten, replayHeaders } from '../http/outcome.ts';
import { boundedPageOf, decodeCursor } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import type { Input, Reply } from '../http/route.ts';
import { withTerms } from '../passages/index.ts';
import { refuseDangling } from '../refs/index.ts';
import type { Secrets } from '../secrets/index.ts';
import type { Workers } from '../work/index.ts';
import { type Draft, draftOf, type EventSummary, type LargeRequest, receiveDraft } from './draft.ts';
import { eventFeed } from './feed.ts';
import { readPage } from './page.ts';
import type { EffectHandlers, EventLimits } from './prepare.ts';
import { reveal } from './reveal.ts';
import { event, eventsBody, type ListQuery, listQuery, type Recorded, recordedWith } from './schemas.ts';
import { chunkIds, type LogRange, readEvent, readRecorded, readUnedited } from './sql.ts';

/** Limits and dependencies of the routes that record events. */
export interface RecordSettings extends EventLimits {
  /** Maximum size of a body with a list of events, and of one with a single event. */
  maxBatchBytes: number;
  maxSingle: number;
  json: JsonLimits;
  workers: Workers;
  /** Handlers of the effects that events carry. */
  handlers: EffectHandlers;
}

export const eventRoutes = (follow: Follow, limits: RecordSettings, secrets: Secrets) => [
  ...writeRoutes(limits, secrets),
  ...readRoutes(follow),
  revealRoute(secrets),
];

const writeRoutes = ({ handlers, ...limits }: RecordSettings, secrets: Secrets, recorded = recordedWith(handlers)) => [
  route({
    method: 'POST',
    path: '/v1/events',
    operation: 'recordEvents',
    summary: 'Record one event or a batch',
    description: 'A batch has up to 1,000 events. Either all of them are recorded or none.',
    tag: 'Events',
    access: 'write',
    limit: 'v1',
    fastPath: true,
    idempotent: true,
    body: eventsBody,
    success: {
      status: 201,
      description: 'The recorded events, in the order of the request',
      schema: z.union([recorded, z.object({ data: z.array(recorded) })]),
    },
    problems: ['malformed-json', 'impossible-text', 'validation', 'conflict', 'too-large', 'not-found', 'gone', 'quota-exceeded'],
    maxBytes: limits.maxBatchBytes,
    handle: async ({ caller, body, idempotency }) => {
      const screener = await secrets.of(caller.tenant);
      return answer(
        await record(caller, draftOf(caller.principal, body, idempotency, { ...limits, screener }, handlers), handlers),
      );
    },
    handleLarge: async ({ caller, bytes, idempotencyRequest, signal }) => {
      const { source } = await secrets.of(caller.tenant);
      const { json, maxSingle, workers, ...bounds } = limits;
      const input: LargeRequest = {
        bytes,
        json,
        maxSingle,
        limits: bounds,
        principal: caller.principal,
        source,
        idempotencyRequest,
      };
      const order = { tenant: caller.tenant.id, task: 'events', input, transfer: [bytes.buffer as ArrayBuffer], signal };
      return answer(await record(caller, receiveDraft(await workers.run<Draft>(order)), handlers, signal));
    },
  }),
];

/** Longer pages are read in a worker. */
const SHORT_PAGE = 100;

const listRoute = route({
  method: 'GET',
  path: '/v1/events',
  operation: 'listEvents',
  summary: 'List events or follow them as server-sent events',
  description: 'Events are in the order of `seq`. Send `Accept: text/event-stream` to follow the log.',
  tag: 'Events',
  access: 'read',
  limit: 'v1',
  query: listQuery,
  success: { status: 200, description: 'A page of events', schema: boundedPageOf(event, z.int()) },
  otherAnswers: [
    {
      status: 200,
      description: 'With `Accept: text/event-stream`, a stream of events',
      mediaType: 'text/event-stream',
    },
  ],
  problems: ['validation', 'gone', 'rate-limited', 'forbidden'],
  heavy: ({ query: { limit, filter, kind, about_user_id, agent_id, tag, since, until } }) =>
    limit > SHORT_PAGE ||
    ([filter, kind, about_user_id, agent_id, tag, since, until].some((narrowing) => narrowing !== undefined) && 'perhaps'),
  handle: async ({ caller, query }) => {
    const visibility = visibilityIn(onBehalf(caller, query).principal, query.channel);
    return { body: await readPage(caller.tenant, visibility, query, logRangeOf(query)) };
  },
});

/** Reads that may run in a worker. */
export const eventReads = [listRoute];

const readRoutes = (follow: Follow) => [
  {
    ...listRoute,
    streams: ({ query, ...input }: Input<Caller, undefined, typeof listQuery, undefined>) =>
      follow.stream({ ...input, feed: eventFeed(query), after: query.after }),
  },
  route({
    method: 'GET',
    path: '/v1/events/{event_id}',
    operation: 'readEvent',
    summary: 'Get an event',
    tag: 'Events',
    access: 'read',
    limit: 'v1',
    fastPath: true,
    params: z.strictObject({ event_id: nameOf() }),
    query: z.strictObject(behalfQuery),
    success: { status: 200, description: 'The event', schema: event },
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller, params, query }) => {
      const { principal } = onBehalf(caller, query);
      const view = isAdmin(principal) ? ('original' as const) : { asking: allowedChannels(principal) };
      const stored = await readEvent(caller.tenant, params.event_id, visibilityById(principal), view);
      if (!stored) throw new Problem('not-found', 'There is no event with this id.');
      requireSubjectFor(principal, stored);
      return { body: stored };
    },
  }),
];

const revealRoute = (secrets: Secrets) =>
  route({
    method: 'POST',
    path: '/v1/events/{event_id}/reveal',
    operation: 'revealEvent',
    summary: 'Get an event with its encrypted secrets',
    description: 'The service writes an audit entry before it returns the secrets.',
    tag: 'Events',
    access: 'read',
    limit: 'v1',
    audit: 'secret.revealed',
    params: z.strictObject({ event_id: nameOf() }),
    query: z.strictObject(behalf),
    success: { status: 200, description: 'The original event. If nothing was encrypted, the event as stored', schema: event },
    problems: ['validation', 'forbidden', 'not-found', 'unavailable'],
    handle: async ({ caller: authenticated, params, query }) => {
      const caller = onBehalf(authenticated, query);
      const { principal, tenant } = caller;
      const visibility = visibilityById(principal);
      // the sealed copy contains the original, so the caller must be allowed to read the unedited event
      const stored = isAdmin(principal)
        ? await readEvent(tenant, params.event_id, visibility, 'original')
        : await readUnedited(tenant, params.event_id, visibility, allowedChannels(principal));
      if (!stored) throw new Problem('not-found', 'There is no event with this id.');
      requireSubjectFor(principal, stored);
      return { body: reveal(caller, stored, secrets) };
    },
  });

/** Returns the range of a page, plus one event that shows whether another page follows. */
function logRangeOf({ order, after, cursor, limit }: ListQuery): LogRange {
  const last = cursor === undefined ? undefined : Number(decodeCursor(cursor, ['number'])[0]);
  if (order === 'asc') return { order, after: last ?? after, upto: undefined, limit: limit + 1 };
  return { order, after, upto: last === undefined ? undefined : last - 1, limit: limit + 1 };
}

async function record(
  caller: Caller,
  draft: Draft,
  handlers: EffectHandlers,
  signal?: AbortSignal,
): Promise<{ single: boolean; data: Recorded[]; replay: boolean }> {
  const { single, unit, termPieces, artifacts, summaries, effects } = draft;
  await refuseDangling(caller, draft.cited);
  for (const [noun, handler] of handlers) if (effects[noun]) await handler.check(caller, effects[noun]);
  const outcome = await commitWithArtifacts(caller.tenant, artifacts, await withTerms(caller.tenant, unit, termPieces, signal));
  assertWritten(outcome);
  const replay = outcome.status === 'replay';
  let data = replay
    ? await caller.tenant.read((db) => readRecorded(db, caller.tenant.id, outcome))
    : recordedFrom(summaries, outcome);
  for (const [noun, handler] of handlers) {
    if (!effects[noun]) continue;
    const fields = await handler.answer(caller, effects[noun], outcome);
    data = data.map((one, i) => ({ ...one, ...fields.get(i) }));
  }
  return { single, replay, data };
}

function answer({ single, data, replay }: { single: boolean; data: Recorded[]; replay: boolean }): Reply {
  return {
    body: single ? data[0] : { data },
    headers: {
      ...(single && { Location: `/v1/events/${data[0]!.event_id}` }),
      ...replayHeaders(replay),
    },
  };
}

const recordedFrom = (summaries: EventSummary[], { seq, at }: Outcome): Recorded[] =>
  summaries.map(({ event_id, artifact_id, passages, sensitivity, redactions, unindexed_bytes }, i) => ({
    event_id,
    seq: seq + i,
    chunk_ids: chunkIds(event_id, passages),
    ...(artifact_id !== undefined && { artifact_id }),
    sensitivity: sensitivity as Recorded['sensitivity'],
    ...(redactions !== undefined && { redactions }),
    ...(unindexed_bytes > 0 && { unindexed_bytes }),
    created_at: at,
  }));
