import { type Client, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

const WINDOW_MS = 3_600_000;
let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon({
    RATE_LIMIT_ENABLED: 'true',
    RATE_LIMIT_MAX_REQUESTS: '8',
    RATE_LIMIT_TENANT_MAX: '40',
    RATE_LIMIT_AUTH_MAX: '100000',
    RATE_LIMIT_WINDOW_MS: String(WINDOW_MS),
  });
});
afterAll(() => daemon.stop());

const makeKey = (by: Client, more: Record<string, unknown> = {}) =>
  by.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read'], ...more } });
const withKey = (api_key: string, path = '/v1/events?channel=team') =>
  send<any>(daemon.url, 'GET', path, { headers: { 'x-api-key': api_key } });

/** Sends requests; returns how many are admitted, and the last rejection. */
async function served(request: () => Promise<{ status: number; body: any }>, tries: number) {
  let count = 0;
  let refusal = '';
  for (let i = 0; i < tries; i += 1) {
    const { status, body } = await request();
    if (status === 200) count += 1;
    else refusal = body.detail;
  }
  return { count, refusal };
}

test('keys without a limit share the limit of their owner; the rejection names the setting', async () => {
  const alice = await newTenant(daemon.url);
  const keys = [(await makeKey(alice)).body.api_key, (await makeKey(alice)).body.api_key];
  const first = await served(() => withKey(keys[0]), 6);
  const second = await served(() => withKey(keys[1]), 6);
  const own = await served(() => alice.request('GET', '/v1/events?channel=team'), 2);
  expect(first.count + second.count + own.count).toBe(8);
  expect(second.refusal).toContain('RATE_LIMIT_MAX_REQUESTS');
  const bob = await newColleague(alice, 'bob');
  expect((await served(() => bob.request('GET', '/v1/events?channel=team'), 2)).count).toBe(2);
  expect((await withKey(keys[0], '/auth/me')).body.rate_limit).toEqual({ max: 8, window_ms: WINDOW_MS });
});

test('an admin gives a key its own limit up to the tenant’s, which still applies', async () => {
  const alice = await newTenant(daemon.url);
  const rate_limit = { max: 20, window_ms: WINDOW_MS };
  const { body } = await makeKey(alice, { rate_limit });
  expect(body.rate_limit).toEqual(rate_limit);
  expect((await withKey(body.api_key, '/auth/me')).body.rate_limit).toEqual(rate_limit);
  const one = await served(() => withKey(body.api_key), 22);
  expect(one.count).toBe(20);
  expect(one.refusal).toContain('rate_limit of the API key');
  const { body: all } = await makeKey(alice, { rate_limit: { max: 40, window_ms: WINDOW_MS } });
  const rest = await served(() => withKey(all.api_key), 22);
  expect(rest.count).toBe(20);
  expect(rest.refusal).toContain('RATE_LIMIT_TENANT_MAX');
});

test.each([
  [{ max: 41, window_ms: WINDOW_MS }, 422, '#/rate_limit'],
  [{ max: 40, window_ms: 1000 }, 422, '#/rate_limit'],
  [{ max: 0, window_ms: WINDOW_MS }, 422, '#/rate_limit/max'],
  [{ max: 5 }, 422, '#/rate_limit/window_ms'],
])('rate_limit %j of a key is rejected', async (rate_limit, status, pointer) => {
  const alice = await newTenant(daemon.url);
  const answer = await makeKey(alice, { rate_limit });
  expect([answer.status, answer.body.errors[0].pointer]).toEqual([status, pointer]);
});

test('a member cannot give a key its own limit, and a key loses its limit with the admin who gave it', async () => {
  const alice = await newTenant(daemon.url);
  const rate_limit = { max: 20, window_ms: WINDOW_MS };
  expect((await makeKey(await newColleague(alice, 'bob'), { rate_limit })).status).toBe(403);
  const ann = await newColleague(alice, 'ann', 'admin');
  const { api_key } = (await makeKey(ann, { rate_limit })).body;
  await alice.request('PATCH', `/auth/users/${ann.user_id}`, { body: { role: 'member' } });
  expect((await withKey(api_key, '/auth/me')).body.rate_limit).toEqual({ max: 8, window_ms: WINDOW_MS });
});
