import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { act, decisionOf, issue, settle, usageOf } from './support.ts';

// Actions that meet in one batch of the group commit. exact.test.ts does this over several daemons.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const UNIT = 1_000_000;

test.each([
  [10 * UNIT, 5.5 * UNIT],
  [UNIT, 0.6 * UNIT],
])('of concurrent actions that together exceed a budget of %i, one of %i is allowed', async (limit, estimate_micros) => {
  const mandate = await issue(alice, { max_cost_total_micros: limit });
  const decisions = await Promise.all(
    ['one', 'two'].map((action_id) => decisionOf(alice, mandate, { action_id, estimate_micros })),
  );
  expect(decisions.sort()).toEqual(['201 allow', '403 COST_LIMIT_EXCEEDED']);
  await Promise.all(['one', 'two'].map((action_id) => settle(alice, mandate, action_id)));
  expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: estimate_micros, reserved_micros: 0, calls: 1 });
});

test('concurrent repetitions of an action and of its settlement are charged once', async () => {
  const mandate = await issue(alice, { max_cost_total_micros: 100 });
  const repeat = <T>(work: () => Promise<T>) => Promise.all(Array.from({ length: 20 }, work));
  const asked = await repeat(() => act(alice, mandate, { action_id: 'one', estimate_micros: 60 }));
  expect(new Set(asked.map(({ status, body }) => JSON.stringify([status, body]))).size).toBe(1);
  const settled = await repeat(() => settle(alice, mandate, 'one', { outcome: 'success', actual_micros: 50 }));
  expect(new Set(settled.map(({ status, body }) => JSON.stringify([status, body]))).size).toBe(1);
  expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: 50, reserved_micros: 0, calls: 1, remaining_micros: 50 });
});
