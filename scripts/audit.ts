import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { headOf, type SavedHead, type Verification, verifyTenant } from '../src/audit/index.ts';
import { loadConfig } from '../src/config.ts';
import { type Database, openDatabase } from '../src/db/index.ts';
import { auditKeysOf } from '../src/keys.ts';
import { createLogger } from '../src/log.ts';
import { startupMessage } from '../src/startup_error.ts';
import { listTenants } from '../src/tenants/index.ts';

const PAGE = 1000;

const program = new Command('npm run audit').description('Verifies the hash chains of the audit, and prints their heads.');
program
  .command('verify')
  .description('reports every entry that was changed, removed, inserted or moved; exits with 1 if there is one')
  .option('--tenant <name>', 'only this one; by default all')
  .option('--heads <file>', 'earlier output of `npm run audit:heads`; also detects entries removed from the end')
  .action(verify);
program
  .command('heads')
  .description(
    'prints the newest entry of each tenant, a line of JSON per tenant; store it elsewhere, such as in the manifest of a backup',
  )
  .option('--tenant <name>', 'only this one; by default all')
  .action(heads);

program.parseAsync().catch((error: unknown) => {
  console.error(`error: ${startupMessage(error)}`);
  process.exitCode = 1;
});

async function verify({ tenant, heads: file }: { tenant?: string; heads?: string }): Promise<void> {
  const config = loadConfig();
  const keys = auditKeysOf(config);
  const kept = file === undefined ? [] : readHeads(file).filter((head) => tenant === undefined || head.tenant === tenant);
  await onDatabase(async ({ tenants }) => {
    const walked = new Set<string>();
    for await (const name of everyTenant(tenants)) {
      if (tenant !== undefined && name !== tenant) continue;
      walked.add(name);
      const own = kept.filter((head) => head.tenant === name);
      report(await verifyTenant(tenants(name), keys, own));
    }
    for (const name of new Set([...(tenant === undefined ? [] : [tenant]), ...kept.map((head) => head.tenant)]))
      if (!walked.has(name)) report({ tenant: name, entries: 0, faults: [{ seq: 0, fault: 'the tenant does not exist' }] });
  });
}

function report({ tenant, entries, faults }: Verification): void {
  console.log(`${tenant}  ${entries} entries  ${faults.length === 0 ? 'valid' : 'INVALID'}`);
  for (const { seq, fault } of faults) console.log(`${tenant}  seq ${seq}: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
}

async function heads({ tenant }: { tenant?: string }): Promise<void> {
  await onDatabase(async ({ tenants }) => {
    for await (const name of tenant === undefined ? everyTenant(tenants) : [tenant])
      console.log(JSON.stringify(await headOf(tenants(name))));
  });
}

function readHeads(file: string): SavedHead[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as SavedHead);
}

/** Opens the database without migrating it. If a daemon uses the embedded database, the error names that daemon. */
async function onDatabase(work: (database: Database) => Promise<void>): Promise<void> {
  const database = await openDatabase({ ...loadConfig(), MIGRATE_ON_START: false }, createLogger('warn', 'audit'), {
    existing: true,
  });
  try {
    await work(database);
  } finally {
    await database.close();
  }
}

async function* everyTenant(tenants: Database['tenants']): AsyncGenerator<string> {
  for (let after = ''; ; ) {
    const page = await listTenants(tenants(''), after, PAGE);
    for (const { tenant_id } of page) yield tenant_id;
    if (page.length < PAGE) return;
    after = page.at(-1)!.tenant_id;
  }
}
