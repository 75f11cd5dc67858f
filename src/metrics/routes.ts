import { z } from 'zod';
import { openRoute } from '../auth/index.ts';
import type { Metrics } from './figures.ts';

const description = 'Served on `ADMIN_PORT` instead of `PORT` if that is set.';

export const metricsRoutes = (metrics: Metrics) => [
  openRoute({
    method: 'GET',
    path: '/metrics',
    operation: 'readMetrics',
    summary: 'Get metrics in the Prometheus text format',
    description,
    tag: 'Health and metrics',
    access: 'none',
    limit: 'none',
    listener: 'admin',
    success: { status: 200, description: 'Prometheus text', mediaType: 'text/plain' },
    problems: [],
    handle: async () => ({ headers: { 'Content-Type': metrics.contentType }, body: await metrics.text() }),
  }),
  openRoute({
    method: 'GET',
    path: '/metrics/json',
    operation: 'readMetricsAsJson',
    summary: 'Get metrics as JSON',
    description,
    tag: 'Health and metrics',
    access: 'none',
    limit: 'none',
    listener: 'admin',
    success: { status: 200, description: 'The metrics by name', schema: z.record(z.string(), z.unknown()) },
    problems: [],
    handle: async () => ({ body: Object.fromEntries((await metrics.json()).map(({ name, ...metric }) => [name, metric])) }),
  }),
];
