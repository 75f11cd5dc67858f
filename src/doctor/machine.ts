import { accessSync, constants, existsSync, readdirSync, statfsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { type Finding, failed, findingsOrOk, ok, skipped, warning } from './finding.ts';
import { findListener } from './listener.ts';

const MIB = 1024 * 1024;
const LOW_MIB = 2048;
const LEAST_MIB = 256;
const ASK_MS = 2000;
const HOUR_MS = 3_600_000;

/** Free space where files are written. */
export function judgeDisk(config: Config): Finding[] {
  const ledger = config.ERASURE_LEDGER ?? join(config.DATA_DIR, 'erasures.ndjson');
  const places = new Map([
    [resolve(config.DATA_DIR), 'DATA_DIR'],
    [resolve(dirname(ledger)), 'ERASURE_LEDGER'],
  ]);
  return [...places].reverse().flatMap(([dir, name]) => {
    const there = nearest(dir);
    const found = judgeSpace('disk', there, `${name} (${dir})`);
    try {
      accessSync(there, constants.W_OK);
    } catch {
      found.unshift(failed('disk', `${name} (${dir}) cannot be written`, `chown -R "$(id -un)" ${there}`));
    }
    return found;
  });
}

export function judgeSpace(check: string, dir: string, name: string): Finding[] {
  const { bavail, bsize } = statfsSync(dir);
  const free = Math.floor((bavail * bsize) / MIB);
  const says = `${name} has ${free < 10 * 1024 ? `${free} MiB` : `${Math.floor(free / 1024)} GiB`} free`;
  const next = `df -h ${dir}; du -xh --max-depth=2 ${dir} | sort -h | tail`;
  if (free < LEAST_MIB) return [failed(check, says, next)];
  return [free < LOW_MIB ? warning(check, says, next) : ok(check, says)];
}

/** The directory itself, or the one in which it would be made. */
const nearest = (dir: string): string => (existsSync(dir) ? dir : nearest(dirname(dir)));

/** Whether the daemon could listen, or who does: itself, or another program. */
export async function judgePort({ HOST, PORT, TLS_CERT_FILE }: Config): Promise<Finding[]> {
  if (PORT === 0) return [skipped('port', 'PORT=0 takes a free one')];
  const server = createServer();
  const outcome = await new Promise<string>((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code!));
    server.listen(PORT, HOST, () => resolve('free'));
  });
  if (outcome === 'free') {
    server.close();
    return [ok('port', `${PORT} is free: no daemon runs here`)];
  }
  if (outcome !== 'EADDRINUSE')
    return [
      failed(
        'port',
        `HOST ${HOST} and PORT ${PORT} cannot be listened on (${outcome})`,
        'ip address   # or another HOST, a PORT above 1023',
      ),
    ];
  if (TLS_CERT_FILE !== undefined) return [skipped('port', `${PORT} is in use; with TLS_CERT_FILE the daemon is not asked`)];
  const health = await readHealth(PORT);
  if (health) return [ok('port', `a daemon answers on ${PORT}, ${health.status}, up for ${health.uptime_s} s`)];
  return [
    failed(
      'port',
      `${PORT} is taken by ${findListener(PORT) ?? 'another program'}, which is no daemon of ours`,
      `ss -ltnp 'sport = :${PORT}'   # stop it, or set another PORT`,
    ),
  ];
}

/** What the daemon on this machine says of itself, if one answers. */
export async function readHealth(port: number): Promise<{ status: string; uptime_s: number } | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(ASK_MS) });
    const body = (await response.json()) as { status?: string; uptime_s?: number };
    return typeof body.status === 'string' && typeof body.uptime_s === 'number'
      ? { status: body.status, uptime_s: body.uptime_s }
      : undefined;
  } catch {
    // nobody, or somebody who does not speak so: both are told to the caller as "no daemon"
    return undefined;
  }
}

/** The age of what was last finished in BACKUP_DIR. What is still being written lies under a hidden name until it is whole. */
export function judgeBackups(dir: string | undefined, hours: number, production: boolean): Finding[] {
  if (!dir)
    return production
      ? [
          warning(
            'backups',
            'no BACKUP_DIR is set, so nobody looks whether there are backups',
            'BACKUP_DIR=/backups/postgres scripts/backup.sh',
          ),
        ]
      : [];
  if (!existsSync(dir))
    return [failed('backups', `${dir} does not exist`, `mkdir -p ${dir} && BACKUP_DIR=${dir} scripts/backup.sh`)];
  const files = readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter(
      (entry) =>
        entry.isFile() &&
        !/\/\./.test(join(entry.parentPath, entry.name).slice(dir.length)) &&
        /\.(dump|sql)(\.(gz|zst|enc|gpg|age))*$/.test(entry.name),
    )
    .map((entry) => statSync(join(entry.parentPath, entry.name)))
    .filter(({ size }) => size > 0);
  const newest = Math.max(...files.map(({ mtimeMs }) => mtimeMs));
  if (files.length === 0) return [failed('backups', `${dir} holds no backup`, `BACKUP_DIR=${dir} scripts/backup.sh`)];
  const age = Math.floor((Date.now() - newest) / HOUR_MS);
  const says = `the newest of ${files.length} in ${dir} is ${age} h old`;
  const late = age > hours ? [failed('backups', says, `BACKUP_DIR=${dir} scripts/backup.sh   # and why did the timer not?`)] : [];
  return findingsOrOk('backups', says, late);
}
