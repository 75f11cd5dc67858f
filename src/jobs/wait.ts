import { setTimeout as sleep } from 'node:timers/promises';
import type { Tenant } from '../db/tenant.ts';
import type { Jobs } from './run.ts';
import { readJob } from './sql.ts';

/** Maximum time that a request waits for the result before it is answered with the job. */
const WAIT_MS = 4_000;
const POLL_MS = 25;

/** Starts a read-only job. Returns its result, or only the job id if it takes longer than WAIT_MS. */
export async function startAndWait<Result>(
  jobs: Jobs,
  tenant: Tenant,
  kind: string,
  input: unknown,
  by: string,
): Promise<{ job_id: string; result: Result | undefined }> {
  const { job_id } = await jobs.start(tenant, kind, input, by);
  for (const end = performance.now() + WAIT_MS; performance.now() < end; await sleep(POLL_MS)) {
    // If the database is busy, for example with this job, answer with the job id.
    const job = await tenant.read((db) => readJob(db, tenant.id, job_id, null)).catch(() => undefined);
    if (job?.state === 'done') return { job_id, result: job.result as Result };
    if (job?.state === 'failed') break;
  }
  return { job_id, result: undefined };
}
