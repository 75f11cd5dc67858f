import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { auditKeysOf } from '../../src/keys.ts';
import { createLogger } from '../../src/log.ts';
import { withClient } from '../support/cluster.ts';
import { daemonDatabase, onEmbedded } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';

export const keys = auditKeysOf(
  loadConfig({ NODE_ENV: 'test', ENCRYPTION_KEY: Buffer.alloc(32, 'only-for-tests').toString('base64') }),
);

/** Opens a migrated database, with the access of the service and that of a superuser. */
export async function openAuditDatabase() {
  const own = await daemonDatabase();
  const database = await openDatabase(loadConfig({ NODE_ENV: 'test', ...own.env }), createLogger('silent'));
  const close = async () => {
    await database.close();
    await own.release();
  };
  return { env: own.env, database, close, asSuperuser: superuserOf(own.env, database) };
}

type SuperuserQuery = <Row = Record<string, unknown>>(text: string, values?: unknown[]) => Promise<Row[]>;

function superuserOf(env: Record<string, string>, database: Database): SuperuserQuery {
  const engine = testEngine();
  if (onEmbedded() || engine.kind === 'embedded')
    return (text, values) => database.pool.using(async (client) => (await client.query(text, values)).rows);
  const admin = { ...engine.cluster.admin, database: env.PGDATABASE! };
  return (text, values) => withClient(admin, async (client) => (await client.query(text, values)).rows);
}

/** Creates a tenant without users. */
export async function makeTenant(database: Database, tenant_id: string): Promise<void> {
  await database.tenants(tenant_id).write(async (db) => {
    await db.run('insert into tenants (tenant_id) values ($1)', [tenant_id]);
    await db.run('insert into tenant_clocks (tenant_id) values ($1)', [tenant_id]);
  });
}
