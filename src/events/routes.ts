import { z } from 'zod';
import { commitWithArtifacts, type NewArtifact, sha256Of } from '../artifacts/index.ts';
import {
  askingChannels,
  behalf,
  behalfQuery,
  type Caller,
  isAdmin,
  onBehalf,
  requireNamed,
  route,
  sightById,
  sightIn,
} from '../auth/index.ts';
import type { Outcome } from '../db/commit.ts';
import { nameOf } from '../http/name.ts';
import { boundedPageOf, decodeCursor } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import {
  type Cited,
  cite,
  citeOne,
  findReplaced,
  memoryIdOf,
  type Replacing,
  refuseDangling,
  standingsOf,
} from '../memories/index.ts';
import type { Screener, Secrets } from '../secrets/index.ts';
import { complete } from './defaults.ts';
import { type Follow, followEvents } from './follow.ts';
import { readPage } from './page.ts';
import { type EventLimits, type Prepared, prepareAll } from './record.ts';
import { reveal } from './reveal.ts';
import { event, eventsBody, type ListQuery, listQuery, type NewEvent, type Recorded, recorded } from './schemas.ts';
import { chunkIds, memoryNamed, readEvent, readRecorded, readUnedited, type Stretch } from './sql.ts';

export const eventRoutes = (follow: Follow, limits: EventLimits, secrets: Secrets) => [
  ...written(limits, secrets),
  ...read(follow),
  revealed(secrets),
];

const written = (limits: EventLimits, secrets: Secrets) => [
  route({
    method: 'POST',
    path: '/v1/events',
    operation: 'recordEvents',
    summary: 'Record one event, or up to 1000 all or nothing',
    tag: 'Events',
    access: 'write',
    limit: 'v1',
    hot: true,
    idempotent: true,
    body: eventsBody,
    success: {
      status: 201,
      description: 'Recorded, in the order given',
      schema: z.union([recorded, z.object({ data: z.array(recorded) })]),
    },
    problems: ['malformed-json', 'impossible-text', 'validation', 'conflict', 'too-large', 'not-found', 'quota-exceeded'],
    handle: async ({ caller, body, idempotency }) => {
      const single = !('events' in body);
      const given = (single ? [body] : body.events).map((one) => complete(caller.principal, one));
      const { data, replay } = await record(caller, given, idempotency, { ...limits, screener: await secrets.of(caller.tenant) });
      return {
        body: single ? data[0] : { data },
        headers: {
          ...(single && { Location: `/v1/events/${data[0]!.event_id}` }),
          ...(replay && { 'Idempotent-Replay': 'true' }),
        },
      };
    },
  }),
];

const read = (follow: Follow) => [
  route({
    method: 'GET',
    path: '/v1/events',
    operation: 'listEvents',
    summary: 'List events by seq, or follow them as server-sent events',
    tag: 'Events',
    access: 'read',
    limit: 'v1',
    streams: true,
    query: listQuery,
    success: { status: 200, description: 'A page of events', schema: boundedPageOf(event, z.int()) },
    also: [
      {
        status: 200,
        description: 'with `Accept: text/event-stream` the log as it grows',
        mediaType: 'text/event-stream',
      },
    ],
    problems: ['validation', 'gone', 'rate-limited', 'forbidden'],
    handle: async (input) => {
      const { caller, query, req } = input;
      if (/\btext\/event-stream\b/.test(req.headers.accept ?? '')) return followEvents(follow, input);
      const sight = sightIn(onBehalf(caller, query).principal, query.channel);
      return { body: await readPage(caller.tenant, sight, query, stretchOf(query)) };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/events/{event_id}',
    operation: 'readEvent',
    summary: 'Read one event',
    tag: 'Events',
    access: 'read',
    limit: 'v1',
    hot: true,
    params: z.strictObject({ event_id: nameOf() }),
    query: z.strictObject(behalfQuery),
    success: { status: 200, description: 'The event', schema: event },
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller, params, query }) => {
      const { principal } = onBehalf(caller, query);
      const look = isAdmin(principal) ? ('original' as const) : { asking: askingChannels(principal) };
      const found = await readEvent(caller.tenant, params.event_id, sightById(principal), look);
      if (!found) throw new Problem('not-found', 'There is no event with this id.');
      requireNamed(principal, found);
      return { body: found };
    },
  }),
];

const revealed = (secrets: Secrets) =>
  route({
    method: 'POST',
    path: '/v1/events/{event_id}/reveal',
    operation: 'revealEvent',
    summary: 'Read one event with the secrets that were kept encrypted; the audit is told first',
    tag: 'Events',
    access: 'read',
    limit: 'v1',
    audit: 'secret.revealed',
    params: z.strictObject({ event_id: nameOf() }),
    query: z.strictObject(behalf),
    success: { status: 200, description: 'The event as it came; as it is kept where nothing was encrypted', schema: event },
    problems: ['validation', 'forbidden', 'not-found', 'unavailable'],
    handle: async ({ caller: given, params, query }) => {
      const caller = onBehalf(given, query);
      const { principal, tenant } = caller;
      const sight = sightById(principal);
      // the sealed copy is of what was recorded: who may not read that any more is not shown it either
      const found = isAdmin(principal)
        ? await readEvent(tenant, params.event_id, sight, 'original')
        : await readUnedited(tenant, params.event_id, sight, askingChannels(principal));
      if (!found) throw new Problem('not-found', 'There is no event with this id.');
      requireNamed(principal, found);
      return { body: reveal(caller, found, secrets) };
    },
  });

/** The page that a cursor points to, read one row further to know whether another follows. */
function stretchOf({ order, after, cursor, limit }: ListQuery): Stretch {
  const last = cursor === undefined ? undefined : Number(decodeCursor(cursor, ['number'])[0]);
  if (order === 'asc') return { order, after: last ?? after, upto: undefined, limit: limit + 1 };
  return { order, after, upto: last === undefined ? undefined : last - 1, limit: limit + 1 };
}

async function record(
  caller: Caller,
  given: NewEvent[],
  idempotency: Idempotency | null,
  { screener, ...limits }: EventLimits & { screener: Screener },
): Promise<{ data: Recorded[]; replay: boolean }> {
  const prepared = prepareAll(caller.principal, screener, given, (i) => pointerTo(given, i), limits);
  await refuseDangling(caller, citedBy(given));
  await findReplaced(caller, prepared.flatMap(replacingOf));
  const outcome = await commitWithArtifacts(caller.tenant, prepared.flatMap(artifactOf), {
    key: idempotency?.key ?? null,
    body: idempotency?.body ?? null,
    bytes: prepared.reduce((sum, { bytes }) => sum + bytes, 0),
    events: prepared.map(({ row }) => row),
  });
  if (outcome.status === 'conflict') throw new Problem('conflict', 'This Idempotency-Key was used with another body.');
  if (outcome.status === 'quota') throw new Problem('quota-exceeded', 'The tenant has used all of its storage.');
  const replay = outcome.status === 'replay';
  const data = replay ? await caller.tenant.read((db) => readRecorded(db, caller.tenant.id, outcome)) : answer(prepared, outcome);
  return { replay, data: await withStandings(caller, data, replay) };
}

/** With how the memories stand that the events made. */
async function withStandings(caller: Caller, data: Recorded[], replay: boolean): Promise<Recorded[]> {
  const made = data.flatMap(({ memory_id, event_id }) =>
    memory_id === undefined ? [] : [{ memory_id, isNew: !replay && memory_id === memoryIdOf(event_id) }],
  );
  if (made.length === 0) return data;
  const standings = await standingsOf(caller, made);
  return data.map((one) => ({ ...one, ...standings.get(one.memory_id ?? '') }));
}

const pointerTo = (given: NewEvent[], i: number) => (given.length === 1 ? '#' : `#/events/${i}`);

const answer = (prepared: Prepared[], { seq, at, memories, counted }: Outcome): Recorded[] =>
  prepared.map(({ row }, i) => ({
    event_id: row.event_id,
    seq: seq + i,
    chunk_ids: chunkIds(row.event_id, counted?.includes(i) ? 0 : row.chunks.length),
    ...(row.artifact_id !== undefined && { artifact_id: row.artifact_id }),
    ...memoryNamed(row.kind, row.content, memories?.[i]),
    sensitivity: row.sensitivity as Recorded['sensitivity'],
    ...(row.redactions !== undefined && { redactions: row.redactions }),
    created_at: at,
  }));

function artifactOf({ row, overflow }: Prepared): NewArtifact[] {
  if (!overflow) return [];
  const bytes = Buffer.from(overflow.text);
  const { channel, sensitivity, user_id } = row;
  const media_type = 'text/plain; charset=utf-8';
  return [{ artifact_id: overflow.artifact_id, media_type, bytes, sha256: sha256Of(bytes), channel, sensitivity, user_id }];
}

/** What the events of a request cite. */
function citedBy(given: NewEvent[]): Cited {
  const cited: Cited = new Map();
  given.forEach((item, i) => {
    const base = pointerTo(given, i);
    cite(cited, item.refs, `${base}/refs`, item.user_id);
    if (item.kind === 'decision' && item.content.supersedes !== undefined)
      citeOne(cited, { id: item.content.supersedes, pointer: `${base}/content/supersedes`, subject: item.user_id });
  });
  return cited;
}

/** The memory that a decision takes the place of, which needs the right to change that one. */
function replacingOf({ row: { memory, actor_type, actor_id, user_id } }: Prepared): Replacing[] {
  return memory?.supersedes === undefined
    ? []
    : [{ ref: memory.supersedes, actor: { type: actor_type, id: actor_id }, subject: user_id }];
}
