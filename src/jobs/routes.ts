import { isAdmin, type Principal, route } from '../auth/index.ts';
import { decodeCursor, toPage } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import { job, jobPage, jobParams, listQuery } from './schemas.ts';
import { listJobs, readJob } from './sql.ts';

const tagged = { tag: 'Jobs', limit: 'v1', access: 'read' } as const;

export const jobRoutes = [
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/jobs',
    operation: 'listJobs',
    summary: 'List jobs, newest first',
    description: 'Admins list all jobs of the tenant, other users those that they started.',
    query: listQuery,
    success: { status: 200, description: 'A page of jobs. Finished jobs are kept for 30 days', schema: jobPage },
    problems: ['validation'],
    handle: async ({ caller: { tenant, principal }, query }) => {
      const before = query.cursor === undefined ? undefined : String(decodeCursor(query.cursor, ['string'])[0]);
      const rows = await tenant.read((db) => listJobs(db, tenant.id, reachOf(principal), query, before));
      return { body: toPage(rows, query.limit, (row) => [row.job_id]) };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/jobs/{job_id}',
    operation: 'readJob',
    summary: 'Get the progress and result of a job',
    params: jobParams,
    success: { status: 200, description: 'The job', schema: job },
    problems: ['not-found'],
    handle: async ({ caller: { tenant, principal }, params }) => {
      const view = await tenant.read((db) => readJob(db, tenant.id, params.job_id, reachOf(principal)));
      if (!view) throw new Problem('not-found', 'The job does not exist, or another principal started it.');
      return { body: view };
    },
  }),
];

const reachOf = (principal: Principal): string | null => (isAdmin(principal) ? null : principal.id);
