import { randomUUID } from 'node:crypto';
import { createApp } from './app.ts';
import type { Caller } from './auth/index.ts';
import { type Config, hostOf } from './config.ts';
import { type Database, openDatabase } from './db/index.ts';
import { pagesOf } from './http/pages.ts';
import { Problem, problemBody } from './http/problem.ts';
import type { Route } from './http/route.ts';
import { send } from './http/send.ts';
import { createHttpServer, drain, listen, replaceListener, urlOf } from './http/server.ts';
import { tlsOf } from './http/tls.ts';
import { generateMissing } from './keys.ts';
import { createLogger, type Logger } from './log.ts';
import { createService } from './wiring.ts';
import type { Workers } from './work/index.ts';

/** A running daemon. */
export interface Daemon {
  url: string;
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
  const server = createHttpServer((_req, res) => void send(res, 503, notYet()), tlsOf(config));
  // Listen first, so that a port that is in use is reported before the database is touched.
  await listen(server, config.PORT, hostOf(config));
  let database: Database | undefined;
  try {
    database = await openDatabase(config, log, { serving: true });
    sayGenerated(generateMissing(config), config, log);
    const service = createService(config, database, log, workers);
    // With THIN_DOOR=false all routes go through Express, so that a benchmark can measure the difference.
    const routes = config.THIN_DOOR ? service.routes : service.routes.map((route) => ({ ...route, fastPath: false }));
    replaceListener(server, createApp(service.gate, routes, config.CORS_ORIGINS, pagesOf(service.document)));
    service.health.phase = 'serving';
    const stop = async () => {
      service.health.phase = 'draining';
      service.drain();
      await drain(server, config.SHUTDOWN_DELAY_MS, config.SHUTDOWN_TIMEOUT_MS);
      await service.stop();
      await database!.close();
    };
    let stopping: Promise<void> | undefined;
    return {
      url: urlOf(server),
      routes: service.routes,
      database: database.description,
      resetBreakers: service.resetBreakers,
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
