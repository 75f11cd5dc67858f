import { loadConfig } from '../../src/config.ts';
import { createPool, type Pool } from '../../src/db/pool.ts';
import { tenantsOf } from '../../src/db/tenant.ts';
import { Problem } from '../../src/http/problem.ts';
import { createLogger } from '../../src/log.ts';
import { type TestDatabase, workerDatabase } from '../support/database.ts';

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await workerDatabase();
  const config = loadConfig({ PGPOOL_MAX: '1', PGPOOL_MIN: '1', JWT_SECRET: 'x'.repeat(32) });
  pool = createPool({ ...database.connection, embedded: database.embedded }, config, createLogger('silent'));
});
afterAll(async () => {
  await pool.end();
  await database.release();
});

/** Lives as long as the connection: a temporary setting of its session. */
const mark = () => pool.using(async (client) => void (await client.query(`select set_config('test.mark', 'here', false)`)));
const isMarked = () =>
  pool.using(
    async (client) => (await client.query(`select current_setting('test.mark', true) = 'here' as it`)).rows[0].it === true,
  );
const tenant = () =>
  tenantsOf(
    pool,
    () => Promise.reject(new Error('not here')),
    () => undefined,
  )('acme');

test('a refusal inside a transaction keeps the connection', async () => {
  await mark();
  const refused = tenant().read(async () => {
    throw new Problem('not-found', 'There is no such thing.');
  });
  await expect(refused).rejects.toThrow('There is no such thing.');
  expect(await isMarked()).toBe(true);
});

test('an SQL error inside a transaction keeps the connection', async () => {
  await mark();
  await expect(tenant().write((db) => db.run('select 1 / 0'))).rejects.toThrow('division by zero');
  expect(await isMarked()).toBe(true);
});

test('a connection whose work failed in an unknown way is destroyed, and the next request gets another at once', async () => {
  for (let i = 0; i < 5; i += 1) {
    await mark();
    await expect(pool.using(() => Promise.reject(new TypeError('ours')))).rejects.toThrow('ours');
    expect(await isMarked()).toBe(false);
  }
});
