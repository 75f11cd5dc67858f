import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { addAgentStateMetrics, type OperationOf } from './agentstate_names.ts';
import { addGuideMetrics } from './guide_names.ts';
import { type Meter, openMeter } from './meter.ts';

// Metrics of the daemon: its process, requests, database and limits. Features add their own (`figures` of their doors). No label contains a
// tenant; the figures of a tenant are in GET /v1/usage. docs/monitoring.md lists every metric, and a test compares it with this code.

// in ms; 300, 500 and 1000 are the targets of the deployment guide
const LATENCY_BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 200, 300, 500, 1000, 2500, 5000, 10_000];
const COMMIT_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128];

/** Sampling interval of the event loop delay. */
const SAMPLING_MS = 10;

interface Build {
  version: string;
  engine: 'postgresql' | 'embedded';
}

/** Sources of the gauges that are read at each scrape. */
interface Readings {
  ready(): Promise<boolean>;
  pool(): { max: number; total: number; idle: number; waiting: number; refused: number; lost: number };
  /** Whether notifications of the database arrive; undefined if it does not support them. */
  listens(): boolean | undefined;
  writes(): { queued: number; queuedChars: number; inFlight: number };
  requestsInFlight(): number;
  bodyBytesInFlight(): number;
  workers(): { waiting: number; running: number };
  sweeps(): { last_success_s: number | undefined; failed: number | undefined };
  limitStore(): { kind: string; answers: boolean };
  operationOf: OperationOf;
}

export interface Metrics extends Meter {
  observeRequest(route: string, method: string, status: number, ms: number | undefined): void;
  /** Counts a problem. With `by` 0 it only creates the series, so that a rate includes the first problem. */
  countProblem(route: string, problem: string, by?: number): void;
  observeCommit(units: number, ms: number): void;
  countUnreadableRow(): void;
  /** Registers the gauges that are read at each scrape. */
  read(readings: Readings): void;
  text(): Promise<string>;
  contentType: string;
  json(): ReturnType<Registry['getMetricsAsJSON']>;
}

export function createMetrics(build: Build): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: SAMPLING_MS });
  // These gauges are named like counters, which promtool rejects.
  for (const name of ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'])
    registry.removeSingleMetric(name);
  new Gauge({
    name: 'agent_memory_build_info',
    help: 'Always 1; the labels describe the build',
    labelNames: ['version', 'node', 'engine'],
    registers: [registry],
  }).set({ ...build, node: process.version }, 1);
  addEventLoopDelay(registry);
  const meter = openMeter(registry);
  addGuideMetrics(registry);
  return {
    ...meter,
    ...requestMetrics(registry),
    ...commitMetrics(meter),
    read: (readings) => {
      addScrapedGauges(registry, meter, readings);
      addAgentStateMetrics(registry, readings.operationOf);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
    json: () => registry.getMetricsAsJSON(),
  };
}

function requestMetrics(registry: Registry) {
  const registers = [registry];
  const total = new Counter({
    name: 'agent_memory_total_requests',
    help: 'Requests answered',
    labelNames: ['route', 'method', 'status'],
    registers,
  });
  const failed = new Counter({
    name: 'agent_memory_failed_requests',
    help: 'Requests answered with a 5xx',
    labelNames: ['route', 'method'],
    registers,
  });
  const latency = new Histogram({
    name: 'agent_memory_latency_ms',
    help: 'Time from a request to the end of its response, in ms, without streams',
    labelNames: ['route', 'method'],
    buckets: LATENCY_BUCKETS_MS,
    registers,
  });
  const refused = new Counter({
    name: 'agent_memory_refused_requests_total',
    help: 'Requests answered with a problem, by its type',
    labelNames: ['route', 'problem'],
    registers,
  });
  // Create the series before the first failure, so that a rate includes it.
  failed.inc({ route: '/health', method: 'GET' }, 0);
  const created = new Set<string>();
  return {
    observeRequest(route: string, method: string, status: number, ms: number | undefined): void {
      total.inc({ route, method, status });
      const name = `${method} ${route}`;
      if (!created.has(name)) failed.inc({ route, method }, 0);
      created.add(name);
      if (status >= 500) failed.inc({ route, method });
      if (ms !== undefined) latency.observe({ route, method }, ms);
    },
    countProblem: (route: string, problem: string, by = 1): void => refused.inc({ route, problem }, by),
  };
}

function commitMetrics(meter: Meter) {
  const units = meter.histogram('commit_batch_units', 'Writes per commit', BATCH_BUCKETS);
  const seconds = meter.histogram('commit_seconds', 'Duration of a commit', COMMIT_BUCKETS_S);
  const skipped = meter.counter('unreadable_rows_total', 'Corrupt rows that were skipped, each counted once an hour', []);
  return {
    observeCommit(count: number, ms: number): void {
      units(count);
      seconds(ms / 1000);
    },
    countUnreadableRow: (): void => skipped({}),
  };
}

/** Adds the 99.9th percentile of the event loop delay, which the default metrics lack. */
function addEventLoopDelay(registry: Registry): void {
  const delays = monitorEventLoopDelay({ resolution: SAMPLING_MS });
  delays.enable();
  new Gauge({
    name: 'agent_memory_event_loop_delay_p999_seconds',
    help: 'Delay of the event loop since the last scrape, 99.9th percentile',
    registers: [registry],
    collect() {
      this.set(Math.max(0, delays.percentile(99.9) / 1e9 - SAMPLING_MS / 1000));
      delays.reset();
    },
  });
}

function addScrapedGauges(registry: Registry, { gauge, total }: Meter, readings: Readings): void {
  gauge('pool_max', 'Maximum number of database connections of this daemon', () => readings.pool().max);
  gauge('pool_connections', 'Open database connections', () => readings.pool().total);
  gauge('pool_idle', 'Idle database connections', () => readings.pool().idle);
  gauge('pool_waiting', 'Requests waiting for a database connection', () => readings.pool().waiting);
  total('pool_refused_total', 'Requests shed because too many waited for a connection', () => readings.pool().refused);
  total('pool_lost_total', 'Database connections that broke', () => readings.pool().lost);
  gauge('listening', '1 while the connection for notifications of the database is open', () => {
    const listens = readings.listens();
    return listens === undefined ? undefined : Number(listens);
  });
  gauge('write_queue_units', 'Writes waiting for a commit', () => readings.writes().queued);
  gauge('write_queue_characters', 'Size of the writes waiting for a commit', () => readings.writes().queuedChars);
  gauge('write_batches_in_flight', 'Commits in progress', () => readings.writes().inFlight);
  gauge('requests_in_flight', 'Requests in progress', () => readings.requestsInFlight());
  gauge('body_bytes_held', 'Bytes reserved for request bodies', () => readings.bodyBytesInFlight());
  gauge('worker_tasks_running', 'Large requests that a worker thread is processing', () => readings.workers().running);
  gauge('worker_tasks_waiting', 'Large requests waiting for a worker thread', () => readings.workers().waiting);
  gauge(
    'sweep_last_success_timestamp_seconds',
    'Time of the last completed sweep of all tenants, by any daemon',
    () => readings.sweeps().last_success_s,
  );
  gauge('sweep_failed_tenants', 'Tenants whose last sweep failed', () => readings.sweeps().failed);
  // After the gauges of the pool, because the ping waits for a connection for a moment and must not count as a waiting request.
  gauge('ready', '1 while requests are accepted and the database answers', async () => ((await readings.ready()) ? 1 : 0));
  new Gauge({
    name: 'agent_memory_rate_limit_store_up',
    help: '1 while the shared store of the rate limits answers',
    labelNames: ['store'],
    registers: [registry],
    collect() {
      const { kind, answers } = readings.limitStore();
      this.set({ store: kind }, answers ? 1 : 0);
    },
  });
}
