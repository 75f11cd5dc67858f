import { setTimeout as sleep } from 'node:timers/promises';
import type { Tenant } from '../db/tenant.ts';
import type { Jobs } from './run.ts';
import { readJob } from './sql.ts';

/** How long a request waits for its answer, before it is told where that will be. */
const WAIT_MS = 4_000;
const POLL_MS = 25;

/** Starts a job that only looks, and answers with its result or, where that takes longer, with the job whose result it will be. */
export async function startAndWait<Result>(
  jobs: Jobs,
  tenant: Tenant,
  kind: string,
  input: unknown,
  by: string,
): Promise<{ job_id: string; found: Result | undefined }> {
  const { job_id } = await jobs.start(tenant, kind, input, by);
  for (const end = performance.now() + WAIT_MS; performance.now() < end; await sleep(POLL_MS)) {
    // where the database is busy, such as with this very job, the answer is where to look
    const job = await tenant.read((db) => readJob(db, tenant.id, job_id, null)).catch(() => undefined);
    if (job?.state === 'done') return { job_id, found: job.result as Result };
    if (job?.state === 'failed') break;
  }
  return { job_id, found: undefined };
}
