import { adaptiveStepLimit, dropMarks } from '../erasure/index.ts';
import { type Job, JobStopped } from '../jobs/index.ts';
import { compareTimes } from '../time.ts';
import type { PolicyBody, Preview } from './schemas.ts';
import { type Cursor, countMarked, estimateRun, retainStep } from './sql.ts';

// A preview runs the same short steps as a retention run, up to the first one that would change something. It is a job, because a long log can
// take longer than a request may.

/** Longer than for a run, because a preview holds no lock that others wait for. */
const LONG_STEP_MS = 400;
const COUNTED_PER_STEP = 5_000;

/** Handles jobs of kind `retention_preview`. */
export async function previewHandler(job: Job<PolicyBody, Cursor>) {
  const { tenant, id, input } = job;
  let cursor: Cursor = job.cursor ?? { phase: 'pins', after: '', now: new Date().toISOString(), counts: {} };
  const step = adaptiveStepLimit(LONG_STEP_MS);
  while (cursor.phase !== 'trim') {
    if (job.stopped()) throw new JobStopped();
    // skips the phases that change something and continues with what a trim would keep
    if (cursor.phase === 'blank') cursor = { ...cursor, phase: 'bound' };
    if (cursor.phase === 'bound' && !input.trim) break;
    const at: Cursor = cursor;
    const next: Cursor | null = await step((limit) => retainStep(job, at, limit, null));
    if (!next) throw new JobStopped();
    cursor = next;
  }
  const preview: Preview = { ...(await count(job)), ...(await estimateRun(tenant, id, input, cursor.now)) };
  await dropMarks(tenant, id);
  return { ...preview };
}

async function count({ tenant, id, stopped }: Job<PolicyBody, Cursor>) {
  const by_kind: Record<string, number> = {};
  let [events, oldest, newest]: [number, string | null, string | null] = [0, null, null];
  for (let after = ''; ; ) {
    if (stopped()) throw new JobStopped();
    const page = await countMarked(tenant, id, after, COUNTED_PER_STEP);
    if (page.length === 0) return { events, by_kind, oldest, newest };
    for (const counted of page) {
      by_kind[counted.kind] = (by_kind[counted.kind] ?? 0) + counted.events;
      events += counted.events;
      oldest = earlier(oldest, counted.oldest);
      newest = later(newest, counted.newest);
    }
    after = page[0]!.last_id;
  }
}

const earlier = (one: string | null, other: string | null) =>
  one === null || (other !== null && compareTimes(other, one) < 0) ? other : one;
const later = (one: string | null, other: string | null) =>
  one === null || (other !== null && compareTimes(other, one) > 0) ? other : one;
