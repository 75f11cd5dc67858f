import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { metricsRoutes } from './routes.ts';

export { createMetrics, type Metrics } from './figures.ts';

export const feature: Feature = {
  routes: ({ metrics }) => metricsRoutes(metrics),
  isolation,
  examples: () => readExamples(import.meta.dirname),
};
