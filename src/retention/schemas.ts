import { z } from 'zod';
import { channels } from '../auth/index.ts';

const days = (about: string) => z.number().min(0).max(36_500).describe(about);

/** `kinds`: all kinds of events and memories. Other kinds are rejected, because a rule for one would never match. */
const ruleOf = (kinds: string[]) =>
  z.strictObject({
    kind: z.enum(kinds).optional().describe('Kind of the event or of the memory that it created. The default is every kind.'),
    channel: z.enum(channels).optional(),
    older_than_days: days('Age in days since recording.'),
    max_importance: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe(
        'Also removes the memories with at most this importance, and their events. Without it, events that support a memory are kept.',
      ),
  });

const trim = z
  .strictObject({
    keep_days: days('Keeps events younger than this, in days.').optional(),
    keep_events: z.int().min(0).max(1e12).optional().describe('Keeps this number of the latest events.'),
  })
  .refine(
    ({ keep_days, keep_events }) => (keep_days === undefined) !== (keep_events === undefined),
    'must contain either keep_days or keep_events',
  );

export const policyBodyOf = (kinds: string[]) =>
  z
    .strictObject({
      rules: z
        .array(ruleOf(kinds))
        .max(100)
        .describe('Events that match any rule are blanked: the payload is removed and the position in the log remains.'),
      trim: trim
        .nullable()
        .default(null)
        .describe('Removes the beginning of the log, except for events that current memories and capsules need.'),
    })
    .meta({ id: 'RetentionPolicyBody' });
export type PolicyBody = z.output<ReturnType<typeof policyBodyOf>>;

export const policyOf = (kinds: string[]) =>
  z
    .object({
      rules: z.array(z.object(ruleOf(kinds).shape)).describe('Events that match any rule are blanked.'),
      trim: z.object({ keep_days: z.number().optional(), keep_events: z.int().optional() }).nullable(),
      version: z.int().describe('Increases with each change. The `ETag` contains it.'),
      updated_at: z.iso.datetime().nullable(),
      last_run_at: z.iso.datetime().nullable().describe('Time of the last run, or null if the policy has never run.'),
    })
    .meta({ id: 'RetentionPolicy' });
export type Policy = z.output<ReturnType<typeof policyOf>>;

export const runBody = z
  .strictObject({
    trim_before_seq: z
      .int()
      .min(1)
      .max(1e15)
      .optional()
      .describe('Only trims: removes the log before this position, but nothing after the oldest snapshot, and applies no rule.'),
  })
  .default({})
  .meta({ id: 'RetentionRun' });

/** The input of a run: the policy, or a trim before a position. */
export type RunInput = Pick<PolicyBody, 'rules'> & { trim: PolicyBody['trim'] | { before_seq: number } };

const trimBlocker = z
  .object({
    reason: z.enum(['webhook', 'snapshot']).describe('A webhook holds for at most one week, a snapshot until it expires.'),
    seq: z.int().describe('Position of the first event that it holds.'),
    webhook_id: z.string().optional().describe('The webhook that has not received the event.'),
    snapshot: z.string().optional().describe('The name of the oldest snapshot.'),
  })
  .describe('What prevents the trim from removing as much as the policy allows.');
export type TrimBlocker = z.output<typeof trimBlocker>;

export const preview = z
  .object({
    events: z.int().describe('Number of events that would be blanked.'),
    by_kind: z.record(z.string(), z.int()).describe('The same number, by kind of event.'),
    oldest: z.iso.datetime().nullable().describe('Time of the oldest of these events.'),
    newest: z.iso.datetime().nullable().describe('Time of the newest of these events.'),
    sample: z.array(z.string()).describe('Ids of the ten oldest events.'),
    memories: z.int().describe('Number of memories that would expire.'),
    trimmed: z.int().describe('Number of events that the trim would remove.'),
    carried: z.int().describe('Number of events before `oldest_seq` that remain because a memory or a capsule needs them.'),
    oldest_seq: z.int().describe('The first position that would remain in the log.'),
    held_by: trimBlocker.nullable(),
  })
  .meta({ id: 'RetentionPreview' });
export type Preview = z.output<typeof preview>;
