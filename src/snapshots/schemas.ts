import { z } from 'zod';
import { integerParameter, pageOf } from '../http/page.ts';

const LONGEST_S = 10 * 365 * 86_400;
const DEFAULT_S = 90 * 86_400;

export const snapshotName = z
  .string()
  .regex(/^[A-Za-z][\w.-]{0,127}$/, 'must begin with a letter and have at most 128 letters, digits, "_", "." and "-"');

export const snapshotBody = z
  .strictObject({
    name: snapshotName.describe('Names the current end of the log.'),
    expires_in: z.int().min(1).max(LONGEST_S).default(DEFAULT_S).describe('Lifetime in seconds.'),
  })
  .meta({ id: 'NewSnapshot' });
export type SnapshotBody = z.output<typeof snapshotBody>;

export const snapshot = z
  .object({
    name: z.string(),
    seq: z.int().describe('The last position of the log that the snapshot includes; 0 if the log was empty.'),
    created_at: z.string(),
    expires_at: z.string().describe('Until then no trim and no retention rule removes what the snapshot needs.'),
  })
  .meta({ id: 'Snapshot' });
export type Snapshot = z.output<typeof snapshot>;

export const snapshotPage = pageOf(snapshot);
export const snapshotParams = z.strictObject({ name: snapshotName });
export const snapshotList = z.strictObject({
  limit: integerParameter(1, 1000).default(50),
  cursor: z.string().max(500).optional(),
});
