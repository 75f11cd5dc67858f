import { z } from 'zod';
import {
  allowedChannels,
  behalfQuery,
  isAdmin,
  onBehalf,
  requireSubjectFor,
  route,
  visibilityById,
  visibilityIn,
} from '../auth/index.ts';
import type { Models } from '../embeddings/index.ts';
import { Problem } from '../http/problem.ts';
import { chunkId, parseChunkId } from '../passages/index.ts';
import { chunk, chunkParams, searchAnswer, searchBody } from './schemas.ts';
import { type Hit, searchPassages } from './search.ts';
import { readChunk } from './sql.ts';

/** Longer queries, and answers with more passages, run in a worker. */
const SHORT_QUERY = 1_000;
const FEW_PASSAGES = 50;

export const searchRoutes = (models: Models) => [
  route({
    method: 'POST',
    path: '/v1/search',
    operation: 'search',
    summary: 'Search passages and memories, best match first',
    tag: 'Search',
    access: 'read',
    limit: 'v1',
    body: searchBody,
    success: { status: 200, description: 'The hits, best first', schema: searchAnswer },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden'],
    heavy: ({ body: { query, query_text, limit, filter } }) =>
      (query ?? query_text)!.length > SHORT_QUERY || limit > FEW_PASSAGES || (filter !== undefined && 'perhaps'),
    handle: async ({ caller, body }) => {
      const { query, query_text, limit, per_event, channel, explain, user_id, all_users, about_user_id, ...rest } = body;
      const { min_score, relevance_threshold, ...scope } = rest;
      const { principal } = onBehalf(caller, { user_id, all_users }, 'pointer');
      const visibility = visibilityIn(principal, channel, { pointer: '#/user_id' });
      const found = await searchPassages(caller.tenant, models, {
        query: (query ?? query_text)!,
        limit,
        per_event,
        min_score: min_score ?? relevance_threshold,
        scope: {
          ...visibility,
          channel,
          ...scope,
          ...(about_user_id !== undefined && { user_id: about_user_id }),
          deleted: isAdmin(caller.principal),
        },
      });
      return {
        body: {
          data: found.hits.map((hit) => toResult(hit, explain)),
          answered: found.hits.length > 0,
          ...(found.corrected && { corrected: found.corrected }),
          ...(found.terms.length === 0 && { reason: 'no_searchable_words' }),
          degraded: found.degraded,
        },
      };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/chunks/{chunk_id}',
    operation: 'readChunk',
    summary: 'Get a passage',
    tag: 'Search',
    access: 'read',
    limit: 'v1',
    params: chunkParams,
    query: z.strictObject(behalfQuery),
    success: { status: 200, description: 'The passage', schema: chunk },
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller, params, query }) => {
      const { principal } = onBehalf(caller, query);
      const position = parseChunkId(params.chunk_id);
      const visibility = visibilityById(principal);
      const asking = allowedChannels(principal);
      const found = position && (await readChunk(caller.tenant, position, visibility, asking));
      if (!found) throw new Problem('not-found', 'There is no chunk with this id.');
      requireSubjectFor(principal, found);
      const { actor_id: _, tags: __, user_id, agent_id, project_id, ...rest } = found;
      return {
        body: {
          chunk_id: params.chunk_id,
          ...rest,
          ...(user_id !== null && { user_id }),
          ...(agent_id !== null && { agent_id }),
          ...(project_id !== null && { project_id }),
          refs: [found.event_id],
        },
      };
    },
  }),
];

function toResult(hit: Hit, explain: boolean) {
  const { memory } = hit;
  return {
    id: memory ? memory.memory_id : chunkId(hit.event_id, hit.ordinal),
    type: memory ? ('memory' as const) : ('chunk' as const),
    text: hit.text,
    score: hit.score,
    event_id: hit.event_id,
    ...(memory && {
      memory_id: memory.memory_id,
      kind: memory.kind,
      scope: memory.scope,
      grounded: memory.grounded,
      trust: memory.trust,
      origin: memory.origin,
    }),
    session_id: hit.session_id,
    occurred_at: hit.occurred_at,
    refs: [...new Set([hit.event_id, ...(memory?.refs ?? [])])],
    ...(explain && { scores: hit.scores }),
  };
}
