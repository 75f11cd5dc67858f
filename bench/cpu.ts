import { readFileSync } from 'node:fs';

// CPU time, which other load on the machine distorts far less than rates. Linux only; NaN on other systems.

const TICK_US = 10_000;

/** Returns the CPU time that a process has used, in µs. */
export function cpuOf(pid: number): number {
  const stat = statOf(pid);
  return stat ? (stat.user + stat.system) * TICK_US : Number.NaN;
}

function statOf(pid: number): { user: number; system: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    return { user: fields[11]!, system: fields[12]! };
  } catch {
    return undefined;
  }
}
