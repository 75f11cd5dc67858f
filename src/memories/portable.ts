import { z } from 'zod';
import { channels } from '../auth/index.ts';
import { time } from '../http/time.ts';
import { bytea, idOf, isOwned, name, names, type Portable, sensitivity, seq, unowned, version } from '../portable.ts';

const status = z.enum(['active', 'proposed', 'rejected', 'superseded', 'deleted', 'expired']);

const memory = z.strictObject({
  type: z.literal('memory'),
  memory_id: idOf('mem'),
  kind: z.enum(['decision', 'task', 'fact', 'preference', 'rule', 'note', 'summary', 'handoff']),
  scope: z.enum(['policy', 'project', 'user', 'session', 'global']),
  scope_id: name.nullable(),
  status,
  version,
  content_seq: seq,
  last_seq: seq,
  user_id: name.nullable(),
  agent_id: name.nullable(),
  session_id: name.nullable(),
  project_id: name.nullable(),
  channel: z.enum(channels),
  sensitivity,
  text_hash: bytea.length(66),
  importance: z.number().min(0).max(1),
  pinned: z.boolean(),
  repeats: z
    .int()
    .min(0)
    .max(2 ** 31 - 1),
  tags: names,
  valid_from: time.nullable(),
  valid_to: time.nullable(),
  expires_at: time.nullable(),
  superseded_by: idOf('mem').nullable(),
  task_status: z.enum(['open', 'doing', 'blocked', 'done']).nullable(),
  doing_agent: name.nullable(),
  marks: z.array(z.string().max(64)).max(16),
  created_at: time,
  updated_at: time,
});

const memoryVersion = z.strictObject({
  type: z.literal('memory_version'),
  memory_id: idOf('mem'),
  version,
  seq,
  content_seq: seq,
  status,
});

export const portable: Record<string, Portable> = {
  memory: { row: memory.refine(isOwned, unowned), freeText: ['tags'] },
  memory_version: { row: memoryVersion },
};
