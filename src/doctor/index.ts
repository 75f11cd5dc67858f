import type { Config } from '../config.ts';
import { testRedis } from '../limits/index.ts';
import { placeOf } from '../redis/index.ts';
import { usesRedis } from '../redis_settings.ts';
import { within } from '../within.ts';
import { checkCertificate } from './certificate.ts';
import { checkDatabase } from './database.ts';
import { type Finding, failed, findingsOrOk, ok, skipped, warning } from './finding.ts';
import { checkBackups, checkDisk, checkPort } from './machine.ts';
import { checkSecrets } from './secrets.ts';

export type { Finding };

/** Options of the command. */
export interface DoctorOptions {
  /** Number of daemons that share the database. */
  daemons: number;
  /** Directory of nginx's cert.pem and key.pem. */
  certificates: string;
  /** Host name that clients use. */
  host?: string | undefined;
  backups?: string | undefined;
  /** Hours after which a backup is late. */
  backup_hours: number;
}

const CHECK_MS = 30_000;

/** Checks everything that the service depends on. Sequentially, so that a slow check is noticed, and because the embedded engine has one session. */
export async function runChecks(config: Config, options: DoctorOptions): Promise<Finding[]> {
  const checks: [string, () => Finding[] | Promise<Finding[]>][] = [
    ['settings', () => checkSettings(config)],
    ['secrets', () => checkSecrets(config)],
    ['database', () => checkDatabase(config, options.daemons)],
    ['redis', () => checkRedis(config)],
    ['port', () => checkPort(config)],
    ['disk', () => checkDisk(config)],
    ['certificate', () => checkCertificate(options.certificates, options.host)],
    ['backups', () => checkBackups(options.backups, options.backup_hours, config.NODE_ENV === 'production')],
  ];
  const findings: Finding[] = [];
  for (const [name, check] of checks) findings.push(...(await withTimeout(name, check)));
  return findings;
}

/** Runs a check. An exception or a timeout becomes a finding, so that it does not hide the other checks. */
async function withTimeout(name: string, check: () => Finding[] | Promise<Finding[]>): Promise<Finding[]> {
  const run = async () => check();
  try {
    return await within(run(), CHECK_MS, () => new Error(`no answer within ${CHECK_MS / 1000} s`));
  } catch (error) {
    return [failed(name, (error as Error).message || String(error), 'less docs/troubleshooting.md')];
  }
}

function checkSettings(config: Config): Finding[] {
  const { NODE_ENV, PGHOST, DATABASE_URL } = config;
  const usesServer = PGHOST !== undefined || DATABASE_URL !== undefined;
  const findings: Finding[] = [];
  if (usesServer && NODE_ENV !== 'production')
    findings.push(warning('settings', `NODE_ENV is ${NODE_ENV}: weak secrets are accepted`, 'NODE_ENV=production'));
  if (!config.RATE_LIMIT_ENABLED) findings.push(warning('settings', 'rate limits are disabled', 'RATE_LIMIT_ENABLED=true'));
  if (NODE_ENV === 'production' && config.TRUST_PROXY_HOPS === 0)
    findings.push(
      warning(
        'settings',
        'TRUST_PROXY_HOPS is 0: behind nginx all clients share the limit of one address',
        'TRUST_PROXY_HOPS=1   # behind one proxy; leave it at 0 behind none',
      ),
    );
  if (NODE_ENV === 'production' && !usesServer)
    findings.push(warning('settings', 'the embedded database does not survive a power cut', 'PGHOST=…   # docs/postgresql.md'));
  return findingsOrOk('settings', `${NODE_ENV}, ${usesServer ? 'PostgreSQL' : 'the embedded database'}`, findings);
}

async function checkRedis(config: Config): Promise<Finding[]> {
  if (!usesRedis(config)) return [skipped('redis', 'not set; the limits are shared in the database')];
  const place = placeOf(config);
  const before = performance.now();
  try {
    await testRedis(config);
    return [ok('redis', `${place} answers in ${Math.ceil(performance.now() - before)} ms`)];
  } catch (error) {
    const says = `${place}: ${(error as Error).message}; until then each daemon counts locally`;
    const [host, port] = place.split(',')[0]!.split(/:(?=\d+$)/);
    return [
      failed('redis', says, `redis-cli -h ${host} -p ${port} ping   # NOAUTH, WRONGPASS: the password in the REDIS_* settings`),
    ];
  }
}
