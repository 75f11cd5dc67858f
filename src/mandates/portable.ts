import { z } from 'zod';
import { time } from '../http/time.ts';
import { count, name, type Portable, seq } from '../portable.ts';
import { definition, MAX_DEFINITION, storedBytes } from './schemas.ts';

// Imported mandates keep their sums. Actions are not exported, so nothing is reserved; and they are suspended until an admin confirms them.
const mandate = z.strictObject({
  type: z.literal('mandate'),
  mandate_id: name,
  seq,
  revision: name,
  id_hash: name.nullable(),
  chain: z.array(name).min(1).max(8),
  agent_id: name,
  principal: name.nullable(),
  definition: definition.refine((terms) => storedBytes(terms) <= MAX_DEFINITION, `must have at most ${MAX_DEFINITION} bytes`),
  spent_micros: count,
  reserved_micros: count.transform(() => 0),
  open_actions: count.default(0).transform(() => 0),
  calls: count,
  created_at: time,
  expires_at: time.nullable(),
  revoked_at: time.nullable(),
  suspended: z.boolean().transform(() => true),
});

export const portable: Record<string, Portable> = { mandate: { row: mandate, transforms: true } };
