import { setImmediate as breathe } from 'node:timers/promises';
import { Problem } from '../http/problem.ts';
import { type Job, JobStopped } from '../jobs/index.ts';
import { replaceNames } from './replace_names.ts';
import type { ErasureInput } from './schemas.ts';
import { type Cursor, readNames, readSharedEvents, renameShared, type SharedEvent } from './sql.ts';

// With `keep_shared`: replaces the names of the person in the events that are retained.

const EVENTS_PER_STEP = 50;
/** A step is repeated if an edit was approved between reading and writing. */
const MAX_TRIES = 5;

/** Replaces the names in all retained events, step by step. Repeatable. */
export async function renameKept(job: Job<ErasureInput, Cursor>, from: Cursor): Promise<Cursor> {
  const rename = replaceNames(await readNames(job.tenant, job.id), job.input.name);
  let cursor: Cursor = { ...from, renamed_upto: from.renamed_upto ?? 0 };
  for (let tries = 0; ; ) {
    if (job.stopped()) throw new JobStopped();
    const events = await readSharedEvents(job.tenant, job.id, cursor.renamed_upto!, EVENTS_PER_STEP);
    if (events.length === 0) return cursor;
    const docs: SharedEvent[] = [];
    for (const { seq, was, parts } of events) {
      docs.push({ seq, was, parts: rename(parts) });
      await breathe();
    }
    const next = { ...cursor, renamed_upto: events.at(-1)!.seq };
    const { leased, stale } = await renameShared(job, next, docs);
    if (!leased) throw new JobStopped();
    if (stale === 0) [cursor, tries] = [next, 0];
    else if (++tries === MAX_TRIES)
      throw new Problem('unavailable', 'Other requests keep changing the items that the erasure retains. It continues later.');
  }
}
