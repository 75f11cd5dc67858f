import { Command } from 'commander';
import { recordOnce } from '../src/audit/index.ts';
import { findPrincipal } from '../src/auth/index.ts';
import { capabilityBody, capabilityKeysOf, mint, mintingKey } from '../src/capabilities/index.ts';
import { loadConfig } from '../src/config.ts';
import { openDatabase } from '../src/db/index.ts';
import { Problem } from '../src/http/problem.ts';
import { parseBody } from '../src/http/route.ts';
import { auditKeysOf } from '../src/keys.ts';
import { createLogger } from '../src/log.ts';
import { duration } from '../src/setting_types.ts';
import { startupMessage } from '../src/startup_error.ts';

// Mints capabilities for the operator. A capability is printed once to stdout and stored nowhere; its row in the database makes it valid.

interface Options {
  tenant: string;
  user: string;
  ns: string[];
  ops: string;
  expiresIn: string;
  regions?: string;
  maxBytes?: string;
  maxQps?: string;
  agent?: string;
}

const log = createLogger('warn', 'capability');
const program = new Command('npm run capability --').description('Mints capabilities.');

program
  .command('mint')
  .description('mints a capability with the rights of a user, writes the row that makes it valid, and prints it once')
  .requiredOption('--tenant <tenant>')
  .requiredOption('--user <username>', 'the capability ends with the rights of this user')
  .requiredOption('--ns <patterns...>', 'namespaces, such as agent://demo')
  .requiredOption('--ops <ops>', 'comma-separated: PUT, GET, DELETE, WATCH, LEASE, ADMIN')
  .requiredOption('--expires-in <duration>', 'seconds, or a duration such as 12h or 30d')
  .option('--regions <regions>', 'comma-separated regions in which it is valid')
  .option('--max-bytes <n>', 'largest request body in bytes')
  .option('--max-qps <n>', 'requests per second')
  .option('--agent <agent>', 'the only agent that it can act as')
  .action(mintForUser);

const faultOf = ({ message, errors = [] }: Problem) =>
  [message, ...errors.map(({ pointer, detail }) => `${pointer}: ${detail}`)].join('\n  ');

const listOf = (text: string | undefined) => text?.split(',').map((each) => each.trim());
const numberOf = (text: string | undefined) => (text === undefined ? undefined : Number(text));

async function mintForUser(options: Options): Promise<void> {
  const { tenant: tenant_id, user, ns, ops, expiresIn, regions, maxBytes, maxQps, agent } = options;
  const lifetime = duration.safeParse(expiresIn);
  if (!lifetime.success) throw new Error('--expires-in must be a duration such as 900s, 12h or 30d');
  const limits = { regions: listOf(regions), max_bytes: numberOf(maxBytes), max_qps: numberOf(maxQps) };
  const given = { ns, ops: listOf(ops), expires_in: lifetime.data, ...limits, agent };
  const body = parseBody(capabilityBody, given) as ReturnType<typeof capabilityBody.parse>;
  const config = loadConfig();
  const keys = capabilityKeysOf(config);
  if (!keys) throw new Error('CAP_KEY_ACTIVE is not set');
  const database = await openDatabase(config, log, { existing: true });
  try {
    const tenant = database.tenants(tenant_id);
    const principal = await findPrincipal(tenant, user);
    if (!principal) throw new Error(`the tenant ${tenant_id} has no enabled user ${user}`);
    const minted = await mint({ tenant, principal }, body, await mintingKey(database.tenants, keys));
    const about = {
      jti: minted.jti,
      ops: body.ops,
      ...limits,
      agent_id: agent,
      user_id: principal.user_id,
      expires_at: minted.expires_at,
    };
    const entry = { action: 'capability.minted', route: 'npm run capability', principal_id: 'operator', about };
    await recordOnce(() => auditKeysOf(config), database.tenants, tenant_id, entry, log);
    console.log(JSON.stringify(minted));
  } finally {
    await database.close();
  }
}

program.parseAsync().catch((error: unknown) => {
  console.error(`error: ${error instanceof Problem ? faultOf(error) : startupMessage(error)}`);
  process.exitCode = 1;
});
