import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import { recordOnce, type ServiceEntry } from '../src/audit/index.ts';
import { logOut, makeOperatorReset, openLogin, register } from '../src/auth/index.ts';
import { ledgerOf, loadConfig } from '../src/config.ts';
import { type Database, openDatabase } from '../src/db/index.ts';
import type { Tenant } from '../src/db/tenant.ts';
import { announceDeletion } from '../src/erasure/index.ts';
import { Problem } from '../src/http/problem.ts';
import { auditKeysOf, sealOf } from '../src/keys.ts';
import { createLogger } from '../src/log.ts';
import { startupMessage } from '../src/startup_error.ts';
import { deleteTenant, eraseNow, listTenants, setQuota, setSuspended } from '../src/tenants/index.ts';

// Management of tenants by the operator, also with REGISTRATION=closed. Generated secrets are printed once to stdout and stored nowhere.

const log = createLogger('warn', 'tenant');
const program = new Command('npm run tenant --').description('Creates, lists, limits, suspends and deletes tenants.');

program
  .command('create <tenant>')
  .description(
    'creates a tenant and its owner; the password is read from TENANT_PASSWORD, a prompt or standard input, or else generated and printed once',
  )
  .requiredOption('--username <name>', 'the owner')
  .option('--email <address>')
  .action((tenant_id: string, options: { username: string; email?: string }) => create(tenant_id, options));
program.command('list').description('prints the name and state of each tenant').action(list);
program
  .command('quota <tenant>')
  .description('sets the storage quota of a tenant')
  .requiredOption('--max-bytes <n>', 'bytes, or `none`')
  .action((tenant_id: string, { maxBytes }: { maxBytes: string }) => quota(tenant_id, maxBytes));
program
  .command('suspend <tenant>')
  .description('rejects all credentials of the tenant until `resume`; takes effect on all daemons within a minute')
  .action((tenant_id: string) =>
    change(tenant_id, (tenant) => tenant.write((db) => setSuspended(db, tenant.id, true)), 'suspended', 'tenant.suspended'),
  );
program
  .command('resume <tenant>')
  .description('ends a suspension')
  .action((tenant_id: string) =>
    change(tenant_id, (tenant) => tenant.write((db) => setSuspended(db, tenant.id, false)), 'active', 'tenant.resumed'),
  );
program
  .command('reset-password <tenant>')
  .description('makes a token with which a user can set a new password (POST /auth/password-reset), valid for an hour')
  .requiredOption('--username <name>')
  .action((tenant_id: string, { username }: { username: string }) => resetPassword(tenant_id, username));
program
  .command('delete <tenant>')
  .description('deletes a tenant with all its data')
  .requiredOption('--confirm <tenant>', 'the name of the tenant, repeated')
  .action((tenant_id: string, { confirm }: { confirm: string }) => remove(tenant_id, confirm));

program.parseAsync().catch((error: unknown) => {
  console.error(`error: ${error instanceof Problem ? faultOf(error) : startupMessage(error)}`);
  process.exitCode = 1;
});

/** Writes an action of the operator to the tenant's audit, as actions of its admins are. */
async function recordAction(
  { tenants }: Database,
  tenant_id: string,
  action: ServiceEntry['action'],
  about: Record<string, unknown> = {},
): Promise<void> {
  const entry = { action, route: 'npm run tenant', principal_id: 'operator', about };
  await recordOnce(() => auditKeysOf(loadConfig()), tenants, tenant_id, entry, log);
}

const faultOf = (problem: Problem) =>
  [problem.message, ...(problem.errors ?? []).map(({ pointer, detail }) => `${pointer}: ${detail}`)].join('\n  ');

async function onDatabase<T>(work: (database: Database) => Promise<T>, existing = true): Promise<T> {
  const database = await openDatabase(loadConfig(), log, { existing });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

async function create(tenant_id: string, { username, email }: { username: string; email?: string }): Promise<void> {
  const { password, generated } = await passwordOf(username);
  await onDatabase(async (database) => {
    const { tenants } = database;
    const config = loadConfig();
    // Registration also logs in. The tokens are not needed, so the session is ended and the tokens are not printed.
    const login = openLogin({ ...config, JWT_SECRET: config.JWT_SECRET ?? 'unused' }, tenants);
    const origin = { address: 'the command line', req: { headers: {} } };
    const { user, refresh_token } = await register(login, { tenant_id, username, password, email }, origin, true).catch(explain);
    await logOut(login, refresh_token);
    await recordAction(database, tenant_id, 'tenant.created', { user_id: user.user_id, username });
    console.log(JSON.stringify({ ...user, ...(generated && { password }) }));
  }, false);
}

function explain(error: unknown): never {
  if (error instanceof Problem && error.type === 'forbidden') throw new Error('a tenant of this name already exists');
  throw error;
}

async function list(): Promise<void> {
  await onDatabase(async ({ tenants }) => {
    const page = 1000;
    for (let after: string | undefined = ''; after !== undefined; ) {
      const rows: { tenant_id: string; state: string }[] = await listTenants(tenants(''), after, page);
      for (const { tenant_id, state } of rows) console.log(`${tenant_id}  ${state}`);
      after = rows.length === page ? rows.at(-1)!.tenant_id : undefined;
    }
  });
}

async function change(
  tenant_id: string,
  work: (tenant: Tenant) => Promise<number>,
  state: string,
  action: ServiceEntry['action'],
  about?: Record<string, unknown>,
): Promise<void> {
  const touched = await onDatabase(async (database) => {
    const count = await work(database.tenants(tenant_id));
    if (count > 0) await recordAction(database, tenant_id, action, about);
    return count;
  });
  if (touched === 0) throw new Error(`the tenant ${tenant_id} does not exist`);
  console.log(`${tenant_id}  ${state}`);
}

async function quota(tenant_id: string, text: string): Promise<void> {
  if (text !== 'none' && !/^\d{1,15}$/.test(text)) throw new Error('--max-bytes must be an integer or `none`');
  const bytes = text === 'none' ? null : Number(text);
  const work = (tenant: Tenant) => tenant.write((db) => setQuota(db, tenant.id, bytes));
  await change(tenant_id, work, `max_bytes ${text}`, 'tenant.quota_set', { max_bytes: bytes });
}

async function resetPassword(tenant_id: string, username: string): Promise<void> {
  const reset = await onDatabase(async (database) => {
    const made = await makeOperatorReset(database.tenants(tenant_id), username);
    if (made) await recordAction(database, tenant_id, 'user.reset_made', { user_id: made.user_id });
    return made;
  });
  if (!reset) throw new Error(`the tenant ${tenant_id} has no enabled user ${username}`);
  console.log(JSON.stringify(reset));
}

async function remove(tenant_id: string, confirm: string): Promise<void> {
  if (confirm !== tenant_id) throw new Error('--confirm does not name the same tenant');
  const config = loadConfig();
  const announce = announceDeletion({ seal: sealOf(config), ledger: ledgerOf(config), warn: log.warn.bind(log) });
  await onDatabase(async ({ tenants }) => {
    if (!(await deleteTenant(tenants(tenant_id), announce))) throw new Error(`the tenant ${tenant_id} does not exist`);
    await eraseNow(tenants(tenant_id));
  });
  console.log(`${tenant_id}  deleted; the name can be reused in a few minutes`);
}

async function passwordOf(username: string): Promise<{ password: string; generated: boolean }> {
  const given = process.env.TENANT_PASSWORD || (await (process.stdin.isTTY ? request(`Password of ${username}: `) : readInput()));
  return { password: given || randomBytes(18).toString('base64url'), generated: !given };
}

async function readInput(): Promise<string> {
  let text = '';
  for await (const part of process.stdin.setEncoding('utf8')) text += part;
  return text.replace(/\r?\n$/, '');
}

/** Reads a line from the terminal without echo. */
async function request(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr, terminal: true });
  const answer = terminal.question(question);
  (terminal as unknown as { _writeToOutput(text: string): void })._writeToOutput = () => undefined;
  try {
    return await answer;
  } finally {
    terminal.close();
    process.stderr.write('\n');
  }
}
