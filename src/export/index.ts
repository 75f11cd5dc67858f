import { verifyImport } from '../consistency/index.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { importJobs, sweepImports } from './import.ts';
import { isolation } from './isolation.ts';
import { streamLimits } from './limits.ts';
import { exportRoutes } from './routes.ts';
import { rowsOf } from './rows.ts';

export const feature: Feature = {
  routes: ({ config, registry, bounds, embedded, bytesInFlight, auth, secrets, jobs, log }) =>
    exportRoutes({
      ...streamLimits(config, embedded),
      json: bounds.json,
      rows: rowsOf(registry),
      bytesInFlight,
      recheck: auth.identify,
      secrets,
      verify: verifyImport,
      onJobQueued: () => void jobs.resume().catch((err: unknown) => log.warn({ err }, 'polling for jobs failed')),
    }),
  jobs: () => importJobs,
  sweeps: () => [sweepImports],
  audit: ['tenant.exported', 'tenant.imported'],
  isolation,
  tags: { Export: 'Export and import of a tenant as newline-delimited JSON.' },
  examples: () => readExamples(import.meta.dirname),
};
