import { newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('a memory that a change makes secret is handed to nobody', async () => {
  const alice = await newTenant(daemon.url);
  const ask = (method: string, path: string, body: unknown) => alice.ask(method, path, { body });
  const { memory_id } = (await ask('POST', '/v1/memories', { kind: 'note', text: 'how to log in', channel: 'team' })).body;
  const capsule = { title: 't', items: [memory_id], audience: { agents: ['scout'] }, channel: 'team' };
  expect((await ask('POST', '/v1/capsules', capsule)).status).toBe(201);
  const text = `log in with ghp_${'a1B2c3D4e5F6'.repeat(3)}`;
  expect((await ask('PATCH', `/v1/memories/${memory_id}`, { text })).body.sensitivity).toBe('secret');
  const refused = await ask('POST', '/v1/capsules', capsule);
  expect([refused.status, refused.body.errors?.[0].pointer]).toEqual([404, '#/items/0']);
});
