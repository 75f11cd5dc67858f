import { z } from 'zod';
import { channels } from '../auth/index.ts';

const days = (about: string) => z.number().min(0).max(36_500).describe(about);

/** `kinds`: what events and memories can be; a rule for anything else would never forget. */
const ruleOf = (kinds: string[]) =>
  z.strictObject({
    kind: z.enum(kinds).optional().describe('of the event, or of the memory it made; absent: every kind'),
    channel: z.enum(channels).optional(),
    older_than_days: days('since it was recorded'),
    max_importance: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe('also what memories hold that weigh no more, which end by it; absent: what a memory holds stays'),
  });

const trim = z
  .strictObject({
    keep_days: days('what is younger stays').optional(),
    keep_events: z.int().min(0).max(1e12).optional().describe('so many of the newest stay'),
  })
  .refine(
    (given) => (given.keep_days === undefined) !== (given.keep_events === undefined),
    'must contain either keep_days or keep_events',
  );

export const policyBodyOf = (kinds: string[]) =>
  z
    .strictObject({
      rules: z
        .array(ruleOf(kinds))
        .max(100)
        .describe('an event that any rule names is forgotten: its payload is blanked, its place stays'),
      trim: trim
        .nullable()
        .default(null)
        .describe('drops the beginning of the log, but for what current memories and capsules need'),
    })
    .meta({ id: 'RetentionPolicyBody' });
export type PolicyBody = z.output<ReturnType<typeof policyBodyOf>>;

export const policyOf = (kinds: string[]) =>
  z
    .object({
      rules: z.array(z.object(ruleOf(kinds).shape)),
      trim: z.object({ keep_days: z.number().optional(), keep_events: z.int().optional() }).nullable(),
      version: z.int(),
      updated_at: z.iso.datetime().nullable(),
      last_run_at: z.iso.datetime().nullable(),
    })
    .meta({ id: 'RetentionPolicy' });
export type Policy = z.output<ReturnType<typeof policyOf>>;

const hold = z
  .object({
    reason: z.literal('webhook'),
    seq: z.int().describe('the first event that it has yet to deliver'),
    webhook_id: z.string(),
  })
  .describe('what keeps trim from dropping as much as the policy asks for, for a week at most');
export type TrimBlocker = z.output<typeof hold>;

export const preview = z
  .object({
    events: z.int().describe('that would be forgotten'),
    by_kind: z.record(z.string(), z.int()),
    oldest: z.iso.datetime().nullable(),
    newest: z.iso.datetime().nullable(),
    sample: z.array(z.string()).describe('ids of the oldest ten'),
    memories: z.int().describe('that would end'),
    trimmed: z.int().describe('events that trim would drop'),
    carried: z.int().describe('events before `oldest_seq` that stay, because a memory or a capsule needs them'),
    oldest_seq: z.int().describe('where the log would begin'),
    held_by: hold.nullable(),
  })
  .meta({ id: 'RetentionPreview' });
export type Preview = z.output<typeof preview>;
