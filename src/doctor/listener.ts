import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const LISTENING = '0A';

/** Returns the program that listens on a port, from /proc; undefined if it belongs to another user or the system is not Linux. */
export function findListener(port: number): string | undefined {
  const sockets = new Set(['tcp', 'tcp6'].flatMap((family) => listeningInodes(family, port)).map((inode) => `socket:[${inode}]`));
  if (sockets.size === 0) return undefined;
  const pid = tryOr([], () => readdirSync('/proc')).find((name) => /^\d+$/.test(name) && hasSocket(name, sockets));
  return pid && `${tryOr('a program', () => readFileSync(`/proc/${pid}/comm`, 'utf8').trim())} (pid ${pid})`;
}

function listeningInodes(family: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = tryOr('', () => readFileSync(`/proc/net/${family}`, 'utf8')).split('\n');
  const fields = lines.map((line) => line.trim().split(/\s+/));
  return fields.filter(([, local, , state]) => state === LISTENING && local?.endsWith(suffix)).map((line) => line[9]!);
}

const hasSocket = (pid: string, sockets: Set<string>): boolean =>
  tryOr([], () => readdirSync(`/proc/${pid}/fd`)).some((fd) =>
    sockets.has(tryOr('', () => readlinkSync(`/proc/${pid}/fd/${fd}`))),
  );

/** Returns a default if a file cannot be read: processes end at any time, and those of other users are inaccessible. */
function tryOr<T>(otherwise: T, work: () => T): T {
  try {
    return work();
  } catch {
    return otherwise;
  }
}
