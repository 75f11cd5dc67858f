import { loadConfig } from './config.ts';
import { loadTokenCounter } from './context/index.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { createLogger, type Logger, prettyStream } from './log.ts';
import { startupMessage } from './startup_error.ts';

// Configuration, log, start, ready, stop on a signal. If the daemon cannot start, it prints what to do and exits with 1.

/** Time beyond the configured shutdown delay and timeout after which the process exits without waiting. */
const FORCED_EXIT_MS = 3000;

try {
  const config = loadConfig();
  const forPeople = process.stdout.isTTY && config.NODE_ENV !== 'production';
  const log = createLogger(config.LOG_LEVEL, undefined, forPeople ? await prettyStream() : undefined);
  // The tokenizer's tables are loaded during the start, so that the first context request does not wait for them.
  const [daemon] = await Promise.all([startDaemon(config, log), loadTokenCounter(config.TOKENIZER)]);
  log.info({ url: daemon.url, admin_url: daemon.adminUrl, database: daemon.database }, 'ready');
  if (config.NODE_ENV === 'development') sayReady(daemon);
  stopOnSignals(daemon, log, config.SHUTDOWN_DELAY_MS + config.SHUTDOWN_TIMEOUT_MS + FORCED_EXIT_MS);
} catch (error) {
  console.error(startupMessage(error));
  process.exit(1);
}

function sayReady({ url, adminUrl = url, database }: Daemon): void {
  console.log(`
=== Ready ===
API        ${url}
Docs       ${url}/docs
OpenAPI    ${url}/openapi.json
Health     ${url}/health
Metrics    ${adminUrl}/metrics
Database   ${database}
`);
}

function stopOnSignals(daemon: Daemon, log: Logger, forcedExitMs: number): void {
  let stopping = false;
  const stop = (why: string, code: number) => {
    // A second signal exits at once.
    if (stopping) process.exit(code || 130);
    stopping = true;
    log.info({ why }, 'stopping');
    setTimeout(() => process.exit(code || 1), forcedExitMs).unref();
    daemon.stop().then(
      () => process.exit(code),
      (err: unknown) => {
        log.error({ err }, 'stopping failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM', 0));
  process.on('SIGINT', () => stop('SIGINT', 0));
  process.on('SIGUSR2', () => {
    log.info('the circuit breakers of the models are reset (SIGUSR2)');
    daemon.resetBreakers();
  });
  daemon.onFailure((err) => {
    log.fatal({ err }, err.message);
    stop('the database failed', 1);
  });
  process.on('uncaughtException', (err) => {
    log.fatal({ err }, 'uncaught error');
    stop('uncaught error', 1);
  });
  process.on('unhandledRejection', (err) => {
    log.fatal({ err }, 'unhandled rejection');
    stop('unhandled rejection', 1);
  });
}
