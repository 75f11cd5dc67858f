import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

// The only file that knows prom-client. No label names a tenant: figures of one tenant are GET /v1/usage. docs/monitoring.md lists
// every figure, and a test holds it against this.

// ms; 300, 500 and 1000 are the guide's targets
const LATENCY_BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 200, 300, 500, 1000, 2500, 5000, 10_000];
const COMMIT_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128];
const LAG_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 60];
const RECEIVER_BUCKETS_S = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

/** Between two looks at the event loop; a delay is what a look came late by. */
const LOOK_MS = 10;

const JOB_OUTCOMES = ['done', 'failed', 'retrying'] as const;
const WEBHOOK_OUTCOMES = ['delivered', 'retrying', 'dead', 'gone'] as const;

/** Where a figure is read at each scrape. */
export interface Readings {
  build: { version: string; engine: 'postgresql' | 'embedded' };
  ready(): Promise<boolean>;
  pool(): { max: number; total: number; idle: number; waiting: number; refused: number; lost: number };
  writes(): { queued: number; queuedChars: number; inFlight: number };
  followers(): { open: number; furthestBehind: number; stuck: number };
  requestsInFlight(): number;
  bodyBytesHeld(): number;
  auditWaiting(): number;
  workers(): { waiting: number; running: number };
  jobs(): { running: number; waiting: number };
  sweeps(): { last_success_s: number | undefined; failed: number | undefined };
  webhooks(): { running: number; unplaced: number; stuck: number };
  limitStore(): { kind: string; answers: boolean };
}

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(readings: Readings) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOK_MS });
  // Gauges by type and counters by name: promtool refuses them.
  for (const name of ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'])
    registry.removeSingleMetric(name);
  readAtScrape(registry, readings);
  ofEventLoop(registry);
  return {
    ...ofRequests(registry),
    ...ofWork(registry),
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
  for (const problem of ['unauthenticated', 'rate-limited']) refused.inc({ route: '/auth/login', problem }, 0);
  refused.inc({ route: '/v1/events', problem: 'storage-full' }, 0);
  return {
    finished(route: string, method: string, status: number, ms: number | undefined): void {
      total.inc({ route, method, status });
      const name = `${method} ${route}`;
      if (!known.has(name)) failed.inc({ route, method }, 0);
      known.add(name);
      if (status >= 500) failed.inc({ route, method });
      if (ms !== undefined) latency.observe({ route, method }, ms);
    },
    refused: (route: string, problem: string): void => refused.inc({ route, problem }),
  };
}

/** What goes on beside the requests. */
function ofWork(registry: Registry) {
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name: `agent_memory_${name}`, help, buckets, registers: [registry] });
  const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Counter({ name: `agent_memory_${name}`, help, labelNames, registers: [registry] });
  const units = histogram('commit_batch_units', 'Writes that were committed together', BATCH_BUCKETS);
  const commit = histogram('commit_seconds', 'Time of the commit of one batch', COMMIT_BUCKETS_S);
  const lag = histogram('watch_lag_seconds', 'Time from the commit of an event to its delivery to a follower', LAG_BUCKETS_S);
  const overflows = counter('follower_overflows_total', 'Streams that were ended because their reader was too slow', []);
  const skipped = counter('unreadable_rows_total', 'Unreadable rows that were skipped, each counted once an hour', []);
  const receivers = histogram('webhook_seconds', 'Time that a receiver of webhooks took', RECEIVER_BUCKETS_S);
  const deliveries = counter('webhook_deliveries_total', 'Attempts to deliver an event to a webhook', ['outcome']);
  const jobs = counter('jobs_total', 'Tries of jobs that are over', ['kind', 'outcome']);
  const trims = counter('trim_events_total', 'Events that trims dropped, or carried before the beginning of a log', ['what']);
  for (const what of ['trimmed', 'carried']) trims.inc({ what }, 0);
  for (const outcome of WEBHOOK_OUTCOMES) deliveries.inc({ outcome }, 0);
  return {
    flushed(count: number, ms: number): void {
      units.observe(count);
      commit.observe(ms / 1000);
    },
    delivered: (age_s: number): void => lag.observe(age_s),
    overflowed: (): void => overflows.inc(),
    skipped: (): void => skipped.inc(),
    attempted(outcome: (typeof WEBHOOK_OUTCOMES)[number], ms: number): void {
      deliveries.inc({ outcome });
      receivers.observe(ms / 1000);
    },
    /** So that the first job that fails is a step from zero, which a rate sees. */
    expectJobs(kinds: string[]): void {
      for (const kind of kinds) for (const outcome of JOB_OUTCOMES) jobs.inc({ kind, outcome }, 0);
    },
    ended: (kind: string, outcome: (typeof JOB_OUTCOMES)[number]): void => jobs.inc({ kind, outcome }),
    trimmed(trimmed: number, carried: number): void {
      trims.inc({ what: 'trimmed' }, trimmed);
      trims.inc({ what: 'carried' }, carried);
    },
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

function readAtScrape(registry: Registry, readings: Readings): void {
  const gauge = (name: string, help: string, read: () => number | undefined | Promise<number>) =>
    new Gauge({
      name: `agent_memory_${name}`,
      help,
      registers: [registry],
      async collect() {
        const value = await read();
        // no series says more than a zero where nothing is known yet
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      name: `agent_memory_${name}`,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  gauge('pool_max', 'Most database connections of this daemon', () => readings.pool().max);
  gauge('pool_connections', 'Database connections open', () => readings.pool().total);
  gauge('pool_idle', 'Database connections idle', () => readings.pool().idle);
  gauge('pool_waiting', 'Requests waiting for a database connection', () => readings.pool().waiting);
  counter('pool_refused_total', 'Requests shed because too many waited for a connection', () => readings.pool().refused);
  counter('pool_lost_total', 'Database connections that broke', () => readings.pool().lost);
  gauge('write_queue_units', 'Writes waiting for a commit', () => readings.writes().queued);
  gauge('write_queue_characters', 'Size of the writes waiting', () => readings.writes().queuedChars);
  gauge('write_batches_in_flight', 'Commits under way', () => readings.writes().inFlight);
  gauge('followers', 'Streams that follow a log', () => readings.followers().open);
  gauge('follower_backlog_events', 'Events that the slowest follower is behind', () => readings.followers().furthestBehind);
  gauge('followers_stuck', 'Streams whose last three reads failed', () => readings.followers().stuck);
  gauge('requests_in_flight', 'Requests being served', () => readings.requestsInFlight());
  gauge('body_bytes_held', 'Bytes of request bodies held', () => readings.bodyBytesHeld());
  gauge('audit_entries_waiting', 'Entries of the audit that are not written yet', () => readings.auditWaiting());
  gauge('worker_tasks_running', 'Large requests that a worker thread is working on', () => readings.workers().running);
  gauge('worker_tasks_waiting', 'Large requests waiting for a worker thread', () => readings.workers().waiting);
  gauge('jobs_running', 'Jobs that run on this daemon', () => readings.jobs().running);
  gauge('jobs_waiting', 'Tenants (at most 100 are seen) with a job due that found no place here', () => readings.jobs().waiting);
  gauge(
    'sweep_last_success_timestamp_seconds',
    'When expired rows of all tenants were last removed, by any daemon',
    () => readings.sweeps().last_success_s,
  );
  gauge('sweep_failed_tenants', 'Tenants that the last walk could not sweep', () => readings.sweeps().failed);
  gauge('webhooks_running', 'Webhooks that this daemon is delivering to', () => readings.webhooks().running);
  gauge('webhooks_waiting', 'Webhooks (of the first 100 due) that found no place here', () => readings.webhooks().unplaced);
  gauge(
    'webhooks_stuck',
    'Webhooks whose last two turns on this daemon failed before an attempt',
    () => readings.webhooks().stuck,
  );
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
  new Gauge({
    name: 'agent_memory_build_info',
    help: 'Always 1; its labels say what runs',
    labelNames: ['version', 'node', 'engine'],
    registers: [registry],
  }).set({ ...readings.build, node: process.version }, 1);
}
