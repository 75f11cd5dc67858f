import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { daemonDatabase } from '../support/database.ts';

let own: Awaited<ReturnType<typeof daemonDatabase>>;
let database: Database;
beforeAll(async () => {
  own = await daemonDatabase();
  const config = loadConfig({ ...own.env, NODE_ENV: 'test', PGPOOL_MAX: '1', PGPOOL_MIN: '1' });
  database = await openDatabase(config, createLogger('silent'));
});
afterAll(async () => {
  await database.close();
  await own.release();
});

test('a transaction whose work throws is rolled back and keeps its connection', async () => {
  const tenant = database.tenants('someone');
  // a session setting identifies the connection on both engines
  await tenant.write((db) => db.run(`select set_config('application_name', 'the-first', false)`));
  const refused = tenant.write(async (db) => {
    await db.run(`insert into tenants (tenant_id) values ('someone')`);
    throw new Error('refused');
  });
  await expect(refused).rejects.toThrow('refused');
  const seen = await tenant.read((db) =>
    db.row(`select current_setting('application_name') as name, (select count(*) from tenants) as tenants`),
  );
  expect(seen).toEqual({ name: 'the-first', tenants: 0 });
});
