import { setImmediate as breathe } from 'node:timers/promises';
import { Problem } from '../http/problem.ts';
import { type Job, JobStopped } from '../jobs/index.ts';
import { replaceNames } from './replace_names.ts';
import type { ErasureInput } from './schemas.ts';
import { type Cursor, readNames, readSharedEvents, renameShared, type SharedEvent } from './sql.ts';

// With `keep_shared`: replaces the names of the person in what stays.

const EVENTS_A_STEP = 50;
/** An edit that is approved between reading and writing makes a step be taken again. */
const MOST_TRIES = 5;

/** To the end of what stays, step by step; repeatable. */
export async function renameKept(job: Job<ErasureInput, Cursor>, from: Cursor): Promise<Cursor> {
  const rename = replaceNames(await readNames(job.tenant, job.id), job.input.name);
  let cursor: Cursor = { ...from, renamed_upto: from.renamed_upto ?? 0 };
  for (let tries = 0; ; ) {
    if (job.stopped()) throw new JobStopped();
    const found = await readSharedEvents(job.tenant, job.id, cursor.renamed_upto!, EVENTS_A_STEP);
    if (found.length === 0) return cursor;
    const docs: SharedEvent[] = [];
    for (const { seq, was, parts } of found) {
      docs.push({ seq, was, parts: rename(parts) });
      await breathe();
    }
    const next = { ...cursor, renamed_upto: found.at(-1)!.seq };
    const { held, stale } = await renameShared(job, next, docs);
    if (!held) throw new JobStopped();
    if (stale === 0) [cursor, tries] = [next, 0];
    else if (++tries === MOST_TRIES)
      throw new Problem('unavailable', 'The kept items are being edited; the erasure resumes later.');
  }
}
