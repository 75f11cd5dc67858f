import { z } from 'zod';
import { behalf, behalfQuery } from '../auth/index.ts';
import { boundedPageOf, integerParameter } from '../http/page.ts';
import { at, namespace } from '../state/index.ts';

// Requests and responses of restore, diff and fork.

/** `at` in a body, where a seq may also be a number. */
const moment = z.union([z.int().min(0).max(1e15).transform(String), z.string()]).pipe(at);
const restored = {
  namespace: namespace
    .optional()
    .describe('Restores only this namespace. Without it, the whole tenant, which only admins can restore.'),
  dry_run: z.boolean().default(false).describe('Only counts what would change.'),
  ...behalf,
};

export const restoreBody = z.strictObject({ at: moment, ...restored }).meta({ id: 'StateRestore' });
export const snapshotRestoreBody = z.strictObject(restored).prefault({}).meta({ id: 'SnapshotRestore' });
export type RestoreBody = z.output<typeof restoreBody>;

export const restoreResult = z
  .object({
    restored: z.int().describe('Number of objects that got an earlier body, tags or expiry back, or exist again.'),
    deleted: z.int().describe('Number of objects that did not exist at that moment and were deleted.'),
    unchanged: z.int().describe('Number of objects that were left as they are.'),
    commit_seq: z.int().describe('The last seq of the restore, or the end of the log if nothing changed.'),
  })
  .meta({ id: 'StateRestored' });
export type RestoreResult = z.output<typeof restoreResult>;

export const forkBody = z
  .strictObject({
    to: namespace.describe('The namespace that the objects are copied to. None of their keys may exist there.'),
    at: moment.optional(),
    ...behalf,
  })
  .meta({ id: 'StateFork' });
export type ForkBody = z.output<typeof forkBody>;

export const forkResult = z
  .object({
    copied: z.int().describe('Number of objects that were copied.'),
    commit_seq: z.int().describe('The last seq of the fork.'),
  })
  .meta({ id: 'StateForked' });
export type ForkResult = z.output<typeof forkResult>;

export const diffQuery = z.strictObject({
  to: at.optional().describe('Compares with this moment. The default is now.'),
  namespace: namespace.optional().describe('Compares only this namespace.'),
  limit: integerParameter(1, 1000).default(50),
  cursor: z.string().max(2000).optional(),
  ...behalfQuery,
});
export type DiffQuery = z.output<typeof diffQuery>;

const name = z.object({ namespace: z.string(), key: z.string() });
const difference = name
  .extend({
    change: z.enum(['created', 'changed', 'deleted']).describe('`deleted` includes expired objects.'),
    from_version: z.int().nullable().describe('The version at the snapshot; null if the object did not exist.'),
    to_version: z.int().nullable().describe('The version at `to`; null if the object does not exist.'),
  })
  .meta({ id: 'StateDifference' });
export type Difference = z.output<typeof difference>;
export const differencePage = boundedPageOf(difference, name);
