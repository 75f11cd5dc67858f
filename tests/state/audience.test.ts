import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../webhooks/receiver.ts';
import { del, get, put, type Row } from './client.ts';

// Events of state have the audience of their object, in the list of events and for webhooks.

let daemon: TestDaemon;
let [alice, bob, carol]: Client[] = [];
beforeAll(async () => {
  daemon = await startTestDaemon({ WEBHOOK_ALLOW_PRIVATE: 'true' });
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
  [bob, carol] = [await newColleague(alice, 'bob'), await newColleague(alice, 'carol')];
});
afterAll(() => daemon.stop());

/** Puts an object of each audience, whose key is the audience, and deletes or lets expire some of them. */
async function changeAll(): Promise<void> {
  for (const channel of ['public', 'team', 'agent']) await put(alice!, channel, { body: 1, channel });
  await put(bob!, 'of bob', { body: 1, channel: 'private' });
  await put(carol!, 'of carol', { body: 1, channel: 'private', ttl_seconds: 1 });
  await put(alice!, 'of p1', { body: 1, project_id: 'p1' });
  await del(bob!, 'of bob');
  await eventually(async () => (await get(carol!, 'of carol')).status === 404, 'the end of the object');
  // the next write records the expiry
  await put(carol!, 'of carol', { body: 2 });
}

const named = ({ kind, content }: Row): string => `${kind} ${content.key}`;

test('a channel lists the changes of the objects that it shows', async () => {
  await changeAll();
  const listed = async (client: Client, channel: string, more = ''): Promise<string[]> =>
    (await client.request('GET', `/v1/events?channel=${channel}${more}`)).body.data.map(named);
  const shared = ['state.put public', 'state.put team', 'state.put agent'];
  const ofBob = ['state.put of bob', 'state.deleted of bob'];
  const ofCarol = ['state.put of carol', 'state.expired of carol', 'state.put of carol'];
  expect(await listed(carol!, 'public')).toEqual(['state.put public']);
  expect(await listed(carol!, 'team')).toEqual(['state.put public', 'state.put team', 'state.put of p1']);
  expect(await listed(carol!, 'agent')).toEqual(['state.put public', 'state.put agent']);
  expect(await listed(bob!, 'private')).toEqual([...shared, ofBob[0], 'state.put of p1', ofBob[1]]);
  expect(await listed(carol!, 'private')).toEqual([...shared, ofCarol[0], 'state.put of p1', ofCarol[1], ofCarol[2]]);
  expect(await listed(alice!, 'private')).toEqual([...shared, 'state.put of p1']);
  expect(await listed(alice!, 'private', '&user_id=bob&kind=state.deleted')).toEqual(['state.deleted of bob']);
  expect(await listed(bob!, 'team', '&project_id=p1')).toEqual(['state.put of p1']);
});

test('a webhook receives the changes of its channels, and private ones of the users that it names', async () => {
  const [first, second, third] = [await startReceiver(), await startReceiver(), await startReceiver()];
  for (const body of [
    { url: first.url },
    { url: second.url, channels: ['private'], user_ids: ['carol'] },
    { url: third.url, channels: ['team'], filter: { kind: 'state.put', project_id: 'p1' } },
  ])
    expect((await alice!.request('POST', '/v1/webhooks', { body })).status).toBe(201);
  await changeAll();
  await put(alice!, 'last', { body: 'end', channel: 'team', project_id: 'p1' });
  await Promise.all([first.until(5), second.until(3), third.until(2)]);
  expect(first.got.map(({ event }) => named(event))).toEqual([
    ...['state.put public', 'state.put team', 'state.put agent', 'state.put of p1', 'state.put last'],
  ]);
  expect(second.got.map(({ event }) => named(event))).toEqual([
    ...['state.put of carol', 'state.expired of carol', 'state.put of carol'],
  ]);
  expect(third.got.map(({ event }) => named(event))).toEqual(['state.put of p1', 'state.put last']);
  expect(third.got[1]!.event).toMatchObject({ content: { key: 'last', body: 'end', version: 1 } });
  await Promise.all([first, second, third].map((one) => one.close()));
});
