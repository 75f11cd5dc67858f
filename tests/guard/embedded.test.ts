import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AuditEntry,
  ConsoleAuditLogger,
  createMandate,
  createStateManager,
  FileAuditLogger,
  type Mandate,
  MandateClient,
  MandateTemplates,
  MultiAuditLogger,
} from '../../src/guard/index.ts';
import { call, codeOf, pass } from './support.ts';

// The guard with the state of this process. The service is tried in service.test.ts.

const terms = (more: Partial<Mandate> = {}): Mandate => ({ agentId: 'planner', ...more });
const clientOf = (more: Partial<Mandate> = {}, options = {}) => new MandateClient({ mandate: terms(more), ...options });

test('a budget is spent to the last micro-unit, and not further', async () => {
  const client = clientOf({ maxCostTotal: 10, maxCostPerCall: 1 });
  expect(await client.executeTool(call(0.5), pass)).toBe('done');
  expect([client.getCost(), client.getRemainingBudget()]).toEqual([0.5, 9.5]);
  for (let i = 0; i < 9; i += 1) await client.executeTool(call(1), pass);
  expect(await codeOf(client.executeTool(call(0.500001), pass))).toBe('COST_LIMIT_EXCEEDED');
  expect(await codeOf(client.executeTool(call(1.000001), pass))).toBe('COST_LIMIT_EXCEEDED');
  await client.executeTool(call(0.5), pass);
  expect([await client.getCurrentCost(), client.getCallCount()]).toEqual([10, 11]);
  expect(await codeOf(client.executeTool(call(0.000001), pass))).toBe('COST_LIMIT_EXCEEDED');
});

test('of two concurrent calls that only fit alone, exactly one runs, and a refused function never begins', async () => {
  const client = clientOf({ maxCostTotal: 1 });
  let begun = 0;
  const run = () =>
    codeOf(
      client.executeTool(call(0.6), () => {
        begun += 1;
      }),
    );
  expect((await Promise.all([run(), run()])).sort()).toEqual(['ALLOW', 'COST_LIMIT_EXCEEDED']);
  expect([begun, client.getCost()]).toEqual([1, 0.6]);
});

test.each([Number.NaN, -5, Number.POSITIVE_INFINITY, 1e10, '1' as never])('an estimate of %p is an error', async (cost) => {
  const client = clientOf({ maxCostTotal: 1 });
  await expect(client.executeTool(call(cost), pass)).rejects.toThrow(RangeError);
  expect([client.getCost(), client.getCallCount()]).toEqual([0, 0]);
});

test('a limit of 0 refuses an estimate above 0, and an empty list of tools refuses every tool', async () => {
  expect(await codeOf(clientOf({ maxCostTotal: 0 }).executeTool(call(0.1), pass))).toBe('COST_LIMIT_EXCEEDED');
  expect(await codeOf(clientOf({ allowedTools: [] }).executeTool(call(), pass))).toBe('TOOL_NOT_ALLOWED');
});

test.each([
  ['read_file', 'ALLOW'],
  ['read_now_sync', 'ALLOW'],
  ['write_file', 'TOOL_NOT_ALLOWED'],
  ['read_x_dangerous', 'TOOL_DENIED'],
])('patterns decide on the tool %s: %s', async (tool, code) => {
  const client = clientOf({ allowedTools: ['read_*'], deniedTools: ['*_dangerous'] });
  expect(await codeOf(client.executeTool(call(0, tool), pass))).toBe(code);
});

test('an action id runs once, or again after a failure that cost nothing', async () => {
  const client = clientOf({ maxCostTotal: 10 });
  const action = call(1, 'read_file', 'one');
  await expect(client.executeTool(action, () => Promise.reject(new Error('503')))).rejects.toThrow('503');
  expect(client.getCost()).toBe(0);
  await client.executeTool(action, pass);
  expect(await codeOf(client.executeTool(action, pass))).toBe('DUPLICATE_ACTION');
  expect(client.getCost()).toBe(1);
});

test('a rate limit refuses the sixth call with the time to wait, also if calls cost nothing, and that of a tool counts alone', async () => {
  const client = clientOf({
    rateLimit: { maxCalls: 5, windowMs: 60_000 },
    toolPolicies: { send_mail: { rateLimit: { maxCalls: 1, windowMs: 1_000 } } },
  });
  await client.executeTool(call(0, 'send_mail'), pass);
  const second = await client.executeTool(call(0, 'send_mail'), pass).catch((error) => error);
  expect(second.decision).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', hard: false });
  expect(second.decision.retryAfterMs).toBeLessThanOrEqual(1_000);
  for (let i = 0; i < 4; i += 1) await client.executeTool(call(), pass);
  expect(await codeOf(client.executeTool(call(), pass))).toBe('RATE_LIMIT_EXCEEDED');
});

test('a window that has passed admits calls again', async () => {
  const client = clientOf({ rateLimit: { maxCalls: 1, windowMs: 1 } });
  await client.executeTool(call(), pass);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await client.executeTool(call(), pass);
});

test.each([
  [{ type: 'SUCCESS_BASED' as const }, 0, 2],
  [{ type: 'ATTEMPT_BASED' as const }, 2, 2],
  [{ type: 'TIERED' as const, attemptCost: 0.25, successCost: 1 }, 0.25, 1.25],
  [
    {
      type: 'CUSTOM' as const,
      compute: ({ executionSuccess }: { executionSuccess: boolean }) => (executionSuccess ? 0.5 : 0.125),
    },
    0.125,
    0.5,
  ],
])('%j charges %d for a failure and %d for a success', async (defaultChargingPolicy, failure, success) => {
  const client = clientOf({ defaultChargingPolicy });
  await client.executeTool(call(2), () => Promise.reject(new Error('no'))).catch(() => undefined);
  expect(client.getCost()).toBe(failure);
  await client.executeTool(call(2), pass);
  expect(client.getCost()).toBe(failure + success);
});

test('the actual cost replaces the estimate, and the excess blocks the next action', async () => {
  const client = clientOf({ maxCostTotal: 1 });
  await client.executeTool(call(0.5), () => ({ actualCost: 0.25 }));
  await client.executeTool(call(0.5), pass, { cost: () => 1 });
  expect([client.getCost(), client.getRemainingBudget()]).toEqual([1.25, 0]);
  expect(await codeOf(client.executeTool(call(0), pass))).toBe('COST_LIMIT_EXCEEDED');
});

test('a function that exceeds its time is aborted, returns its reservation, and is charged if it succeeds later', async () => {
  const client = clientOf({ maxCostTotal: 1, toolPolicies: { slow: { executionLeaseMs: 100 } } });
  let finish: (result: object) => void = () => undefined;
  const aborted: unknown[] = [];
  const running = client.executeTool(call(1, 'slow'), ({ signal }) => {
    signal.addEventListener('abort', () => aborted.push(signal.reason.code));
    return new Promise<object>((resolve) => {
      finish = resolve;
    });
  });
  expect([client.getRemainingBudget(), await codeOf(running), aborted]).toEqual([1, 'EXECUTION_TIMEOUT', ['EXECUTION_TIMEOUT']]);
  expect([client.getCost(), client.getRemainingBudget()]).toEqual([0, 1]);
  finish({ actualCost: 0.75 });
  await client.close();
  expect(client.getCost()).toBe(0.75);
});

test.each([
  ['is not ok', () => ({ ok: false as const, reason: 'not delivered' }), 'VERIFICATION_FAILED'],
  ['throws', () => Promise.reject(new Error('not delivered')), 'VERIFICATION_FAILED'],
  ['does not end', () => new Promise<never>(() => undefined), 'VERIFICATION_TIMEOUT'],
])('a result whose verification %s does not count and costs nothing', async (_, verifyResult, code) => {
  const client = clientOf({ toolPolicies: { '*': { verifyResult, verificationTimeoutMs: 100 } } });
  expect(await codeOf(client.executeTool(call(1), pass))).toBe(code);
  expect(client.getCost()).toBe(0);
});

test('arguments are checked before the cost: by functions, by a schema of a library, and by a JSON schema', async () => {
  const safeParse = (args: unknown) => ({ success: 'to' in (args as object), error: { message: 'to is missing' } });
  const validate = ({ args }: { args: Record<string, unknown> }) =>
    String(args.to).endsWith('@example.com') ? { allowed: true as const } : { allowed: false as const, reason: 'not internal' };
  const client = clientOf({
    maxCostTotal: 0,
    toolPolicies: {
      send_mail: { argumentValidation: { schema: { safeParse }, validate } },
      pay: { argsSchema: { type: 'object', properties: { amount: { maximum: 10 } }, required: ['amount'] } },
    },
  });
  const reasonOf = (tool: string, args: object) =>
    client.executeTool(call(1, tool, undefined, args), pass).catch(({ code, reason }) => `${code}: ${reason}`);
  expect(await reasonOf('send_mail', {})).toBe('ARGUMENT_VALIDATION_FAILED: to is missing');
  expect(await reasonOf('send_mail', { to: 'x@other.example' })).toBe('ARGUMENT_VALIDATION_FAILED: not internal');
  expect(await reasonOf('send_mail', { to: 'x@example.com' })).toMatch(/^COST_LIMIT_EXCEEDED/);
  expect(await reasonOf('pay', { amount: 11 })).toMatch(/^ARGUMENT_VALIDATION_FAILED: .*\/amount must be <= 10/);
  expect(await reasonOf('pay', { amount: 9 })).toMatch(/^COST_LIMIT_EXCEEDED/);
});

test('the order is replay, kill, expiry, deny, allow, arguments', async () => {
  const mandate = terms({ id: 'm', deniedTools: ['x'], allowedTools: ['read_file'], expiresAt: Date.now() + 86_400_000 });
  const client = new MandateClient({ mandate });
  await client.executeTool(call(0, 'read_file', 'used'), pass);
  client.kill('test');
  expect(await codeOf(client.executeTool(call(0, 'read_file', 'used'), pass))).toBe('DUPLICATE_ACTION');
  expect(await codeOf(client.executeTool(call(0, 'x'), pass))).toBe('AGENT_KILLED');
  const expired = new MandateClient({ mandate: { ...mandate, expiresAt: Date.now() - 1 } });
  expect(await codeOf(expired.executeTool(call(0, 'x'), pass))).toBe('MANDATE_EXPIRED');
  expect(await codeOf(clientOf({ deniedTools: ['x'], allowedTools: [] }).executeTool(call(0, 'x'), pass))).toBe('TOOL_DENIED');
  const strict = clientOf({ strictTools: true, toolPolicies: { known: {} } });
  expect(await codeOf(strict.executeTool(call(), pass))).toBe('UNKNOWN_TOOL');
});

test('a kill is synchronous, ends open actions, aborts what runs, reaches the clients of one state manager, and can be undone', async () => {
  const stateManager = createStateManager({ type: 'memory' }) as ReturnType<typeof createStateManager> & { type: 'memory' };
  const mandate = terms({ id: 'shared', maxCostTotal: 1 });
  const [one, two] = [new MandateClient({ mandate, stateManager }), new MandateClient({ mandate, stateManager })];
  const other = new MandateClient({ mandate: { agentId: 'writer' }, stateManager });
  const reasons: string[] = [];
  await two.onKill((reason) => reasons.push(reason));
  const running = two.executeTool(call(1), ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject)));
  await new Promise((resolve) => setImmediate(resolve));
  expect(one.getRemainingBudget()).toBe(0);
  one.kill('loop');
  await expect(running).rejects.toMatchObject({ type: 'abort' });
  expect([reasons, one.isKilled(), two.isKilled(), other.isKilled(), one.getRemainingBudget()]).toEqual([
    ['loop'],
    true,
    true,
    false,
    1,
  ]);
  expect(await codeOf(two.executeTool(call(0.1), pass))).toBe('AGENT_KILLED');
  one.resurrect();
  await two.executeTool(call(0.1), pass);
  one.kill('again');
  await two.onKill((reason) => reasons.push(`late ${reason}`));
  expect(reasons).toEqual(['loop', 'again', 'late again']);
});

test('a kill ends the open actions of every mandate of the agent', async () => {
  const stateManager = createStateManager({ type: 'memory' });
  const [one, two] = ['one', 'two'].map((id) => new MandateClient({ mandate: terms({ id, maxCostTotal: 1 }), stateManager }));
  let finish: () => void = () => undefined;
  const running = two!.executeTool(call(1), () => new Promise<void>((resolve) => (finish = resolve)));
  await new Promise((resolve) => setImmediate(resolve));
  expect(await two!.getRemainingBudget()).toBe(0);
  await one!.kill('loop');
  expect(await two!.getRemainingBudget()).toBe(1);
  finish();
  await running;
});

test('a mandate id has one set of terms in a state manager', () => {
  const stateManager = createStateManager({ type: 'memory' });
  void new MandateClient({ mandate: terms({ id: 'm', maxCostTotal: 1 }), stateManager });
  expect(() => new MandateClient({ mandate: terms({ id: 'm', maxCostTotal: 2 }), stateManager })).toThrow('with other terms');
  expect(() => new MandateClient({ mandate: { id: 'm', agentId: 'writer', maxCostTotal: 1 }, stateManager })).toThrow(
    'with other terms',
  );
  expect(() => clientOf({ toolPolicies: { pay: { requireApproval: true } } })).toThrow('needs the service');
});

test('a wrapped function takes and returns what the function does', async () => {
  const client = clientOf({ maxCostTotal: 1, deniedTools: ['drop_*'] }, { auditLogger: 'memory' });
  const add = client.wrap('add', (a: number, b: number) => a + b, { estimatedCost: (a) => a, args: (a, b) => ({ a, b }) });
  const sum: number = await add(0.25, 2);
  expect([sum, client.getCost()]).toEqual([2.25, 0.25]);
  expect(await codeOf(client.wrap('drop_table', pass)())).toBe('TOOL_DENIED');
  expect(client.getAuditEntries()).toMatchObject([
    { decision: 'ALLOW', tool: 'add', estimatedCost: 0.25, actualCost: 0.25, agentId: 'planner' },
    { decision: 'BLOCK', tool: 'drop_table', blockCode: 'TOOL_DENIED' },
  ]);
});

test('audit entries reach all sinks, and a sink that fails does not stop the action', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'audit-'));
  const file = join(directory, 'audit.ndjson');
  const printed = jest.spyOn(console, 'log').mockImplementation(() => undefined);
  const broken = { log: () => Promise.reject(new Error('disk full')) };
  const auditLogger = new MultiAuditLogger([broken, new FileAuditLogger(file), new ConsoleAuditLogger()]);
  const client = clientOf({}, { auditLogger });
  const errors: string[] = [];
  client.on('error', ({ message }) => errors.push(message));
  await Promise.all([client.executeTool(call(1), pass), client.executeTool(call(2), pass)]);
  await client.close();
  const entries = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as AuditEntry);
  expect(entries.map(({ actualCost }) => actualCost).sort()).toEqual([1, 2]);
  expect([printed.mock.calls.length, errors]).toEqual([2, ['disk full', 'disk full']]);
  printed.mockRestore();
  rmSync(directory, { recursive: true });
});

test('templates have the terms of the service, and options replace them', () => {
  const { id, ...mandate } = MandateTemplates.production('alice', { agentId: 'planner', maxCostTotal: 50 });
  expect(mandate).toMatchObject({ principal: 'alice', agentId: 'planner', maxCostTotal: 50, maxCostPerCall: 5 });
  expect(mandate.deniedTools).toContain('*delete*');
  expect(id).not.toBe(MandateTemplates.production('alice').id);
  expect(MandateTemplates.temporary('alice').expiresAt! - Date.now()).toBeGreaterThan(3_500_000);
  expect(createMandate({ agentId: 'a', expiresInMs: 1_000 }).expiresAt).toBeGreaterThan(Date.now());
});

test('a closed client runs nothing', async () => {
  const client = clientOf();
  await client.close();
  await expect(client.executeTool(call(), pass)).rejects.toThrow('closed');
  await client.close();
});
