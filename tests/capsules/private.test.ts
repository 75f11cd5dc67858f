import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const capsule = (by: Client, items: string[], more: object = {}) =>
  by.request('POST', '/v1/capsules', { body: { items, audience: { users: ['carol'] }, channel: 'private', ...more } });
const record = async (by: Client, text: string, more: object = {}) =>
  (await by.request('POST', '/v1/events', { body: message(text, { actor: { type: 'human', id: by.username }, ...more }) })).body;

test('an admin can share only its own private items, also when writing for another user', async () => {
  const alice = await newTenant(daemon.url);
  const [bob, carol] = [await newColleague(alice), await newColleague(alice, 'carol')];
  const { event_id } = await record(bob, 'bob is ill');
  const shared = await record(bob, 'the build is red', { channel: 'team' });
  for (const more of [{}, { user_id: 'bob' }]) {
    const { status, body } = await capsule(alice, [shared.event_id, event_id], more);
    expect([status, body.errors]).toEqual([404, [{ pointer: '#/items/1', detail: expect.any(String) }]]);
  }
  const forBob = await capsule(alice, [shared.event_id], { user_id: 'bob' });
  expect([forBob.status, forBob.body.items[0].text]).toEqual([201, 'the build is red']);
  const own = await record(alice, 'alice is ill');
  expect((await capsule(alice, [own.event_id])).status).toBe(201);
  const made = await capsule(bob, [event_id]);
  expect(made.status).toBe(201);
  const got = await carol.request('GET', `/v1/capsules/${made.body.capsule_id}`);
  expect(got.body.items[0].text).toBe('bob is ill');
});
