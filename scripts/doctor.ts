import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { ConfigError, loadConfig } from '../src/config.ts';
import { type DoctorOptions, type Finding, runChecks } from '../src/doctor/index.ts';
import { startupMessage } from '../src/startup_error.ts';

const marks = { ok: 'ok     ', warning: 'warning', failed: 'FAILED ', skipped: '-      ' };
const INDENT = ' '.repeat(24);

const count = (text: string): number => {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('must be an integer of at least 1');
  return Number(text);
};

interface Options {
  envFile?: string;
  json?: boolean;
  daemons: number;
  certificates: string;
  host?: string;
  backups?: string;
  backupHours: number;
}

new Command('npm run doctor --')
  .description(
    'Checks everything that the service depends on, and prints a command that fixes or examines each fault. Exits with 1 if a check failed. Changes nothing.',
  )
  .option('--env-file <file>', 'file with settings that are not in the environment, such as .env.prod')
  .option('--json', 'print the findings as JSON')
  .option('--daemons <n>', 'number of daemons that share the database', count, 2)
  .option('--certificates <dir>', 'directory of cert.pem and key.pem', join('nginx', 'ssl'))
  .option('--host <name>', 'host name that clients use, which the certificate must be valid for')
  .option('--backups <dir>', 'directory of the backups; by default BACKUP_DIR')
  .option('--backup-hours <n>', 'hours after which the newest backup counts as overdue', count, 26)
  .action(async (options: Options) => {
    if (options.envFile) process.loadEnvFile(options.envFile);
    const findings = await look(options);
    if (options.json) console.log(JSON.stringify({ failed: failures(findings), findings }, null, 2));
    else show(findings);
    // Exit at once, even if a check has left something open.
    process.exit(failures(findings) > 0 ? 1 : 0);
  })
  .parseAsync()
  .catch((error: unknown) => {
    console.error(`error: ${startupMessage(error)}`);
    process.exit(1);
  });

const failures = (findings: Finding[]): number => findings.filter(({ state }) => state === 'failed').length;

/** Runs all checks. If the settings are invalid, that is the only finding. */
async function look({ daemons, certificates, host, backups, backupHours }: Options): Promise<Finding[]> {
  const asked: DoctorOptions = {
    daemons,
    certificates,
    host,
    backups: backups ?? process.env.BACKUP_DIR,
    backup_hours: backupHours,
  };
  try {
    return await runChecks(loadConfig(), asked);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [{ check: 'settings', state: 'failed', says: error.message, next: 'less .env.example docs/configuration.md' }];
  }
}

function show(findings: Finding[]): void {
  for (const { check, state, says, next } of findings) {
    console.log(`${marks[state]} ${check.padEnd(15)} ${says.replaceAll('\n', `\n${INDENT}`)}`);
    if (next) console.log(`${INDENT}→ ${next}`);
  }
  const tally = (['ok', 'warning', 'failed', 'skipped'] as const).map(
    (state) => `${findings.filter((one) => one.state === state).length} ${state}`,
  );
  console.log(tally.join(', '));
}
