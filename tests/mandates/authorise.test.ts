import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { act, decisionOf, issue, readAction, settle, usageOf } from './support.ts';

// Authorisation and settlement through HTTP: the order of the checks, the rules of charging, and what a refusal leaves behind.

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

test('a budget of 10 allows ten calls of 1, and the eleventh returns COST_LIMIT_EXCEEDED', async () => {
  const mandate = await issue(alice, { max_cost_total_micros: 10 * UNIT, max_cost_per_call_micros: UNIT });
  const first = await act(alice, mandate, { action_id: 'first', estimate_micros: UNIT / 2 });
  expect([first.status, first.body]).toEqual([
    201,
    {
      action_id: 'first',
      decision: 'allow',
      reserved_micros: UNIT / 2,
      remaining_micros: 9.5 * UNIT,
      expires_at: expect.stringMatching(/Z$/),
    },
  ]);
  expect((await settle(alice, mandate, 'first', { outcome: 'failure' })).body).toEqual({
    action_id: 'first',
    charged_micros: 0,
    remaining_micros: 10 * UNIT,
  });
  for (let i = 0; i < 10; i += 1) {
    expect(await decisionOf(alice, mandate, { action_id: `call ${i}`, estimate_micros: UNIT })).toBe('201 allow');
    await settle(alice, mandate, `call ${i}`);
  }
  const refused = await act(alice, mandate, { estimate_micros: UNIT / 2 });
  expect([refused.status, refused.body.code, refused.body.hard]).toEqual([403, 'COST_LIMIT_EXCEEDED', true]);
  expect(await usageOf(alice, mandate)).toEqual({
    spent_micros: 10 * UNIT,
    reserved_micros: 0,
    remaining_micros: 0,
    calls: 11,
    overdrawn_micros: 0,
  });
});

test('a repetition returns the stored answer, and another request under its id DUPLICATE_ACTION', async () => {
  const mandate = await issue(alice, { max_cost_total_micros: 100 });
  const [first, again] = [
    await act(alice, mandate, { action_id: 'one', estimate_micros: 40 }),
    await act(alice, mandate, { action_id: 'one', estimate_micros: 40 }),
  ];
  expect([again.status, again.body, again.headers.get('idempotent-replay')]).toEqual([201, first.body, 'true']);
  const other = await act(alice, mandate, { action_id: 'one', estimate_micros: 41 });
  expect([other.status, other.body.code, other.body.hard]).toEqual([409, 'DUPLICATE_ACTION', true]);
  const settled = await settle(alice, mandate, 'one', { outcome: 'success', actual_micros: 30 });
  expect((await settle(alice, mandate, 'one', { outcome: 'success', actual_micros: 30 })).body).toEqual(settled.body);
  expect((await settle(alice, mandate, 'one', { outcome: 'success', actual_micros: 31 })).status).toBe(409);
  expect((await act(alice, mandate, { action_id: 'one', estimate_micros: 40 })).body).toEqual(first.body);
  expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: 30, reserved_micros: 0, calls: 1 });
});

test('the checks apply in their order, and a refusal uses neither money nor calls', async () => {
  const mandate = await issue(alice, {
    max_cost_total_micros: 100,
    max_cost_per_call_micros: 50,
    allowed_tools: ['read_*', 'write_*'],
    denied_tools: ['*_dangerous'],
    strict_tools: true,
    rate_limit: { max_calls: 3, window_ms: 60_000 },
    tool_policies: {
      'read_*': { max_cost_per_call_micros: 20, rate_limit: { max_calls: 2, window_ms: 60_000 } },
      read_file: {
        args_schema: { type: 'object', properties: { path: { type: 'string', pattern: '^/tmp/' } }, required: ['path'] },
      },
    },
  });
  const ok = { args: { path: '/tmp/a' } };
  expect(await decisionOf(alice, mandate, { tool: 'read_dangerous', estimate_micros: 1000 })).toBe('403 TOOL_DENIED');
  expect(await decisionOf(alice, mandate, { tool: 'delete', estimate_micros: 1000 })).toBe('403 TOOL_NOT_ALLOWED');
  expect(await decisionOf(alice, mandate, { tool: 'write_file', estimate_micros: 1000 })).toBe('403 UNKNOWN_TOOL');
  expect(await decisionOf(alice, mandate, { args: { path: '/etc' }, estimate_micros: 1000 })).toBe(
    '403 ARGUMENT_VALIDATION_FAILED',
  );
  expect(await decisionOf(alice, mandate, { ...ok, estimate_micros: 21 })).toBe('403 COST_LIMIT_EXCEEDED');
  expect(await usageOf(alice, mandate)).toMatchObject({ calls: 0, spent_micros: 0, reserved_micros: 0 });
  for (let i = 0; i < 2; i += 1) expect(await decisionOf(alice, mandate, { ...ok, estimate_micros: 20 })).toBe('201 allow');
  const limited = await act(alice, mandate, { ...ok, estimate_micros: 20 });
  expect([limited.status, limited.body.code, limited.body.hard, limited.body.retry_after_ms > 0]).toEqual([
    429,
    'RATE_LIMIT_EXCEEDED',
    false,
    true,
  ]);
  expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0);
  // model calls are not subject to the rules of tools
  const model = { type: 'llm_call', model: 'm' };
  expect(await decisionOf(alice, mandate, { ...model, estimate_micros: 51 })).toBe('403 COST_LIMIT_EXCEEDED');
  expect(await decisionOf(alice, mandate, { ...model, estimate_micros: 50 })).toBe('201 allow');
  // the total before the rate of the agent
  expect(await decisionOf(alice, mandate, { ...model, estimate_micros: 11 })).toBe('403 COST_LIMIT_EXCEEDED');
  expect(await decisionOf(alice, mandate, { ...model, estimate_micros: 10 })).toBe('429 RATE_LIMIT_EXCEEDED');
  expect(await usageOf(alice, mandate)).toMatchObject({ calls: 3, spent_micros: 0, reserved_micros: 90, remaining_micros: 10 });
});

test('zero is zero, absent is unlimited, and an empty list of tools allows none', async () => {
  expect(await decisionOf(alice, await issue(alice, { max_cost_total_micros: 0 }))).toBe('403 COST_LIMIT_EXCEEDED');
  expect(await decisionOf(alice, await issue(alice, { max_cost_total_micros: 0 }), { estimate_micros: 0 })).toBe('201 allow');
  expect(await decisionOf(alice, await issue(alice, { allowed_tools: [] }))).toBe('403 TOOL_NOT_ALLOWED');
  expect(
    await decisionOf(alice, await issue(alice, { rate_limit: { max_calls: 0, window_ms: 1000 } }), { estimate_micros: 0 }),
  ).toBe('429 RATE_LIMIT_EXCEEDED');
  const unlimited = await issue(alice);
  expect((await act(alice, unlimited, { estimate_micros: 1e15 })).body.remaining_micros).toBeNull();
});

test.each([
  ['read_*', 'read_file', true],
  ['*_dangerous', 'very_dangerous', true],
  ['read_*_sync', 'read_all_sync', true],
  ['read_*_sync', 'read_sync', false],
  ['*', 'anything', true],
  ['read', 'reader', false],
])('the pattern %s and the tool %s: %s', async (pattern, tool, allowed) => {
  expect(await decisionOf(alice, await issue(alice, { allowed_tools: [pattern] }), { tool })).toBe(
    allowed ? '201 allow' : '403 TOOL_NOT_ALLOWED',
  );
  expect(await decisionOf(alice, await issue(alice, { denied_tools: [pattern] }), { tool })).toBe(
    allowed ? '403 TOOL_DENIED' : '201 allow',
  );
});

const tiered = { tiered: { attempt_micros: 2, success_micros: 5, verification_micros: 3 } };
test.each([
  ['SUCCESS', { outcome: 'failure', actual_micros: 9 }, 0],
  ['SUCCESS', { outcome: 'success' }, 10],
  ['SUCCESS', { outcome: 'success', actual_micros: 4 }, 4],
  ['SUCCESS', { outcome: 'success', verified: false }, 0],
  ['ATTEMPT', { outcome: 'failure' }, 10],
  ['ATTEMPT', { outcome: 'failure', actual_micros: 3 }, 3],
  [tiered, { outcome: 'failure' }, 2],
  [tiered, { outcome: 'success' }, 7],
  [tiered, { outcome: 'success', verified: true, actual_micros: 99 }, 10],
  [{ custom: 'mine' }, { outcome: 'failure', actual_micros: 6 }, 6],
])('the charge by %j for %j is %i', async (charging, body, charge) => {
  const mandate = await issue(alice, { charging, max_cost_total_micros: 100 });
  await act(alice, mandate, { action_id: 'one', estimate_micros: 10 });
  expect((await settle(alice, mandate, 'one', body)).body).toMatchObject({
    charged_micros: charge,
    remaining_micros: 100 - charge,
  });
  expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: charge, reserved_micros: 0 });
});

test('a failure that charged nothing may be repeated under its id', async () => {
  const mandate = await issue(alice, { max_cost_total_micros: 10 });
  await act(alice, mandate, { action_id: 'one', estimate_micros: 10 });
  await settle(alice, mandate, 'one', { outcome: 'failure' });
  expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: 0, reserved_micros: 0 });
  expect(await decisionOf(alice, mandate, { action_id: 'one', estimate_micros: 10 })).toBe('201 allow');
  expect((await settle(alice, mandate, 'one')).body.charged_micros).toBe(10);
  expect(await decisionOf(alice, mandate, { estimate_micros: 1 })).toBe('403 COST_LIMIT_EXCEEDED');
});

test('tokens are charged by the most specific price and round up; without a price they return 422', async () => {
  const price = (input: number, output: number) => ({ input_micros_per_million: input, output_micros_per_million: output });
  const mandate = await issue(alice, { pricing: { 'gpt-*': price(1_500_000, 2_000_000), 'gpt-mini': price(1, 1) } });
  const call = (action_id: string, model: string) =>
    act(alice, mandate, { action_id, type: 'llm_call', model, estimate_micros: 50 });
  await call('one', 'gpt-large');
  expect((await settle(alice, mandate, 'one', { outcome: 'success', tokens: { input: 3, output: 1 } })).body.charged_micros).toBe(
    7,
  );
  await call('two', 'gpt-mini');
  expect((await settle(alice, mandate, 'two', { outcome: 'success', tokens: { input: 3, output: 1 } })).body.charged_micros).toBe(
    1,
  );
  await call('three', 'other');
  expect((await settle(alice, mandate, 'three', { outcome: 'success', tokens: { input: 3, output: 1 } })).status).toBe(422);
  expect(
    (await settle(alice, mandate, 'three', { outcome: 'success', tokens: { input: 3, output: 1 }, actual_micros: 4 })).body
      .charged_micros,
  ).toBe(4);
});

test('an action that is not settled in time is charged by its rule, and a late settlement corrects that', async () => {
  const lease_ms = 100;
  const cases = [
    [{}, {}, 0],
    [{ charging: 'ATTEMPT' }, {}, 10],
    [{ charging: tiered }, {}, 2],
    [{ on_expiry: 'charge' }, {}, 10],
    [{ charging: 'ATTEMPT', on_expiry: 'return' }, {}, 0],
    [{}, { type: 'llm_call', model: 'm' }, 10],
    [{ on_expiry: 'return' }, { type: 'llm_call', model: 'm' }, 0],
  ] as const;
  for (const [terms, more, charge] of cases) {
    const mandate = await issue(alice, { ...terms, max_cost_total_micros: 15 });
    await act(alice, mandate, { action_id: 'one', estimate_micros: 10, lease_ms, ...more });
    await eventually(async () => (await usageOf(alice, mandate)).reserved_micros === 0, 'the end of the lease');
    expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: charge, remaining_micros: 15 - charge });
    expect(await readAction(alice, mandate, 'one')).toMatchObject({
      state: 'expired',
      code: 'EXECUTION_TIMEOUT',
      charged_micros: charge,
    });
    const late = await settle(alice, mandate, 'one', { outcome: 'success', actual_micros: 20 });
    const expected = 'charging' in terms && typeof terms.charging === 'object' ? 7 : 20;
    expect(late.body).toMatchObject({ charged_micros: expected, late: true, code: 'EXECUTION_TIMEOUT' });
    expect(late.body.overdrawn_micros).toBe(expected > 15 ? 5 : undefined);
    expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: expected, overdrawn_micros: Math.max(0, expected - 15) });
    if (expected > 15) expect(await decisionOf(alice, mandate, { estimate_micros: 0 })).toBe('403 COST_LIMIT_EXCEEDED');
  }
});

test('a window of a rate limit slides, and the limits of a tool and of the mandate are independent', async () => {
  const window_ms = 400;
  const mandate = await issue(alice, {
    rate_limit: { max_calls: 5, window_ms: 60_000 },
    tool_policies: { 'read_*': { rate_limit: { max_calls: 1, window_ms } } },
  });
  expect(await decisionOf(alice, mandate)).toBe('201 allow');
  expect(await decisionOf(alice, mandate, { tool: 'write' })).toBe('201 allow');
  await eventually(async () => (await decisionOf(alice, mandate)) === '201 allow', 'the end of the window');
  const body = (await act(alice, mandate, { tool: 'write' })).body;
  expect(body).toMatchObject({ decision: 'allow', remaining_calls: 1 });
  expect(await decisionOf(alice, mandate, { tool: 'write' })).toBe('201 allow');
  expect(await decisionOf(alice, mandate, { tool: 'write' })).toBe('429 RATE_LIMIT_EXCEEDED');
});

test('a replay comes before an expiry, and a revocation ends a mandate with those delegated from it', async () => {
  const mandate = await issue(alice, { expires_at: '2026-01-01T00:00:00Z' });
  expect(await decisionOf(alice, mandate)).toBe('403 MANDATE_EXPIRED');
  const parent = await issue(alice);
  const { body: child } = await alice.request('POST', `/v1/mandates/${parent.mandate_id}/delegate`, { body: {} });
  const before = await act(alice, child, { action_id: 'one' });
  const revoked = await alice.request('POST', `/v1/mandates/${parent.mandate_id}/revoke`, { body: { reason: 'done' } });
  expect([revoked.status, revoked.body.status]).toEqual([200, 'revoked']);
  expect((await act(alice, child, { action_id: 'one' })).body).toEqual(before.body);
  expect(await decisionOf(alice, child, { tool: 'denied' })).toBe('403 MANDATE_EXPIRED');
  expect((await settle(alice, child, 'one')).status).toBe(200);
});

test.each([-1, 0.5, 1e16, '1', null])('the amount %j returns 422', async (amount) => {
  const mandate = await issue(alice);
  expect((await act(alice, mandate, { estimate_micros: amount })).status).toBe(422);
  expect((await alice.request('POST', '/v1/mandates', { body: { agent_id: 'a', max_cost_total_micros: amount } })).status).toBe(
    422,
  );
  await act(alice, mandate, { action_id: 'one' });
  expect((await settle(alice, mandate, 'one', { outcome: 'success', actual_micros: amount })).status).toBe(422);
});

test('a deferred action reserves its cost and is decided once, by another than who asked', async () => {
  const bob = await newColleague(alice, 'bob', 'admin');
  const mandate = await issue(alice, {
    max_cost_total_micros: 10,
    tool_policies: { pay: { require_approval: true, args_schema: { type: 'object' } } },
  });
  const ask = { action_id: 'one', tool: 'pay', args: { to: 'carol' }, estimate_micros: 6 };
  const first = await act(alice, mandate, ask);
  expect([first.status, first.body]).toMatchObject([202, { decision: 'defer', reserved_micros: 6, remaining_micros: 4 }]);
  expect((await settle(alice, mandate, 'one')).status).toBe(409);
  expect(await readAction(bob, mandate, 'one')).toMatchObject({
    state: 'open',
    decision: 'defer',
    args: { to: 'carol' },
    reserved_micros: 6,
  });
  const decide = (client: Client, action_id: string, decision: string) =>
    client.request('POST', `/v1/mandates/${mandate.mandate_id}/actions/${action_id}/decide`, {
      body: { decision, note: 'seen' },
    });
  expect((await decide(alice, 'one', 'allow')).status).toBe(403);
  const allowed = await decide(bob, 'one', 'allow');
  expect([allowed.status, allowed.body]).toMatchObject([
    201,
    { action_id: 'one', decision: 'allow', reserved_micros: 6, remaining_micros: 4 },
  ]);
  expect((await decide(bob, 'one', 'deny')).status).toBe(409);
  expect((await act(alice, mandate, ask)).body).toEqual(allowed.body);
  expect((await readAction(bob, mandate, 'one')).args).toBeUndefined();
  expect((await settle(alice, mandate, 'one')).body).toMatchObject({ charged_micros: 6, remaining_micros: 4 });
  await act(alice, mandate, { ...ask, action_id: 'two', estimate_micros: 4 });
  const denied = await decide(bob, 'two', 'deny');
  expect([denied.status, denied.body]).toMatchObject([200, { decision: 'deny', reserved_micros: 0, remaining_micros: 4 }]);
  expect(await decisionOf(alice, mandate, { ...ask, action_id: 'two', estimate_micros: 4 })).toBe('403 TOOL_DENIED');
  expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: 6, reserved_micros: 0 });
});
