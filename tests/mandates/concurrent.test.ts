import { clientAt } from '../leases/support.ts';
import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { onEmbedded } from '../support/database.ts';
import { act, decisionOf, issue, settle, usageOf } from './support.ts';

// Actions that meet in one batch of the group commit, and those on two daemons. exact.test.ts has random costs and a kill.

let daemons: TestDaemon[];
let alice: Client;
let clients: Client[];
beforeAll(async () => {
  const first = await startTestDaemon();
  daemons = onEmbedded() ? [first] : [first, await startTestDaemon({}, first.env)];
});
beforeEach(async () => {
  alice = await newTenant(daemons[0]!.url);
  clients = daemons.map(({ url }) => clientAt(url, alice));
});
afterAll(async () => {
  for (const daemon of [...daemons].reverse()) await daemon.stop();
});

/** The user on one of the daemons. */
const at = (place: number): Client => clients[place % clients.length]!;

const UNIT = 1_000_000;

test.each([
  [10 * UNIT, 5.5 * UNIT, 1],
  [10 * UNIT, 5.5 * UNIT, 2],
  [UNIT, 0.6 * UNIT, 1],
  [UNIT, 0.6 * UNIT, 2],
])(
  'of concurrent actions that together exceed a budget of %i, one of %i is allowed on %i daemons',
  async (limit, estimate_micros, on) => {
    const mandate = await issue(alice, { max_cost_total_micros: limit });
    const decisions = await Promise.all(
      ['one', 'two'].map((action_id, i) => decisionOf(at(i % on), mandate, { action_id, estimate_micros })),
    );
    expect(decisions.sort()).toEqual(['201 allow', '403 COST_LIMIT_EXCEEDED']);
    await Promise.all(['one', 'two'].map((action_id) => settle(alice, mandate, action_id)));
    expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: estimate_micros, reserved_micros: 0, calls: 1 });
  },
);

test('concurrent repetitions of an action and of its settlement are charged once', async () => {
  const mandate = await issue(alice, { max_cost_total_micros: 100 });
  const repeat = <T>(work: (client: Client) => Promise<T>) => Promise.all(Array.from({ length: 20 }, (_, i) => work(at(i))));
  const asked = await repeat((client) => act(client, mandate, { action_id: 'one', estimate_micros: 60 }));
  expect(new Set(asked.map(({ status, body }) => JSON.stringify([status, body]))).size).toBe(1);
  const settled = await repeat((client) => settle(client, mandate, 'one', { outcome: 'success', actual_micros: 50 }));
  expect(new Set(settled.map(({ status, body }) => JSON.stringify([status, body]))).size).toBe(1);
  expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: 50, reserved_micros: 0, calls: 1, remaining_micros: 50 });
});
