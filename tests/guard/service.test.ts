import { createDistributedStateManager, createLLMAction, MandateClient, MandateServiceError } from '../../src/guard/index.ts';
import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { startProxy } from '../support/proxy.ts';
import { apiKey, call, codeOf, pass, registered, usageOf } from './support.ts';

// The guard with a daemon. All keys of agents have the scope `write` alone, unless a test names others.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const clients: MandateClient<any>[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

type Options = Awaited<ReturnType<typeof registered>>;
function clientOf<T extends Options>(options: T, more: object = {}) {
  const client = new MandateClient({ ...options, ...more });
  clients.push(client);
  return client;
}

test.each([
  {},
  { url: 'redis://localhost:6379', apiKey: 'k' },
  { url: 'http://localhost' },
  { redis: { host: 'r', port: 6379 } },
])('a configuration %j without the address and the key of the service is an error that names them', (given) => {
  const mandate = { id: 'm', agentId: 'planner' };
  const make = () => new MandateClient({ mandate, stateManager: { type: 'redis', ...given } });
  expect(make).toThrow(/"redis".* needs `url` \(http or https\) and `apiKey` of the service/);
});

test('the service requires a mandate id, and an id that it does not have is an error', async () => {
  const { stateManager } = await registered(alice);
  expect(() => new MandateClient({ mandate: { agentId: 'planner' }, stateManager })).toThrow('needs an `id`');
  const unknown = clientOf({ mandate: { id: 'unknown', agentId: 'planner' }, stateManager });
  await expect(unknown.executeTool(call(), pass)).rejects.toThrow('There is no mandate with this id');
  expect(() => createDistributedStateManager(process.env.NO_SUCH_URL)).toThrow('needs `url`');
  const { mandate } = await registered(alice);
  const other = clientOf({ mandate: { ...mandate, agentId: 'writer' }, stateManager });
  await expect(other.executeTool({ ...call(), agentId: 'writer' }, pass)).rejects.toThrow('belongs to the agent planner');
  const stranger = clientOf({ mandate, stateManager: { ...stateManager, apiKey: 'wrong' } });
  await expect(stranger.onKill(() => undefined)).rejects.toThrow('401');
  await expect(stranger.executeTool(call(), pass)).rejects.toThrow('401');
});

test('two processes with the same mandate id share its budget; refusals have the codes of the service', async () => {
  const options = await registered(alice, {
    maxCostTotal: 10,
    maxCostPerCall: 6,
    deniedTools: ['drop_*'],
    allowedTools: ['read_*'],
  });
  const [one, two] = [clientOf(options), clientOf(options)];
  const spend = (client: typeof one) => codeOf(client.executeTool(call(5.5), pass));
  expect((await Promise.all([spend(one), spend(two)])).sort()).toEqual(['ALLOW', 'COST_LIMIT_EXCEEDED']);
  expect([await one.getCurrentCost(), await two.getRemainingBudget(), await two.getCallCount()]).toEqual([5.5, 4.5, 1]);
  expect(await codeOf(one.executeTool(call(6.5), pass))).toBe('COST_LIMIT_EXCEEDED');
  expect(await codeOf(one.executeTool(call(0, 'drop_table'), pass))).toBe('TOOL_DENIED');
  expect(await codeOf(one.executeTool(call(0, 'write_file'), pass))).toBe('TOOL_NOT_ALLOWED');
  // @ts-expect-error a program in JavaScript gets this instead of a compile error
  expect(() => one.getCost()).toThrow('await client.getCurrentCost()');
});

test('what a function costs is settled: the actual cost, nothing for a failure, the tokens of an answer', async () => {
  const options = await registered(alice, {
    maxCostTotal: 1,
    customPricing: { openai: { 'gpt-*': { inputTokenPrice: 1, outputTokenPrice: 10 } } },
  });
  const client = clientOf(options, { auditLogger: 'memory' });
  await client.executeTool(call(0.5), () => ({ actualCost: 0.25 }));
  await expect(client.executeTool(call(0.5), () => Promise.reject(new Error('503')))).rejects.toThrow('503');
  expect(await client.getCurrentCost()).toBe(0.25);
  const usage = { prompt_tokens: 1_000, completion_tokens: 2_000 };
  const asked = await client.executeLLMWithBudget('openai', 'gpt-large', ['Hello'], (maxTokens) => ({ maxTokens, usage }));
  expect([asked.maxTokens, await client.getCurrentCost()]).toEqual([4_096, 0.271]);
  expect(client.getAuditEntries().map(({ actualCost }) => actualCost)).toEqual([0.25, 0, 0.021]);
  expect(await usageOf(alice, options.mandate)).toMatchObject({ spent_micros: 271_000, reserved_micros: 0, calls: 3 });
});

test('tokens of a model without a price are charged as the estimate, with an error', async () => {
  const client = clientOf(await registered(alice));
  const errors: string[] = [];
  client.on('error', ({ message }) => errors.push(message));
  const action = { ...createLLMAction('planner', 'p', 'm', 1, 1), estimatedCost: 0.5 };
  await client.executeLLM(action, () => ({ usage: { input_tokens: 1, output_tokens: 1 } }));
  expect([await client.getCurrentCost(), errors]).toEqual([0.5, [expect.stringContaining('no price for the model')]]);
});

test('an action id runs once over all processes, and again after a failure that cost nothing', async () => {
  const options = await registered(alice);
  const [one, two] = [clientOf(options), clientOf(options)];
  const action = call(1, 'read_file', 'one');
  await expect(one.executeTool(action, () => Promise.reject(new Error('503')))).rejects.toThrow('503');
  await two.executeTool(action, pass);
  expect(await codeOf(one.executeTool(action, pass))).toBe('DUPLICATE_ACTION');
  expect(await codeOf(one.executeTool({ ...action, estimatedCost: 2 }, pass))).toBe('DUPLICATE_ACTION');
  expect(await one.getCurrentCost()).toBe(1);
});

test('rates, arguments and verification are those of the mandate at the service', async () => {
  const options = await registered(alice, {
    toolPolicies: {
      once: { rateLimit: { maxCalls: 1, windowMs: 60_000 } },
      pay: { argsSchema: { type: 'object', properties: { amount: { maximum: 10 } } } },
      mail: { verifyResult: ({ result }) => (result === 'sent' ? { ok: true } : { ok: false, reason: 'not sent' }) },
    },
  });
  const client = clientOf(options);
  await client.executeTool(call(1, 'once'), pass);
  const limited = await client.executeTool(call(1, 'once'), pass).catch((error) => error.decision);
  expect(limited).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', hard: false, retryAfterMs: expect.any(Number) });
  expect(await codeOf(client.executeTool(call(1, 'pay', undefined, { amount: 11 }), pass))).toBe('ARGUMENT_VALIDATION_FAILED');
  expect(await codeOf(client.executeTool(call(1, 'mail'), pass))).toBe('VERIFICATION_FAILED');
  expect(await client.getCurrentCost()).toBe(1);
  await client.executeTool(call(1, 'mail'), () => 'sent');
  expect(await client.getCurrentCost()).toBe(2);
});

test('a function that exceeds its time returns its reservation, and is charged late if it succeeds', async () => {
  const client = clientOf(await registered(alice, { maxCostTotal: 1 }), { leaseMs: 100 });
  let finish: (result: object) => void = () => undefined;
  const running = client.executeTool(call(1), () => new Promise<object>((resolve) => (finish = resolve)));
  expect(await codeOf(running)).toBe('EXECUTION_TIMEOUT');
  await eventually(async () => (await client.getRemainingBudget()) === 1, 'the reservation to end');
  finish({ actualCost: 0.75 });
  await eventually(async () => (await client.getCurrentCost()) === 0.75, 'the late settlement');
});

test('a call that needs approval waits until an admin decides', async () => {
  const options = await registered(alice, { toolPolicies: { pay: { requireApproval: true } } });
  const client = clientOf(options);
  const decide = (id: string, decision: string) =>
    eventually(async () => {
      const path = `/v1/mandates/${options.mandate.id}/actions/${id}/decide`;
      return (await alice.request('POST', path, { body: { decision } })).status < 300;
    }, 'the decision');
  const [allowed, denied] = ['yes', 'no'].map((id) => codeOf(client.executeTool(call(1, 'pay', id), pass)));
  await decide('yes', 'allow');
  await decide('no', 'deny');
  expect([await allowed, await denied, await client.getCurrentCost()]).toEqual(['ALLOW', 'TOOL_DENIED', 1]);
});

test.each([
  ['by the event stream, with the scopes read and write', { scopes: ['read', 'write'] }],
  ['by its state, with the scope write alone', { scopes: ['write'] }],
  ['by its own refusal, with a key that is bound to the agent', { scopes: ['read', 'write'], agent_id: 'bound' }],
])('a kill reaches another process %s, aborts what runs, and refuses the next action', async (_, key) => {
  const agentId = 'agent_id' in key ? 'bound' : `agent-${Math.random()}`;
  const { mandate, stateManager } = await registered(alice, { agentId });
  const client = clientOf({ mandate, stateManager: { ...stateManager, apiKey: await apiKey(alice, key), killPollMs: 50 } });
  const reasons: string[] = [];
  await client.onKill((reason) => reasons.push(reason));
  expect([await client.isKilled(), reasons]).toEqual([false, []]);
  const action = { ...call(1), agentId };
  const running = client.executeTool(
    action,
    ({ signal }) => new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason))),
  );
  const refused = expect(running).rejects.toThrow('AGENT_KILLED');
  await eventually(async () => (await usageOf(alice, mandate)).reserved_micros === 1_000_000, 'the authorisation');
  await alice.request('POST', `/v1/agents/${agentId}/kill`, { body: { reason: 'loop' } });
  await refused;
  expect([reasons.length, await client.isKilled()]).toEqual([1, true]);
  expect(await codeOf(client.executeTool({ ...call(1), agentId }, pass))).toBe('AGENT_KILLED');
  await alice.request('POST', `/v1/agents/${agentId}/resurrect`, { body: {} });
  await client.executeTool({ ...call(1), agentId }, pass);
});

test.each([
  ['read and write', { scopes: ['read', 'write'], agent_id: 'stopped' }],
  ['write alone', { scopes: ['write'], agent_id: 'stopped' }],
  ['write alone, not bound to the agent', { scopes: ['write'] }],
])('a listener hears at once of a kill before it began, with a key with the scopes %s', async (_, key) => {
  const { mandate, stateManager } = await registered(alice, { agentId: 'stopped' });
  const client = clientOf({ mandate, stateManager: { ...stateManager, apiKey: await apiKey(alice, key), killPollMs: 50 } });
  await alice.request('POST', '/v1/agents/stopped/kill', { body: { reason: 'loop' } });
  const reasons: string[] = [];
  await client.onKill((reason) => reasons.push(reason));
  expect(reasons).toHaveLength(1);
  await alice.request('POST', '/v1/agents/stopped/resurrect');
  await client.executeTool({ ...call(1), agentId: 'stopped' }, pass);
  expect(reasons).toHaveLength(1);
  // it still follows
  await alice.request('POST', '/v1/agents/stopped/kill');
  await eventually(async () => reasons.length === 2, 'the second kill');
  await alice.request('POST', '/v1/agents/stopped/resurrect');
});

test('a permission that arrives after a kill runs nothing and costs nothing', async () => {
  const agentId = 'overtaken';
  const { mandate, stateManager } = await registered(alice, { agentId, defaultChargingPolicy: { type: 'ATTEMPT_BASED' } });
  const client = clientOf({ mandate, stateManager });
  const send = globalThis.fetch;
  let executed = 0;
  const execute = () =>
    codeOf(
      client.executeTool({ ...call(1), agentId }, () => {
        executed += 1;
      }),
    );
  // the second kill comes before the client notices that the first is over
  for (const reason of ['loop', 'loop again']) {
    const slow = jest.spyOn(globalThis, 'fetch').mockImplementation(async (url, init) => {
      const answer = await send(url, init);
      if (String(url).endsWith('/actions')) await client.kill(reason);
      return answer;
    });
    expect([await execute(), executed]).toEqual(['AGENT_KILLED', 0]);
    slow.mockRestore();
    await alice.request('POST', `/v1/agents/${agentId}/resurrect`, { body: {} });
    expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: 0, reserved_micros: 0 });
  }
  expect([await execute(), executed]).toEqual(['ALLOW', 1]);
});

test('a kill of the tenant reaches every agent, and a client that closes waits for what runs', async () => {
  const carol = await newTenant(daemon.url);
  const { mandate, stateManager } = await registered(carol);
  const apiKeyOfReader = await apiKey(carol, { scopes: ['read', 'write'] });
  const client = clientOf({ mandate, stateManager: { ...stateManager, apiKey: apiKeyOfReader } });
  const heard = new Promise<string>(
    (resolve) => void client.onKill(resolve).then(() => carol.request('POST', '/v1/tenant/kill', { body: { reason: 'all' } })),
  );
  expect(await heard).toBe('all');
  await carol.request('POST', '/v1/tenant/resurrect', { body: {} });
  const running = client.executeTool(call(1), () => new Promise((resolve) => setTimeout(resolve, 50, { actualCost: 0.5 })));
  await client.close();
  expect([await running, (await usageOf(carol, mandate)).spent_micros]).toEqual([{ actualCost: 0.5 }, 500_000]);
});

test('a client kills its agent for every process, its own listeners hear it, and it cannot resurrect', async () => {
  const { mandate, stateManager } = await registered(alice, { agentId: 'looping' });
  const shared = createDistributedStateManager(stateManager.url, { apiKey: stateManager.apiKey });
  const [one, two] = [new MandateClient({ mandate, stateManager: shared }), new MandateClient({ mandate, stateManager: shared })];
  const reasons: string[] = [];
  await one.onKill((reason) => reasons.push(reason));
  await one.kill('Emergency stop');
  expect([reasons, await two.isKilled()]).toEqual([['Emergency stop'], true]);
  expect(await codeOf(two.executeTool({ ...call(), agentId: 'looping' }, pass))).toBe('AGENT_KILLED');
  await two.onKill((reason) => reasons.push(reason));
  expect(reasons).toHaveLength(2);
  expect(() => one.resurrect()).toThrow('only an admin who is logged in');
  for (const client of [one, two]) await client.close();
  await shared.close();
});

test('answers that are lost on the way are neither charged nor executed twice', async () => {
  const options = await registered(alice);
  const proxy = await startProxy({ host: '127.0.0.1', port: Number(new URL(daemon.url).port) });
  const stateManager = { ...options.stateManager, url: `http://127.0.0.1:${proxy.port}`, maxRetries: 50 };
  const client = clientOf({ ...options, stateManager }, { settleWaitMs: 60_000 });
  proxy.cut('/actions', 'response', 0.5);
  let executed = 0;
  for (let i = 0; i < 20; i += 1)
    await client.executeTool(call(1), () => {
      executed += 1;
    });
  expect(proxy.cuts()).toBeGreaterThan(0);
  expect(executed).toBe(20);
  expect(await usageOf(alice, options.mandate)).toMatchObject({ spent_micros: 20_000_000, reserved_micros: 0, calls: 20 });
  await client.close();
  await proxy.stop();
});

test('a permission that arrives after the time of its action runs nothing and costs nothing', async () => {
  const { mandate, stateManager } = await registered(alice, { defaultChargingPolicy: { type: 'ATTEMPT_BASED' } });
  const proxy = await startProxy({ host: '127.0.0.1', port: Number(new URL(daemon.url).port) });
  const client = clientOf(
    { mandate, stateManager: { ...stateManager, url: `http://127.0.0.1:${proxy.port}` } },
    { leaseMs: 100 },
  );
  proxy.delay(150);
  const run = jest.fn();
  expect(await codeOf(client.executeTool(call(1), run))).toBe('EXECUTION_TIMEOUT');
  expect(run).not.toHaveBeenCalled();
  expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: 0, reserved_micros: 0, calls: 1 });
  await client.close();
  await proxy.stop();
});

test('without the service nothing runs, and the error says so', async () => {
  const { mandate, stateManager } = await registered(alice);
  const client = clientOf({ mandate, stateManager: { ...stateManager, url: 'http://127.0.0.1:9', maxRetries: 1 } });
  const run = jest.fn();
  const error = await client.executeTool(call(), run).catch((thrown) => thrown);
  expect([error instanceof MandateServiceError, error.message]).toEqual([true, expect.stringContaining('does not answer')]);
  expect(run).not.toHaveBeenCalled();
});
