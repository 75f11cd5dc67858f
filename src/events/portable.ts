import { z } from 'zod';
import { channels } from '../auth/index.ts';
import { time } from '../http/time.ts';
import { idOf, isOwned, name, names, object, type Portable, sensitivity, seq, unowned } from '../portable.ts';

const channel = z.enum(channels);

const event = z.strictObject({
  type: z.literal('event'),
  seq,
  event_id: idOf('evt'),
  session_id: name,
  channel,
  actor_type: z.enum(['human', 'agent', 'tool']),
  actor_id: name,
  kind: z.string().regex(/^[a-z][a-z_.]{0,63}$/),
  content: object,
  user_id: name.nullable(),
  agent_id: name.nullable(),
  project_id: name.nullable(),
  sensitivity,
  tags: names,
  refs: names,
  metadata: object,
  artifact_id: idOf('art').nullable(),
  redactions: z.int().min(1).nullable().default(null),
  chunk_count: z.int().min(0).max(32_767),
  byte_count: z.int().min(0),
  occurred_at: time,
  created_at: time,
  // a constraint of the table requires that an erased event has no content
  erased_at: time.nullable(),
  carried_at: time.nullable().default(null).describe('set if a trim kept the event before the beginning of the log'),
});

export const portable: Record<string, Portable> = {
  event: { row: event.refine(isOwned, unowned), freeText: ['content', 'metadata', 'tags'] },
};
