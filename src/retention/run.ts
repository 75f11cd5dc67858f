import { setTimeout as sleep } from 'node:timers/promises';
import type { Sweep } from '../db/sweep.ts';
import { serviceEventOf } from '../db/unit.ts';
import { adaptiveStepLimit, dropMarks } from '../erasure/index.ts';
import { type Job, JobStopped, type Jobs } from '../jobs/index.ts';
import type { RunInput } from './schemas.ts';
import { type Cursor, claimDuePolicy, readOldest, readTrimBlocker, retainStep } from './sql.ts';

// A retention run applies the policy as it was when the run started, in steps like those of an erasure.

const PAUSE_MS = 25;

export interface RetentionNeeds {
  /** Writes an audit entry. */
  record(
    tenant_id: string,
    entry: { action: 'retention.trimmed'; route: string; principal_id: string; about: Record<string, unknown> },
  ): Promise<void>;
  count: Count;
}

/** Counts the events that a trim dropped, and those before the beginning of the log that it carried because something needs them. */
export type Count = (labels: { what: 'trimmed' | 'carried' }, by: number) => void;

/** Returns the handler of jobs of kind `retention`. */
export const retentionHandler =
  ({ record, count }: RetentionNeeds) =>
  async (job: Job<RunInput, Cursor>) => {
    const cursor = await runSteps(job);
    const { tenant, id, input } = job;
    const held_by = await readTrimBlocker(tenant, input, cursor.now);
    await dropMarks(tenant, id);
    const { counts } = cursor;
    const oldest_seq = await readOldest(tenant);
    const { trimmed, carried = 0 } = counts;
    if (trimmed !== undefined) {
      count({ what: 'trimmed' }, trimmed);
      count({ what: 'carried' }, carried);
      const about = { job_id: id, trimmed, carried, oldest_seq };
      await record(tenant.id, { action: 'retention.trimmed', route: 'job', principal_id: 'service', about });
    }
    return { counts, oldest_seq, ...(held_by && { held_by }) };
  };

async function runSteps(job: Job<RunInput, Cursor>): Promise<Cursor> {
  let cursor: Cursor = job.cursor ?? { phase: 'pins', after: '', now: new Date().toISOString(), counts: {} };
  const step = adaptiveStepLimit();
  while (cursor.phase !== 'over') {
    if (job.stopped()) throw new JobStopped();
    const at: Cursor = cursor;
    const next: Cursor | null = await step((limit) => retainStep(job, at, limit, reportEvent(job, at)));
    if (!next) throw new JobStopped();
    cursor = next;
    await sleep(PAUSE_MS);
  }
  return cursor;
}

const reportEvent = ({ id, input }: Job<RunInput>, { counts, first_seq, last_seq }: Cursor) =>
  serviceEventOf({
    session_id: id,
    channel: 'team',
    actor_type: 'agent',
    actor_id: 'agent-memory',
    user_id: 'agent-memory',
    kind: 'retention.forgot',
    content: { counts, first_seq: first_seq ?? null, last_seq: last_seq ?? null, rules: input.rules },
  });

/** Queues a run for a tenant whose policy is due. Runs are at least a day apart, however many daemons sweep. */
export const sweepRetention = (jobs: Jobs): Sweep => {
  const startRetention: Sweep = async (tenant) => {
    const policy = await claimDuePolicy(tenant);
    if (policy) await jobs.start(tenant, 'retention', policy, 'policy');
    return 0;
  };
  return startRetention;
};
