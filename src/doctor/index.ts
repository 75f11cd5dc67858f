import type { Config } from '../config.ts';
import { testRedis } from '../limits/index.ts';
import { judgeCertificate } from './certificate.ts';
import { judgeDatabase } from './database.ts';
import { type Finding, failed, findingsOrOk, ok, skipped, warning } from './finding.ts';
import { judgeBackups, judgeDisk, judgePort } from './machine.ts';
import { judgeSecrets } from './secrets.ts';

export type { Finding };

/** What an operator says beside the settings. */
export interface DoctorOptions {
  /** How many daemons share the database. */
  daemons: number;
  /** Where cert.pem and key.pem of nginx lie. */
  certificates: string;
  /** The name that clients call. */
  host?: string | undefined;
  backups?: string | undefined;
  /** Hours after which a backup is late. */
  backup_hours: number;
}

const CHECK_MS = 30_000;

/** Looks at all that the service rests on. One after the other: what is slow is seen to be slow, and the embedded engine has one session. */
export async function examine(config: Config, asked: DoctorOptions): Promise<Finding[]> {
  const checks: [string, () => Finding[] | Promise<Finding[]>][] = [
    ['settings', () => judgeSettings(config)],
    ['secrets', () => judgeSecrets(config)],
    ['database', () => judgeDatabase(config, asked.daemons)],
    ['redis', () => judgeRedis(config)],
    ['port', () => judgePort(config)],
    ['disk', () => judgeDisk(config)],
    ['certificate', () => judgeCertificate(asked.certificates, asked.host)],
    ['backups', () => judgeBackups(asked.backups, asked.backup_hours, config.NODE_ENV === 'production')],
  ];
  const findings: Finding[] = [];
  for (const [name, check] of checks) findings.push(...(await withTimeout(name, check)));
  return findings;
}

/** A check that fails itself is a finding too, and one that hangs must not hide the others. */
async function withTimeout(name: string, check: () => Finding[] | Promise<Finding[]>): Promise<Finding[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${CHECK_MS / 1000} s`)), CHECK_MS);
  });
  try {
    return await Promise.race([check(), late]);
  } catch (error) {
    return [failed(name, (error as Error).message || String(error), 'less docs/troubleshooting.md')];
  } finally {
    clearTimeout(timer);
  }
}

function judgeSettings(config: Config): Finding[] {
  const { NODE_ENV, PGHOST, DATABASE_URL } = config;
  const served = PGHOST !== undefined || DATABASE_URL !== undefined;
  const found: Finding[] = [];
  if (served && NODE_ENV !== 'production')
    found.push(warning('settings', `NODE_ENV is ${NODE_ENV}: weak secrets are let through`, 'NODE_ENV=production'));
  if (!config.RATE_LIMIT_ENABLED) found.push(warning('settings', 'there are no rate limits', 'RATE_LIMIT_ENABLED=true'));
  if (NODE_ENV === 'production' && config.TRUST_PROXY_HOPS === 0)
    found.push(
      warning(
        'settings',
        'TRUST_PROXY_HOPS is 0: behind nginx all clients share the limit of one address',
        'TRUST_PROXY_HOPS=1   # behind one proxy; leave it at 0 behind none',
      ),
    );
  if (NODE_ENV === 'production' && !served)
    found.push(warning('settings', 'the embedded database does not survive a power cut', 'PGHOST=…   # docs/postgresql.md'));
  return findingsOrOk('settings', `${NODE_ENV}, ${served ? 'PostgreSQL' : 'the embedded database'}`, found);
}

async function judgeRedis({ REDIS_URL, RATE_LIMIT_ENABLED }: Config): Promise<Finding[]> {
  if (!REDIS_URL || !RATE_LIMIT_ENABLED)
    return [skipped('redis', REDIS_URL ? 'there are no limits to share' : 'none is set; the database shares the limits')];
  const { hostname, port } = new URL(REDIS_URL);
  const place = `${hostname}:${port || 6379}`;
  const before = performance.now();
  try {
    await testRedis(REDIS_URL);
    return [ok('redis', `${place} answers in ${Math.ceil(performance.now() - before)} ms`)];
  } catch (error) {
    const says = `${place}: ${(error as Error).message}; meanwhile each daemon counts for itself`;
    return [
      failed('redis', says, `redis-cli -h ${hostname} -p ${port || 6379} ping   # NOAUTH, WRONGPASS: the password in REDIS_URL`),
    ];
  }
}
