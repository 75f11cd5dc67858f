import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type Meter, openMeter } from './meter.ts';

// The figures of the daemon itself: its process, requests, database and limits. Features add theirs (`figures` of their doors). No label
// names a tenant: figures of one tenant are GET /v1/usage. docs/monitoring.md lists every figure, and a test holds it against this.

// ms; 300, 500 and 1000 are the guide's targets
const LATENCY_BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 200, 300, 500, 1000, 2500, 5000, 10_000];
const COMMIT_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128];

/** Between two looks at the event loop; a delay is what a look came late by. */
const LOOK_MS = 10;

interface Build {
  version: string;
  engine: 'postgresql' | 'embedded';
}

/** Where a figure is read at each scrape. */
interface Readings {
  ready(): Promise<boolean>;
  pool(): { max: number; total: number; idle: number; waiting: number; refused: number; lost: number };
  writes(): { queued: number; queuedChars: number; inFlight: number };
  requestsInFlight(): number;
  bodyBytesInFlight(): number;
  workers(): { waiting: number; running: number };
  sweeps(): { last_success_s: number | undefined; failed: number | undefined };
  limitStore(): { kind: string; answers: boolean };
}

export interface Metrics extends Meter {
  observeRequest(route: string, method: string, status: number, ms: number | undefined): void;
  /** `by` 0 makes the series, so that a rate over it begins at zero. */
  countProblem(route: string, problem: string, by?: number): void;
  observeCommit(units: number, ms: number): void;
  countUnreadableRow(): void;
  /** What is read at each scrape of this daemon. */
  read(readings: Readings): void;
  text(): Promise<string>;
  contentType: string;
  json(): ReturnType<Registry['getMetricsAsJSON']>;
}

export function createMetrics(build: Build): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOK_MS });
  // Gauges by type and counters by name: promtool refuses them.
  for (const name of ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'])
    registry.removeSingleMetric(name);
  new Gauge({
    name: 'agent_memory_build_info',
    help: 'Always 1; its labels say what runs',
    labelNames: ['version', 'node', 'engine'],
    registers: [registry],
  }).set({ ...build, node: process.version }, 1);
  ofEventLoop(registry);
  const meter = openMeter(registry);
  return {
    ...meter,
    ...ofRequests(registry),
    ...ofCommits(meter),
    read: (readings) => readAtScrape(registry, meter, readings),
    text: () => registry.metrics(),
    contentType: registry.contentType,
    json: () => registry.getMetricsAsJSON(),
  };
}

function ofRequests(registry: Registry) {
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
    help: 'Time from a request to the end of its answer, in ms, without streams',
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
  // A series is there before what it counts, so that a rate over it begins at zero.
  failed.inc({ route: '/health', method: 'GET' }, 0);
  const known = new Set<string>();
  return {
    observeRequest(route: string, method: string, status: number, ms: number | undefined): void {
      total.inc({ route, method, status });
      const name = `${method} ${route}`;
      if (!known.has(name)) failed.inc({ route, method }, 0);
      known.add(name);
      if (status >= 500) failed.inc({ route, method });
      if (ms !== undefined) latency.observe({ route, method }, ms);
    },
    countProblem: (route: string, problem: string, by = 1): void => refused.inc({ route, problem }, by),
  };
}

function ofCommits(meter: Meter) {
  const units = meter.histogram('commit_batch_units', 'Writes that were committed together', BATCH_BUCKETS);
  const seconds = meter.histogram('commit_seconds', 'Time of the commit of one batch', COMMIT_BUCKETS_S);
  const skipped = meter.counter('unreadable_rows_total', 'Unreadable rows that were skipped, each counted once an hour', []);
  return {
    observeCommit(count: number, ms: number): void {
      units(count);
      seconds(ms / 1000);
    },
    countUnreadableRow: (): void => skipped({}),
  };
}

/** What the default figures leave out: how late the slowest one in a thousand is. */
function ofEventLoop(registry: Registry): void {
  const delays = monitorEventLoopDelay({ resolution: LOOK_MS });
  delays.enable();
  new Gauge({
    name: 'agent_memory_event_loop_delay_p999_seconds',
    help: 'Delay of the event loop since the last scrape, 99.9th percentile',
    registers: [registry],
    collect() {
      this.set(Math.max(0, delays.percentile(99.9) / 1e9 - LOOK_MS / 1000));
      delays.reset();
    },
  });
}

function readAtScrape(registry: Registry, { gauge, total }: Meter, readings: Readings): void {
  gauge('pool_max', 'Most database connections of this daemon', () => readings.pool().max);
  gauge('pool_connections', 'Database connections open', () => readings.pool().total);
  gauge('pool_idle', 'Database connections idle', () => readings.pool().idle);
  gauge('pool_waiting', 'Requests waiting for a database connection', () => readings.pool().waiting);
  total('pool_refused_total', 'Requests shed because too many waited for a connection', () => readings.pool().refused);
  total('pool_lost_total', 'Database connections that broke', () => readings.pool().lost);
  gauge('write_queue_units', 'Writes waiting for a commit', () => readings.writes().queued);
  gauge('write_queue_characters', 'Size of the writes waiting', () => readings.writes().queuedChars);
  gauge('write_batches_in_flight', 'Commits under way', () => readings.writes().inFlight);
  gauge('requests_in_flight', 'Requests being served', () => readings.requestsInFlight());
  gauge('body_bytes_held', 'Bytes of request bodies held', () => readings.bodyBytesInFlight());
  gauge('worker_tasks_running', 'Large requests that a worker thread is working on', () => readings.workers().running);
  gauge('worker_tasks_waiting', 'Large requests waiting for a worker thread', () => readings.workers().waiting);
  gauge(
    'sweep_last_success_timestamp_seconds',
    'When expired rows of all tenants were last removed, by any daemon',
    () => readings.sweeps().last_success_s,
  );
  gauge('sweep_failed_tenants', 'Tenants that the last walk could not sweep', () => readings.sweeps().failed);
  // After the pool's figures: its question to the database waits in the pool for a moment, and is no request that waits.
  gauge('ready', '1 while requests are taken and the database answers', async () => ((await readings.ready()) ? 1 : 0));
  new Gauge({
    name: 'agent_memory_rate_limit_store_up',
    help: '1 while the store that shares rate limits answers',
    labelNames: ['store'],
    registers: [registry],
    collect() {
      const { kind, answers } = readings.limitStore();
      this.set({ store: kind }, answers ? 1 : 0);
    },
  });
}
