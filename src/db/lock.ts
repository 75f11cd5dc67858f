import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

// Locks a directory for one process without flock, which Node does not support. A process first writes its own claim file, then looks for
// others: if two start at once, at least one sees the other. Each claim has its own file, so that removing the claim of a dead process
// cannot remove that of a living one. A single pid file has this race when two processes take it over at once.

const TRIES = 8;
const ORPHAN_WAIT_MS = 10_000;
const claimName = /^lock\.(\d+)\.([\w-]+)\.(\d+)$/;

interface Claim {
  file: string;
  pid: number;
  started: string;
  /** Pid of the daemon that the claiming process serves. */
  owner: number;
}

export interface DirectoryLock {
  release(): void;
}

class DirectoryLocked extends Error {
  readonly pid: number;
  constructor(dir: string, pid: number) {
    super(
      `The embedded database in ${dir} is in use by another Agent Memory process (pid ${pid}): stop that process, or set DATA_DIR to another directory.`,
    );
    this.name = 'DirectoryLocked';
    this.pid = pid;
  }
}

/** Locks the directory for this process on behalf of `owner`, or throws DirectoryLocked. */
export async function lockDirectory(dir: string, owner: number): Promise<DirectoryLock> {
  const mine = join(dir, `lock.${process.pid}.${startOf(process.pid)}.${owner}`);
  const orphanDeadline = Date.now() + ORPHAN_WAIT_MS;
  for (let attempt = 1; ; attempt += 1) {
    writeFileSync(mine, '', { mode: 0o600 });
    const rival = livingClaims(dir).find((claim) => claim.file !== mine);
    if (!rival) return { release: () => rmSync(mine, { force: true }) };
    rmSync(mine, { force: true });
    // An engine whose daemon was killed is about to exit: wait for it. Two processes that start at once back off for a random time.
    const orphan = startOf(rival.owner) === undefined && Date.now() < orphanDeadline;
    if (!orphan && attempt >= TRIES) throw new DirectoryLocked(dir, rival.owner);
    await sleep(20 + Math.random() * 80);
  }
}

/** Returns the pid of the daemon that has locked the directory, if any. */
export const lockHolder = (dir: string): number | undefined => livingClaims(dir)[0]?.owner;

function livingClaims(dir: string): Claim[] {
  return readdirSync(dir).flatMap((name) => {
    const [, pid, started, owner] = claimName.exec(name) ?? [];
    if (!pid || !started) return [];
    const claim = { file: join(dir, name), pid: Number(pid), started, owner: Number(owner) };
    if (startOf(claim.pid) === started) return [claim];
    rmSync(claim.file, { force: true });
    return [];
  });
}

/** Returns the start time of a living process as text for a file name, because a pid alone may have been reused. */
export function startOf(pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8);
    // The command name in parentheses may contain spaces. The state (Z: zombie) and the start time follow it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' ? undefined : `${boot}-${fields[19]}`;
  } catch {
    return process.platform === 'linux' ? undefined : startByPs(pid);
  }
}

function startByPs(pid: number): string | undefined {
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).replace(/\W+/g, '-') || undefined;
  } catch {
    return undefined;
  }
}
