import type { Feature } from '../feature.ts';
import { metricsRoutes } from './routes.ts';

export { createMetrics, type Metrics } from './figures.ts';

export const feature: Feature = {
  routes: ({ metrics }) => metricsRoutes(metrics),
};
