import { z } from 'zod';
import { aboutUser, behalfBody, channels } from '../auth/index.ts';
import { filter } from '../filter/index.ts';
import { always, nameOf } from '../http/name.ts';
import { time } from '../http/time.ts';
import { DEFAULT_PER_EVENT } from './search.ts';
import { trustLevels } from './sql.ts';

const name = (about: string) => nameOf().describe(about);

/** What a question is put to; search and context share it. */
export const asOfFields = {
  as_of: time.optional().describe('only what had happened by then'),
  as_of_seq: z.int().min(0).max(Number.MAX_SAFE_INTEGER).optional().describe('only what the log held at that seq'),
};

/** Search and context take it under either name. */
export const queryFields = (text: z.ZodString, about: string) => ({
  query: text.describe(about).optional(),
  query_text: text.describe('alias of `query`').optional(),
});
interface QueryFields {
  query?: string | undefined;
  query_text?: string | undefined;
}
export const hasAtMostOneQuery = ({ query, query_text }: QueryFields): boolean => query === undefined || query_text === undefined;
export const bothQueryFields = { path: ['query_text'], message: 'must not be combined with query', when: always };
const hasQuery = ({ query, query_text }: QueryFields): boolean => query !== undefined || query_text !== undefined;

export const searchBody = z
  .strictObject({
    ...queryFields(z.string().regex(/\S/, 'must not be blank').max(65_536), 'a question or words; any of them may match'),
    limit: z.int().min(1).max(200).default(10),
    per_event: z
      .int()
      .min(1)
      .max(200)
      .default(DEFAULT_PER_EVENT)
      .describe('the maximum number of passages of one event in the answer'),
    session_id: name('only of this session').optional(),
    ...behalfBody,
    about_user_id: aboutUser,
    agent_id: name('only of this agent').optional(),
    project_id: name('only of this project').optional(),
    channel: z.enum(channels).default('private'),
    ...asOfFields,
    filter: filter.optional(),
    explain: z.boolean().default(false).describe('adds what each score is made of'),
  })
  .refine(hasAtMostOneQuery, bothQueryFields)
  .refine(hasQuery, { path: ['query'], message: 'required', when: always })
  .meta({ id: 'Search' });

export const trust = z
  .enum(trustLevels)
  .describe('approved: an admin made or approved it; stated by a human, inferred by an agent, observed by a tool');
export const origin = z.object({ type: z.string(), id: z.string() }).describe('whose words they are');

export const degraded = z.array(z.enum(['partial_index', 'embeddings', 'rerank']));

export const searchAnswer = z
  .object({
    data: z.array(
      z.object({
        id: z.string(),
        type: z.enum(['chunk', 'memory']),
        text: z.string(),
        score: z.number(),
        event_id: z.string().optional(),
        memory_id: z.string().optional(),
        kind: z.string().optional().describe('of a memory'),
        scope: z.string().optional(),
        grounded: z.boolean().optional().describe('it is an act, or rests on something that is there'),
        trust: trust.optional(),
        origin: origin.optional(),
        session_id: z.string(),
        occurred_at: z.string(),
        refs: z.array(z.string()),
        scores: z.record(z.string(), z.number()).optional(),
      }),
    ),
    answered: z.boolean().describe('whether anything was found'),
    reason: z
      .enum(['no_searchable_words'])
      .optional()
      .describe('why nothing was searched: the query has only punctuation and stop words'),
    degraded,
  })
  .meta({ id: 'SearchAnswer' });

export const chunkParams = z.object({ chunk_id: nameOf() });

export const chunk = z
  .object({
    chunk_id: z.string(),
    event_id: z.string(),
    seq: z.int(),
    ordinal: z.int().describe('its place among the passages of its event'),
    kind: z.string(),
    session_id: z.string(),
    channel: z.enum(channels),
    user_id: z.string().optional(),
    agent_id: z.string().optional(),
    project_id: z.string().optional(),
    sensitivity: z.string(),
    text: z.string(),
    token_count: z.int().describe('about'),
    refs: z.array(z.string()),
    occurred_at: z.string(),
  })
  .meta({ id: 'Chunk' });
