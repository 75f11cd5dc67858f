import { Command } from 'commander';
import { openAudit } from '../src/audit/index.ts';
import { ledgerOf, loadConfig } from '../src/config.ts';
import { openDatabase } from '../src/db/index.ts';
import { confirmRestore } from '../src/db/restore.ts';
import type { Tenant } from '../src/db/tenant.ts';
import { erasureHandler, type LedgerEntry, readLedger, replayControls, replayErasures } from '../src/erasure/index.ts';
import { openJobs } from '../src/jobs/index.ts';
import { auditKeysOf, sealOf } from '../src/keys.ts';
import { createLogger } from '../src/log.ts';
import { registry } from '../src/registry.ts';
import { startupMessage } from '../src/startup_error.ts';
import { deleteTenant, eraseNow } from '../src/tenants/index.ts';

const program = new Command('npm run erasures:replay --')
  .description(
    'Repeats, from the ledger, the erasures, kills and revocations that a restored backup has undone. Run it before you start the daemon.',
  )
  .option('--ledger <file...>', 'ledgers to replay; by default ERASURE_LEDGER')
  .option('--no-ledger', 'assert that nothing was ever erased; only lets daemons start on the restored database')
  .option('--tenant <name>', 'replay only this tenant; daemons cannot start on the database before all have been replayed')
  .action(({ ledger, tenant }: { ledger?: string[] | boolean; tenant?: string }) =>
    ledger === false ? open() : replay(Array.isArray(ledger) ? ledger : undefined, tenant),
  );

program.parseAsync().catch((error: unknown) => {
  console.error(`error: ${startupMessage(error)}`);
  process.exitCode = 1;
});

/** Lets daemons start on the database. */
async function open(): Promise<void> {
  const database = await openDatabase(loadConfig(), createLogger('warn', 'erasures'), { existing: true });
  try {
    await confirmRestore(database.pool);
  } finally {
    await database.close();
  }
  console.log('Daemons can now start on the database.');
}

async function replay(files: string[] | undefined, only: string | undefined): Promise<void> {
  const config = loadConfig();
  const seal = sealOf(config);
  if (!seal) throw new Error('The ledger is encrypted: set ENCRYPTION_KEY.');
  const log = createLogger('warn', 'erasures');
  const ledgers = (files ?? [ledgerOf(config)]).map((file) => ({ file, ...readLedger(file) }));
  const database = await openDatabase(config, log, { existing: true });
  const audit = openAudit(() => auditKeysOf(config), config.AUDIT_WINDOW_MS, database.tenants, log);
  const needs = {
    seal,
    ledger: ledgerOf(config),
    invalidate: () => undefined,
    eraseAudit: audit.eraseSubject,
    warn: log.warn.bind(log),
  };
  const handlers = { erasure: erasureHandler(needs) };
  const jobs = openJobs(database.tenants, log, { lease_ms: config.JOB_LEASE_MS, parallel: config.JOBS_PARALLEL });
  jobs.run(handlers);
  const again = async (entry: LedgerEntry): Promise<string> => {
    const replayed = await replayErasures({ tenants: database.tenants, jobs, seal, remove }, entry);
    if ('outcome' in replayed) return replayed.outcome;
    await jobs.resume();
    return outcomeOf(database.tenants(entry.tenant_id), replayed.job_id);
  };
  try {
    for (const { file, entries, unreadable } of ledgers) {
      if (unreadable.length > 0)
        console.log(failed(`${file}  ${unreadable.length} unreadable lines, which were not replayed: ${unreadable.join(', ')}`));
      for (const entry of entries) {
        if (only !== undefined && entry.tenant_id !== only) continue;
        // An entry that cannot be decrypted, for example because its key is unknown, does not prevent the others.
        const outcome = await again(entry).catch((error: Error) => failed(`not erased: ${error.message}`));
        console.log(`${entry.tenant_id}  ${entry.job_id}  ${outcome}`);
      }
    }
    const controls = ledgers.flatMap((one) => one.controls).filter(({ tenant_id }) => only === undefined || tenant_id === only);
    for (const one of await replayControls(database.tenants, seal, registry.replays, controls))
      console.log(`${one.tenant_id}  ${one.control_id}  ${one.failed ? failed(one.outcome) : one.outcome}`);
    if (only === undefined && !process.exitCode) await confirmRestore(database.pool);
  } finally {
    await jobs.stop();
    await audit.stop();
    await database.close();
  }
}

/** Deletes a tenant without a new entry in the ledger, which already has one. */
async function remove(tenant: Tenant): Promise<void> {
  await deleteTenant(tenant, () => () => undefined);
  await eraseNow(tenant);
}

async function outcomeOf(tenant: Tenant, job_id: string): Promise<string> {
  const job = await tenant.read((db) =>
    db.row<{ state: string; events: number | null; detail: string | null }>(
      `select state, (result -> 'certificate' -> 'counts' ->> 'events')::int as events, problem ->> 'detail' as detail
       from jobs where tenant_id = $1 and job_id = $2`,
      [tenant.id, job_id],
    ),
  );
  if (job?.state === 'done') return `${job.events} events erased again`;
  return failed(`not erased: ${job?.state} ${job?.detail ?? ''}`);
}

function failed(what: string): string {
  process.exitCode = 1;
  return what;
}
