import { setTimeout as sleep } from 'node:timers/promises';
import { entryOf } from '../db/commit.ts';
import type { Sweep } from '../db/sweep.ts';
import { dropMarks, pace } from '../erasure/index.ts';
import { type Job, JobStopped, type Jobs } from '../jobs/index.ts';
import type { PolicyBody } from './schemas.ts';
import { type Cursor, readHold, readOldest, retainStep, takeDue } from './sql.ts';

// A run forgets what the policy of its beginning names, step by step as an erasure does.

const PAUSE_MS = 25;

export async function retainer(job: Job<PolicyBody, Cursor>) {
  let cursor: Cursor = job.cursor ?? { phase: 'pins', after: '', now: new Date().toISOString(), counts: {} };
  const step = pace();
  while (cursor.phase !== 'over') {
    if (job.stopped()) throw new JobStopped();
    const at: Cursor = cursor;
    const next: Cursor | null = await step((limit) => retainStep(job, at, limit, forgot(job, at)));
    if (!next) throw new JobStopped();
    cursor = next;
    await sleep(PAUSE_MS);
  }
  const held_by = await readHold(job.tenant, job.id, job.input, cursor.now);
  await dropMarks(job.tenant, job.id);
  return { counts: cursor.counts, oldest_seq: await readOldest(job.tenant), ...(held_by && { held_by }) };
}

const forgot = ({ id, input }: Job<PolicyBody>, { counts, first_seq, last_seq }: Cursor) =>
  entryOf({
    session_id: id,
    channel: 'team',
    actor_type: 'agent',
    actor_id: 'agent-memory',
    user_id: 'agent-memory',
    kind: 'retention.forgot',
    content: { counts, first_seq: first_seq ?? null, last_seq: last_seq ?? null, rules: input.rules },
  });

/** Queues the run of a tenant whose policy is due: once a day, whichever daemon comes by. */
export const sweepRetention = (jobs: Jobs): Sweep => {
  const startRetention: Sweep = async (tenant) => {
    const policy = await takeDue(tenant);
    if (policy) await jobs.start(tenant, 'retention', policy, 'policy');
    return 0;
  };
  return startRetention;
};
