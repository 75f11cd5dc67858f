import { z } from 'zod';
import { time } from '../http/time.ts';
import { count, type Portable, seq, version } from '../portable.ts';
import { policyBody } from './schemas.ts';

const retentionPolicy = z.strictObject({
  type: z.literal('retention_policy'),
  ...policyBody.shape,
  version,
  updated_at: time,
  last_run_at: time.nullable(),
});

export const portable: Record<string, Portable> = {
  retention_policy: { row: retentionPolicy, free: ['rules'] },
};

/** The event `retention.forgot`. */
export const reports = {
  'retention.forgot': z.strictObject({
    counts: z.record(z.string().regex(/^[a-z_]{1,40}$/), count),
    first_seq: seq.nullable(),
    last_seq: seq.nullable(),
    rules: policyBody.shape.rules,
  }),
};
