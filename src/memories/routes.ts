import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { type Caller, isAdmin, onBehalf, requireSubjectFor, route, visibilityById } from '../auth/index.ts';
import { etagOf, type IfMatch, ifMatchOf, isCreateOnly, isNotModified } from '../http/etag.ts';
import { replayHeaders } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import type { Secrets } from '../secrets/index.ts';
import type { WriteResult } from './answer.ts';
import { memoryById, memoryReads, tagged } from './lists.ts';
import { assertMayChange } from './rights.ts';
import { memoriesBody, memory, memoryPatch, newMemory, readQuery, writeQuery } from './schemas.ts';
import type { Sources } from './sources.ts';
import { readMemory, readStatus } from './sql.ts';
import type { MemoryLimits } from './state.ts';
import { approveMemory, type Change, closeMemory, createMemories, deleted, noMemory, patchMemory, supersede } from './write.ts';

const change = { ...memoryById, query: writeQuery, idempotent: true } as const;

const ofBody = ['malformed-json', 'impossible-text', 'validation'] as const;

type Limits = Omit<MemoryLimits, 'screener' | 'needsSource'>;

/** Returns the limits and the secret screener for a caller's writes. */
type LimitsOf = (caller: Caller) => Promise<MemoryLimits>;

export const memoryRoutes = (limits: Limits, secrets: Secrets, sources: Sources) =>
  routesOf(async ({ tenant }) => ({
    ...limits,
    screener: await secrets.of(tenant),
    needsSource: await sources.of(tenant),
  }));

const routesOf = (limitsOf: LimitsOf) => [
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/memories',
    operation: 'makeMemories',
    summary: 'Create one memory or a batch',
    description:
      'A batch has up to 1,000 memories. Either all of them are created or none. With `If-None-Match: *`, the request fails with 412 if a memory with the same content exists.',
    access: 'write',
    fastPath: true,
    idempotent: true,
    body: memoriesBody,
    success: {
      status: 201,
      description:
        'The memories, in the order of the request. The sources (`refs`) of the request are added to a memory that already existed',
      schema: z.union([memory, z.object({ data: z.array(memory) })]),
    },
    problems: [...ofBody, 'forbidden', 'not-found', 'conflict', 'precondition-failed', 'too-large', 'quota-exceeded'],
    handle: async ({ caller, body, req, idempotency }) => {
      const requests = 'memories' in body ? body.memories : [body];
      const flagged = isCreateOnly(req) ? requests.map((request) => ({ ...request, only_new: true })) : requests;
      const written = await createMemories(caller, flagged, idempotency, await limitsOf(caller));
      if (!('memories' in body)) return created(written);
      return { body: { data: written.data }, headers: replayHeaders(written.replay) };
    },
  }),
  ...memoryReads,
  route({
    ...memoryById,
    method: 'GET',
    operation: 'readMemory',
    summary: 'Get a memory',
    description: 'Use `as_of` or `as_of_seq` to get the version of an earlier time.',
    access: 'read',
    query: readQuery,
    success: { status: 200, description: 'The memory', schema: memory },
    otherAnswers: [{ status: 304, description: 'The client already has this version (`If-None-Match`)' }],
    problems: ['validation', 'not-found', 'gone'],
    handle: async ({ caller, params, query, req }) => {
      const { tenant, principal } = onBehalf(caller, query);
      const isPast = query.as_of !== undefined || query.as_of_seq !== undefined;
      const { version, status } = await tenant.read(async (db) => {
        const version = await readMemory(db, tenant.id, params.memory_id, visibilityById(principal), query);
        // for members, a deleted memory is gone at every earlier time too
        const asksPast = version && isPast && !isAdmin(principal);
        return { version, status: asksPast ? await readStatus(db, tenant.id, params.memory_id) : version?.status };
      });
      if (!version) throw noMemory();
      requireSubjectFor(principal, version);
      if (status === 'deleted' || version.status === 'deleted') throw deleted();
      const headers = { ETag: etagOf(version) };
      if (isNotModified(req, version)) return { status: 304, headers };
      return { body: version, headers };
    },
  }),
  ...ownerRoutes(limitsOf),
  ...reviewRoutes(limitsOf),
];

const ownerRoutes = (limitsOf: LimitsOf) => [
  route({
    ...change,
    method: 'PATCH',
    operation: 'changeMemory',
    summary: 'Update a memory',
    description: 'Creates a new version of the memory.',
    access: 'write',
    body: memoryPatch,
    success: { status: 200, description: 'The updated memory', schema: memory },
    problems: ['validation', 'forbidden', 'not-found', 'gone', 'conflict', 'precondition-failed', 'too-large', 'quota-exceeded'],
    handle: async (input) =>
      changed(await patchMemory(onBehalf(input.caller, input.query), changeOf(input), input.body, await limitsOf(input.caller))),
  }),
  route({
    ...change,
    method: 'DELETE',
    operation: 'deleteMemory',
    summary: 'Delete a memory',
    description: 'The events of its versions stay in the log.',
    access: 'write',
    success: { status: 204, description: 'The memory was deleted' },
    problems: ['validation', 'forbidden', 'not-found', 'gone', 'conflict', 'precondition-failed', 'quota-exceeded'],
    handle: async (input) => {
      const { replay } = await closeMemory(onBehalf(input.caller, input.query), changeOf(input), 'deleted');
      return { headers: replayHeaders(replay) };
    },
  }),
  route({
    ...change,
    method: 'POST',
    path: '/v1/memories/{memory_id}/supersede',
    operation: 'supersedeMemory',
    summary: 'Replace a memory with a new one',
    access: 'write',
    body: newMemory,
    success: { status: 201, description: 'The new memory, whose `supersedes` is the old one', schema: memory },
    problems: ['validation', 'forbidden', 'not-found', 'gone', 'conflict', 'precondition-failed', 'too-large', 'quota-exceeded'],
    handle: async ({ caller: original, params, query, body, req, idempotency }) => {
      const caller = onBehalf(original, query);
      const { tenant, principal } = caller;
      if (body.supersedes !== undefined && body.supersedes !== params.memory_id)
        throw new Problem('validation', 'supersedes must be the id in the path.', {
          errors: [{ pointer: '#/supersedes', detail: 'must equal the id in the path' }],
        });
      const old = await tenant.read((db) => readMemory(db, tenant.id, params.memory_id, visibilityById(principal)));
      if (!old) throw noMemory();
      requireSubjectFor(principal, old);
      if (old.status === 'deleted') throw deleted();
      assertMayChange(principal, old);
      return created(await supersede(caller, old, body, matchOf(req), idempotency, await limitsOf(caller)));
    },
  }),
];

const reviewRoutes = (limitsOf: LimitsOf) => [
  route({
    ...change,
    method: 'POST',
    path: '/v1/memories/{memory_id}/approve',
    operation: 'approveMemory',
    summary: 'Approve a proposed rule',
    access: 'admin',
    audit: 'memory.approved',
    success: { status: 200, description: 'The updated memory', schema: memory },
    problems: ['validation', 'forbidden', 'not-found', 'gone', 'conflict', 'precondition-failed', 'quota-exceeded'],
    handle: async (input) =>
      changed(await approveMemory(onBehalf(input.caller, input.query), changeOf(input), await limitsOf(input.caller))),
  }),
  route({
    ...change,
    method: 'POST',
    path: '/v1/memories/{memory_id}/reject',
    operation: 'rejectMemory',
    summary: 'Reject a proposed memory',
    access: 'admin',
    audit: 'memory.rejected',
    success: { status: 200, description: 'The updated memory', schema: memory },
    problems: ['validation', 'forbidden', 'not-found', 'gone', 'conflict', 'precondition-failed', 'quota-exceeded'],
    handle: async (input) => changed(await closeMemory(onBehalf(input.caller, input.query), changeOf(input), 'rejected')),
  }),
];

function created({ data: [memory], replay }: WriteResult) {
  return {
    body: memory,
    headers: { Location: `/v1/memories/${memory!.memory_id}`, ETag: etagOf(memory!), ...replayHeaders(replay) },
  };
}

const changed = ({ data: [memory], replay }: WriteResult) => ({
  body: memory,
  headers: { ETag: etagOf(memory!), ...replayHeaders(replay) },
});

interface ChangeInput {
  caller: Caller;
  params: { memory_id: string };
  req: IncomingMessage;
  idempotency: Idempotency | null;
}

const changeOf = ({ params, req, idempotency }: ChangeInput): Change => ({
  memory_id: params.memory_id,
  match: matchOf(req),
  idempotency,
});

function matchOf(req: IncomingMessage): IfMatch {
  if (isCreateOnly(req)) throw new Problem('precondition-failed', 'The memory already exists.');
  return ifMatchOf(req);
}
