import { z } from 'zod';
import { channels } from '../auth/index.ts';
import { time } from '../http/time.ts';
import { idOf, name, names, type Portable, sensitivity, seq } from '../portable.ts';

const channel = z.enum(channels);

const capsule = z.strictObject({
  type: z.literal('capsule'),
  capsule_id: idOf('cap'),
  seq,
  user_id: name.nullable(),
  agent_id: name.nullable(),
  project_id: name.nullable(),
  channel,
  tags: names,
  for_all: z.boolean(),
  audience_users: names,
  audience_agents: names,
  items: names.min(1).max(200),
  item_channels: z.array(channel).max(4),
  item_sensitivities: z.array(sensitivity).max(4),
  created_at: time,
  expires_at: time,
  revoked_at: time.nullable(),
  revoked_seq: seq.nullable(),
});

export const portable: Record<string, Portable> = {
  capsule: { row: capsule, freeText: ['tags'] },
};
