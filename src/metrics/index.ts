export { createMetrics, type Metrics, type Readings } from './figures.ts';
export { metricsRoutes } from './routes.ts';
