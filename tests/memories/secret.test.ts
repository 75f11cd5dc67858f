import { newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('a secret in a changed text is redacted and the memory keeps its channel', async () => {
  const alice = await newTenant(daemon.url);
  const request = (method: string, path: string, body: unknown) => alice.request(method, path, { body });
  const { memory_id } = (await request('POST', '/v1/memories', { kind: 'note', text: 'how to log in', channel: 'team' })).body;
  const capsule = { title: 't', items: [memory_id], audience: { agents: ['scout'] }, channel: 'team' };
  expect((await request('POST', '/v1/capsules', capsule)).status).toBe(201);
  const text = `log in with ghp_${'a1B2c3D4e5F6'.repeat(3)}`;
  const changed = (await request('PATCH', `/v1/memories/${memory_id}`, { text })).body;
  expect([changed.text, changed.sensitivity, changed.redactions]).toEqual(['log in with [redacted:github-token]', 'none', 1]);
  const tagged = (await request('PATCH', `/v1/memories/${memory_id}`, { tags: ['t'] })).body;
  expect([tagged.redactions, (await alice.request('GET', `/v1/memories/${memory_id}`)).body.redactions]).toEqual([1, 1]);
  const found = await request('POST', '/v1/search', { query: 'log in with', channel: 'team' });
  expect(found.body.data.map((hit: { text: string }) => hit.text)).toEqual(['log in with [redacted:github-token]']);
  expect((await request('POST', '/v1/capsules', capsule)).status).toBe(201);
  const plain = (await request('PATCH', `/v1/memories/${memory_id}`, { text: 'log in as ever' })).body;
  expect(plain.redactions).toBe(undefined);
});
