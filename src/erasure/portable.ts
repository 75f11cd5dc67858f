import { z } from 'zod';
import { count } from '../portable.ts';

/** The schema of the event `erasure.completed`. */
export const reports = {
  'erasure.completed': z.strictObject({
    kind: z.enum(['user_id', 'session_id', 'project_id', 'agent_id']),
    subject_hash: z.string().regex(/^erased_[0-9a-f]{32}$/),
    upto_seq: count,
    counts: z.record(z.string().regex(/^[a-z_]{1,40}$/), count),
    certificate: z.string().regex(/^[0-9a-f]{64}$/),
  }),
};
