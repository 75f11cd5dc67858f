import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { newName } from './client.ts';
import { type Cluster, findBinaries, serverPid, startCluster, startServer, type TestConnection, withClient } from './cluster.ts';
import { testEngine } from './engine.ts';

/** A PostgreSQL server for a single test, which may kill or damage it. */
export interface OwnServer extends Cluster {
  dir: string;
  /** Environment of a daemon that uses it. */
  env: Record<string, string>;
  database: TestConnection;
  /** Kills the postmaster and all its backends with SIGKILL, like a crash of the machine. */
  kill(): Promise<void>;
  /** Performs a fast shutdown, or nothing if the server does not run. */
  stop(): Promise<void>;
  start(): Promise<void>;
  pause(): void;
  resume(): void;
  release(): Promise<void>;
}

export const canStartServer = findBinaries() !== undefined;

interface ServerOptions {
  /** Additional `-c name=value` options. */
  settings?: string;
  /** Its directory, by default a new one in that of the test run. */
  dir?: string;
  /** Additional environment of its processes. */
  env?: Record<string, string>;
}

export async function startOwnServer(options: ServerOptions = {}): Promise<OwnServer> {
  const { settings = '', dir = join(testEngine().run_dir, newName('server')), env = {} } = options;
  const bin = findBinaries()!;
  mkdirSync(dir, { recursive: true });
  const cluster = await startCluster(bin, dir, settings, env);
  const { admin, owner } = cluster;
  await withClient(admin, (client) => client.query(`create database agent_memory owner ${owner.user}`));
  const { host, port } = admin;
  const database = { host, port, ...owner, database: 'agent_memory' };
  const stop = async () => {
    const pid = pidOf(dir);
    if (pid) await endOf(pid, 'SIGINT');
  };
  return {
    ...cluster,
    dir,
    database,
    env: { PGHOST: host, PGPORT: String(port), PGUSER: owner.user, PGDATABASE: 'agent_memory' },
    kill: async () => {
      const pid = serverPid(dir);
      const backends = childrenOf(pid);
      await endOf(pid, 'SIGKILL');
      for (const backend of backends) signal(backend, 'SIGKILL');
    },
    stop,
    start: () => startAgain(() => startServer(bin, dir, port, settings, env)),
    pause: () => {
      const pid = serverPid(dir);
      // Stop the postmaster first, so that it starts no more backends.
      process.kill(pid, 'SIGSTOP');
      for (const backend of childrenOf(pid)) signal(backend, 'SIGSTOP');
    },
    resume: () => {
      const pid = pidOf(dir);
      if (!pid) return;
      for (const backend of childrenOf(pid)) signal(backend, 'SIGCONT');
      process.kill(pid, 'SIGCONT');
    },
    release: async () => {
      await stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Retries the start, because the backends of a killed server hold the shared memory for a moment. */
async function startAgain(start: () => Promise<void>): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await start();
    } catch (error) {
      if (tries === 20) throw error;
      await sleep(250);
    }
  }
}

function pidOf(dir: string): number | undefined {
  try {
    const pid = serverPid(dir);
    return isAlive(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);

/** Signals a backend, unless it has already exited. */
function signal(pid: number, name: NodeJS.Signals): void {
  if (isAlive(pid)) process.kill(pid, name);
}

async function endOf(pid: number, name: NodeJS.Signals): Promise<void> {
  process.kill(pid, name);
  for (let waited = 0; isAlive(pid); waited += 50) {
    if (waited > 30_000) throw new Error(`process ${pid} did not end after ${name}`);
    await sleep(50);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}
