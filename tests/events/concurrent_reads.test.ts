import { edit, record, team } from '../edits/client.ts';
import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Concurrent reads by id share statements: the answer to each caller does not depend on the other requests.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const ROUNDS = 4;

test('concurrent reads by many callers return the same as sequential ones: small, large, edited, private, foreign and absent events', async () => {
  const alice = await newTenant(daemon.url);
  const stranger = await newTenant(daemon.url);
  const [bob, carol] = [await newColleague(alice, 'bob'), await newColleague(alice, 'carol')];
  const edited = await record(alice, team('the key lies under the mat'));
  await edit(alice, edited.event_id, 'amend', { text: 'the key lies elsewhere' });
  const retracted = await record(alice, team('the door is open'));
  await edit(alice, retracted.event_id, 'retract');
  const events = [
    edited,
    retracted,
    await record(bob, message('of bob alone')),
    await record(carol, message('of carol alone')),
    await record(bob, team('small')),
    await record(bob, team('large '.repeat(20_000))),
    await record(bob, team('high', { sensitivity: 'high' })),
    await record(stranger, team('of strangers')),
  ];
  const ids = [...events.map(({ event_id }) => event_id), 'evt_00000000000000000000000000'];
  const read = (client: Client) => (id: string) => client.request('GET', `/v1/events/${id}`);
  const callers = [alice, bob, carol, stranger];
  const seen = (answers: { status: number; body: any }[]) =>
    answers.map(({ status, body }) => (status === 200 ? JSON.stringify(body) : status));

  const apart: unknown[] = [];
  for (const caller of callers) for (const id of ids) apart.push(...seen([await read(caller)(id)]));
  expect(apart.filter((one) => one === 404).length).toBeGreaterThan(callers.length);
  for (let round = 0; round < ROUNDS; round += 1) {
    const together = await Promise.all(callers.flatMap((caller) => ids.map(read(caller))));
    expect(seen(together)).toEqual(apart);
  }
});
