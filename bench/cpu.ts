import { readdirSync, readFileSync } from 'node:fs';

// CPU time, which noise on the machine changes far less than it changes rates. Linux only; elsewhere it reads as NaN.

const TICK_US = 10_000;

/** µs of CPU that a process has used. */
export function cpuOf(pid: number): number {
  const stat = statOf(pid);
  return stat ? (stat.user + stat.system) * TICK_US : Number.NaN;
}

/** µs of CPU that a PostgreSQL server has used: its processes and those that have ended. */
export function cpuOfServer(postmaster: number): number {
  const own = statOf(postmaster);
  if (!own) return Number.NaN;
  const living = pids()
    .map(statOf)
    .filter((stat) => stat?.parent === postmaster);
  return TICK_US * living.reduce((sum, stat) => sum + stat!.user + stat!.system, own.user + own.system + own.ended);
}

const pids = () =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

function statOf(pid: number): { parent: number; user: number; system: number; ended: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    return { parent: fields[1]!, user: fields[11]!, system: fields[12]!, ended: fields[13]! + fields[14]! };
  } catch {
    return undefined;
  }
}
