import { z } from 'zod';
import { time } from '../http/time.ts';
import { definition, MAX_DEFINITION, storedBytes } from '../mandates/index.ts';
import { idOf, name, type Portable, version } from '../portable.ts';
import { faultsIn } from './conditions.ts';

const policy = z.strictObject({
  type: z.literal('policy'),
  policy_id: idOf('pol'),
  version,
  name,
  description: z.string().max(1000).nullable(),
  definition: definition
    .omit({ template: true })
    .refine((terms) => storedBytes(terms) <= MAX_DEFINITION, `must have at most ${MAX_DEFINITION} bytes`),
  expires_in_ms: z.int().min(1_000).max(1e12).nullable(),
  made_by: name.nullable(),
  created_at: time,
});

// an erasure may have made the names in a rule longer, so a row may be larger than a request
const rule = z
  .strictObject({
    type: z.literal('rule'),
    rule_id: idOf('rul'),
    version,
    name,
    conditions: z.array(z.unknown()).refine((given) => faultsIn(given).length === 0, 'must be conditions of a rule'),
    policy_ids: z.array(idOf('pol')).max(32),
    agent_ids: z.array(name).max(256).nullable(),
    made_by: name.nullable(),
    created_at: time,
    updated_at: time,
  })
  .refine((row) => storedBytes(row) <= MAX_DEFINITION, `must have at most ${MAX_DEFINITION} bytes`);

export const portable: Record<string, Portable> = {
  policy: { row: policy, freeText: ['name', 'description'] },
  rule: { row: rule, freeText: ['name'] },
};
