import { erase, waitForJob } from '../erasure/support.ts';
import { exportTenant, importFile, linesOf } from '../export/file.ts';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Policies, rules and composed mandates, through HTTP.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

type Row = Record<string, any>;
const send = (client: Client, method: string, path: string, body?: Row, headers: Record<string, string> = {}) =>
  client.request(method, path, { ...(body && { body }), headers });
async function make(path: 'policies' | 'rules', body: Row): Promise<Row> {
  const made = await send(alice, 'POST', `/v1/${path}`, { name: 'a name', ...body });
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  return made.body;
}
const issue = (agent_id: string, context: Row, more: Row = {}) =>
  send(alice, 'POST', '/v1/mandates/issue', { agent_id, context, ...more });

test('versions of a policy never change, and each can be read', async () => {
  const first = await make('policies', { max_cost_total_micros: 5, allowed_tools: ['read_*'], description: 'for reading' });
  const path = `/v1/policies/${first.policy_id}`;
  expect(first).toMatchObject({ version: 1, max_cost_total_micros: 5, description: 'for reading' });
  const changed = await send(alice, 'PUT', path, { name: 'other', max_cost_total_micros: 9 }, { 'If-Match': '"1"' });
  expect([changed.status, changed.headers.get('etag'), changed.body.allowed_tools]).toEqual([200, '"2"', undefined]);
  expect((await send(alice, 'PUT', path, { name: 'late' }, { 'If-Match': '"1"' })).status).toBe(412);
  expect((await send(alice, 'GET', `${path}?version=1`)).body).toEqual(first);
  expect((await send(alice, 'GET', path)).body.version).toBe(2);
  expect((await send(alice, 'GET', `${path}?version=3`)).status).toBe(404);
  const page = (await send(alice, 'GET', `${path}/versions?limit=1`)).body;
  const next = (await send(alice, 'GET', `${path}/versions?limit=1&cursor=${page.next_cursor}`)).body;
  expect([page, next].map(({ data }) => data.map(({ version }: Row) => version))).toEqual([[2], [1]]);
  expect((await send(alice, 'GET', '/v1/policies')).body.data).toEqual([changed.body]);
});

test('a retry returns the committed version, also after a later one', async () => {
  const headers = { 'Idempotency-Key': 'p1' };
  const body = { name: 'once', max_cost_total_micros: 1 };
  const made = await send(alice, 'POST', '/v1/policies', body, headers);
  await send(alice, 'PUT', `/v1/policies/${made.body.policy_id}`, { name: 'later' });
  const again = await send(alice, 'POST', '/v1/policies', body, headers);
  expect([again.body, again.headers.get('idempotent-replay')]).toEqual([made.body, 'true']);
  expect((await send(alice, 'POST', '/v1/policies', { name: 'other' }, headers)).status).toBe(409);
  const same = await Promise.all([1, 2, 3].map(() => send(alice, 'POST', '/v1/policies', body, { 'Idempotency-Key': 'p2' })));
  expect(new Set(same.map(({ body: { policy_id } }) => policy_id)).size).toBe(1);
});

test('a policy that a rule names cannot be deleted, and a rule names only policies that exist', async () => {
  const { policy_id } = await make('policies', {});
  const { rule_id } = await make('rules', { conditions: [], policy_ids: [policy_id] });
  expect((await send(alice, 'DELETE', `/v1/policies/${policy_id}`)).status).toBe(409);
  const missing = await send(alice, 'PUT', `/v1/rules/${rule_id}`, {
    name: 'x',
    conditions: [],
    policy_ids: [policy_id, 'pol_x'],
  });
  expect([missing.status, missing.body.errors[0].pointer]).toEqual([404, '#/policy_ids/1']);
  expect((await send(alice, 'DELETE', `/v1/rules/${rule_id}`)).status).toBe(204);
  expect((await send(alice, 'DELETE', `/v1/policies/${policy_id}`)).status).toBe(204);
  expect((await send(alice, 'GET', `/v1/policies/${policy_id}?version=1`)).status).toBe(404);
});

test('only admins read and write policies and rules, and issue mandates', async () => {
  const bob = await newColleague(alice);
  const attempts = [
    ['POST', '/v1/policies', { name: 'x' }],
    ['GET', '/v1/policies'],
    ['POST', '/v1/rules', { name: 'x', conditions: [], policy_ids: ['pol_1'] }],
    ['GET', '/v1/rules'],
    ['POST', '/v1/mandates/issue', { agent_id: 'planner', context: {} }],
  ] as const;
  for (const [method, path, body] of attempts) expect((await send(bob, method, path, body)).status).toBe(403);
});

test('conditions and terms are validated, with the place of each fault', async () => {
  const body = { name: 'x', conditions: [{ and: [{ field: 'a', operator: '=~', value: 1 }] }], policy_ids: ['pol_1'] };
  const refused = await send(alice, 'POST', '/v1/rules', body);
  expect([refused.status, refused.body.errors[0].pointer]).toEqual([422, '#/conditions/0/and/0/operator']);
  expect((await send(alice, 'POST', '/v1/policies', { name: 'x', max_cost_total_micros: -1 })).status).toBe(422);
  expect((await send(alice, 'POST', '/v1/policies', { name: 'x', budget: 1 })).status).toBe(422);
  expect((await issue('planner', { text: 'x'.repeat(20_000) })).status).toBe(422);
});

test('rules, policies and mandates have a limited size, also the numbers that the database writes in full', async () => {
  const { policy_id } = await make('policies', {});
  const within = (value: unknown[]) => ({
    name: 'x',
    conditions: [{ field: 'a', operator: 'in', value }],
    policy_ids: [policy_id],
  });
  const tools = (length: number) => ({ allowed_tools: Array.from({ length }, (_, i) => `${i}`.padEnd(250, 'x')) });
  const numbers = Array.from({ length: 256 }, () => 1e300);
  const schema = { tool_policies: { x: { args_schema: { enum: numbers } } } };
  const attempts: [number, string, Row][] = [
    [413, '/v1/rules', within(Array.from({ length: 20 }, () => 'x'.repeat(900)))],
    [422, '/v1/rules', within(numbers)],
    [201, '/v1/rules', within(numbers.slice(216))],
    [413, '/v1/policies', { name: 'x', ...tools(256), denied_tools: tools(20).allowed_tools }],
    [422, '/v1/policies', { name: 'x', ...schema }],
    [413, '/v1/mandates', { agent_id: 'planner', ...tools(256), denied_tools: tools(20).allowed_tools }],
    [422, '/v1/mandates', { agent_id: 'planner', ...schema }],
    [201, '/v1/mandates', { agent_id: 'planner', allowed_tools: tools(64).allowed_tools.map((tool) => tool.slice(0, 128)) }],
  ];
  for (const [status, path, body] of attempts)
    expect([path, (await send(alice, 'POST', path, body)).status]).toEqual([path, status]);
});

test('the composed terms have a limited size, and lists a limited page', async () => {
  const entries = (letter: string) => ({
    tool_policies: Object.fromEntries([1, 2, 3].map((i) => [`${letter}${i}`, { args_schema: { title: 'x'.repeat(15_000) } }])),
  });
  const made = [await make('policies', entries('a')), await make('policies', entries('b'))];
  await make('rules', { conditions: [], policy_ids: made.map(({ policy_id }) => policy_id) });
  const refused = await issue('planner', {});
  expect([refused.status, refused.body.detail]).toEqual([409, expect.stringMatching(/at most 65536 characters/)]);
  for (const path of ['/v1/mandates', '/v1/policies'])
    for (const [limit, status] of [
      [250, 200],
      [251, 422],
    ])
      expect((await send(alice, 'GET', `${path}?limit=${limit}`)).status).toBe(status);
});

test('a mandate is composed from the policies of all rules that match', async () => {
  const base = await make('policies', {
    max_cost_total_micros: 1_000,
    allowed_tools: ['read_*', 'send_*'],
    denied_tools: ['*_all'],
    rate_limit: { max_calls: 100, window_ms: 60_000 },
  });
  const small = await make('policies', {
    max_cost_total_micros: 50,
    allowed_tools: ['*_mail', 'read_file'],
    denied_tools: ['send_sms'],
    rate_limit: { max_calls: 100, window_ms: 3_600_000 },
    expires_in_ms: 60_000,
  });
  const rules = [
    await make('rules', { conditions: [], policy_ids: [base.policy_id] }),
    await make('rules', {
      conditions: [
        {
          or: [
            { field: 'user.tier', operator: '==', value: 'free' },
            { field: 'trial', operator: '==', value: true },
          ],
        },
      ],
      policy_ids: [small.policy_id],
      agent_ids: ['planner'],
    }),
  ];
  const before = Date.now();
  const free = await issue('planner', { user: { tier: 'free' } });
  expect([free.status, free.body]).toMatchObject([
    201,
    {
      agent_id: 'planner',
      max_cost_total_micros: 50,
      denied_tools: ['*_all', 'send_sms'],
      rate_limit: { max_calls: 100, window_ms: 3_600_000 },
      policies: [base, small].map(({ policy_id }) => ({ policy_id, version: 1 })),
      rule_ids: rules.map(({ rule_id }) => rule_id),
      usage: { remaining_micros: 50 },
    },
  ]);
  expect([...free.body.allowed_tools].sort()).toEqual(
    ['read_*_mail', 'read_file', 'read_mail', 'send_*_mail', 'send_mail'].sort(),
  );
  const validity = Date.parse(free.body.expires_at) - before;
  expect([validity >= 60_000, validity < 300_000]).toEqual([true, true]);
  const other = await issue('writer', { user: { tier: 'free' } });
  expect([other.body.max_cost_total_micros, other.body.policies]).toEqual([1_000, [{ policy_id: base.policy_id, version: 1 }]]);
  expect(Date.parse(other.body.expires_at) - before >= 300_000).toBe(true);
});

test('if no rule matches, the mandate denies everything, and a missing field is no match', async () => {
  const { policy_id } = await make('policies', { max_cost_total_micros: 1_000 });
  await make('rules', { conditions: [{ field: 'role', operator: '!=', value: 'guest' }], policy_ids: [policy_id] });
  const denied = await issue('planner', {});
  expect(denied.body).toMatchObject({
    allowed_tools: [],
    denied_tools: ['*'],
    max_cost_total_micros: 0,
    policies: [],
    rule_ids: [],
  });
  const act = (body: Row) =>
    send(alice, 'POST', `/v1/mandates/${denied.body.mandate_id}/actions`, { action_id: body.type, estimate_micros: 0, ...body });
  expect((await act({ type: 'tool_call', tool: 'read' })).body.code).toBe('TOOL_DENIED');
  expect((await act({ type: 'llm_call', model: 'm' })).body.code).toBe('RATE_LIMIT_EXCEEDED');
  expect((await issue('planner', { role: 'admin' })).body.max_cost_total_micros).toBe(1_000);
});

test('policies that cannot be reconciled issue no mandate', async () => {
  const [euro, dollar] = [await make('policies', { currency: 'EUR' }), await make('policies', { currency: 'USD' })];
  await make('rules', { conditions: [], policy_ids: [euro.policy_id, dollar.policy_id] });
  const refused = await issue('planner', {});
  expect([refused.status, refused.body.detail]).toEqual([409, expect.stringMatching(/differ in currency/)]);
});

test('a mandate keeps the terms of the version that it was composed from', async () => {
  const { policy_id } = await make('policies', { max_cost_total_micros: 7 });
  await make('rules', { conditions: [], policy_ids: [policy_id] });
  const { mandate_id } = (await issue('planner', {})).body;
  await send(alice, 'PUT', `/v1/policies/${policy_id}`, { name: 'x', max_cost_total_micros: 70 });
  expect((await send(alice, 'GET', `/v1/mandates/${mandate_id}`)).body.max_cost_total_micros).toBe(7);
  expect((await issue('planner', {})).body).toMatchObject({ max_cost_total_micros: 70, policies: [{ policy_id, version: 2 }] });
});

test('an erasure replaces the name in rules, which then match nobody, and keeps the limits for others', async () => {
  const { policy_id } = await make('policies', { max_cost_total_micros: 7 });
  const conditions = [
    {
      or: [
        { field: 'user', operator: '==', value: 'carol' },
        { field: 'user', operator: 'in', value: ['dave', 'carol'] },
      ],
    },
  ];
  const byUser = await make('rules', { conditions, policy_ids: [policy_id] });
  const byAgent = await make('rules', { conditions: [], policy_ids: [policy_id], agent_ids: ['carol', 'writer'] });
  await erase(alice, { user_id: 'carol' });
  await erase(alice, { agent_id: 'carol' });
  const rules = JSON.stringify((await send(alice, 'GET', '/v1/rules')).body);
  expect(rules).not.toContain('carol');
  expect((await issue('planner', { user: 'carol' })).body.rule_ids).toEqual([]);
  expect((await issue('planner', { user: 'dave' })).body.rule_ids).toEqual([byUser.rule_id]);
  expect((await issue('writer', {})).body.rule_ids).toEqual([byAgent.rule_id]);
});

test('an export contains policies and rules, and an import restores them', async () => {
  const policy = await make('policies', { max_cost_total_micros: 7, allowed_tools: ['read_*'] });
  await send(alice, 'PUT', `/v1/policies/${policy.policy_id}`, { name: 'x', max_cost_total_micros: 8 });
  const rule = await make('rules', { conditions: [{ field: 'a', operator: '>', value: 1 }], policy_ids: [policy.policy_id] });
  const file = await exportTenant(alice);
  expect(linesOf(file).filter(({ type }) => ['policy', 'rule'].includes(type as string))).toHaveLength(3);
  const copy = await newTenant(daemon.url);
  const { job_id } = (await importFile(copy, file)).body;
  await waitForJob(copy, job_id);
  expect((await copy.request('GET', `/v1/policies/${policy.policy_id}?version=1`)).body).toEqual(policy);
  expect((await copy.request('GET', `/v1/rules/${rule.rule_id}`)).body).toEqual(rule);
});
