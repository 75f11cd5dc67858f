import { z } from 'zod';
import { route } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';
import { acceptedReply, type Handlers, type Jobs, startedJob } from '../jobs/index.ts';
import { checkTenant } from './check.ts';
import { repairTenant } from './repair.ts';
import { report } from './schemas.ts';
import { type FindUnreadable, findOpenJob, readLogState } from './sql.ts';

const tagged = { tag: 'Consistency', limit: 'v1', access: 'admin' } as const;

export const consistencyJobs = (finders: FindUnreadable[]): Handlers => ({
  consistency: async ({ tenant, report }) => ({ ...(await checkTenant(tenant, finders, (done) => report(done))).report }),
  repair: ({ tenant, report }) => repairTenant(tenant, finders, (done) => report(done)),
});

/** A check of at most `atOnce` events is answered directly, a longer one becomes a job. */
export const consistencyRoutes = (jobs: Jobs, atOnce: number, finders: FindUnreadable[]) => [
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/consistency',
    operation: 'checkConsistency',
    summary: 'Check counters and derived data',
    description: 'Recomputes them and reports the differences. For a large tenant, the service starts a job and returns 202.',
    query: z.strictObject({}),
    success: { status: 200, description: 'The report', schema: report },
    otherAnswers: [
      { status: 202, description: 'The tenant is large, and the report becomes the result of the job', schema: startedJob },
    ],
    problems: ['not-found', 'conflict'],
    handle: async ({ caller: { tenant, principal } }) => {
      const logState = await readLogState(tenant);
      if (!logState) throw new Problem('not-found', 'The tenant no longer exists.');
      if (logState.last_seq - logState.oldest_seq < atOnce) return { body: (await checkTenant(tenant, finders)).report };
      const job_id =
        (await findOpenJob(tenant, 'consistency')) ?? (await jobs.start(tenant, 'consistency', {}, principal.id)).job_id;
      return { status: 202, ...acceptedReply(job_id, false) };
    },
  }),
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/consistency/repair',
    operation: 'repairConsistency',
    audit: 'consistency.repair_begun',
    summary: 'Repair derived data',
    description: 'Starts a job. Its result lists what could not be repaired.',
    idempotent: true,
    query: z.strictObject({}),
    success: { status: 202, description: 'The job was started', schema: startedJob },
    problems: ['conflict', 'not-found'],
    handle: async ({ caller: { tenant, principal }, idempotency }) => {
      const { job_id, replay } = await jobs.start(tenant, 'repair', {}, principal.id, idempotency);
      return acceptedReply(job_id, replay);
    },
  }),
];
