import { Command } from 'commander';
import type { z } from 'zod';
import { recordOnce } from '../src/audit/index.ts';
import { loadConfig } from '../src/config.ts';
import { openDatabase } from '../src/db/index.ts';
import type { Tenant } from '../src/db/tenant.ts';
import { Problem } from '../src/http/problem.ts';
import { auditKeysOf } from '../src/keys.ts';
import { createLogger } from '../src/log.ts';
import { duration } from '../src/setting_types.ts';
import { createSnapshot, dumpState, restoreByOperator, snapshotBody } from '../src/snapshots/index.ts';
import { startupMessage } from '../src/startup_error.ts';
import { at, namespace } from '../src/state/index.ts';

// Snapshots, restores and dumps of a tenant's state by the operator.

interface Options {
  tenant: string;
  dataDir?: string;
  name?: string;
  expiresIn?: string;
  snapshotId?: string;
  at?: string;
  namespace?: string;
  dryRun?: true;
}

const log = createLogger('warn', 'state');
const program = new Command('npm run state --').description('Takes snapshots of state, restores and prints it.');

const command = (name: string) =>
  program
    .command(name)
    .requiredOption('--tenant <tenant>')
    .option('--data-dir <directory>', 'the embedded database; default: DATA_DIR');
command('snapshot')
  .description('names the current end of the log, and prints the snapshot')
  .option('--name <name>', 'default: snap- with the time')
  .option('--expires-in <duration>', 'seconds, or a duration such as 12h or 90d', '90d')
  .action(snapshot);
command('restore')
  .description('restores objects as of an earlier moment in a new commit, and prints the numbers of changed objects')
  .option('--snapshot-id <name>', 'the snapshot')
  .option('--at <moment>', 'in place of a snapshot: a seq or an RFC 3339 time')
  .option('--namespace <namespace>', 'default: all namespaces')
  .option('--dry-run', 'only prints the numbers')
  .action(restore);
command('dump')
  .description('prints the objects as lines of JSON, by namespace and key')
  .option('--at <moment>', 'a seq, an RFC 3339 time or the name of a snapshot; default: now')
  .option('--namespace <namespace>', 'default: all namespaces')
  .action(dump);

/** Returns a parsed option; undefined if it is absent. Throws if it is invalid. */
function parse<T extends z.ZodType>(option: string, schema: T, text: string | undefined): z.output<T> | undefined {
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(text);
  if (!parsed.success) throw new Error(`${option} ${parsed.error.issues[0]!.message}`);
  return parsed.data;
}

async function withTenant(
  { tenant: tenant_id, dataDir }: Options,
  work: (
    tenant: Tenant,
    record: (action: 'snapshot.created' | 'state.restored', about: Record<string, unknown>) => Promise<void>,
  ) => Promise<void>,
): Promise<void> {
  const config = loadConfig({ ...process.env, ...(dataDir !== undefined && { DATA_DIR: dataDir }) });
  const database = await openDatabase(config, log, { existing: true });
  try {
    const tenant = database.tenants(tenant_id);
    if (!(await tenant.read((db) => db.row('select from tenants where tenant_id = $1', [tenant_id]))))
      throw new Error(`the tenant ${tenant_id} does not exist`);
    await work(tenant, (action, about) => {
      const entry = { action, route: 'npm run state', principal_id: 'operator', about };
      return recordOnce(() => auditKeysOf(config), database.tenants, tenant_id, entry, log);
    });
  } finally {
    await database.close();
  }
}

async function snapshot(options: Options): Promise<void> {
  const name = options.name ?? `snap-${new Date().toISOString().replace(/[-:]|\.\d+/g, '')}`;
  const expires_in = parse('--expires-in', duration, options.expiresIn);
  const body = snapshotBody.safeParse({ name, expires_in });
  if (!body.success) throw new Error(`the ${body.error.issues[0]!.path.join('.')} ${body.error.issues[0]!.message}`);
  await withTenant(options, async (tenant, record) => {
    const { replay: _, ...made } = await tenant.write((db) => createSnapshot(db, tenant.id, body.data, null));
    await record('snapshot.created', { name: made.name, seq: made.seq });
    console.log(JSON.stringify(made));
  });
}

async function restore({ snapshotId, ...options }: Options): Promise<void> {
  if ((snapshotId === undefined) === (options.at === undefined)) throw new Error('name either --snapshot-id or --at');
  const moment = snapshotId === undefined ? parse('--at', at, options.at)! : { name: snapshotId };
  const within = parse('--namespace', namespace, options.namespace);
  const dry_run = options.dryRun ?? false;
  await withTenant(options, async (tenant, record) => {
    const result = await restoreByOperator(tenant, { at: moment, namespace: within, dry_run });
    if (!dry_run) await record('state.restored', { namespace: within ?? null, ...result });
    console.log(JSON.stringify(result));
  });
}

async function dump(options: Options): Promise<void> {
  const moment = parse('--at', at, options.at);
  const within = parse('--namespace', namespace, options.namespace);
  await withTenant(options, async (tenant) => {
    for await (const object of dumpState(tenant, { at: moment, namespace: within })) {
      // a reader such as `head` may have ended
      if (process.stdout.destroyed) return;
      console.log(JSON.stringify(object));
    }
  });
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.stdout.destroy();
});

program.parseAsync().catch((error: unknown) => {
  console.error(`error: ${error instanceof Problem ? error.message : startupMessage(error)}`);
  process.exitCode = 1;
});
