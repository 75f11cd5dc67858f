import type { Db } from '../db/query.ts';
import { Problem } from '../http/problem.ts';
import { type ClockRecord, readClock } from './sql.ts';

/** Whoever asks for what follows a seq must not miss, without a word, what was trimmed. */
export function assertKept({ oldest_seq }: ClockRecord, after: number): void {
  if (after < oldest_seq - 1) throw new Problem('gone', `The log begins at ${oldest_seq}.`, { members: { oldest_seq } });
}

export async function assertKeptAfter(db: Db, tenant: string, after: number | undefined): Promise<void> {
  const clock = after === undefined ? undefined : await readClock(db, tenant);
  if (clock) assertKept(clock, after!);
}
