import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

// One process per directory, without flock (Node has none). Whoever wants the directory first writes a claim of its own, then looks
// for the claims of others: of two that come at once at least one sees the other. Claims are never shared, so removing the one of
// a dead process can never remove that of a living one, which is where a single pid file goes wrong when two take it over at once.

const TRIES = 8;
const ORPHAN_WAIT_MS = 10_000;
const claimName = /^lock\.(\d+)\.([\w-]+)\.(\d+)$/;

interface Claim {
  file: string;
  pid: number;
  started: string;
  /** The daemon that the claiming process serves. */
  owner: number;
}

export interface DirectoryLock {
  release(): void;
}

class DirectoryLocked extends Error {
  readonly pid: number;
  constructor(dir: string, pid: number) {
    super(
      `The embedded database in ${dir} is in use by another Agent Memory process (pid ${pid}): stop that one, or set DATA_DIR to another directory.`,
    );
    this.name = 'DirectoryLocked';
    this.pid = pid;
  }
}

/** Claims the directory for this process on behalf of `owner`, or throws DirectoryLocked. */
export async function lockDirectory(dir: string, owner: number): Promise<DirectoryLock> {
  const mine = join(dir, `lock.${process.pid}.${startOf(process.pid)}.${owner}`);
  const orphanDeadline = Date.now() + ORPHAN_WAIT_MS;
  for (let attempt = 1; ; attempt += 1) {
    writeFileSync(mine, '', { mode: 0o600 });
    const rival = livingClaims(dir).find((claim) => claim.file !== mine);
    if (!rival) return { release: () => rmSync(mine, { force: true }) };
    rmSync(mine, { force: true });
    // An engine whose daemon was killed is about to end: wait for it. Two that start at once give way to each other by chance.
    const orphan = startOf(rival.owner) === undefined && Date.now() < orphanDeadline;
    if (!orphan && attempt >= TRIES) throw new DirectoryLocked(dir, rival.owner);
    await sleep(20 + Math.random() * 80);
  }
}

/** The pid that has the directory, if any. */
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

/** When a living process started, in words fit for a file name: a pid alone may have been given to another process since. */
export function startOf(pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8);
    // The command name, in parentheses, may hold blanks; the state (Z: dead already) and the start time come after it.
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
