import { type Client, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { act, decisionOf, issue, readAction, settle, usageOf } from './support.ts';

// The rights to create mandates, to act under them and to decide; the contents of events.

let daemon: TestDaemon;
let [alice, bob, carol]: Client[] = [];
beforeAll(async () => {
  daemon = await startTestDaemon({ AUDIT_WINDOW_MS: '200' });
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
  [bob, carol] = [await newColleague(alice, 'bob'), await newColleague(alice, 'carol')];
});
afterAll(() => daemon.stop());

type Row = Record<string, any>;

async function keyOf(owner: Client, more: Row = {}): Promise<Client> {
  const body = { name: 'agent', role: 'member', scopes: ['read', 'write'], ...more };
  const made = await owner.request('POST', '/auth/api-keys', { body });
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  const headers = { 'x-api-key': made.body.api_key };
  return {
    ...owner,
    request: (method, path, options = {}) =>
      send(owner.url, method, path, { ...options, headers: { ...options.headers, ...headers } }),
  };
}

const delegate = (client: Client, { mandate_id }: Row, body: Row = {}) =>
  client.request('POST', `/v1/mandates/${mandate_id}/delegate`, { body });
const decide = (client: Client, { mandate_id }: Row, action_id: string, decision = 'allow') =>
  client.request('POST', `/v1/mandates/${mandate_id}/actions/${action_id}/decide`, { body: { decision } });

test('only admins create and revoke; a member acts under mandates that are bound to them alone', async () => {
  expect((await bob!.request('POST', '/v1/mandates', { body: { agent_id: 'planner' } })).status).toBe(403);
  const mandate = await issue(alice!, { principal: 'bob' });
  expect((await bob!.request('POST', `/v1/mandates/${mandate.mandate_id}/revoke`, { body: {} })).status).toBe(403);
  expect(await decisionOf(bob!, mandate, { action_id: 'one' })).toBe('201 allow');
  expect((await settle(bob!, mandate, 'one')).status).toBe(200);
  expect(await usageOf(bob!, mandate)).toMatchObject({ spent_micros: 1 });
  for (const other of [carol!, await keyOf(carol!)]) {
    expect((await act(other, mandate)).status).toBe(404);
    expect((await settle(other, mandate, 'one')).status).toBe(404);
    expect((await delegate(other, mandate)).status).toBe(404);
    expect((await other.request('GET', `/v1/mandates/${mandate.mandate_id}`)).status).toBe(404);
    expect((await other.request('GET', `/v1/mandates/${mandate.mandate_id}/actions/one`)).status).toBe(404);
    expect((await other.request('GET', '/v1/mandates')).body.data).toEqual([]);
  }
  // the default principal is who creates it
  const own = await issue(alice!);
  expect([own.principal, (await act(bob!, own)).status, await decisionOf(await keyOf(alice!), own)]).toEqual([
    'alice',
    404,
    '201 allow',
  ]);
  const reader = await newColleague(alice!, 'rita', 'reader');
  expect((await act(reader, await issue(alice!, { principal: 'rita' }))).status).toBe(403);
});

test('a key for all subjects acts under every mandate, and a key of an agent only under those of the agent', async () => {
  const mandate = await issue(alice!, { principal: 'bob' });
  expect(await decisionOf(await keyOf(alice!, { user_id: '*' }), mandate)).toBe('201 allow');
  expect(await decisionOf(await keyOf(bob!, { agent_id: 'planner' }), mandate)).toBe('201 allow');
  expect((await act(await keyOf(bob!, { agent_id: 'writer' }), mandate)).status).toBe(403);
});

test('a key that may only write acts under its mandate and reads it, its actions and the state of its agent, but lists nothing', async () => {
  const mandate = await issue(alice!, { principal: 'bob' });
  const key = await keyOf(bob!, { scopes: ['write'] });
  expect(await decisionOf(key, mandate, { action_id: 'one' })).toBe('201 allow');
  expect((await settle(key, mandate, 'one')).status).toBe(200);
  expect(await usageOf(key, mandate)).toMatchObject({ spent_micros: 1 });
  expect(await readAction(key, mandate, 'one')).toMatchObject({ state: 'settled' });
  expect((await key.request('GET', '/v1/agents/planner')).body).toMatchObject({ state: 'active' });
  expect((await key.request('GET', `/v1/mandates/${(await issue(alice!)).mandate_id}`)).status).toBe(404);
  for (const path of ['/v1/mandates', '/v1/events']) expect((await key.request('GET', path)).status).toBe(403);
});

test('the principal that requested an action cannot decide it, and neither can another key of the same user', async () => {
  const mandate = await issue(alice!, { tool_policies: { '*': { require_approval: true } } });
  const [asking, sibling] = [
    await keyOf(alice!, { role: 'admin', scopes: ['read', 'write', 'admin'] }),
    await keyOf(alice!, { role: 'admin', scopes: ['read', 'write', 'admin'] }),
  ];
  for (const action_id of ['one', 'two']) expect(await decisionOf(asking, mandate, { action_id })).toBe('202 defer');
  expect((await decide(asking, mandate, 'one')).status).toBe(403);
  expect((await decide(sibling, mandate, 'one')).status).toBe(403);
  expect((await decide(bob!, mandate, 'one')).status).toBe(403);
  expect((await decide(alice!, mandate, 'one')).body.decision).toBe('allow');
  await act(alice!, mandate, { action_id: 'mine' });
  expect((await decide(sibling, mandate, 'mine')).status).toBe(403);
  expect((await decide(await newColleague(alice!, 'dora', 'admin'), mandate, 'mine', 'deny')).body.decision).toBe('deny');
});

test('events carry neither arguments nor amounts, and refusals are counted in the audit stream', async () => {
  const mandate = await issue(alice!, { max_cost_total_micros: 987_654, tool_policies: { pay: { require_approval: true } } });
  await act(alice!, mandate, { action_id: 'one', estimate_micros: 987_653, args: { text: 'gooseberry' } });
  await act(alice!, mandate, { action_id: 'two', tool: 'pay', args: { text: 'gooseberry' } });
  await settle(alice!, mandate, 'one', { outcome: 'success', actual_micros: 987_652 });
  for (let i = 0; i < 3; i += 1) await act(alice!, mandate, { estimate_micros: 1e9 });
  const { body } = await carol!.request('GET', '/v1/events?channel=team');
  expect(body.data.map(({ kind, channel }: Row) => [kind, channel])).toEqual(
    ['mandate.created', 'action.allowed', 'action.deferred', 'action.settled'].map((kind) => [kind, 'team']),
  );
  expect(JSON.stringify(body.data)).not.toMatch(/gooseberry|98765|1000000000/);
  expect((await readAction(alice!, mandate, 'one')).args).toBeUndefined();
  expect((await readAction(alice!, mandate, 'one')).args_hash).toBe((await readAction(alice!, mandate, 'two')).args_hash);
  const counted = async () => {
    const audit = await alice!.request('GET', '/v1/audit?action=refused');
    const refused = audit.body.data.filter(({ route }: Row) => route === 'POST /v1/mandates/{mandate_id}/actions');
    const codes = refused.filter(({ status }: Row) => status === 403).map(({ payload }: Row) => payload.codes);
    return codes.reduce((sum: number, { COST_LIMIT_EXCEEDED }: Row) => sum + COST_LIMIT_EXCEEDED, 0);
  };
  await eventually(async () => (await counted()) === 3, 'the entries of the refusals');
});

test('a secret in the arguments of a deferred action is not stored', async () => {
  const mandate = await issue(alice!, { tool_policies: { pay: { require_approval: true } } });
  const secret = `ghp_${'Ab3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6'}`;
  await act(alice!, mandate, { action_id: 'one', tool: 'pay', args: { token: secret } });
  const { args } = await readAction(alice!, mandate, 'one');
  expect(JSON.stringify(args)).not.toContain(secret);
});

const bounds = {
  principal: 'bob',
  max_cost_total_micros: 100,
  max_cost_per_call_micros: 50,
  allowed_tools: ['read_*'],
  denied_tools: ['*_secret'],
  expires_at: '2036-01-01T00:00:00Z',
  rate_limit: { max_calls: 3, window_ms: 60_000 },
  tool_policies: { 'read_*': { max_cost_per_call_micros: 40 } },
};

test('a delegation that is wider than its parent returns 422', async () => {
  const parent = await issue(alice!, bounds);
  const wider: [Row, string][] = [
    [{ max_cost_total_micros: 101 }, '#/max_cost_total_micros'],
    [{ max_cost_per_call_micros: 51 }, '#/max_cost_per_call_micros'],
    [{ allowed_tools: ['read_a', 'write'] }, '#/allowed_tools'],
    [{ allowed_tools: ['*'] }, '#/allowed_tools'],
    [{ denied_tools: ['x'] }, '#/denied_tools'],
    [{ expires_at: '2036-01-01T00:00:01Z' }, '#/expires_at'],
    [{ rate_limit: { max_calls: 3, window_ms: 59_999 } }, '#/rate_limit'],
    [{ tool_policies: { 'read_*': { max_cost_per_call_micros: 41 } } }, '#/tool_policies/read_*'],
    [{ charging: 'ATTEMPT' }, '#/charging'],
    [{ on_expiry: 'return' }, '#/on_expiry'],
  ];
  for (const [body, pointer] of wider) {
    const refused = await delegate(bob!, parent, body);
    expect([refused.status, refused.body.errors.map((error: Row) => error.pointer)]).toEqual([422, [pointer]]);
  }
});

test('a delegated mandate inherits, and counts against the whole chain', async () => {
  const parent = await issue(alice!, bounds);
  const { body: child } = await delegate(bob!, parent, {
    agent_id: 'reader',
    max_cost_total_micros: 60,
    allowed_tools: ['read_a*'],
  });
  expect(child).toMatchObject({
    ...{
      parent_id: parent.mandate_id,
      agent_id: 'reader',
      principal: 'bob',
      max_cost_per_call_micros: 50,
      expires_at: parent.expires_at,
    },
    ...{ denied_tools: ['*_secret'], tool_policies: parent.tool_policies, usage: { remaining_micros: 60 } },
  });
  const { body: sibling } = await delegate(bob!, parent);
  expect(await decisionOf(bob!, child, { tool: 'read_b' })).toBe('403 TOOL_NOT_ALLOWED');
  expect(await decisionOf(bob!, child, { tool: 'read_a_secret' })).toBe('403 TOOL_DENIED');
  expect((await act(bob!, child, { action_id: 'one', tool: 'read_a', estimate_micros: 40 })).body).toMatchObject({
    remaining_micros: 20,
    remaining_calls: 2,
  });
  expect((await act(bob!, sibling, { estimate_micros: 40 })).body).toMatchObject({ remaining_micros: 20, remaining_calls: 1 });
  // the sum of the siblings counts against the parent
  expect(await decisionOf(bob!, child, { tool: 'read_a', estimate_micros: 21 })).toBe('403 COST_LIMIT_EXCEEDED');
  expect(await decisionOf(bob!, parent, { estimate_micros: 20 })).toBe('201 allow');
  expect(await decisionOf(bob!, child, { tool: 'read_a', estimate_micros: 0 })).toBe('429 RATE_LIMIT_EXCEEDED');
  await settle(bob!, child, 'one', { outcome: 'success', actual_micros: 70 });
  expect(await usageOf(bob!, parent)).toMatchObject({
    spent_micros: 70,
    reserved_micros: 60,
    overdrawn_micros: 30,
    remaining_micros: 0,
  });
  expect(await usageOf(bob!, sibling)).toMatchObject({
    spent_micros: 0,
    reserved_micros: 40,
    overdrawn_micros: 30,
    remaining_micros: 0,
  });
  expect(await decisionOf(bob!, sibling, { estimate_micros: 0 })).toBe('403 COST_LIMIT_EXCEEDED');
});

test('a client-chosen id is taken once, and a template supplies absent fields', async () => {
  const body = { mandate_id: 'shared budget', agent_id: 'planner', template: 'restricted', max_cost_total_micros: 7 };
  const answers = await Promise.all(Array.from({ length: 5 }, () => alice!.request('POST', '/v1/mandates', { body })));
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409]);
  const { body: mandate } = await alice!.request('GET', `/v1/mandates/${encodeURIComponent('shared budget')}`);
  expect(mandate).toMatchObject({
    template: 'restricted',
    max_cost_total_micros: 7,
    max_cost_per_call_micros: 100_000,
    status: 'active',
  });
  const temporary = await issue(alice!, { template: 'temporary' });
  expect(Date.parse(temporary.expires_at) - Date.now()).toBeLessThanOrEqual(3_600_000);
  for (const mandate_id of ['man_1', 'erased_1', '..', 'a\u0000'])
    expect((await alice!.request('POST', '/v1/mandates', { body: { ...body, mandate_id } })).status).toBeGreaterThanOrEqual(400);
});

test('an Idempotency-Key repeats the answer of every write', async () => {
  const headers = { 'idempotency-key': 'one' };
  const make = () =>
    alice!.request('POST', '/v1/mandates', { body: { agent_id: 'planner', max_cost_total_micros: 10 }, headers });
  const [first, again] = [await make(), await make()];
  expect([again.body, again.headers.get('idempotent-replay')]).toEqual([first.body, 'true']);
  const ask = () => act(alice!, first.body, { action_id: 'one', estimate_micros: 3 }, { headers });
  const [asked, repeated] = [await ask(), await ask()];
  expect([repeated.status, repeated.body, repeated.headers.get('idempotent-replay')]).toEqual([201, asked.body, 'true']);
  // the request of another caller is not a retry
  const other = await act(
    alice!,
    first.body,
    { action_id: 'one', estimate_micros: 3 },
    { headers: { 'idempotency-key': 'two' } },
  );
  expect(other.body).toEqual(asked.body);
  expect([asked, repeated, other].map((one) => one.headers.get('action-repeated'))).toEqual([null, null, 'true']);
  expect(await usageOf(alice!, first.body)).toMatchObject({ calls: 1, reserved_micros: 3 });
});
