import { z } from 'zod';
import { nameOf } from '../http/name.ts';
import { secretsPolicy } from '../secrets/index.ts';

export const settings = z.strictObject({
  display_name: z.string().min(1).max(200).optional(),
  contact_email: z.email().max(254).optional(),
  one_doing_per_agent: z.boolean().optional().describe('If true, an agent can have at most one task with the status `doing`.'),
  min_score: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe('The lowest score of a hit of a search or context, if the request sets none. The default is 0.'),
  require_sources: z
    .enum(['none', 'summaries', 'all'])
    .optional()
    .describe(
      'Which claims need a source before contexts include them: `summaries`, `all` (also facts and notes) or `none`. The default is `summaries`.',
    ),
  secrets: secretsPolicy.optional(),
});

export const tenant = z.object({
  tenant_id: z.string(),
  state: z
    .enum(['active', 'suspended', 'deleting'])
    .describe('Requests of a suspended tenant are rejected until the operator resumes it.'),
  language: z.string().meta({ description: 'Text search configuration of PostgreSQL.' }),
  settings,
  quotas: z.object({ max_bytes: z.int().nullable().meta({ description: 'Set by the operator, or null for no limit.' }) }),
  version: z.int().describe('Increases with each change. The `ETag` contains it.'),
  created_at: z.iso.datetime(),
});
export type TenantView = z.output<typeof tenant>;

/** A null field is removed, an absent field is unchanged (RFC 7396). */
export const tenantPatch = z
  .strictObject({
    language: z.string().min(1).max(63).optional(),
    settings: z
      .strictObject({
        display_name: nameOf(200).nullable().optional(),
        contact_email: settings.shape.contact_email.unwrap().nullable().optional(),
        one_doing_per_agent: settings.shape.one_doing_per_agent.unwrap().nullable().optional(),
        min_score: settings.shape.min_score.unwrap().nullable().optional(),
        require_sources: settings.shape.require_sources.unwrap().nullable().optional(),
        secrets: secretsPolicy.nullable().optional(),
      })
      .optional(),
  })
  .refine((patch) => patch.language !== undefined || patch.settings !== undefined, 'must contain language or settings');
export type TenantPatch = z.output<typeof tenantPatch>;

export const confirmation = z.strictObject({ confirm: z.string().max(63).meta({ description: 'The id of the tenant.' }) });
export const closing = z.object({ tenant_id: z.string(), state: z.literal('deleting') });

export const usage = z.object({
  tenant_id: z.string(),
  events: z.int().describe('Number of events in the log.'),
  bytes: z.int().describe('Stored bytes that count towards `max_bytes`.'),
  max_bytes: z.int().nullable().describe('The quota, or null for no limit.'),
  last_seq: z.int().describe('Position of the latest event in the log.'),
  oldest_seq: z.int().describe('First position that a trim has not removed.'),
  users: z.int().describe('Number of users who are not disabled.'),
  api_keys: z.int().describe('Number of valid API keys.'),
});
export type Usage = z.output<typeof usage>;
