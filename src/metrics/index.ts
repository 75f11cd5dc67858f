import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { z } from 'zod';
import { openRoute } from '../auth/index.ts';

// The only file that knows prom-client. No label names a tenant: figures of one tenant are GET /v1/usage.

// ms; 300, 500 and 1000 are the guide's targets
const LATENCY_BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 200, 300, 500, 1000, 2500, 5000, 10_000];

/** Where a figure is read at each scrape. */
export interface Readings {
  pool(): { max: number; total: number; idle: number; waiting: number };
  writes(): { queued: number; queuedChars: number; inFlight: number };
  followers(): number;
  requestsInFlight(): number;
  bodyBytesHeld(): number;
  auditWaiting(): number;
}

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(readings: Readings) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 10 });
  // Gauges by type and counters by name: promtool refuses them.
  for (const name of ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'])
    registry.removeSingleMetric(name);

  const labelNames = ['route', 'method', 'status'];
  const total = new Counter({ name: 'agent_memory_total_requests', help: 'Requests answered', labelNames, registers });
  const failed = new Counter({
    name: 'agent_memory_failed_requests',
    help: 'Requests answered with a 5xx',
    labelNames: ['route', 'method'],
    registers,
  });
  const latency = new Histogram({
    name: 'agent_memory_latency_ms',
    help: 'Time from a request to the end of its answer, in ms',
    labelNames: ['route', 'method'],
    buckets: LATENCY_BUCKETS_MS,
    registers,
  });
  // A series is there before its first request, so that a rate over it begins at zero.
  failed.inc({ route: '/health', method: 'GET' }, 0);

  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `agent_memory_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge('pool_max', 'Most database connections of this daemon', () => readings.pool().max);
  gauge('pool_connections', 'Database connections open', () => readings.pool().total);
  gauge('pool_idle', 'Database connections idle', () => readings.pool().idle);
  gauge('pool_waiting', 'Requests waiting for a database connection', () => readings.pool().waiting);
  gauge('write_queue_units', 'Writes waiting for a commit', () => readings.writes().queued);
  gauge('write_queue_characters', 'Size of the writes waiting', () => readings.writes().queuedChars);
  gauge('write_batches_in_flight', 'Commits under way', () => readings.writes().inFlight);
  gauge('followers', 'Streams that follow a log', () => readings.followers());
  gauge('requests_in_flight', 'Requests being served', () => readings.requestsInFlight());
  gauge('audit_entries_waiting', 'Entries of the audit that are not written yet', () => readings.auditWaiting());
  gauge('body_bytes_held', 'Bytes of request bodies held', () => readings.bodyBytesHeld());

  return {
    finished(route: string, method: string, status: number, ms: number): void {
      total.inc({ route, method, status });
      if (status >= 500) failed.inc({ route, method });
      latency.observe({ route, method }, ms);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
    json: () => registry.getMetricsAsJSON(),
  };
}

export const metricsRoutes = (metrics: Metrics) => [
  openRoute({
    method: 'GET',
    path: '/metrics',
    operation: 'readMetrics',
    summary: 'The figures of this daemon as Prometheus text',
    tag: 'Operations',
    access: 'none',
    limit: 'none',
    success: { status: 200, description: 'Prometheus text', mediaType: 'text/plain' },
    problems: [],
    handle: async () => ({ headers: { 'Content-Type': metrics.contentType }, body: await metrics.text() }),
  }),
  openRoute({
    method: 'GET',
    path: '/metrics/json',
    operation: 'readMetricsAsJson',
    summary: 'The same figures as JSON',
    tag: 'Operations',
    access: 'none',
    limit: 'none',
    success: { status: 200, description: 'The figures by name', schema: z.record(z.string(), z.unknown()) },
    problems: [],
    handle: async () => ({ body: Object.fromEntries((await metrics.json()).map(({ name, ...metric }) => [name, metric])) }),
  }),
];
