import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { jobRoutes } from './routes.ts';
import { sweepJobs } from './sql.ts';

export { type Handler, type Handlers, type Job, JobStopped, type Jobs, openJobs } from './run.ts';
export { acceptedReply, startedJob } from './schemas.ts';
export { startJob } from './sql.ts';
export { startAndWait } from './wait.ts';

export const feature: Feature = {
  routes: () => jobRoutes,
  sweeps: () => [sweepJobs],
  figures: ({ metrics, jobs }) => {
    metrics.gauge('jobs_running', 'Jobs that run on this daemon', () => jobs.figures().running);
    const waiting = 'Tenants (at most 100 are seen) with a job due that found no place here';
    metrics.gauge('jobs_waiting', waiting, () => jobs.figures().waiting);
  },
  prefixes: { job: 'cited' },
  isolation,
  tags: { Jobs: 'Long work that survives a restart.' },
  examples: () => readExamples(import.meta.dirname),
};
