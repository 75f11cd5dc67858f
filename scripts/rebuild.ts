import { Command } from 'commander';
import { loadConfig } from '../src/config.ts';
import { openDatabase } from '../src/db/index.ts';
import { createLogger } from '../src/log.ts';
import { rebuildTenant } from '../src/passages/index.ts';
import { startupMessage } from '../src/startup_error.ts';
import { listTenants } from '../src/tenants/index.ts';

const PAGE = 1000;

const program = new Command('npm run rebuild --')
  .description(
    'Rebuilds the searchable passages from the log. Meanwhile searches report partial results. If interrupted, the next run continues.',
  )
  .option('--tenant <name>', 'only this one; by default all')
  .action(({ tenant }: { tenant?: string }) => rebuild(tenant));

program.parseAsync().catch((error: unknown) => {
  console.error(`error: ${startupMessage(error)}`);
  process.exitCode = 1;
});

async function rebuild(only: string | undefined): Promise<void> {
  const database = await openDatabase(loadConfig(), createLogger('warn', 'rebuild'), { existing: true });
  try {
    for await (const name of only === undefined ? everyTenant(database.tenants) : [only]) {
      const count = await rebuildTenant(database.tenants(name));
      console.log(`${name}  ${count} events`);
    }
  } finally {
    await database.close();
  }
}

async function* everyTenant(tenants: Awaited<ReturnType<typeof openDatabase>>['tenants']): AsyncGenerator<string> {
  for (let after = ''; ; ) {
    const page = await listTenants(tenants(''), after, PAGE);
    for (const { tenant_id } of page) yield tenant_id;
    if (page.length < PAGE) return;
    after = page.at(-1)!.tenant_id;
  }
}
