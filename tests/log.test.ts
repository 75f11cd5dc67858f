import { message, newColleague, newTenant, PASSWORD, send } from './support/client.ts';
import { spawnDaemon } from './support/daemon.ts';
import { daemonDatabase } from './support/database.ts';

test('the log at level trace has the id of every request, and no credential or content', async () => {
  const database = await daemonDatabase();
  const daemon = await spawnDaemon(database.env, { LOG_LEVEL: 'trace' });
  const alice = await newTenant(daemon.url);
  await newColleague(alice);
  const key = (await alice.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read'] } })).body;
  const secrets = [PASSWORD, alice.token, alice.refresh_token, key.api_key, 'the walnut cake', 'wrong password here'];
  await alice.request('POST', '/v1/events', { body: message('the walnut cake'), headers: { 'x-request-id': 'asked-0001' } });
  await alice.request('POST', '/v1/events', { body: { ...message('the walnut cake'), kind: 'the walnut cake' } });
  await alice.request('POST', '/v1/search', { body: { query: 'the walnut cake' } });
  await alice.request('POST', '/v1/context', { body: { session_id: 's', channel: 'private', query_text: 'the walnut cake' } });
  await alice.request('GET', '/v1/events?tag=the%20walnut%20cake');
  await alice.request('GET', '/v1/events/the%20walnut%20cake');
  await send(daemon.url, 'POST', '/auth/login', {
    body: { username: 'alice', password: 'wrong password here', tenant_id: alice.tenant_id },
  });
  await send(daemon.url, 'GET', '/v1/events', { headers: { 'x-api-key': key.api_key } });
  await daemon.kill('SIGTERM');
  await database.release();
  const lines = daemon
    .logged()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(secrets.filter((secret) => daemon.logged().includes(secret))).toEqual([]);
  const line = lines.find((line) => line.request_id === 'asked-0001');
  expect(line).toMatchObject({ method: 'POST', route: '/v1/events', status: 201, level: 'info' });
  expect(lines.filter((line) => line.msg === 'request').every((line) => line.request_id && typeof line.ms === 'number')).toBe(
    true,
  );
}, 60_000);
