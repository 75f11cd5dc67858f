import { z } from 'zod';
import { channels } from '../auth/index.ts';
import { time } from '../http/time.ts';
import { bytea, idOf, isOwned, name, type Portable, sensitivity, unowned } from '../portable.ts';

const artifact = z.strictObject({
  type: z.literal('artifact'),
  artifact_id: idOf('art'),
  event_id: idOf('evt'),
  media_type: z.string().max(255),
  byte_count: z.int().min(0),
  sha256: bytea,
  channel: z.enum(channels),
  sensitivity,
  user_id: name.nullable(),
  created_at: time,
});

/** The bytes follow in separate lines. */
export const portable: Record<string, Portable> = {
  artifact: { row: artifact.refine(isOwned, unowned), freeText: ['media_type'] },
};
