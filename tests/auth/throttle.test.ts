import { Client, type QueryResultRow } from 'pg';
import { FREE_PER_ACCOUNT, FREE_PER_ADDRESS, networkOf, throttleKeys } from '../../src/auth/throttle.ts';
import { countBlocked } from '../support/blocked.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, serverConnection, workerDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { type Call, clientOf, expectThrottled, makeOwner, newTenantId, PASSWORD } from './client.ts';

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon({ TRUST_PROXY_HOPS: '1' });
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

const attempt = (from: string, tenant_id: string, password: string, username = 'olga') =>
  call('POST', '/auth/login', { headers: { 'x-forwarded-for': from }, body: { tenant_id, username, password } });
const guess = (from: string, tenant_id: string, i: number, username?: string) =>
  attempt(from, tenant_id, `guess-number-${i}`, username);
const statusesOf = (answers: { status: number }[]) => answers.map(({ status }) => status).sort();
test('parallel guesses are counted before a password is verified, and excess ones return 429', async () => {
  const { tenant_id } = await makeOwner(call);
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => guess('192.0.2.1', tenant_id, i)));
  expectThrottled(answers, FREE_PER_ACCOUNT);
  const limited = answers.find(({ status }) => status === 429)!;
  expect(limited.headers.get('retry-after')).toMatch(/^\d+$/);
});

describeOnServer('a test cannot open a second connection', () => {
  const inDatabase = <T extends QueryResultRow>(text: string, values: unknown[] = []) =>
    withClient({ ...serverConnection(), database: daemon.env.PGDATABASE! }, (client) => client.query<T>(text, values));
  const moveWaits = (by: string) => inDatabase(`update login_failures set blocked_until = blocked_until + $1::interval`, [by]);

  test('during the backoff of an account, its owner can log in from another address, but not from the throttled one', async () => {
    const { tenant_id } = await makeOwner(call);
    for (let i = 0; i < FREE_PER_ACCOUNT; i += 1) await guess('192.0.2.2', tenant_id, i);
    await moveWaits('1 hour');
    expect((await attempt('192.0.2.2', tenant_id, PASSWORD)).status).toBe(429);
    expect((await attempt('198.51.100.2', tenant_id, PASSWORD)).status).toBe(200);
  });

  test('each failure after the free ones doubles the wait, up to a minute; a success ends it', async () => {
    const { tenant_id } = await makeOwner(call);
    const { account } = throttleKeys(tenant_id, 'olga', '192.0.2.3');
    const waits: (number | null)[] = [];
    for (let i = 0; i < FREE_PER_ACCOUNT + 8; i += 1) {
      expect((await guess('192.0.2.3', tenant_id, i)).status).toBe(401);
      // one statement sets both
      const { rows } = await inDatabase<{ wait_s: number | null }>(
        `select round(extract(epoch from blocked_until - expires_at + interval '15 minutes'))::int as wait_s
         from login_failures where key_hash = $1`,
        [account],
      );
      waits.push(rows[0]!.wait_s);
      await moveWaits('-1 hour');
    }
    expect(waits).toEqual([...Array(FREE_PER_ACCOUNT - 1).fill(null), 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    expect((await attempt('192.0.2.3', tenant_id, PASSWORD)).status).toBe(200);
    expect((await guess('192.0.2.3', tenant_id, 52)).status).toBe(401);
    expect((await attempt('192.0.2.3', tenant_id, PASSWORD)).status).toBe(200);
  });

  test('Retry-After is the remaining wait', async () => {
    const { tenant_id } = await makeOwner(call);
    for (let i = 0; i < FREE_PER_ACCOUNT; i += 1) await guess('192.0.2.11', tenant_id, i);
    await moveWaits('1 hour');
    const { status, headers } = await guess('192.0.2.11', tenant_id, 50);
    expect([status, Number(headers.get('retry-after')) > 3_000, Number(headers.get('retry-after')) <= 3_601]).toEqual([
      429,
      true,
      true,
    ]);
  });

  test('an attempt that sweeps its own address does not deadlock with another attempt on the account', async () => {
    const { connection } = await workerDatabase();
    const [one, other] = [new Client(connection), new Client(connection)];
    await Promise.all([one.connect(), other.connect()]);
    const { account, address } = throttleKeys(newTenantId(), 'olga', '192.0.2.10');
    const over = `insert into login_failures (key_hash, failures, expires_at) values ($1, 1, now() - interval '1 day')`;
    for (const key of [account, address]) await one.query(over, [key]);
    await other.query('begin');
    await other.query('select count_failure($1, 10)', [account]);
    const waiting = one.query('select wait_s from begin_login($1, $2, $3, $4, 10, 100)', ['t', 'olga', account, address]);
    await eventually(
      async () => (await countBlocked(other, 'select wait_s from begin_login%')) === 1,
      'the attempt waits for the other',
    );
    await other.query('select count_failure($1, 100)', [address]);
    await other.query('commit');
    expect((await waiting).rows).toEqual([{ wait_s: 0 }]);
    await Promise.all([one.end(), other.end()]);
  });
});

test('unknown users and tenants are throttled the same way', async () => {
  const { tenant_id } = await makeOwner(call);
  for (const [from, tenant, username] of [
    ['192.0.2.4', tenant_id, 'nobody'],
    ['192.0.2.5', newTenantId(), 'olga'],
  ] as const) {
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => guess(from, tenant, i, username)));
    expectThrottled(answers, FREE_PER_ACCOUNT);
  }
});

test('a name that only the database folds to a username matches nobody and is counted', async () => {
  const { tenant_id } = await makeOwner(call, undefined, 'kim');
  // the lower case of U+212A KELVIN SIGN is k
  const answers = await Promise.all(Array.from({ length: 20 }, () => attempt('192.0.2.9', tenant_id, PASSWORD, '\u212aim')));
  expectThrottled(answers, FREE_PER_ACCOUNT);
  expect((await attempt('198.51.100.9', tenant_id, PASSWORD, 'KIM')).status).toBe(200);
});

test('logins that get no slot are not counted', async () => {
  const busy = await startTestDaemon({ TRUST_PROXY_HOPS: '1', BCRYPT_CONCURRENCY: '1', BCRYPT_QUEUE: '1', BCRYPT_COST: '8' });
  const request = clientOf(busy.url);
  const { tenant_id } = await makeOwner(request);
  const guesses = Array.from({ length: FREE_PER_ACCOUNT + 20 }, (_, i) =>
    request('POST', '/auth/login', { body: { tenant_id, username: 'olga', password: `guess-number-${i}` } }),
  );
  const statuses = statusesOf(await Promise.all(guesses));
  expect(statuses).not.toContain(429);
  expect(statuses.filter((status) => status === 503).length).toBeGreaterThan(FREE_PER_ACCOUNT);
  expect((await request('POST', '/auth/login', { body: { tenant_id, username: 'olga', password: PASSWORD } })).status).toBe(200);
  await busy.stop();
});

test('an address that tries many accounts is throttled, other addresses are not', async () => {
  const tenant_id = newTenantId();
  const tries = FREE_PER_ADDRESS + 20;
  for (let at = 0; at < tries; at += 20) {
    const some = await Promise.all(Array.from({ length: 20 }, (_, i) => guess('192.0.2.6', tenant_id, i, `user${at + i}`)));
    if (at < FREE_PER_ADDRESS) expect(statusesOf(some)).toEqual(Array(20).fill(401));
    else expectThrottled(some, 0);
  }
  expect((await guess('192.0.2.7', tenant_id, 0, 'user0')).status).toBe(401);
});

test('guesses of the current password with a stolen access token are counted like logins', async () => {
  const { token } = await makeOwner(call);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      call('PUT', '/auth/me/password', {
        token,
        headers: { 'x-forwarded-for': '192.0.2.8' },
        body: { current_password: `guess-number-${i}`, new_password: 'Another-good-one-7' },
      }),
    ),
  );
  expectThrottled(answers, FREE_PER_ACCOUNT, 403);
});

test('an IPv6 /64 counts as one address, and an IPv4 address as itself in any notation', () => {
  expect(networkOf('2001:db8:1:2:3::1')).toBe(networkOf('2001:db8:1:2:ffff::9'));
  expect(networkOf('2001:db8:1:2::1')).not.toBe(networkOf('2001:db8:1:3::1'));
  expect(networkOf('::ffff:192.0.2.1')).toBe(networkOf('192.0.2.1'));
  expect(networkOf('192.0.2.1')).not.toBe(networkOf('192.0.2.2'));
  expect(throttleKeys('T', 'Olga', '192.0.2.1')).toEqual(throttleKeys('t', 'oLGA', '::ffff:192.0.2.1'));
});
