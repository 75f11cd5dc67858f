import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { loadConfig } from '../../src/config.ts';
import { createPool, type Pool } from '../../src/db/pool.ts';
import { tenantsOf } from '../../src/db/tenant.ts';
import { Problem } from '../../src/http/problem.ts';
import { createLogger } from '../../src/log.ts';
import { describeOnServer, type TestDatabase, workerDatabase } from '../support/database.ts';

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

/** Identifies a connection by a setting of its session. */
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
    () => undefined,
  )('acme');

test('a refusal inside a transaction keeps the connection', async () => {
  await mark();
  const refused = tenant().read(async () => {
    throw new Problem('not-found', 'The resource does not exist.');
  });
  await expect(refused).rejects.toThrow('The resource does not exist.');
  expect(await isMarked()).toBe(true);
});

test('an SQL error inside a transaction keeps the connection', async () => {
  await mark();
  await expect(tenant().write((db) => db.run('select 1 / 0'))).rejects.toThrow('division by zero');
  expect(await isMarked()).toBe(true);
});

test('a connection whose work failed with an unknown error is destroyed, and the next request gets another one at once', async () => {
  for (let i = 0; i < 5; i += 1) {
    await mark();
    await expect(pool.using(() => Promise.reject(new TypeError('ours')))).rejects.toThrow('ours');
    expect(await isMarked()).toBe(false);
  }
});

test('a session that is terminated in the packet that made it ready fails its request, not the process', async () => {
  // A server in crash recovery sends this to a new client in one packet. The pool returns the client while the error is being parsed.
  const [authenticated, ready] = [Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0]), Buffer.from([0x5a, 0, 0, 0, 5, 0x49])];
  const fields = Buffer.from('SFATAL\0VFATAL\0C57P02\0Mterminating connection because of crash of another server process\0\0');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(fields.length + 4);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(Buffer.concat([authenticated, ready, Buffer.from('E'), length, fields])));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const config = loadConfig({ PGPOOL_MAX: '1', PGPOOL_MIN: '0', JWT_SECRET: 'x'.repeat(32) });
  const ended = createPool({ host: '127.0.0.1', port, user: 'x', embedded: false }, config, createLogger('silent'));
  await expect(ended.using((client) => client.query('select 1'))).rejects.toThrow();
  await ended.end();
  server.close();
});

describeOnServer('only there does a missing answer mean that the network path is lost', () => {
  test('after a statement without an answer, a new connection serves the next request, even if the clock restarted', async () => {
    const holdClock = () => jest.useFakeTimers({ doNotFake: ['Date', 'hrtime', 'nextTick', 'setImmediate', 'queueMicrotask'] });
    holdClock();
    const unanswered = pool.using((client) => {
      const answer = client.query('select pg_sleep(60)');
      jest.advanceTimersByTime(60_000);
      return answer;
    });
    await expect(unanswered).rejects.toThrow('Query read timeout');
    holdClock();
    expect(performance.now()).toBe(0);
    expect(await isMarked()).toBe(false);
    jest.useRealTimers();
  });
});
