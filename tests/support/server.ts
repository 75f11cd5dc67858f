import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { newName } from './client.ts';
import { type Cluster, findBinaries, serverPid, startCluster, startServer, type TestConnection, withClient } from './cluster.ts';
import { theEngine } from './engine.ts';

/** A PostgreSQL server of a test's own, to be mistreated. */
export interface OwnServer extends Cluster {
  dir: string;
  /** What a daemon needs to use it. */
  env: Record<string, string>;
  database: TestConnection;
  /** SIGKILL to the postmaster and all its backends, as a machine that loses power to its processes. */
  kill(): Promise<void>;
  /** A fast shutdown; nothing where it runs no longer. */
  stop(): Promise<void>;
  start(): Promise<void>;
  pause(): void;
  resume(): void;
  release(): Promise<void>;
}

export const canOwnServer = findBinaries() !== undefined;

interface Wish {
  /** Further `-c name=value`. */
  settings?: string;
  /** Where it lies, by default a new directory of the run. */
  dir?: string;
  /** Of its processes. */
  env?: Record<string, string>;
}

export async function ownServer(wish: Wish = {}): Promise<OwnServer> {
  const { settings = '', dir = join(theEngine().run_dir, newName('server')), env = {} } = wish;
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
      // the postmaster first, so that it makes no more
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

/** A killed server's backends hold the shared memory for a moment: try until it starts. */
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

/** A backend may have ended by itself meanwhile. */
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
