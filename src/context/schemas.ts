import { z } from 'zod';
import { aboutUser, behalf, channels } from '../auth/index.ts';
import { strategyNames } from '../context_settings.ts';
import { filter } from '../filter/index.ts';
import { nameOf, onAnyObject } from '../http/name.ts';
import { integerParameter } from '../http/page.ts';
import { time } from '../http/time.ts';
import {
  asOfFields,
  bothMinScoreFields,
  bothQueryFields,
  degraded,
  hasAtMostOneMinScore,
  hasAtMostOneQuery,
  minScoreFields,
  origin,
  queryFields,
  trust,
} from '../search/index.ts';
import { itemTypes, type SectionName, sectionNames } from './pack.ts';
import { renderingNames } from './renderings.ts';

const name = (about: string) => nameOf().describe(about);

const share = z.number().min(0).max(1).optional();
const sections = z
  .union([
    z.array(z.enum(sectionNames)).min(1),
    z.strictObject(Object.fromEntries(sectionNames.map((section) => [section, share])) as Record<SectionName, typeof share>),
  ])
  .describe(
    'The names of the sections to include; or the largest share of the budget for some of them, by name: 0 leaves a section out, and what a section does not use goes to the others.',
  );

const strategyList = strategyNames.map((strategy) => `\`${strategy}\``).join(', ');
const isStrategy = (value: string) => (strategyNames as readonly string[]).includes(value.toLowerCase());

/** `maxTokens`: the default budget. */
export const contextBodyOf = (maxTokens: number) =>
  z
    .strictObject({
      session_id: name('the session whose last events the context includes').default('default'),
      channel: z
        .enum(channels)
        .default('private')
        .describe('the audience of the context, which contains only items that are visible in this channel'),
      ...queryFields(z.string().max(65_536), 'the topic of the next step; without it, no evidence is retrieved'),
      intent: name(
        `the purpose of the context, which selects the strategy: ${strategyList}; any other value is the default, the setting CONTEXT_STRATEGY`,
      ).optional(),
      retrieval_strategy: nameOf()
        .refine(isStrategy, `must be one of ${strategyNames.map((strategy) => JSON.stringify(strategy)).join(', ')}`)
        .describe('Alias of `intent`; other values are rejected.')
        .optional(),
      sections: sections.optional(),
      agent_id: name('the agent that makes the request; the context includes the newest handoff to it').optional(),
      ...behalf,
      about_user_id: aboutUser,
      project_id: name('only items of this project').optional(),
      ...minScoreFields,
      max_tokens: z
        .int()
        .min(256)
        .max(200_000)
        .default(maxTokens)
        .describe('the budget in tokens; the default is the setting CONTEXT_MAX_TOKENS'),
      ...asOfFields,
      history: z.boolean().default(false).describe('includes superseded items and marks them'),
      filter: filter.optional(),
      capsules: z
        .array(nameOf())
        .max(10)
        .default([])
        .describe('ids of capsules to include; each must be readable in this channel'),
    })
    .refine(hasAtMostOneQuery, bothQueryFields)
    .refine(hasAtMostOneMinScore, bothMinScoreFields)
    .refine(({ intent, retrieval_strategy }) => intent === undefined || retrieval_strategy === undefined, {
      path: ['retrieval_strategy'],
      message: 'must not be combined with intent',
      when: onAnyObject,
    })
    .meta({ id: 'ContextRequest' });
export type ContextRequest = z.output<ReturnType<typeof contextBodyOf>>;

export const contextQuery = z.strictObject({
  render: z
    .enum(renderingNames)
    .optional()
    .describe('adds the context as one string in `text`, or as `messages` of one user message for the API of a model'),
});

const item = z.object({
  type: z.enum(itemTypes),
  text: z.string(),
  token_count: z.int().describe('the exact number of tokens of the rendered item'),
  refs: z.array(z.string()).describe('ids of the item itself, then of what it cites'),
  memory_id: z.string().optional(),
  scope: z.string().optional(),
  trust: trust.optional(),
  origin: origin.optional(),
  superseded: z.literal(true).optional().describe('the item is no longer current'),
  conflict: z
    .object({ with: z.array(z.string()), between: z.array(z.string()) })
    .optional()
    .describe(
      '`with`: ids of items that state something different about the same thing, or that the item declares to contradict; `between`: both sides',
    ),
});

const section = z.object({ name: z.enum(sectionNames), token_count: z.int(), items: z.array(item) });

export const profileQuery = z.strictObject({
  ...behalf,
  about_user_id: aboutUser,
  project_id: name('only items of this project').optional(),
  agent_id: name('only items that were recorded for this agent').optional(),
  channel: z.enum(channels).default('private').describe('the channel in which the profile will be shown'),
  max_tokens: integerParameter(256, 200_000).default(1_024).describe('the budget in tokens'),
  as_of: time.optional().describe('the point in time to read'),
  as_of_seq: integerParameter(0, 1e15).optional().describe('the seq to read'),
});
export type ProfileRequest = z.output<typeof profileQuery>;

export const profile = z
  .object({
    sections: z.array(section),
    token_used: z.int().describe('the number of tokens of the sections as a context renders them'),
    degraded,
  })
  .meta({ id: 'Profile' });

export const context = z
  .object({
    context_id: z.string(),
    budget_tokens: z.int().describe('the budget of the request (`max_tokens`)'),
    token_used: z.int().describe('the exact number of tokens of the rendered context'),
    answered: z.boolean().describe('true if the search found anything; without a query, true if the context has items'),
    degraded,
    sections: z.array(section),
    omissions: z.array(
      z.object({
        reason: z
          .enum(['budget', 'duplicate', 'truncated', 'superseded', 'ungrounded'])
          .describe('`truncated`: only the beginning is included; `ungrounded`: a claim without a source'),
        count: z.int().describe('the number of omitted items'),
        candidates: z.array(z.string()).describe('ids of the omitted items, or of the first ones'),
        artifact_id: z.string().optional().describe('the artifact with the whole content'),
      }),
    ),
    provenance: z.object({
      intent: z.enum(strategyNames).describe('the strategy that was applied'),
      query_terms: z.array(z.string()).describe('the words of the query that were searched for, stemmed'),
      corrected: z
        .record(z.string(), z.string())
        .optional()
        .describe('misspelt words of the query, with the words that were searched for instead'),
      candidate_pool_size: z.int().describe('the number of ranked passages; without a query, of events that were read'),
      retrieved: z.int().describe('the number of hits of the search'),
      deduplicated: z.int().describe('the number of candidates that were dropped as duplicates or because of `min_score`'),
      filters: z.record(z.string(), z.unknown()).describe('the restrictions that applied'),
      scoring: z.record(z.string(), z.unknown()).describe('the parameters of the ranking'),
      models: z
        .object({
          embeddings: z.string().optional().describe('the embedding model'),
          rerank: z.string().optional().describe('the reranking model; `default`: that of its server'),
        })
        .describe('the models that are configured for the search; `degraded` lists those that did not answer'),
      as_of_seq: z.int().describe('the last position of the log that was read'),
    }),
    text: z.string().optional().describe('the context as one string, with `render=text`, `markdown` or `xml`'),
    messages: z
      .array(z.object({ role: z.literal('user'), content: z.string() }))
      .optional()
      .describe('the context as one message for the API of a model, with `render=messages`'),
  })
  .meta({ id: 'Context' });
