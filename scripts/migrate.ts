import { Command, InvalidArgumentError } from 'commander';
import type pg from 'pg';
import { loadConfig, usesEmbedded } from '../src/config.ts';
import { connectWithRetry } from '../src/db/connect_retry.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { isBehind, migrateUp, migrationStatus } from '../src/db/migrate.ts';
import type { MigrationStatus } from '../src/db/migrations.ts';
import { connectionOf, createPool } from '../src/db/pool.ts';
import { createLogger } from '../src/log.ts';
import { startupMessage } from '../src/startup_error.ts';

const toStderr = { info: console.error, warn: console.error };

const program = new Command('npm run migrate --').description(
  'Shows or applies the migrations and SQL functions of the configured database.',
);
program
  .command('status')
  .description('lists the applied and the pending migrations and functions')
  .option('--json', 'print JSON')
  .action((options: { json?: boolean }) =>
    onDatabase(async (client) => show(await migrationStatus(client), options.json ?? false), true),
  );
program
  .command('up')
  .description('applies everything that is pending')
  .option('--wait <seconds>', 'time to keep trying while the database cannot be reached or is starting', secondsOf, 0)
  .action((options: { wait: number }) => onDatabase(up, false, options.wait));

program.parseAsync().catch((error: unknown) => {
  console.error(`error: ${startupMessage(error)}`);
  process.exitCode = 1;
});

async function up(client: pg.Client): Promise<void> {
  const count = await migrateUp(client, undefined, toStderr);
  const { database_version } = await migrationStatus(client);
  console.log(`${count} applied; the database is at migration ${database_version}`);
}

function show(status: MigrationStatus, json: boolean): void {
  const rows = [
    ...status.applied.map((row) => ({ version: row.version, name: row.name, state: 'applied', applied_at: row.applied_at })),
    ...status.newer.map((row) => ({
      version: row.version,
      name: row.name,
      state: 'newer than this code',
      applied_at: row.applied_at,
    })),
    ...status.pending.map((file) => ({ version: file.version, name: file.name, state: 'pending', applied_at: null })),
  ];
  const { code_version, database_version } = status;
  const functions = status.functions.states;
  if (json) {
    console.log(JSON.stringify({ code_version, database_version, migrations: rows, functions }, null, 2));
    return;
  }
  const states = [...rows, ...functions.map((one) => ({ ...one, name: `functions of ${one.folder}` }))];
  for (const row of states) console.log(`${row.name}  ${row.state}${row.applied_at ? ` ${row.applied_at}` : ''}`);
  console.error(isBehind(status) ? '`npm run migrate -- up` applies the pending changes' : 'nothing is pending');
}

/** Runs `work` in a session of the user that owns the tables. Starts the embedded engine if needed; fails if a daemon uses it. */
async function onDatabase(work: (client: pg.Client) => Promise<void>, existing = false, wait_s = 0): Promise<void> {
  const config = loadConfig();
  const engine = usesEmbedded(config) ? await startEmbedded({ data_dir: config.DATA_DIR, existing }) : undefined;
  const connection = engine?.connection ?? { ...connectionOf(config), embedded: false };
  try {
    const pool = createPool(connection, config, createLogger('silent'));
    const client = await connectWithRetry(() => pool.dedicated(), wait_s * 1000, console.error);
    await work(client).finally(() => client.end());
  } finally {
    await engine?.stop();
  }
}

function secondsOf(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('must be an integer number of seconds');
  return Number(text);
}
