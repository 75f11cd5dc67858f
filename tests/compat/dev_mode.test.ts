import { request } from 'node:http';
import { type Client, newColleague, newName, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { compatClient } from './client.ts';

// Requests without a credential, which DEV_MODE permits on the paths of AgentState.

const tenant_id = newName('dev');
let daemon: TestDaemon;
let alice: Client;
let agent: ReturnType<typeof compatClient>;
beforeAll(async () => {
  daemon = await startTestDaemon({ COMPAT_TENANT: tenant_id, DEV_MODE: 'true' });
  agent = compatClient(daemon.url);
});
afterAll(() => daemon.stop());

test('the tenant must exist', async () => {
  const { status, body } = await agent.put({ type: 't', body: 1 });
  expect([status, body.detail]).toEqual([404, 'The tenant does not exist.']);
  alice = await newTenant(daemon.url, tenant_id);
  expect((await agent.put({ type: 't', body: 1 })).status).toBe(200);
});

test('they act as the agent dev-mode, also in streams and with an empty Authorization header', async () => {
  const events = await agent.watch(1, '', {}, () => agent.put({ id: 'a', type: 't', body: 1 }, { authorization: '' }));
  expect(JSON.parse(events[0]!.data!)).toMatchObject({ type: 'put', obj: { id: 'a' } });
  expect((await agent.lease('acquire', { key: 'k', owner: 'o', ttl: 5 })).status).toBe(200);
  const { data } = (await alice.request('GET', '/v1/events?channel=team&kind=state.put')).body;
  expect(data.at(-1).actor).toEqual({ type: 'agent', id: 'dev-mode' });
});

test('private objects of users are absent, also those of a user named dev-mode', async () => {
  const path = `/v1/state/${encodeURIComponent('agent://demo')}/secret`;
  for (const user of [alice, await newColleague(alice, 'dev-mode')]) {
    const { status } = await user.request('PUT', `${path}-${user.username}`, { body: { body: 1, channel: 'private' } });
    expect([status, (await agent.get(`secret-${user.username}`)).status]).toEqual([201, 404]);
  }
});

test('every other path requires a credential', async () => {
  for (const [method, path, body] of [
    ['POST', '/v1/state/query', { namespace: 'agent://demo' }],
    ['GET', '/v1/events'],
    ['GET', '/v1/leases'],
    ['GET', '/auth/me'],
  ] as const)
    expect([path, (await agent.call(method, path, body)).status]).toEqual([path, 401]);
});

test('a wrong credential is rejected, and one of another tenant, too', async () => {
  const stranger = await newTenant(daemon.url);
  const statuses = ['wrong', stranger.token].map(async (token) => (await compatClient(daemon.url, token).query({})).status);
  expect(await Promise.all(statuses)).toEqual([401, 403]);
});

test('the URL must name this machine, as that of a page of another site does not', async () => {
  const { port } = new URL(daemon.url);
  const statusFor = (host: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      request({ host: '127.0.0.1', port, path: '/v1/ns/objects/a', headers: { host } }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      })
        .on('error', reject)
        .end();
    });
  expect(await Promise.all(['localhost:8080', '[::1]', '127.0.0.1.evil.example', 'evil.example'].map(statusFor))).toEqual([
    404, 404, 401, 401,
  ]);
});

test('a page of another site and a client behind a proxy require a credential', async () => {
  const statusOf = async (headers: Record<string, string>) => (await agent.put({ type: 't', body: 1 }, headers)).status;
  for (const origin of ['https://evil.example', 'null', 'http://localhost.evil.example'])
    expect(await statusOf({ origin })).toBe(401);
  for (const name of ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'])
    expect([name, await statusOf({ [name]: '1.1 p' })]).toEqual([name, 401]);
  expect(await statusOf({ origin: 'http://localhost:5173' })).toBe(200);
  expect(await statusOf({ origin: 'https://evil.example', via: '1.1 p', authorization: `Bearer ${alice.token}` })).toBe(200);
});

test.each([['/v1/agents/dev-mode'], ['/v1/tenant']])('a kill by %s stops them', async (path) => {
  await alice.request('POST', `${path}/kill`, { body: { reason: 'stop' } });
  expect((await agent.put({ type: 't', body: 1 })).status).toBe(403);
  await alice.request('POST', `${path}/resurrect`, { body: { reason: 'go on' } });
  expect((await agent.put({ type: 't', body: 1 })).status).toBe(200);
});
