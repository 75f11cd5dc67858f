import fc from 'fast-check';
import { type Action, createLLMAction, createToolAction, type Mandate, MandateClient } from '../../src/guard/index.ts';
import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { codeOf, registered } from './support.ts';

// Embedded mode evaluates in this process what the service decides in its database. Both must decide and charge the same.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const terms: Partial<Mandate> = {
  maxCostTotal: 12,
  maxCostPerCall: 2,
  deniedTools: ['*_secret'],
  allowedTools: ['read_*', 'attempt', 'tiered', 'custom', 'verified', 'limited'],
  rateLimit: { maxCalls: 60, windowMs: 3_600_000 },
  customPricing: { p: { m: { inputTokenPrice: 333.333333, outputTokenPrice: 7 } } },
  toolPolicies: {
    'read_*': { maxCostPerCall: 1 },
    attempt: { chargingPolicy: { type: 'ATTEMPT_BASED' } },
    tiered: { chargingPolicy: { type: 'TIERED', attemptCost: 0.01, successCost: 0.1, verificationCost: 0.001 } },
    custom: {
      chargingPolicy: {
        type: 'CUSTOM',
        compute: ({ executionSuccess, estimatedCost }) => (executionSuccess ? estimatedCost / 2 : 0.01),
      },
    },
    verified: {
      verifyResult: ({ result }) => ((result as { good: boolean }).good ? { ok: true } : { ok: false, reason: 'bad' }),
    },
    limited: { rateLimit: { maxCalls: 3, windowMs: 3_600_000 } },
  },
};

const tools = ['read_a', 'read_secret', 'write_a', 'attempt', 'tiered', 'custom', 'verified', 'limited', 'model'];
const cents = (max: number) => fc.integer({ min: 0, max }).map((amount) => amount / 100);
const step = fc.record({
  tool: fc.constantFrom(...tools),
  id: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined, freq: 4 }),
  estimate: cents(250),
  actual: fc.option(cents(250), { nil: undefined }),
  tokens: fc.option(fc.integer({ min: 0, max: 3_000 }), { nil: undefined }),
  fails: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
  good: fc.boolean(),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

const actionOf = ({ tool, id, estimate, tokens = 0 }: Step, i: number): Action =>
  tool === 'model'
    ? createLLMAction('planner', 'p', 'm', tokens, 10, undefined, `step-${i}`)
    : createToolAction('planner', tool, {}, estimate, id === undefined ? `step-${i}` : `${tool}-${id}`);

async function run({ actual, fails, good, tokens }: Step): Promise<unknown> {
  const result = {
    good,
    ...(actual !== undefined && { actualCost: actual }),
    ...(tokens && { usage: { input_tokens: tokens } }),
  };
  if (fails) throw Object.assign(new Error('failed'), result);
  return result;
}

/** Returns the decision with the charge and the sums after it. */
async function outcomeOf(client: MandateClient<any>, one: Step, i: number): Promise<unknown[]> {
  const code = await codeOf(client.execute(actionOf(one, i), () => run(one))).catch(({ message }: Error) => message);
  const { decision, actualCost } = client.getAuditEntries().at(-1)!;
  return [i, one.tool, code, decision, actualCost, await client.getCurrentCost(), await client.getRemainingBudget()];
}

test.each([1, 2])('a random sequence of actions (seed %d) has the same decisions, charges and sums', async (seed) => {
  const { mandate, stateManager } = await registered(alice, terms);
  const embedded = new MandateClient({ mandate, auditLogger: 'memory' });
  const remote = new MandateClient({ mandate, stateManager, auditLogger: 'memory' });
  const codes = new Set<unknown>();
  for (const [i, one] of fc.sample(step, { seed, numRuns: 100 }).entries()) {
    const here = await outcomeOf(embedded, one, i);
    expect(await outcomeOf(remote, one, i)).toEqual(here);
    codes.add(here[2]);
  }
  expect([...codes]).toEqual(
    expect.arrayContaining(['ALLOW', 'failed', 'COST_LIMIT_EXCEEDED', 'TOOL_DENIED', 'TOOL_NOT_ALLOWED', 'DUPLICATE_ACTION']),
  );
  for (const client of [embedded, remote]) await client.close();
});
