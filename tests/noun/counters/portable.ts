import { z } from 'zod';
import { time } from '../http/time.ts';
import { idOf, name, type Portable, sensitivity, seq } from '../portable.ts';

const counter = z.strictObject({
  type: z.literal('counter'),
  counter_id: idOf('ctr'),
  seq,
  name,
  value: z.int(),
  made_by: name.nullable(),
  user_id: name.nullable(),
  channel: z.enum(['public', 'team', 'agent']),
  sensitivity,
  created_at: time,
  expires_at: time.nullable(),
});

export const portable: Record<string, Portable> = { counter: { row: counter, freeText: ['name'] } };
