import { z } from 'zod';
import { behalf, behalfQuery, channels } from '../auth/index.ts';
import { nameOf, nonBlank } from '../http/name.ts';

/** The longest text of an event. A longer one would need an artifact, which an amendment does not have. */
const MAX_TEXT = 65_536;

const ops = ['retract', 'amend', 'quarantine', 'attenuate', 'block'] as const;
const statuses = ['pending', 'approved', 'rejected', 'reverted'] as const;
export type Status = (typeof statuses)[number];

const target = z
  .string()
  .regex(/^(?:chk|mem|evt)_[0-9A-Za-z_-]{1,251}$/, 'must be the id of a passage (chk_…), a memory (mem_…) or an event (evt_…)')
  .describe('Id of a passage, a memory or an event. An edit of an event applies to all its passages.');
const shared = {
  target,
  reason: nonBlank.max(2000).describe('The reason, which is recorded in the log and has the same visibility as the target.'),
  auto_approve: z.boolean().default(false).describe('Approves the edit immediately. Only admins can use it.'),
};
const nothing = z.strictObject({}).default({});
const importance = z
  .number()
  .min(0)
  .max(1)
  .describe('Weight of its passages in rankings, from 0 to 1. 1 is the original weight.');
const importance_delta = z
  .number()
  .min(-1)
  .max(1)
  .describe('Change of the current weight. The result is limited to the range from 0 to 1.');

export const newEdit = z
  .discriminatedUnion('op', [
    z.strictObject({ ...shared, op: z.literal('retract'), patch: nothing }),
    z.strictObject({
      ...shared,
      op: z.literal('amend'),
      patch: z.strictObject({
        text: nonBlank.max(MAX_TEXT).describe('The replacement text.'),
      }),
    }),
    z.strictObject({ ...shared, op: z.literal('quarantine'), patch: nothing }),
    z.strictObject({
      ...shared,
      op: z.literal('attenuate'),
      patch: z.union([z.strictObject({ importance }), z.strictObject({ importance_delta })]),
    }),
    z.strictObject({
      ...shared,
      op: z.literal('block'),
      patch: z.strictObject({ channel: z.enum(channels).describe('The channel whose requests can no longer read the target.') }),
    }),
  ])
  .meta({ id: 'NewEdit' });
export type NewEdit = z.output<typeof newEdit>;

const actor = z.object({ type: z.string(), id: z.string() });

export const edit = z
  .object({
    edit_id: z.string(),
    status: z.enum(statuses),
    version: z.int().describe('Increases with each decision. The `ETag` contains it.'),
    target: z.string().describe('Id of the passage, memory or event, as in the proposal.'),
    event_id: z.string().describe('The event whose passages the edit applies to.'),
    memory_id: z.string().optional().describe('The memory that the edit applies to.'),
    op: z.enum(ops),
    reason: z.string(),
    patch: z
      .record(z.string(), z.unknown())
      .describe(
        'The change. `text` is present only for admins and the author if the edit is not approved, if another edit replaced it, or if the target is hidden.',
      ),
    session_id: z.string(),
    channel: z.enum(channels),
    user_id: z.string().optional(),
    agent_id: z.string().optional(),
    project_id: z.string().optional(),
    sensitivity: z.string(),
    proposed_by: actor,
    decided_by: actor.optional().describe('Who approved, rejected or reverted the edit.'),
    seq: z.int().describe('Position of the event that proposed the edit.'),
    last_seq: z.int().describe('Position of the latest event about the edit.'),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'Edit' });
export type Edit = z.output<typeof edit>;

export const editParams = z.strictObject({ edit_id: nameOf() });

export const readQuery = z.strictObject(behalfQuery);
export const writeQuery = z.strictObject(behalf);

export const listQuery = z.strictObject({
  ...behalfQuery,
  status: z.enum(statuses).optional(),
  target: target.describe('Only edits of this target, by the id used in the proposal.').optional(),
  op: z.enum(ops).optional(),
  limit: z
    .string()
    .regex(/^\d{1,4}$/, 'must be an integer')
    .transform(Number)
    .pipe(z.number().min(1).max(1000))
    .default(50),
  cursor: z.string().max(500).optional(),
});
export type ListQuery = z.output<typeof listQuery>;
