import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { decide, edit, record, team } from './client.ts';

let daemon: TestDaemon;
let alice: Client;
let bob: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
  bob = await newColleague(alice);
  await alice.request('PATCH', '/v1/tenant', {
    body: { settings: { secrets: { mode: 'encrypt' } } },
    headers: { 'content-type': 'application/merge-patch+json' },
  });
});
afterAll(() => daemon.stop());

const text = 'password = Tr0ub4dor-and-3, said bob';
const reveal = async (by: Client, event_id: string) => {
  const { status, body } = await by.request('POST', `/v1/events/${event_id}/reveal`);
  return status === 200 ? body.content.text : status;
};

test.each([
  ['retract', undefined],
  ['amend', { text: 'bob said nothing' }],
])('after %s only an admin can reveal the original', async (op, patch) => {
  const event = await record(bob, team(text, { actor: { type: 'human', id: 'bob' } }));
  expect([await reveal(bob, event.event_id), await reveal(alice, event.event_id)]).toEqual([text, text]);
  const made = await edit(alice, event.event_id, op, patch);
  expect([await reveal(bob, event.event_id), await reveal(alice, event.event_id)]).toEqual([404, text]);
  await decide(alice, made.edit_id, 'revert');
  expect(await reveal(bob, event.event_id)).toBe(text);
});

test('after an amendment of its memory the subject cannot reveal the original', async () => {
  const body = { kind: 'fact', text, scope: 'session', session_id: 's', channel: 'team' };
  const made = (await bob.request('POST', '/v1/memories', { body })).body;
  expect(await reveal(bob, made.event_id)).toBe(text);
  await edit(alice, made.memory_id, 'amend', { text: 'bob said nothing' });
  expect(await reveal(bob, made.event_id)).toBe(404);
});

test('an event blocked in one channel can be revealed in others', async () => {
  const event = await record(bob, team(text, { actor: { type: 'human', id: 'bob' } }));
  await edit(alice, event.event_id, 'block', { channel: 'team' });
  expect(await reveal(bob, event.event_id)).toBe(text);
  for (const channel of ['private', 'agent']) await edit(alice, event.event_id, 'block', { channel });
  const key = (
    await bob.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read'], channels: ['team'] } })
  ).body;
  const limited = { ...bob, request: bob.request };
  const answer = await fetch(`${daemon.url}/v1/events/${event.event_id}/reveal`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key.api_key}` },
  });
  expect([answer.status, await reveal(limited, event.event_id)]).toEqual([404, text]);
});
