import { z } from 'zod';
import { time } from '../http/time.ts';
import { name, type Portable } from '../portable.ts';

const agentState = z.strictObject({
  type: z.literal('agent_state'),
  agent_hash: z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in hex'),
  agent_id: name.nullable(),
  state: z.enum(['active', 'killed']),
  reason: z.string().max(1000).nullable(),
  made_by: name.nullable(),
  killed_at: time.nullable(),
  updated_at: time,
});

export const portable: Record<string, Portable> = { agent_state: { row: agentState, freeText: ['reason'] } };
