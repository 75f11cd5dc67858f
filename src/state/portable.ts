import { z } from 'zod';
import { channels } from '../auth/index.ts';
import { time } from '../http/time.ts';
import { isOwned, name, type Portable, sensitivity, seq, unowned, version } from '../portable.ts';

const stateObject = z.strictObject({
  type: z.literal('state_object'),
  namespace: name,
  key: name,
  channel: z.enum(channels),
  user_id: name.nullable(),
  agent_id: name.nullable(),
  session_id: name.nullable(),
  project_id: name.nullable(),
  sensitivity,
  life: z.enum(['live', 'deleted', 'expired', 'erased']),
  version,
  seq,
  body: z.unknown(),
  tags: z.record(z.string().max(255), z.string().max(1000)),
  created_at: time,
  updated_at: time,
  expires_at: time.nullable(),
});

const stateVersion = z.strictObject({
  type: z.literal('state_version'),
  namespace: name,
  key: name,
  version,
  seq,
  change: z.enum(['put', 'deleted', 'expired', 'erased']),
  expires_at: time.nullable(),
});

const stateFloor = z.strictObject({ type: z.literal('state_floor'), version });

export const portable: Record<string, Portable> = {
  state_object: { row: stateObject.refine(isOwned, unowned), freeText: ['body', 'tags'] },
  state_version: { row: stateVersion },
  state_floor: { row: stateFloor },
};
