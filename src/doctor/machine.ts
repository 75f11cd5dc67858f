import { accessSync, constants, existsSync, readdirSync, statfsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { type Finding, failed, findingsOrOk, ok, skipped, warning } from './finding.ts';
import { findListener } from './listener.ts';

const MIB = 1024 * 1024;
const LOW_MIB = 2048;
const MIN_MIB = 256;
const REQUEST_TIMEOUT_MS = 2000;
const HOUR_MS = 3_600_000;

/** Checks free space and write access of the directories that the daemon writes to. */
export function checkDisk(config: Config): Finding[] {
  const ledger = config.ERASURE_LEDGER ?? join(config.DATA_DIR, 'erasures.ndjson');
  const places = new Map([
    [resolve(config.DATA_DIR), 'DATA_DIR'],
    [resolve(dirname(ledger)), 'ERASURE_LEDGER'],
  ]);
  return [...places].reverse().flatMap(([dir, name]) => {
    const there = nearest(dir);
    const findings = checkSpace('disk', there, `${name} (${dir})`);
    try {
      accessSync(there, constants.W_OK);
    } catch {
      findings.unshift(failed('disk', `${name} (${dir}) is not writable`, `chown -R "$(id -un)" ${there}`));
    }
    return findings;
  });
}

export function checkSpace(check: string, dir: string, name: string): Finding[] {
  const { bavail, bsize } = statfsSync(dir);
  const free = Math.floor((bavail * bsize) / MIB);
  const says = `${name} has ${free < 10 * 1024 ? `${free} MiB` : `${Math.floor(free / 1024)} GiB`} free`;
  const next = `df -h ${dir}; du -xh --max-depth=2 ${dir} | sort -h | tail`;
  if (free < MIN_MIB) return [failed(check, says, next)];
  return [free < LOW_MIB ? warning(check, says, next) : ok(check, says)];
}

/** Returns the directory, or its nearest existing parent. */
const nearest = (dir: string): string => (existsSync(dir) ? dir : nearest(dirname(dir)));

/** Resolves to `free`, or to the code of the error. */
async function tryToListen(port: number, host: string | undefined): Promise<string> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code!));
    server.listen(port, host, () => server.close(() => resolve('free')));
  });
}

/** Checks ADMIN_PORT while no daemon runs. */
async function checkAdminPort(port: number | undefined, host: string): Promise<Finding[]> {
  const outcome = port ? await tryToListen(port, host) : 'free';
  if (outcome === 'free') return [];
  const next = `ss -ltnp 'sport = :${port}'   # stop it, or set another ADMIN_PORT or ADMIN_HOST`;
  return [failed('port', `the daemon cannot listen on ADMIN_HOST ${host} and ADMIN_PORT ${port} (${outcome})`, next)];
}

/** Checks that the daemon can listen on its port, or that it is the one that does. */
export async function checkPort({ HOST, PORT, ADMIN_HOST, ADMIN_PORT, TLS_CERT_FILE }: Config): Promise<Finding[]> {
  if (PORT === 0) return [skipped('port', 'PORT=0 uses any free port')];
  const outcome = await tryToListen(PORT, HOST);
  if (outcome === 'free')
    return [ok('port', `${PORT} is free: no daemon runs here`), ...(await checkAdminPort(ADMIN_PORT, ADMIN_HOST))];
  if (outcome !== 'EADDRINUSE')
    return [
      failed(
        'port',
        `the daemon cannot listen on HOST ${HOST} and PORT ${PORT} (${outcome})`,
        'ip address   # or another HOST, a PORT above 1023',
      ),
    ];
  if (TLS_CERT_FILE !== undefined) return [skipped('port', `${PORT} is in use; with TLS_CERT_FILE the daemon is not checked`)];
  const health = await readHealth(PORT);
  if (health) return [ok('port', `a daemon answers on ${PORT}, ${health.status}, up for ${health.uptime_s} s`)];
  return [
    failed(
      'port',
      `${PORT} is taken by ${findListener(PORT) ?? 'another program'}, which is not a daemon of this service`,
      `ss -ltnp 'sport = :${PORT}'   # stop it, or set another PORT`,
    ),
  ];
}

/** Reads /health of the daemon on this machine; undefined if none answers. */
export async function readHealth(port: number): Promise<{ status: string; uptime_s: number } | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health`, {
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const body = (await response.json()) as { status?: string; uptime_s?: number };
    return typeof body.status === 'string' && typeof body.uptime_s === 'number'
      ? { status: body.status, uptime_s: body.uptime_s }
      : undefined;
  } catch {
    // Nobody listens, or another program does: the caller reports both as "no daemon".
    return undefined;
  }
}

/** Checks the age of the newest complete backup in BACKUP_DIR. An incomplete backup has a hidden name. */
export function checkBackups(dir: string | undefined, hours: number, production: boolean): Finding[] {
  if (!dir)
    return production
      ? [
          warning(
            'backups',
            'BACKUP_DIR is not set, so backups are not checked',
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
  if (files.length === 0) return [failed('backups', `${dir} has no backup`, `BACKUP_DIR=${dir} scripts/backup.sh`)];
  const age = Math.floor((Date.now() - newest) / HOUR_MS);
  const says = `the newest of ${files.length} in ${dir} is ${age} h old`;
  const late =
    age > hours
      ? [failed('backups', says, `BACKUP_DIR=${dir} scripts/backup.sh   # and find out why the timer did not run`)]
      : [];
  return findingsOrOk('backups', says, late);
}
