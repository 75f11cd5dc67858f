import { z } from 'zod';
import { isAdmin, onBehalf, requireSubjectFor, route, visibilityById, visibilityIn } from '../auth/index.ts';
import { boundedPageOf, decodeCursor, encodeCursor, pageOf, toPage } from '../http/page.ts';
import { readChain } from './chain.ts';
import { listQuery, memory, memoryParams, pageQuery } from './schemas.ts';
import { listMemories, listVersions, readMemory } from './sql.ts';
import { deleted, noMemory } from './write.ts';

// Routes that list memories, versions and chains.

export const tagged = { tag: 'Memories', limit: 'v1' } as const;
export const memoryById = { ...tagged, path: '/v1/memories/{memory_id}', params: memoryParams } as const;

/** A page of more memories than this is read in a worker. */
const SHORT_PAGE = 100;
const isLong = ({ query }: { query: { limit: number } }) => query.limit > SHORT_PAGE;

const listing = route({
  ...tagged,
  method: 'GET',
  path: '/v1/memories',
  operation: 'listMemories',
  summary: 'List memories',
  description: 'Use `as_of` or `as_of_seq` to list the memories of an earlier time.',
  access: 'read',
  query: listQuery,
  success: { status: 200, description: 'A page of memories', schema: boundedPageOf(memory, z.string()) },
  problems: ['validation', 'forbidden'],
  heavy: (input) => isLong(input) || (input.query.filter !== undefined && 'perhaps'),
  handle: async ({ caller, query }) => {
    const { tenant, principal } = onBehalf(caller, query);
    const visibility = visibilityIn(principal, query.channel);
    const after = query.cursor === undefined ? undefined : String(decodeCursor(query.cursor, ['string'])[0]);
    const { memories, next, scanned } = await tenant.snapshot((db) =>
      listMemories(db, tenant.id, visibility, { ...query, admin: isAdmin(principal) }, after),
    );
    const { data, unreadable } = toPage(memories, query.limit, ({ memory_id }) => [memory_id]);
    return {
      body: {
        data,
        next_cursor: next === undefined ? null : encodeCursor([next]),
        ...(scanned !== undefined && { scanned_upto: scanned }),
        ...(unreadable && { unreadable }),
      },
    };
  },
});

const historyRoutes = [
  route({
    ...memoryById,
    method: 'GET',
    path: '/v1/memories/{memory_id}/versions',
    operation: 'listMemoryVersions',
    summary: 'List the versions of a memory, oldest first',
    access: 'read',
    query: pageQuery,
    heavy: isLong,
    success: {
      status: 200,
      description: 'A page of versions. Only admins can list the versions of a deleted memory',
      schema: pageOf(memory),
    },
    problems: ['validation', 'not-found', 'gone'],
    handle: async ({ caller, params, query }) => {
      const { tenant, principal } = onBehalf(caller, query);
      const after = query.cursor === undefined ? 0 : Number(decodeCursor(query.cursor, ['number'])[0]);
      const rows = await tenant.snapshot(async (db) => {
        const now = await readMemory(db, tenant.id, params.memory_id, visibilityById(principal));
        if (!now) throw noMemory();
        requireSubjectFor(principal, now);
        if (now.status === 'deleted' && !isAdmin(principal)) throw deleted();
        return listVersions(db, tenant.id, params.memory_id, visibilityById(principal), { after, limit: query.limit + 1 });
      });
      return { body: toPage(rows, query.limit, ({ version }) => [version]) };
    },
  }),
  route({
    ...memoryById,
    method: 'GET',
    path: '/v1/memories/{memory_id}/history',
    operation: 'listMemoryHistory',
    summary: 'List a memory’s predecessors and successors, oldest first',
    description: 'Each memory of the list superseded the one before it.',
    access: 'read',
    query: pageQuery,
    heavy: isLong,
    success: { status: 200, description: 'A page of memories', schema: pageOf(memory) },
    problems: ['validation', 'not-found'],
    handle: async ({ caller, params, query }) => {
      const { tenant, principal } = onBehalf(caller, query);
      const after = query.cursor === undefined ? 0 : Number(decodeCursor(query.cursor, ['number'])[0]);
      const visibility = visibilityById(principal);
      const rows = await tenant.snapshot(async (db) => {
        const now = await readMemory(db, tenant.id, params.memory_id, visibility);
        if (!now) throw noMemory();
        requireSubjectFor(principal, now);
        return readChain(db, tenant.id, params.memory_id, visibility, { after, limit: query.limit + 1 });
      });
      return { body: toPage(rows, query.limit, () => [after + query.limit]) };
    },
  }),
];

/** Routes that may run in a worker. */
export const memoryReads = [listing, ...historyRoutes];
