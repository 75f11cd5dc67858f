import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { openAudit } from './audit/index.ts';
import { type Caller, isAdminNow, isPrincipalId, openAuth } from './auth/index.ts';
import { boundsOf, countersOf } from './bounds.ts';
import type { Config } from './config.ts';
import type { Database } from './db/index.ts';
import { startSweeper, sweepIdempotency } from './db/sweep.ts';
import { modelServices, openModels } from './embeddings/index.ts';
import type { Parts, Store } from './feature.ts';
import { features } from './features.ts';
import { openFollow } from './follow/index.ts';
import { gateOf } from './gate.ts';
import { isReady, openHealth } from './health/index.ts';
import { addressOf } from './http/address.ts';
import type { Gate } from './http/gate.ts';
import { type OpenApi, openapi } from './http/openapi.ts';
import { withExamples } from './http/openapi_examples.ts';
import type { Route } from './http/route.ts';
import { openJobs } from './jobs/index.ts';
import { auditKeysOf, jwtSecretOf, macOf, sealOf } from './keys.ts';
import { createLimits } from './limits/index.ts';
import { createLogger, type Logger } from './log.ts';
import { createMetrics } from './metrics/index.ts';
import { KILLS, openRedis } from './redis/index.ts';
import { registry } from './registry.ts';
import { openSecrets } from './secrets/index.ts';
import { createSignal } from './signal.ts';
import { logSkippedRows } from './skipped.ts';
import type { Workers } from './work/index.ts';
import { workersOf } from './workers.ts';

// Assembles the service: first the shared components, in the order of their dependencies, then the features, which depend only on these.

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string };

export interface Service {
  gate: Gate<Caller>;
  routes: Route<Caller>[];
  document: OpenApi;
  /** Readiness, as the probes report it. */
  health: Parts['health'];
  /** Closes the circuit breakers of the models. */
  resetBreakers(): void;
  /** Closes long-lived responses that would delay the shutdown. */
  drain(): void;
  stop(): Promise<void>;
}

export function createService(config: Config, database: Database, log: Logger, workers = workersOf(config)): Service {
  const { pool, tenants, watch, ping } = database;
  const { bytesInFlight, inFlight } = countersOf(config);
  const parts = partsOf(
    config,
    { tenants, watch, ping, connect: pool.dedicated, embedded: pool.embedded },
    log,
    workers,
    bytesInFlight,
  );
  const { metrics, health, audit, jobs, redis } = parts;
  const limits = createLimits(config, pool, log, redis);
  const onSkipped = logSkippedRows(log, metrics.countUnreadableRow);
  database.onFlushed(metrics.observeCommit);
  database.onSkipped(onSkipped);
  pool.observe(metrics.store('postgresql'));
  const { routes, document, sweeps, handlers, opened } = assemble(parts);
  const gate = gateOf(config, parts, inFlight, limits, clientOf(config), onSkipped);
  jobs.run(handlers);
  const sweeper = startSweeper(tenants, [sweepIdempotency(config.IDEMPOTENCY_TTL), ...sweeps], log, config.SWEEP_DELAY_MS);
  redis?.onSignal(KILLS, watch.check);
  redis?.start();
  for (const { start } of opened) start();
  for (const { name, help, of } of features.flatMap(({ tallies = [] }) => tallies))
    metrics.gauge(name, help, () => {
      const { tallies } = sweeper.figures();
      return tallies && of(tallies);
    });
  metrics.read({
    ready: () => isReady(health),
    pool: pool.figures,
    writes: database.writes,
    listens: watch.listens,
    requestsInFlight: () => inFlight.count,
    bodyBytesInFlight: () => bytesInFlight.bytes,
    workers: workers.figures,
    sweeps: sweeper.figures,
    limitStore: limits.store,
    operationOf: operationsOf(routes),
  });
  return {
    gate,
    routes,
    document,
    health,
    resetBreakers: parts.models.reset,
    drain: () => {
      parts.follow.end();
      for (const { drain } of opened) drain();
    },
    stop: async () => {
      // The audit stops after everything that may still write entries.
      for (const part of [jobs, sweeper, ...opened, audit, limits, workers, redis]) await part?.stop();
    },
  };
}

/** Returns the routes and the OpenAPI document. Starts nothing and needs no database. */
export function describeService(config: Config): Pick<Service, 'routes' | 'document'> {
  const none = (): never => {
    throw new Error('describeService has no database');
  };
  const store = {
    tenants: none,
    watch: { subscribe: none, subscribeAll: none, signal: none, onSignal: () => undefined, listens: none },
    ping: none,
    connect: none,
    embedded: false,
  };
  return assemble(partsOf(config, store, createLogger('silent'), workersOf(config), countersOf(config).bytesInFlight));
}

/** Creates the shared components. Only the audit has a timer, which writes its counters; the others start no work. */
function partsOf(config: Config, store: Store, log: Logger, workers: Workers, bytesInFlight: Parts['bytesInFlight']): Parts {
  const { tenants } = store;
  const bounds = boundsOf(config);
  const seal = sealOf(config);
  const metrics = createMetrics({ version, engine: store.embedded ? 'embedded' : 'postgresql' });
  const restricted = createSignal<string>();
  const changed = createSignal<string>();
  const auth = openAuth({ ...config, JWT_SECRET: jwtSecretOf(config) }, tenants, {
    addressOf: config.RATE_LIMIT_ENABLED ? clientOf(config) : undefined,
    seal,
    onInvalidated: restricted.emit,
  });
  const health = openHealth(store.ping, auth);
  const secrets = openSecrets(seal, config.CREDENTIAL_TTL_MS, (tenant, task, input) =>
    workers.run({ tenant, task, input, signal: AbortSignal.timeout(config.REQUEST_TIMEOUT_MS) }),
  );
  changed.on(secrets.forget);
  const audit = openAudit(() => auditKeysOf(config), config.AUDIT_WINDOW_MS, tenants, log);
  const jobs = openJobs(tenants, log, {
    lease_ms: config.JOB_LEASE_MS,
    parallel: config.JOBS_PARALLEL,
    // Admins start jobs. A job is stopped if the admin who started it loses that role.
    isStillAuthorized: async (tenant, started_by) => !isPrincipalId(started_by) || isAdminNow(tenant, started_by),
    onEnded: metrics.counter('jobs_total', 'Finished attempts of jobs', ['kind', 'outcome']),
  });
  const follow = openFollow({ ...followLimitsOf(config), watch: store.watch, recheck: auth.identify, metrics, log });
  restricted.on(follow.recheck);
  const redis = openRedis(config, metrics, log);
  const models = openModels(config, metrics, log);
  workers.answer(modelServices(models));
  const mac = macOf(config);
  const made = {
    bounds,
    seal,
    mac,
    metrics,
    health,
    workers,
    auth,
    secrets,
    audit,
    jobs,
    follow,
    models,
    redis,
    bytesInFlight,
    restricted,
    changed,
  };
  return { ...store, ...made, registry, config, log };
}

const followLimitsOf = (config: Config) => ({
  maxPerTenant: config.MAX_SSE_CLIENTS,
  buffer: { events: config.WATCH_BUFFER_SIZE, bytes: config.WATCH_BUFFER_BYTES },
});

const clientOf = (config: Config) => (req: IncomingMessage) => addressOf(req, config.TRUST_PROXY_HOPS);

/** Returns a function that finds the operation of a route by its method and path; undefined if the rate limits do not count it. */
function operationsOf(routes: Route<Caller>[]): (method: string, path: string) => string | undefined {
  const named = routes
    .filter(({ limit }) => limit === 'v1')
    .map(({ method, path, operation }) => [`${method} ${path}`, operation] as const);
  const operations = new Map<string, string>(named);
  return (method, path) => operations.get(`${method} ${path}`);
}

function documentOf(routes: Route<Caller>[]): OpenApi {
  const tags = Object.assign({}, ...features.map(({ tags }) => tags));
  return withExamples(openapi(routes, version, tags), Object.assign({}, ...features.map(({ examples }) => examples?.())));
}

/** Opens all features, and collects what they contribute. */
function assemble(parts: Parts) {
  const opened = features.map((feature) => ({ feature, own: feature.open?.(parts) }));
  for (const { feature, own } of opened) feature.figures?.(parts, own);
  // A route without authentication gets null as its caller.
  const declared = opened.flatMap(({ feature, own }) => feature.routes?.(parts, own) ?? []) as Route<Caller>[];
  const replaced = new Set(declared.filter(({ replaces }) => replaces).map(({ method, path }) => `${method} ${path}`));
  const routes = declared.filter(({ replaces, method, path }) => replaces || !replaced.has(`${method} ${path}`));
  return {
    routes,
    document: documentOf(routes),
    handlers: Object.fromEntries(opened.flatMap(({ feature, own }) => Object.entries(feature.jobs?.(parts, own) ?? {}))),
    sweeps: opened.flatMap(({ feature, own }) => feature.sweeps?.(parts, own) ?? []),
    opened: opened.map(({ feature, own }) => ({
      start: () => feature.start?.(own),
      drain: () => feature.drain?.(own),
      stop: async () => feature.stop?.(own),
    })),
  };
}
