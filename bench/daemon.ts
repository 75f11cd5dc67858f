import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const root = join(import.meta.dirname, '..');
const START_WAIT_MS = 60_000;

export interface BenchDaemon {
  url: string;
  pid: number;
  stop(): Promise<void>;
}

/** With BENCH_PROFILE=DIR each daemon writes a CPU profile to DIR when it ends; `npx tsx bench/profile.ts DIR` summarises them. */
const profiling = process.env.BENCH_PROFILE ? ['--cpu-prof', `--cpu-prof-dir=${process.env.BENCH_PROFILE}`] : [];

/** Starts a daemon as `npm start` does, but without rate limits. Its log goes to a file, as under a service manager. */
export async function startDaemonProcess(
  env: Record<string, string>,
  logFile: string,
  flags: string[] = [],
): Promise<BenchDaemon> {
  const out = openSync(logFile, 'w');
  const child = spawn(process.execPath, ['--max-semi-space-size=32', ...profiling, ...flags, 'dist/main.js'], {
    cwd: root,
    env: {
      PATH: process.env.PATH ?? '',
      PORT: '0',
      HOST: '127.0.0.1',
      RATE_LIMIT_ENABLED: 'false',
      MIGRATE_ON_START: 'false',
      ...env,
    },
    stdio: ['ignore', out, out],
  });
  const url = await untilReady(child, logFile);
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  };
  return { url, pid: child.pid!, stop };
}

async function untilReady(child: ChildProcess, logFile: string): Promise<string> {
  for (const started = performance.now(); performance.now() - started < START_WAIT_MS; await sleep(5)) {
    const log = readFileSync(logFile, 'utf8');
    const ready = /^API +(\S+)$/m.exec(log);
    if (ready) return ready[1]!;
    if (child.exitCode !== null) throw new Error(`the daemon ended: ${log}`);
  }
  child.kill('SIGKILL');
  throw new Error(`the daemon is not ready: ${readFileSync(logFile, 'utf8')}`);
}

/** Returns the peak memory of a process in MiB (VmHWM), if the system reports it. */
export function peakMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
}
