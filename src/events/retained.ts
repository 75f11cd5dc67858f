import type { Db } from '../db/query.ts';
import { Problem } from '../http/problem.ts';
import { type LogBounds, readLogBounds } from './sql.ts';

/** Whoever asks for what follows a seq must not miss, without a word, what was trimmed. */
export function assertRetained({ oldest_seq }: LogBounds, after: number): void {
  if (after < oldest_seq - 1) throw new Problem('gone', `The log begins at ${oldest_seq}.`, { members: { oldest_seq } });
}

/** An id of a stream is a seq that was given out: where the log ends before it, it was restored, and what takes those seqs now would be missed. */
export function assertIssued({ oldest_seq, last_seq }: LogBounds, id: number): void {
  if (id <= last_seq) return;
  throw new Problem(
    'gone',
    `The log ends at ${last_seq}: it is not the one that gave ${id}, or was restored. Read it again from where you trust it.`,
    {
      members: { oldest_seq, last_seq },
    },
  );
}

export async function assertRetainedAfter(db: Db, tenant: string, after: number | undefined): Promise<void> {
  const clock = after === undefined ? undefined : await readLogBounds(db, tenant);
  if (clock) assertRetained(clock, after!);
}
