import type { Db } from '../db/query.ts';
import { Problem } from '../http/problem.ts';
import { type LogBounds, readLogBounds } from './sql.ts';

/** Throws 410 if events after this seq have been trimmed, so that a reader does not miss them silently. */
export function assertRetained({ oldest_seq }: LogBounds, after: number): void {
  if (after < oldest_seq - 1)
    throw new Problem('gone', `The log starts at seq ${oldest_seq}. Earlier events were removed.`, { members: { oldest_seq } });
}

/**
 * Throws 410 if the last id of a stream is beyond the end of the log. The log was then restored from a backup, and the reader would miss the events
 * that now get these seqs.
 */
export function assertIssued({ oldest_seq, last_seq }: LogBounds, id: number): void {
  if (id <= last_seq) return;
  throw new Problem(
    'gone',
    `The log ends at seq ${last_seq}, before seq ${id}: it was restored from a backup, or it is the log of another tenant. Resume from an earlier seq.`,
    {
      members: { oldest_seq, last_seq },
    },
  );
}

export async function assertRetainedAfter(db: Db, tenant: string, after: number | undefined): Promise<void> {
  const bounds = after === undefined ? undefined : await readLogBounds(db, tenant);
  if (bounds) assertRetained(bounds, after!);
}
