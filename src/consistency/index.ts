import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { consistencyJobs, consistencyRoutes } from './routes.ts';

export { verifyImport } from './verify.ts';

export const feature: Feature = {
  routes: ({ jobs, config }) => consistencyRoutes(jobs, config.CONSISTENCY_AT_ONCE),
  jobs: () => consistencyJobs,
  audit: ['consistency.repair_begun'],
  isolation,
};
