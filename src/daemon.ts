import { createHmac, hkdfSync, randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { createApp } from './app.ts';
import { artifactRoutes, sweepArtifacts } from './artifacts/index.ts';
import { type AuditKeys, openAudit, openKeys } from './audit/index.ts';
import { type Auth, authorize, type Caller, openAuth } from './auth/index.ts';
import { capsuleRoutes, sweepCapsules } from './capsules/index.ts';
import type { Config } from './config.ts';
import { contextRoutes } from './context/index.ts';
import { type Database, openDatabase } from './db/index.ts';
import { startSweeper, sweepIdempotency } from './db/sweep.ts';
import { editRoutes } from './edits/index.ts';
import { createFollow, endFollowers, eventRoutes, type Follow, followerCount } from './events/index.ts';
import { type Health, healthRoutes, sharePing } from './health/index.ts';
import { addressOf } from './http/address.ts';
import { type OpenApi, openapi } from './http/openapi.ts';
import { pagesOf } from './http/pages.ts';
import { Problem, problemBody } from './http/problem.ts';
import type { Route } from './http/route.ts';
import { type Gate, send } from './http/serve.ts';
import { createHttpServer, drain, listen, replaceListener, urlOf } from './http/server.ts';
import { createLimits } from './limits/index.ts';
import { createLogger, type Logger } from './log.ts';
import { memoryRoutes } from './memories/index.ts';
import { createMetrics, metricsRoutes } from './metrics/index.ts';
import { openSeal, readKey, type Seal } from './seal.ts';
import { searchRoutes } from './search/index.ts';
import { cutFields, openSecrets } from './secrets/index.ts';
import { startErasures, tenantRoutes } from './tenants/index.ts';
import { openWebhooks, sweepDeliveries } from './webhooks/index.ts';

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string };

/** A running daemon. */
export interface Daemon {
  url: string;
  /** What it serves; tests iterate over them. */
  routes: Route<Caller>[];
  /** The database it runs on, for a person. */
  database: string;
  /** Not ready, streams ended, requests finished, pool closed. */
  stop(): Promise<void>;
  /** Calls back when it can no longer work and must end (the embedded engine died). */
  onFailure(callback: (error: Error) => void): void;
}

export async function startDaemon(config: Config, log: Logger = createLogger(config.LOG_LEVEL)): Promise<Daemon> {
  const server = createHttpServer((_req, res) => send(res, 503, notYet()));
  // The port comes first: a port in use is told before a database is touched.
  await listen(server, config.PORT, config.HOST);
  let database: Database | undefined;
  try {
    database = await openDatabase(config, log);
    const service = createService(config, database, log);
    // All through Express, for the bench that measures what the thin door gives.
    const routes = config.THIN_DOOR ? service.routes : service.routes.map((route) => ({ ...route, hot: false }));
    replaceListener(server, createApp(service.gate, routes, config.CORS_ORIGINS, pagesOf(service.document)));
    service.health.phase = 'serving';
    const stop = async () => {
      service.health.phase = 'draining';
      endFollowers(service.follow);
      await drain(server, config.SHUTDOWN_DELAY_MS, config.SHUTDOWN_TIMEOUT_MS);
      await service.stop();
      await database!.close();
    };
    let stopping: Promise<void> | undefined;
    return {
      url: urlOf(server),
      routes: service.routes,
      database: database.description,
      stop: () => (stopping ??= stop()),
      onFailure: database.onFailure,
    };
  } catch (error) {
    server.close();
    server.closeAllConnections();
    await database?.close();
    throw error;
  }
}

/** Said to every request before the service is ready, and not logged: probes ask all the time. */
function notYet() {
  const problem = new Problem('unavailable', 'The daemon is starting.', { headers: { 'Retry-After': '1' } });
  return {
    headers: { ...problem.headers, 'Content-Type': 'application/problem+json' },
    body: problemBody(problem, randomUUID()),
  };
}

interface Service {
  gate: Gate<Caller>;
  routes: Route<Caller>[];
  document: OpenApi;
  health: Health;
  follow: Follow;
  stop(): Promise<void>;
}

/** Features and what they are given: plain arguments, nothing hidden. */
export function createService(config: Config, database: Database, log: Logger): Service {
  const addressFrom = (req: IncomingMessage) => addressOf(req, config.TRUST_PROXY_HOPS);
  const auth = openAuth(
    { ...config, JWT_SECRET: config.JWT_SECRET ?? developmentSecret(config.DATA_DIR, 'jwt-secret') },
    database.tenants,
    config.RATE_LIMIT_ENABLED ? addressFrom : undefined,
  );
  const secrets = openSecrets(sealOf(config), config.CREDENTIAL_TTL_MS);
  const audit = openAudit(() => auditKeysOf(config), config.AUDIT_WINDOW_MS, database.tenants, log);
  const erasures = startErasures(database.tenants, log);
  const sweeper = startSweeper(database.tenants, sweepsOf(config), log);
  const limits = createLimits(config, database.pool, log);
  const health = healthOf(database, auth);
  const follow = createFollow({ watch: database.watch, recheck: auth.identify, maxPerTenant: config.MAX_SSE_CLIENTS, log });
  const webhooks = openWebhooks(config, sealOf(config), { tenants: database.tenants, watch: database.watch, log });
  const held = { bytes: 0, max: config.MAX_IN_FLIGHT_BYTES };
  const inFlight = { count: 0, max: config.MAX_IN_FLIGHT_REQUESTS, byTenant: new Map<string, number>() };
  const metrics = createMetrics({
    pool: database.pool.figures,
    writes: database.writes,
    followers: () => followerCount(follow),
    requestsInFlight: () => inFlight.count,
    bodyBytesHeld: () => held.bytes,
    auditWaiting: audit.waiting,
  });
  const gate: Gate<Caller> = {
    identify: auth.identify,
    authorize,
    admit: limits.admit,
    scopeOf: ({ principal }) => ({ principal: principal.id, tenant: principal.tenant_id }),
    addressOf: addressFrom,
    finished: metrics.finished,
    screen: async ({ tenant }, body, pointers) => cutFields(await secrets.of(tenant), body, pointers),
    mac: macOf(config),
    trail: audit.trail,
    body: bodyLimitsOf(config),
    held,
    inFlight,
    timeoutMs: config.REQUEST_TIMEOUT_MS,
    log,
  };
  const routes = [
    ...healthRoutes(health),
    ...metricsRoutes(metrics),
    ...auth.routes,
    ...tenantRoutes(auth.forget, erasures.erase, secrets),
    ...eventRoutes(follow, eventLimitsOf(config), secrets),
    ...artifactRoutes(config.MAX_ARTIFACT_BYTES, secrets),
    ...memoryRoutes(eventLimitsOf(config), secrets),
    ...searchRoutes,
    ...capsuleRoutes,
    ...editRoutes,
    ...contextRoutes(config.TOKENIZER),
    ...webhooks.routes,
    ...audit.routes,
  ] as Route<Caller>[];
  const stop = async () => {
    // the audit after everything that has something to say
    for (const part of [erasures, webhooks, sweeper, audit, limits]) await part.stop();
  };
  return { gate, routes, document: openapi(routes, version), health, follow, stop };
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

const sweepsOf = (config: Config) => [sweepIdempotency(config.IDEMPOTENCY_TTL), sweepArtifacts, sweepCapsules, sweepDeliveries];

const eventLimitsOf = (config: Config) => ({
  maxArtifactBytes: config.MAX_ARTIFACT_BYTES,
  maxEventBytes: config.MAX_EVENT_BYTES,
  maxTextBytes: config.MAX_BATCH_TEXT_BYTES,
});

const bodyLimitsOf = (config: Config) => ({
  maxBytes: config.MAX_BODY_BYTES,
  maxDepth: config.MAX_JSON_DEPTH,
  maxArray: config.MAX_ARRAY_LENGTH,
  maxString: config.MAX_STRING_BYTES,
});

/** Undefined in production without a key: then nothing is kept encrypted. */
export function sealOf({ NODE_ENV, DATA_DIR, ENCRYPTION_KEY, ENCRYPTION_KEY_PREVIOUS }: Config): Seal | undefined {
  const key = ENCRYPTION_KEY ?? (NODE_ENV === 'production' ? undefined : developmentSecret(DATA_DIR, 'encryption-key'));
  return key === undefined
    ? undefined
    : openSeal(readKey(key)!, ENCRYPTION_KEY_PREVIOUS === undefined ? [] : [readKey(ENCRYPTION_KEY_PREVIOUS)!]);
}

/** Its key is not in the database, and the same on all daemons of a service. Under another one retries are answered 409. */
function macOf({ ENCRYPTION_KEY, JWT_SECRET, DATA_DIR }: Config): Gate<Caller>['mac'] {
  const secret = ENCRYPTION_KEY ?? JWT_SECRET ?? developmentSecret(DATA_DIR, 'jwt-secret');
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'agent-memory idempotency', 32));
  return (data) => createHmac('sha256', key).update(data).digest('hex');
}

/** The key of the audit's chain, and whatever else may have chained older entries. */
export function auditKeysOf(config: Config): AuditKeys {
  const { AUDIT_KEY, ENCRYPTION_KEY, JWT_SECRET, ENCRYPTION_KEY_PREVIOUS, JWT_SECRET_PREVIOUS } = config;
  const given = [AUDIT_KEY, ENCRYPTION_KEY, JWT_SECRET].filter((secret) => secret !== undefined);
  const own = given.length > 0 ? given : [developmentSecret(config.DATA_DIR, 'encryption-key')];
  const older = [ENCRYPTION_KEY_PREVIOUS, JWT_SECRET_PREVIOUS].filter((secret) => secret !== undefined);
  return openKeys([...own, ...older, ...config.AUDIT_KEY_PREVIOUS]);
}

/** Development has secrets of its own, made once; production must be given them. */
function developmentSecret(dataDir: string, name: 'jwt-secret' | 'encryption-key'): string {
  const file = join(dataDir, name);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(file, randomBytes(32).toString('base64'), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return readFileSync(file, 'utf8');
}
