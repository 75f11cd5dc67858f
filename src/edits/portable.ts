import { z } from 'zod';
import { channels } from '../auth/index.ts';
import { time } from '../http/time.ts';
import { idOf, isOwned, name, object, type Portable, sensitivity, seq, unowned, version } from '../portable.ts';

const channel = z.enum(channels);

const edit = z.strictObject({
  type: z.literal('edit'),
  edit_id: idOf('edt'),
  status: z.enum(['pending', 'approved', 'rejected', 'reverted']),
  version,
  target: name,
  seq,
  event_id: idOf('evt'),
  ordinal: z.int().min(0).max(32_767).nullable(),
  memory_id: idOf('mem').nullable(),
  op: z.enum(['retract', 'amend', 'quarantine', 'attenuate', 'block']),
  reason: z.string().max(10_000),
  patch: object,
  passages: z.array(object).max(32_767).nullable(),
  session_id: name,
  channel,
  user_id: name.nullable(),
  agent_id: name.nullable(),
  project_id: name.nullable(),
  sensitivity,
  proposed_by: object,
  principal: name,
  decided_by: object.nullable(),
  proposed_seq: seq,
  approved_seq: seq.nullable(),
  last_seq: seq,
  created_at: time,
  updated_at: time,
});

const editEvent = z.strictObject({ type: z.literal('edit_event'), seq, edit_id: idOf('edt') });

const overlay = z.strictObject({
  type: z.literal('overlay'),
  seq,
  content: object.nullable(),
  blocked_in: z.array(channel).max(4).nullable(),
  chunk_count: z.int().min(0).max(32_767),
  weight: z.number().min(0).max(1).nullable(),
  edit_ids: z.array(idOf('edt')).max(1000),
  base: z.array(object).max(10_000),
});

export const portable: Record<string, Portable> = {
  edit: { row: edit.refine(isOwned, unowned), freeText: ['reason', 'patch', 'passages'] },
  edit_event: { row: editEvent },
  overlay: { row: overlay, freeText: ['content', 'base'] },
};
