import { z } from 'zod';
import { aboutUser, behalf, channels } from '../auth/index.ts';
import { filter } from '../filter/index.ts';
import { nameOf } from '../http/name.ts';
import { asOfFields, bothQueryFields, degraded, hasAtMostOneQuery, origin, queryFields, trust } from '../search/index.ts';
import { itemTypes, sectionNames } from './pack.ts';

const name = (about: string) => nameOf().describe(about);

export const contextBody = z
  .strictObject({
    session_id: name('the session whose last events the context shows').default('default'),
    channel: z.enum(channels).default('private').describe('the channel in which the answer will be seen'),
    ...queryFields(z.string().max(65_536), 'what the next step is about; without it nothing is retrieved'),
    intent: name('what the caller is up to; `continue` needs no query').default('answer'),
    agent_id: name('who asks; the newest handoff to it is what the context is built from').optional(),
    ...behalf,
    about_user_id: aboutUser,
    project_id: name('only of this project').optional(),
    max_tokens: z.int().min(256).max(200_000).default(65_000),
    ...asOfFields,
    history: z.boolean().default(false).describe('what is superseded too, marked as such'),
    filter: filter.optional(),
    capsules: z
      .array(nameOf())
      .max(10)
      .default([])
      .describe('capsules whose items the context shows, where they may be read in this channel'),
  })
  .refine(hasAtMostOneQuery, bothQueryFields)
  .meta({ id: 'ContextRequest' });
export type ContextRequest = z.output<typeof contextBody>;

export const contextQuery = z.strictObject({
  render: z.literal('text').optional().describe('adds the bundle as one string'),
});

const item = z.object({
  type: z.enum(itemTypes),
  text: z.string(),
  token_count: z.int(),
  refs: z.array(z.string()).describe('what it is, then what it rests on'),
  memory_id: z.string().optional(),
  scope: z.string().optional(),
  trust: trust.optional(),
  origin: origin.optional(),
  superseded: z.literal(true).optional().describe('it is not held any more'),
  conflict: z
    .object({ with: z.array(z.string()), between: z.array(z.string()) })
    .optional()
    .describe('what measures the same otherwise, or is said to be contradicted; `between` names both sides'),
});

export const context = z
  .object({
    context_id: z.string(),
    budget_tokens: z.int(),
    token_used: z.int().describe('of the rendered bundle, exactly'),
    answered: z.boolean().describe('whether anything was found for the question; without one, whether the bundle holds anything'),
    degraded,
    sections: z.array(z.object({ name: z.enum(sectionNames), token_count: z.int(), items: z.array(item) })),
    omissions: z.array(
      z.object({
        reason: z.enum(['budget', 'duplicate', 'truncated', 'superseded', 'ungrounded']),
        count: z.int(),
        candidates: z.array(z.string()),
        artifact_id: z.string().optional(),
      }),
    ),
    provenance: z.object({
      intent: z.string(),
      query_terms: z.array(z.string()),
      candidate_pool_size: z.int(),
      retrieved: z.int(),
      deduplicated: z.int(),
      filters: z.record(z.string(), z.unknown()),
      scoring: z.record(z.string(), z.unknown()),
      as_of_seq: z.int(),
    }),
    text: z.string().optional(),
  })
  .meta({ id: 'Context' });
