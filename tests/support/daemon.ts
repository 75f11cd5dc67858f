import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, loadConfig } from '../../src/config.ts';
import { type Daemon, startDaemon } from '../../src/daemon.ts';
import type { Workers } from '../../src/work/index.ts';
import { workersOf } from '../../src/workers.ts';
import { daemonDatabase } from './database.ts';
import { freePort } from './port.ts';

export { freePort } from './port.ts';

/** Settings of all daemons under test: cheap password hashes, no rate limits, a free port. */
const settings = {
  NODE_ENV: 'test',
  HOST: '127.0.0.1',
  PORT: '0',
  LOG_LEVEL: 'silent',
  RATE_LIMIT_ENABLED: 'false',
  // On a loaded machine, a worker thread takes seconds to start.
  REQUEST_TIMEOUT_MS: '30000',
  BCRYPT_COST: '4',
  // Tests backdate rows and run sweeps themselves; no other sweep may remove these rows.
  SWEEP_DELAY_MS: '3600000',
  JWT_SECRET: 'only-for-tests-0123456789abcdefghijklmnop',
  ERASURE_LEDGER: join(tmpdir(), `erasures-of-tests-${process.pid}.ndjson`),
  CAP_KEY_ACTIVE: Buffer.alloc(32, 0xca).toString('base64'),
  ENCRYPTION_KEY: Buffer.alloc(32, 'only-for-tests').toString('base64'),
};

export interface TestDaemon extends Daemon {
  /** Environment with which another daemon shares the database (PostgreSQL only). */
  env: Record<string, string>;
}

/** Creates workers from the build in dist/. From source, each thread would take a second of CPU time to start. */
export const builtWorkers = (config: Config): Workers => workersOf(config, join(import.meta.dirname, '../../dist/worker.js'));

/** Starts a daemon in this process, on a new database or on that of `sharedEnv`. */
export async function startTestDaemon(
  overrides: Record<string, string> = {},
  sharedEnv?: Record<string, string>,
  workers: (config: Config) => Workers = builtWorkers,
): Promise<TestDaemon> {
  const database = sharedEnv ? { env: sharedEnv, release: async () => undefined } : await daemonDatabase();
  const config = loadConfig({ ...settings, ...database.env, ...overrides });
  const daemon = await startDaemon(config, undefined, workers(config));
  const stop = async () => {
    await daemon.stop();
    await database.release();
  };
  return { ...daemon, env: database.env, stop };
}

export interface SpawnedDaemon {
  url: string;
  child: ChildProcess;
  /** Returns its log so far, which is empty unless LOG_LEVEL is raised. */
  logged(): string;
  kill(signal: NodeJS.Signals): Promise<void>;
}

const running = new Set<ChildProcess>();

/** Kills the daemons that failed tests have left running. */
export function killSpawned(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Starts a daemon as a separate process (`node dist/main.js`, which `npm test` has built), and waits until it is ready. */
export async function spawnDaemon(
  env: Record<string, string>,
  overrides: Record<string, string> = {},
  root = join(import.meta.dirname, '../..'),
): Promise<SpawnedDaemon> {
  const port = overrides.PORT ?? String(await freePort());
  const child = spawn(process.execPath, [join(root, 'dist/main.js')], {
    env: { PATH: process.env.PATH, ...settings, ...env, ...overrides, PORT: port },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout!.on('data', (part) => {
    stdout += part;
  });
  child.stderr!.on('data', (part) => {
    stderr += part;
  });
  const url = `${overrides.TLS_CERT_FILE ? 'https' : 'http'}://127.0.0.1:${port}`;
  // A daemon that requires client certificates reports readiness by its log, which must be enabled.
  const isReady = async () =>
    overrides.TLS_CERT_FILE ? stdout.includes('"msg":"ready"') : (await fetch(`${url}/ready`).catch(() => undefined))?.ok;
  running.add(child);
  const exited = once(child, 'exit').then(() => running.delete(child));
  const kill = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    await exited;
  };
  for (let i = 0; i < 600; i += 1) {
    if (child.exitCode !== null) throw new Error(`the daemon exited during its start: ${stderr}`);
    if (await isReady()) return { url, child, logged: () => stdout, kill };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await kill('SIGKILL');
  throw new Error(`the daemon was not ready in time: ${stderr}`);
}
