import { newName, newTenant, PASSWORD, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { onEmbedded } from '../support/database.ts';

// Complete daemons, which share a database if the engine allows it.

const settings = { RATE_LIMIT_ENABLED: 'true', RATE_LIMIT_MAX_REQUESTS: '64', RATE_LIMIT_AUTH_MAX: '12', REDIS_URL: '' };
let daemons: TestDaemon[];
beforeAll(async () => {
  const first = await startTestDaemon(settings);
  daemons = onEmbedded() ? [first] : [first, await startTestDaemon(settings, first.env)];
});
afterAll(async () => {
  for (const daemon of [...daemons].reverse()) await daemon.stop();
});
const url = (i: number) => daemons[i % daemons.length]!.url;

test('a principal has one limit over all daemons, and health checks are not limited', async () => {
  const { token, refresh_token } = await newTenant(url(0));
  let admitted = 0;
  for (let i = 0; i < 150; i += 1) {
    const { status, headers } = await send(url(i), 'GET', '/v1/events', {}, token);
    expect([200, 429]).toContain(status);
    expect(headers.get('ratelimit-policy')).toBe('"principal";q=64;w=60, "tenant";q=60000;w=60');
    if (status === 200) admitted += 1;
    else expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  }
  expect(admitted).toBeLessThanOrEqual(64);
  expect(admitted).toBeGreaterThanOrEqual(64 - 4 * (daemons.length - 1));
  const fresh = await send<{ access_token: string }>(url(1), 'POST', '/auth/refresh', { body: { refresh_token } });
  expect(fresh.status).toBe(200);
  expect((await send(url(1), 'GET', '/v1/events', {}, fresh.body.access_token)).status).toBe(429);
  expect((await send(url(1), 'GET', '/health')).status).toBe(200);
});

test('forged X-Forwarded-For headers at two daemons do not raise the login limit of an address', async () => {
  const body = { tenant_id: newName('t'), username: 'nobody', password: PASSWORD };
  let isAccepted = 0;
  for (let i = 0; i < 40; i += 1) {
    const { status, headers } = await send(url(i), 'POST', '/auth/login', {
      body,
      headers: { 'x-forwarded-for': `10.9.8.${i}` },
    });
    expect(headers.get('ratelimit-policy')).toBe('"address";q=12;w=60');
    if (status !== 429) isAccepted += 1;
    else expect(headers.get('ratelimit')).toMatch(/^"address";r=0;t=\d+$/);
  }
  // the first test has made two of them
  expect(isAccepted).toBe(12 - 2);
});
