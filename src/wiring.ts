import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { artifactRoutes, sweepArtifacts } from './artifacts/index.ts';
import { type Audit, openAudit } from './audit/index.ts';
import {
  type Auth,
  authorize,
  type Caller,
  isAdminNow,
  openAuth,
  sweepRefreshTokens,
  sweepResets,
  sweepSessions,
} from './auth/index.ts';
import { bodyLimitsOf, countersOf, eventLimitsOf, recordSettingsOf, streamsOf } from './bounds.ts';
import { capsuleRoutes, sweepCapsules } from './capsules/index.ts';
import { type Config, hostOf, readersOf } from './config.ts';
import { consistencyJobs, consistencyRoutes, verifyImport } from './consistency/index.ts';
import { contextRoutes } from './context/index.ts';
import type { Database } from './db/index.ts';
import { startSweeper, sweepIdempotency } from './db/sweep.ts';
import type { Tenant } from './db/tenant.ts';
import { editRoutes } from './edits/index.ts';
import { announceDeletion, eraser, erasureRoutes, previewer, sweepMarks } from './erasure/index.ts';
import { createFollow, eventRoutes, type Follow, followerFigures, recheckFollowers } from './events/index.ts';
import { exportRoutes, importJobs, sweepImports } from './export/index.ts';
import { type Health, healthRoutes, isReady, sharePing } from './health/index.ts';
import { addressOf } from './http/address.ts';
import { type OpenApi, openapi } from './http/openapi.ts';
import type { Route } from './http/route.ts';
import type { Gate } from './http/serve.ts';
import { type Begun, type Jobs, jobRoutes, openJobs, sweepJobs } from './jobs/index.ts';
import { auditKeysOf, jwtSecretOf, macOf, sealOf } from './keys.ts';
import { createLimits } from './limits/index.ts';
import { createLogger, type Logger } from './log.ts';
import { memoryRoutes, openSources, sweepMemories } from './memories/index.ts';
import { createMetrics, type Metrics, metricsRoutes } from './metrics/index.ts';
import { retainer, retentionPreviewer, retentionRoutes, sweepRetention } from './retention/index.ts';
import type { Seal } from './seal.ts';
import { searchRoutes } from './search/index.ts';
import { holdsSecret, openSecrets, plainScreener, screenFields } from './secrets/index.ts';
import { startErasures, tenantRoutes } from './tenants/index.ts';
import { openWebhooks, sweepDeliveries } from './webhooks/index.ts';
import type { Workers } from './work/index.ts';
import { readerOf, understandWith, workersOf } from './workers.ts';

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string };

interface Service {
  gate: Gate<Caller>;
  routes: Route<Caller>[];
  document: OpenApi;
  health: Health;
  follow: Follow;
  stop(): Promise<void>;
}

/** Features and what they are given: plain arguments, nothing hidden. */
export function createService(config: Config, database: Database, log: Logger, given?: Workers): Service {
  const parts = partsOf(config, database, log, given);
  const { addressFrom, auth, seal, secrets, sources, audit, held, inFlight, metrics, work, workers, limits, health, follow } =
    parts;
  const changed = (tenant_id: string) => [secrets, sources].forEach((one) => one.forget(tenant_id));
  const gate: Gate<Caller> = {
    body: bodyLimitsOf(config),
    timeoutMs: config.REQUEST_TIMEOUT_MS,
    held,
    inFlight,
    identify: auth.identify,
    authorize,
    admit: limits.admit,
    admitBytes: limits.admitBytes,
    scopeOf: ({ principal }) => ({ principal: principal.id, tenant: principal.tenant_id }),
    addressOf: addressFrom,
    finished: metrics.finished,
    refused: metrics.refused,
    holdsSecret,
    screen: async (caller, body, pointers) =>
      screenFields(caller ? await secrets.of(caller.tenant) : plainScreener, body, pointers),
    understand: understandWith(workers, secrets, bodyLimitsOf(config)),
    ...(readersOf(config) > 0 && { readApart: readerOf(workers, parts.told) }),
    mac: macOf(config),
    trail: audit.trail,
    log,
  };
  const routes = [
    ...healthRoutes(health),
    ...metricsRoutes(metrics),
    ...auth.routes,
    ...tenantRoutes({ announce: work.announceDeletion, forget: auth.forget, erase: work.erasures.erase, changed }, secrets),
    ...eventRoutes(follow, recordSettingsOf(config, workers), secrets),
    ...artifactRoutes(config.MAX_ARTIFACT_BYTES, secrets, workers),
    ...memoryRoutes(eventLimitsOf(config), secrets, sources),
    ...searchRoutes,
    ...capsuleRoutes,
    ...editRoutes,
    ...contextRoutes(config.TOKENIZER),
    ...parts.webhooks.routes,
    ...exportRoutes({ ...streamsOf(config, database, gate), secrets, verify: verifyImport, begun: work.lookForJobs }),
    ...consistencyRoutes(work.jobs, config.CONSISTENCY_AT_ONCE),
    ...jobRoutes,
    ...audit.routes,
    ...erasureRoutes(work.jobs, seal),
    ...retentionRoutes(work.jobs),
  ] as Route<Caller>[];
  const stop = () => stopAll([work, parts.webhooks, audit, limits, workers]);
  return { gate, routes, document: openapi(routes, version), health, follow, stop };
}

/** What the routes stand on. */
function partsOf(config: Config, database: Database, log: Logger, given?: Workers) {
  const addressFrom = (req: IncomingMessage) => addressOf(req, config.TRUST_PROXY_HOPS);
  const throttled = config.RATE_LIMIT_ENABLED ? addressFrom : undefined;
  const auth = openAuth({ ...config, JWT_SECRET: jwtSecretOf(config) }, database.tenants, {
    addressOf: throttled,
    forgotten: (tenant_id) => recheckFollowers(follow, tenant_id),
  });
  const seal = sealOf(config);
  const workers = given ?? workersOf(config);
  const secrets = openSecrets(seal, config.CREDENTIAL_TTL_MS, (tenant, task, input) =>
    workers.run({ tenant, task, input, signal: AbortSignal.timeout(config.REQUEST_TIMEOUT_MS) }),
  );
  const sources = openSources(config.CREDENTIAL_TTL_MS);
  const audit = openAudit(() => auditKeysOf(config), config.AUDIT_WINDOW_MS, database.tenants, log);
  const { held, inFlight } = countersOf(config);
  // before what it is told of and what it reads: it reads when it is asked
  const metrics = createMetrics({
    build: { version, engine: database.pool.embedded ? 'embedded' : 'postgresql' },
    ready: () => isReady(health),
    pool: database.pool.figures,
    writes: database.writes,
    followers: () => followerFigures(follow),
    requestsInFlight: () => inFlight.count,
    bodyBytesHeld: () => held.bytes,
    auditWaiting: audit.waiting,
    workers: workers.figures,
    jobs: () => work.jobs.figures(),
    sweeps: () => work.sweeper.figures(),
    webhooks: () => webhooks.figures(),
    limitStore: () => limits.store(),
  });
  database.onFlushed(metrics.flushed);
  const told = tellSkipped(log, metrics.skipped);
  database.onSkipped(told);
  const work = startWork({ config, database, seal, forget: auth.forget, audit, metrics }, log);
  const limits = createLimits(config, database.pool, log);
  const health = healthOf(database, auth);
  const { watch, tenants } = database;
  const { delivered, overflowed, attempted } = metrics;
  const maxPerTenant = config.MAX_SSE_CLIENTS;
  const follow = createFollow({ watch, recheck: auth.identify, maxPerTenant, delivered, overflowed, log });
  const webhooks = openWebhooks(config, hostOf(config), seal, { tenants, watch, attempted, log });
  const found = { addressFrom, auth, seal, secrets, sources, audit, held, inFlight, metrics, told };
  return { ...found, work, workers, limits, health, follow, webhooks };
}

const SKIPPED_ROWS = 10_000;
const HOUR_MS = 3_600_000;
type OnSkipped = Parameters<Database['onSkipped']>[0];

/** Each row once an hour: it is met again by everyone who reads past it. */
function tellSkipped(log: Logger, count: () => void): OnSkipped {
  const told = new LRUCache<string, true>({ max: SKIPPED_ROWS, ttl: HOUR_MS });
  return (tenant, { row, reason }) => {
    const key = JSON.stringify([tenant, row]);
    if (told.has(key)) return;
    told.set(key, true);
    count();
    log.error({ tenant, row, reason }, 'a row cannot be read and is skipped');
  };
}

/** The routes and their document, with a database that nobody asks. */
export const describeService = (config: Config): Service =>
  createService(
    config,
    {
      pool: {},
      watch: { subscribeAll: () => () => undefined },
      onFlushed: () => undefined,
      onSkipped: () => undefined,
    } as unknown as Database,
    createLogger('silent'),
  );

/** In this order: the audit after everything that has something to say. */
async function stopAll(parts: { stop(): Promise<void> }[]): Promise<void> {
  for (const part of parts) await part.stop();
}

const healthOf = ({ ping }: Database, { identify }: Auth): Health => ({
  phase: 'starting',
  ping: sharePing(ping),
  isAuthenticated: (req) =>
    identify(req).then(
      () => true,
      () => false,
    ),
});

const sweepsOf = (config: Config, jobs: Jobs) => [
  sweepIdempotency(config.IDEMPOTENCY_TTL),
  sweepRefreshTokens,
  sweepSessions,
  sweepResets,
  sweepArtifacts,
  sweepCapsules,
  sweepDeliveries,
  sweepMemories,
  sweepJobs,
  sweepMarks,
  sweepImports,
  sweepRetention(jobs),
];

/** What goes on beside the requests. */
function startWork({ config, database, seal, forget, audit, metrics }: WorkNeeds, log: Logger) {
  const { eraseSubject: eraseAudit, countSubject: countAudit } = audit;
  const erasures = startErasures(database.tenants, log);
  const told = { seal, ledger: ledgerOf(config), warn: log.warn.bind(log) };
  const handlers = {
    ...importJobs,
    ...consistencyJobs,
    erasure: eraser({ ...told, forget, eraseAudit }),
    erasure_preview: previewer({ countAudit }),
    retention: retainer({ say: audit.say, count: metrics.trimmed }),
    retention_preview: retentionPreviewer,
  };
  metrics.expectJobs(Object.keys(handlers));
  const jobs = openJobs(database.tenants, handlers, log, {
    lease_ms: config.JOB_LEASE_MS,
    parallel: config.JOBS_PARALLEL,
    mayGoOn,
    ended: metrics.ended,
  });
  const sweeper = startSweeper(database.tenants, sweepsOf(config, jobs), log, config.SWEEP_DELAY_MS);
  const stop = async () => {
    await jobs.stop();
    await erasures.stop();
    await sweeper.stop();
  };
  const lookForJobs = () => void jobs.resume().catch((err: unknown) => log.warn({ err }, 'looking for jobs failed'));
  return { erasures, announceDeletion: announceDeletion(told), jobs, sweeper, lookForJobs, stop };
}

/** Jobs are begun by admins. One ends with the authority behind it, unless it undoes what it did, or erases who began it. */
async function mayGoOn(tenant: Tenant, { kind, started_by, input }: Begun): Promise<boolean> {
  if (kind === 'import' || !/^(?:usr|key)_/.test(started_by) || erasesItsMaker(input)) return true;
  return isAdminNow(tenant, started_by);
}

const erasesItsMaker = (input: unknown): boolean => {
  const { name, begun_by } = input as { name?: string; begun_by?: string };
  return name !== undefined && name === begun_by;
};

interface WorkNeeds {
  config: Config;
  database: Database;
  seal: Seal | undefined;
  forget(tenant_id: string): void;
  audit: Pick<Audit, 'eraseSubject' | 'countSubject' | 'say'>;
  metrics: Metrics;
}

export const ledgerOf = ({ DATA_DIR, ERASURE_LEDGER }: Config): string => ERASURE_LEDGER ?? join(DATA_DIR, 'erasures.ndjson');
