import { z } from 'zod';
import { aboutUser, behalfBody, channels } from '../auth/index.ts';
import { filter } from '../filter/index.ts';
import { nameOf, onAnyObject } from '../http/name.ts';
import { time } from '../http/time.ts';
import { DEFAULT_PER_EVENT } from './search.ts';
import { trustLevels } from './sql.ts';

const name = (about: string) => nameOf().describe(about);

/** The point in time that a search or context reads. */
export const asOfFields = {
  as_of: time.optional().describe('the point in time to read: later events are ignored, and memories are as they were then'),
  as_of_seq: z.int().min(0).max(Number.MAX_SAFE_INTEGER).optional().describe('the seq to read: later events are ignored'),
};

/** The query, which search and context accept under either name. */
export const queryFields = (text: z.ZodString, about: string) => ({
  query: text.describe(about).optional(),
  query_text: text.describe('Alias of `query`.').optional(),
});
interface QueryFields {
  query?: string | undefined;
  query_text?: string | undefined;
}
export const hasAtMostOneQuery = ({ query, query_text }: QueryFields): boolean => query === undefined || query_text === undefined;
export const bothQueryFields = { path: ['query_text'], message: 'must not be combined with query', when: onAnyObject };
const hasQuery = ({ query, query_text }: QueryFields): boolean => query !== undefined || query_text !== undefined;

/** The lowest score of a hit, which search and context accept under either name. */
export const minScoreFields = {
  min_score: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe('hits with a lower score are left out; default: the setting of the tenant, or 0'),
  relevance_threshold: z.number().min(0).max(1).optional().describe('Alias of `min_score`.'),
};
interface MinScoreFields {
  min_score?: number | undefined;
  relevance_threshold?: number | undefined;
}
export const hasAtMostOneMinScore = ({ min_score, relevance_threshold }: MinScoreFields): boolean =>
  min_score === undefined || relevance_threshold === undefined;
export const bothMinScoreFields = {
  path: ['relevance_threshold'],
  message: 'must not be combined with min_score',
  when: onAnyObject,
};

export const searchBody = z
  .strictObject({
    ...queryFields(
      z.string().regex(/\S/, 'must not be blank').max(65_536),
      'a question or keywords; a passage matches if it contains any of the words',
    ),
    limit: z.int().min(1).max(200).default(10),
    per_event: z
      .int()
      .min(1)
      .max(200)
      .default(DEFAULT_PER_EVENT)
      .describe('the maximum number of passages of one event in the answer'),
    ...minScoreFields,
    session_id: name('only passages of this session').optional(),
    ...behalfBody,
    about_user_id: aboutUser,
    agent_id: name('only passages of this agent').optional(),
    project_id: name('only passages of this project').optional(),
    channel: z
      .enum(channels)
      .default('private')
      .describe('the audience of the answer, which contains only items that are visible in this channel'),
    ...asOfFields,
    filter: filter.optional(),
    explain: z
      .boolean()
      .default(false)
      .describe('adds `scores`: a score is s / (s + 0.5), with s = (`passage` + `around` + `session`) × `cues` × `coverage`'),
  })
  .refine(hasAtMostOneQuery, bothQueryFields)
  .refine(hasAtMostOneMinScore, bothMinScoreFields)
  .refine(hasQuery, { path: ['query'], message: 'required', when: onAnyObject })
  .meta({ id: 'Search' });

export const trust = z
  .enum(trustLevels)
  .describe('`approved`: created or approved by an admin; `stated` by a human; `inferred` by an agent; `observed` by a tool');
export const origin = z.object({ type: z.string(), id: z.string() }).describe('the actor whose words the memory records');

export const degraded = z
  .array(z.enum(['partial_index', 'vectors', 'embeddings', 'rerank']))
  .describe(
    'parts of the search that were not available; `partial_index`: some passages are still being built; `vectors`: passages wait for their vectors, or the log is too large to search all of them; `embeddings`, `rerank`: the endpoint of the model did not answer',
  );

export const searchAnswer = z
  .object({
    data: z.array(
      z.object({
        id: z.string().describe('id of the passage or memory'),
        type: z.enum(['chunk', 'memory']),
        text: z.string(),
        score: z.number().min(0).max(1).describe('relevance, comparable between queries'),
        event_id: z.string().optional().describe('the event that contains the passage'),
        memory_id: z.string().optional(),
        kind: z.string().optional().describe('the kind of the memory'),
        scope: z.string().optional(),
        grounded: z
          .boolean()
          .optional()
          .describe('true if the memory is an act, or cites at least one event or memory that still exists'),
        trust: trust.optional(),
        origin: origin.optional(),
        session_id: z.string(),
        occurred_at: z.string(),
        refs: z.array(z.string()).describe('ids of the sources'),
        scores: z.record(z.string(), z.number()).optional().describe('the parts of the score, with `explain`'),
      }),
    ),
    answered: z.boolean().describe('true if there is at least one hit'),
    corrected: z
      .record(z.string(), z.string())
      .optional()
      .describe(
        'misspelt words of the query, which no passage in scope contains, each with the word that was searched for instead',
      ),
    reason: z
      .enum(['no_searchable_words'])
      .optional()
      .describe('Why there are no results: the query contains only punctuation and stop words.'),
    degraded,
  })
  .meta({ id: 'SearchAnswer' });

export const chunkParams = z.object({ chunk_id: nameOf() });

export const chunk = z
  .object({
    chunk_id: z.string(),
    event_id: z.string(),
    seq: z.int().describe('position of the event in the log'),
    ordinal: z.int().describe('the position of the passage within its event, from 0'),
    kind: z.string(),
    session_id: z.string(),
    channel: z.enum(channels),
    user_id: z.string().optional(),
    agent_id: z.string().optional(),
    project_id: z.string().optional(),
    sensitivity: z.string(),
    text: z.string(),
    token_count: z.int().describe('estimated number of tokens'),
    refs: z.array(z.string()).describe('ids of the sources of the event'),
    occurred_at: z.string(),
  })
  .meta({ id: 'Chunk' });
