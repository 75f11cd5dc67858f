import { z } from 'zod';
import {
  actingFor,
  agentOf,
  behalf,
  behalfQuery,
  type Caller,
  coversAllSubjects,
  lacksSubject,
  onBehalf,
  type Principal,
  requireChannel,
  requireNamedSubject,
  route,
  subjectOf,
  subjectRequired,
} from '../auth/index.ts';
import { findReplay } from '../db/idempotency.ts';
import { serviceEventOf, unitOf } from '../db/unit.ts';
import { assertWritten, replayHeaders } from '../http/outcome.ts';
import { decodeCursor, toPage } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { newId } from '../id.ts';
import { expand, visibilityOfAuthor } from './expand.ts';
import {
  type CapsuleBody,
  capsule,
  capsuleBody,
  capsuleList,
  capsulePage,
  capsuleParams,
  endOf,
  type Summary,
} from './schemas.ts';
import { type CapsuleRow, capsuleOf, findCapsule, listCapsules, readItems } from './sql.ts';

const tagged = { tag: 'Capsules', limit: 'v1' } as const;

export const capsuleRoutes = [
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/capsules',
    operation: 'createCapsule',
    summary: 'Create a capsule',
    description: 'Shares a set of items with agents, users or everyone until the capsule expires.',
    access: 'write',
    idempotent: true,
    body: capsuleBody,
    freeText: ['title', 'risks', 'tags', 'agent_id', 'project_id', 'audience'],
    success: { status: 201, description: 'The capsule', schema: capsule },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'not-found', 'conflict', 'quota-exceeded'],
    handle: async ({ caller, body, idempotency }) => {
      const { capsule_id, user_id, replay } = await create(caller, body, idempotency);
      const view = await read(actingFor(caller, user_id), capsule_id);
      return { body: view, headers: { Location: `/v1/capsules/${capsule_id}`, ...replayHeaders(replay) } };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/capsules',
    operation: 'listCapsules',
    summary: 'List capsules, newest first',
    description: 'Returns the capsules that you can read and those that you created.',
    access: 'read',
    query: capsuleList,
    success: { status: 200, description: 'A page of capsules, without their items', schema: capsulePage },
    problems: ['validation'],
    handle: async ({ caller, query }) => {
      const { tenant, principal } = onBehalf(caller, query);
      requireNamedSubject(principal);
      const before = query.cursor === undefined ? undefined : String(decodeCursor(query.cursor, ['string'])[0]);
      const rows = await tenant.read((db) => listCapsules(db, tenant.id, principal, query, before));
      const { data, ...page } = toPage(rows, query.limit, (row) => [row.capsule_id]);
      return { body: { data: data.map(summaryOf), ...page } };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/capsules/{capsule_id}',
    operation: 'readCapsule',
    summary: 'Get a capsule with its items',
    description: 'Returns the current state of each item.',
    access: 'read',
    params: capsuleParams,
    success: { status: 200, description: 'The capsule', schema: capsule },
    query: z.strictObject(behalfQuery),
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller, params, query }) => ({ body: await read(onBehalf(caller, query), params.capsule_id) }),
  }),
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/capsules/{capsule_id}/revoke',
    operation: 'revokeCapsule',
    summary: 'Revoke a capsule',
    description: 'The items can no longer be read through the capsule.',
    access: 'write',
    idempotent: true,
    params: capsuleParams,
    success: { status: 200, description: 'The revoked capsule', schema: capsule },
    problems: ['forbidden', 'not-found', 'conflict', 'quota-exceeded'],
    query: z.strictObject(behalf),
    handle: async ({ caller: original, params, query, idempotency }) => {
      const caller = onBehalf(original, query);
      const replay = await revoke(caller, params.capsule_id, idempotency);
      return { body: await read(caller, params.capsule_id), headers: replayHeaders(replay) };
    },
  }),
  route({
    ...tagged,
    method: 'DELETE',
    path: '/v1/capsules/{capsule_id}',
    operation: 'deleteCapsule',
    summary: 'Delete a capsule',
    description: 'Equivalent to `POST /v1/capsules/{capsule_id}/revoke`.',
    access: 'write',
    idempotent: true,
    params: capsuleParams,
    success: { status: 204, description: 'The capsule was revoked' },
    problems: ['forbidden', 'not-found', 'conflict', 'quota-exceeded'],
    query: z.strictObject(behalf),
    handle: async ({ caller, params, query, idempotency }) => ({
      headers: replayHeaders(await revoke(onBehalf(caller, query), params.capsule_id, idempotency)),
    }),
  }),
];

const noCapsule = () => new Problem('not-found', 'There is no capsule with this id.');

async function read({ tenant, principal }: Caller, capsule_id: string) {
  return tenant.read(async (db) => {
    const row = await findCapsule(db, tenant.id, principal, capsule_id);
    if (!row) throw noCapsule();
    requireReader(principal, row);
    return { ...summaryOf(row), items: await expand(db, tenant.id, row, [row.channel]) };
  });
}

/** Throws if a key for all subjects names no user for a capsule with named readers. */
function requireReader(principal: Principal, { for_all }: CapsuleRow): void {
  if (lacksSubject(principal) && !for_all) throw subjectRequired({ parameter: 'user_id' });
}

const summaryOf = (row: CapsuleRow): Summary => ({
  capsule_id: row.capsule_id,
  seq: row.seq,
  status: row.status,
  title: row.title,
  risks: row.risks ?? [],
  author: { ...(row.user_id !== null && { user_id: row.user_id }), ...(row.agent_id !== null && { agent_id: row.agent_id }) },
  ...(row.owned && { audience: row.for_all ? 'all' : { agents: row.audience_agents, users: row.audience_users } }),
  channel: row.channel,
  ...(row.project_id !== null && { project_id: row.project_id }),
  tags: row.tags,
  item_count: row.items.length,
  created_at: row.created_at,
  expires_at: row.expires_at,
  ...(row.revoked_at !== null && { revoked_at: row.revoked_at }),
});

async function create(caller: Caller, body: CapsuleBody, idempotency: Idempotency | null) {
  const { tenant, principal } = caller;
  requireChannel(principal, body.channel);
  const personal = body.audience !== 'all' || !coversAllSubjects(principal);
  const user_id = subjectOf(principal, body.user_id, personal, { pointer: '#/user_id' });
  const known = idempotency && (await tenant.read((db) => findReplay(db, tenant.id, idempotency)));
  const capsule_id = newId('cap');
  const outcome = known ?? (await insert(caller, body, user_id, capsule_id, idempotency));
  if (outcome.status === 'new') return { capsule_id, user_id, replay: false };
  assertWritten(outcome);
  const first = await tenant.read((db) => capsuleOf(db, tenant.id, outcome.seq));
  if (first === undefined) throw new Problem('gone', 'The capsule that was created with this Idempotency-Key no longer exists.');
  return { capsule_id: first, user_id, replay: true };
}

async function insert(
  caller: Caller,
  body: CapsuleBody,
  user_id: string | undefined,
  capsule_id: string,
  idempotency: Idempotency | null,
) {
  const { tenant, principal } = caller;
  const expires_at = endOf(body, Date.now());
  if (expires_at === undefined)
    throw new Problem('validation', 'A capsule must expire in the future, at most 365 days from now.', {
      errors: [{ pointer: '#/expires_at', detail: 'must be in the future, at most 365 days from now' }],
    });
  const { audience, items, channel, project_id, tags, title, risks } = body;
  const agent_id = agentOf(principal, body.agent_id);
  const visibility = visibilityOfAuthor(principal, user_id, channel);
  const shareable = await tenant.read((db) => readItems(db, tenant.id, items, visibility, [channel]));
  refuseUnseen(
    items,
    shareable.map(({ id }) => id),
  );
  const people = audience === 'all' ? {} : audience;
  // the names of the readers are only in the table, where an erasure finds them
  const named = audience === 'all' ? 'all' : 'named';
  const content = { capsule_id, ...(title !== undefined && { title }), audience: named, items, channel, risks, expires_at };
  const row = {
    ...{ capsule_id, user_id, agent_id, project_id, channel, tags, items: [...new Set(items)], expires_at },
    for_all: audience === 'all',
    audience_users: people.users ?? [],
    audience_agents: people.agents ?? [],
    item_channels: visibility.channels,
    item_sensitivities: visibility.sensitivities,
  };
  const entry = { ...logged(caller, { ...row, kind: 'capsule.created', content }), agent_id, project_id, tags };
  return tenant.change('select * from create_capsule($1, $2::jsonb, $3::jsonb)', [
    tenant.id,
    JSON.stringify(unitOf(idempotency, [entry])),
    JSON.stringify(row),
  ]);
}

function refuseUnseen(items: string[], shareable: string[]): void {
  const seen = new Set(shareable);
  const missing = items.flatMap((id, i) => (seen.has(id) ? [] : [`#/items/${i}`]));
  if (missing.length === 0) return;
  throw new Problem('not-found', 'A capsule can contain only items that its author can read and share.', {
    errors: missing
      .slice(0, 50)
      .map((pointer) => ({ pointer, detail: 'must be the id of an item that you can share in this channel' })),
  });
}

interface Logged {
  kind: string;
  capsule_id: string;
  user_id?: string | null | undefined;
  channel: string;
  for_all: boolean;
  content: unknown;
}

/** Builds the event of a capsule. Unless the capsule is for all, only its author sees the event, because it names items that others must not know of. */
const logged = ({ principal }: Caller, { kind, capsule_id, user_id, channel, for_all, content }: Logged) =>
  serviceEventOf({
    kind,
    session_id: capsule_id,
    channel: for_all ? channel : 'private',
    ...(user_id != null && { user_id }),
    actor_type: principal.actor.type,
    actor_id: principal.actor.id,
    content,
  });

async function revoke(caller: Caller, capsule_id: string, idempotency: Idempotency | null): Promise<boolean> {
  const { tenant, principal } = caller;
  const row = await tenant.read((db) => findCapsule(db, tenant.id, principal, capsule_id));
  if (!row) throw noCapsule();
  requireReader(principal, row);
  requireChannel(principal, row.channel);
  if (!row.owned) throw new Problem('forbidden', 'Only the author or an admin can revoke a capsule.');
  const entry = logged(caller, { ...row, kind: 'capsule.revoked', content: { capsule_id } });
  const outcome = await tenant.change('select * from revoke_capsule($1, $2::jsonb, $3)', [
    tenant.id,
    JSON.stringify(unitOf(idempotency, [entry])),
    capsule_id,
  ]);
  assertWritten(outcome);
  return outcome.status === 'replay';
}
