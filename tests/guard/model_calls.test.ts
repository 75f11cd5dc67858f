import { createLLMAction, type Mandate, MandateClient } from '../../src/guard/index.ts';
import { codeOf } from './support.ts';

// Calls of models in embedded mode: the budget limits the answer, and the reported tokens are charged.

const clientOf = (more: Partial<Mandate>, options = {}) =>
  new MandateClient({ mandate: { agentId: 'planner', ...more }, ...options });

test('a call of a model is limited to the tokens that the budget pays for, and costs the tokens that its answer reports', async () => {
  const client = clientOf({
    maxCostTotal: 0.01,
    customPricing: {
      openai: { 'gpt-*': { inputTokenPrice: 1, outputTokenPrice: 10 } },
      ollama: { '*': { inputTokenPrice: 0, outputTokenPrice: 0 } },
    },
  });
  const asked: number[] = [];
  const ask = (usage: object) =>
    client.executeLLMWithBudget('openai', 'gpt-large', [{ role: 'user', content: 'Hello' }], (maxTokens) => {
      asked.push(maxTokens);
      return { usage };
    });
  await ask({ prompt_tokens: 100, completion_tokens: 500 });
  expect(client.getCostByType()).toEqual({ cognition: 0.0051, execution: 0 });
  await ask({ input_tokens: 10, output_tokens: 488 });
  expect(client.getCost()).toBe(0.00999);
  expect(await codeOf(ask({}))).toBe('COST_LIMIT_EXCEEDED');
  expect(asked).toEqual([998, 488]);
  await expect(client.executeLLMWithBudget('other', 'm', [], () => ({}))).rejects.toThrow('no customPricing');
  await client.executeLLMWithBudget('ollama', 'any', [], (maxTokens) => asked.push(maxTokens));
  expect(asked.at(-1)).toBe(4_096);
});

test('a model call that is not settled in time is charged its reservation', async () => {
  const client = clientOf({ customPricing: { p: { m: { inputTokenPrice: 10, outputTokenPrice: 10 } } } }, { leaseMs: 100 });
  const running = client.executeLLM(createLLMAction('planner', 'p', 'm', 1_000, 1_000), () => new Promise(() => undefined));
  expect([await codeOf(running), client.getCost()]).toEqual(['EXECUTION_TIMEOUT', 0.02]);
});
