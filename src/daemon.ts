import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import { createApp } from './app.ts';
import type { Caller } from './auth/index.ts';
import { type Config, portsOf } from './config.ts';
import { type Database, openDatabase } from './db/index.ts';
import { pagesOf } from './http/pages.ts';
import { Problem, problemBody } from './http/problem.ts';
import type { Route } from './http/route.ts';
import { send } from './http/send.ts';
import { createHttpServer, drain, listen, replaceListener, urlOf } from './http/server.ts';
import { tlsOf } from './http/tls.ts';
import { generateMissing } from './keys.ts';
import { createLogger, type Logger } from './log.ts';
import { createService, type Service } from './wiring.ts';
import type { Workers } from './work/index.ts';

/** A running daemon. */
export interface Daemon {
  url: string;
  /** URL of ADMIN_PORT, if it is set. */
  adminUrl: string | undefined;
  /** All routes that it serves, for tests that iterate over them. */
  routes: Route<Caller>[];
  /** A description of its database for people. */
  database: string;
  /** Closes the circuit breakers of the model endpoints. */
  resetBreakers(): void;
  /** Reports not ready, ends the streams, waits for running requests, and closes the pool. */
  stop(): Promise<void>;
  /** Registers a callback for a failure after which the daemon must end: the embedded engine died. */
  onFailure(callback: (error: Error) => void): void;
}

/** Starts a daemon. Tests pass their own `workers`. */
export async function startDaemon(
  config: Config,
  log: Logger = createLogger(config.LOG_LEVEL),
  workers?: Workers,
): Promise<Daemon> {
  const tls = tlsOf(config);
  const ports = portsOf(config).map((at) => ({
    at,
    server: createHttpServer((_req, res) => void send(res, 503, notYet()), tls),
  }));
  const servers = ports.map(({ server }) => server);
  let database: Database | undefined;
  try {
    // Listen first, so that a port that is in use is reported before the database is touched.
    for (const { server, at } of ports) await listen(server, at);
    database = await openDatabase(config, log, { serving: true });
    sayGenerated(generateMissing(config), config, log);
    const service = createService(config, database, log, workers);
    serveOn(servers, service, config);
    service.health.phase = 'serving';
    const stop = async () => {
      service.health.phase = 'draining';
      service.drain();
      await Promise.all(servers.map((server) => drain(server, config.SHUTDOWN_DELAY_MS, config.SHUTDOWN_TIMEOUT_MS)));
      await service.stop();
      await database!.close();
    };
    let stopping: Promise<void> | undefined;
    return {
      url: urlOf(servers[0]!),
      adminUrl: servers[1] && urlOf(servers[1]),
      routes: service.routes,
      database: database.description,
      resetBreakers: service.resetBreakers,
      stop: () => (stopping ??= stop()),
      onFailure: database.onFailure,
    };
  } catch (error) {
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
    await database?.close();
    throw error;
  }
}

/** Serves all routes on the first server, or those for operators on the second one if there is one. */
function serveOn([main, admin]: Server[], { gate, routes: all, document }: Service, { THIN_DOOR, CORS_ORIGINS }: Config): void {
  // With THIN_DOOR=false all routes go through Express, so that a benchmark can measure the difference.
  const routes = THIN_DOOR ? all : all.map((route) => ({ ...route, fastPath: false }));
  const forOperators = admin ? routes.filter(({ listener }) => listener === 'admin') : [];
  const others = routes.filter((route) => !forOperators.includes(route));
  replaceListener(main!, createApp(gate, others, CORS_ORIGINS, pagesOf(document)));
  if (admin) replaceListener(admin, createApp(gate, forOperators, CORS_ORIGINS));
}

function sayGenerated(names: string[], { DATA_DIR }: Config, log: Logger): void {
  if (names.length > 0)
    log.warn(
      { settings: names, data_dir: DATA_DIR },
      'generated the secrets that are not configured; keep the files in DATA_DIR',
    );
}

/** The response to every request before the service is ready. It is not logged, because probes would fill the log. */
function notYet() {
  const problem = new Problem('unavailable', 'The daemon is starting.', { headers: { 'Retry-After': '1' } });
  const id = randomUUID();
  return {
    headers: { ...problem.headers, 'X-Request-Id': id, 'Content-Type': 'application/problem+json' },
    body: problemBody(problem, id),
  };
}
