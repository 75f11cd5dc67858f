import { z } from 'zod';
import { time } from '../http/time.ts';
import { count, type Portable } from '../portable.ts';
import { snapshotName } from './schemas.ts';

const snapshot = z.strictObject({
  type: z.literal('snapshot'),
  name: snapshotName,
  seq: count,
  created_at: time,
  expires_at: time,
});

export const portable: Record<string, Portable> = { snapshot: { row: snapshot } };
