import type { IncomingMessage } from 'node:http';
import { MAX_FAILED_KEYS, openKeyGuard } from '../../src/auth/key_guard.ts';
import { makeSecret } from '../../src/auth/secrets.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { type Call, clientOf, makeOwner, newTenantId } from './client.ts';

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon({ RATE_LIMIT_ENABLED: 'true', TRUST_PROXY_HOPS: '1', REDIS_URL: '' });
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

const callWith = (from: string, key: string, path = '/auth/me') =>
  call('GET', path, { key, headers: { 'x-forwarded-for': from } });
const madeUp = () => makeSecret('key', newTenantId()).text;

test('invented keys are looked up 60 times a minute per address and rejected with 429 after that', async () => {
  const owner = await makeOwner(call);
  const [known, fresh] = await Promise.all(
    ['a', 'b'].map(
      async (name) =>
        (await call('POST', '/auth/api-keys', { token: owner.token, body: { name, role: 'member', scopes: ['read'] } })).body
          .api_key,
    ),
  );
  expect((await callWith('192.0.2.1', known)).status).toBe(200);
  const statuses: number[] = [];
  for (let i = 0; i < MAX_FAILED_KEYS + 20; i += 1)
    statuses.push((await callWith('192.0.2.1', madeUp(), i % 2 ? '/auth/me' : '/v1/events')).status);
  expect(statuses).toEqual([...Array(MAX_FAILED_KEYS).fill(401), ...Array(20).fill(429)]);
  const { headers, body } = await callWith('192.0.2.1', madeUp());
  expect(body.detail).toBe('Too many requests from this address had an unknown API key.');
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(1);
  // cached keys and logged-in users are not affected
  expect((await callWith('192.0.2.1', known)).status).toBe(200);
  const withToken = { token: owner.token, headers: { 'x-forwarded-for': '192.0.2.1' } };
  expect((await call('GET', '/auth/me', withToken)).status).toBe(200);
  expect((await callWith('192.0.2.1', fresh)).status).toBe(429);
  expect((await callWith('192.0.2.2', fresh)).status).toBe(200);
  const health = await callWith('192.0.2.1', madeUp(), '/health');
  expect([health.status, health.body.authenticated]).toEqual([200, false]);
});

test('a thousand concurrent requests cause few lookups', async () => {
  const guard = openKeyGuard(() => '192.0.2.3');
  let looks = 0;
  const look = async () => {
    looks += 1;
    await new Promise((resolve) => setTimeout(resolve, 10));
    return undefined;
  };
  const tries = () => Array.from({ length: 1000 }, () => guard({} as IncomingMessage, look));
  const results = await Promise.allSettled(tries());
  expect(looks).toBeLessThanOrEqual(200);
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(looks);
  const messages = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.message] : []));
  expect([...new Set(messages)]).toEqual(['Too many API keys from this address are being verified.']);
  await Promise.allSettled(tries());
  expect(looks).toBeLessThanOrEqual(200);
});

test('valid keys are not limited', async () => {
  const guard = openKeyGuard(() => '192.0.2.4');
  for (let i = 0; i < 1000; i += 1) expect(await guard({} as IncomingMessage, async () => i + 1)).toBe(i + 1);
});
