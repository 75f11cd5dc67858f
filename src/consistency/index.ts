import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { consistencyJobs, consistencyRoutes } from './routes.ts';

export type { FindUnreadable } from './sql.ts';
export { verifyImport } from './verify.ts';

export const feature: Feature = {
  routes: ({ jobs, config, registry }) => consistencyRoutes(jobs, config.CONSISTENCY_AT_ONCE, registry.unreadable),
  jobs: ({ registry }) => consistencyJobs(registry.unreadable),
  audit: ['consistency.repair_begun'],
  isolation,
  tags: { Consistency: 'Checks and repairs of counters and derived data.' },
  examples: () => readExamples(import.meta.dirname),
};
