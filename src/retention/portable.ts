import { z } from 'zod';
import { time } from '../http/time.ts';
import { count, type Portable, seq, version } from '../portable.ts';
import { policyBodyOf } from './schemas.ts';

export const portableOf = (kinds: string[]): Record<string, Portable> => {
  const row = z.strictObject({
    type: z.literal('retention_policy'),
    ...policyBodyOf(kinds).shape,
    version,
    updated_at: time,
    last_run_at: time.nullable(),
  });
  return { retention_policy: { row, freeText: ['rules'] } };
};

/** The schema of the event `retention.forgot`. */
export const reportsOf = (kinds: string[]) => ({
  'retention.forgot': z.strictObject({
    counts: z.record(z.string().regex(/^[a-z_]{1,40}$/), count),
    first_seq: seq.nullable(),
    last_seq: seq.nullable(),
    rules: policyBodyOf(kinds).shape.rules,
  }),
});
