import type { Db } from '../db/query.ts';
import { Problem } from '../http/problem.ts';
import { type ClockRecord, readClock } from './sql.ts';

/** Whoever asks for what follows a seq must not miss, without a word, what was trimmed. */
export function assertKept({ oldest_seq }: ClockRecord, after: number): void {
  if (after < oldest_seq - 1) throw new Problem('gone', `The log begins at ${oldest_seq}.`, { members: { oldest_seq } });
}

/** An id of a stream is a seq that was given out: where the log ends before it, it was restored, and what takes those seqs now would be missed. */
export function assertGiven({ oldest_seq, last_seq }: ClockRecord, id: number): void {
  if (id <= last_seq) return;
  throw new Problem(
    'gone',
    `The log ends at ${last_seq}: it is not the one that gave ${id}, or was restored. Read it again from where you trust it.`,
    {
      members: { oldest_seq, last_seq },
    },
  );
}

export async function assertKeptAfter(db: Db, tenant: string, after: number | undefined): Promise<void> {
  const clock = after === undefined ? undefined : await readClock(db, tenant);
  if (clock) assertKept(clock, after!);
}
