import { randomUUID } from 'node:crypto';
import { mostSpecific } from '../mandates/globs.ts';
import type { Mandate, ModelPricing, ProviderPricing } from './mandate.ts';
import { microsOf } from './money.ts';

interface BaseAction {
  /** Unique per intent. A second execution under the same id is refused, unless the first failed and cost nothing. */
  id: string;
  agentId: string;
  timestamp: number;
  /** The expected cost, which is reserved. Default: 0, or the price of the estimated tokens. */
  estimatedCost?: number;
  traceId?: string;
  parentActionId?: string;
}

export interface ToolCall extends BaseAction {
  type: 'tool_call';
  tool: string;
  args?: Record<string, unknown>;
  costType?: 'EXECUTION';
}

export interface LLMCall extends BaseAction {
  type: 'llm_call';
  provider: string;
  model: string;
  inputTokens?: number;
  outputTokens?: number;
  costType?: 'COGNITION';
}

export type Action = ToolCall | LLMCall;

export interface TokenUsage {
  inputTokens: number;
  outputTokens: number;
}

/** Returns a call of a tool. `estimatedCost`: in units of the currency. */
export function createToolAction(
  agentId: string,
  tool: string,
  args?: Record<string, unknown>,
  estimatedCost?: number,
  actionId: string = randomUUID(),
): ToolCall {
  return {
    type: 'tool_call',
    ...{ id: actionId, agentId, timestamp: Date.now(), tool, costType: 'EXECUTION' },
    ...(args && { args }),
    ...(estimatedCost !== undefined && { estimatedCost }),
  };
}

/** Returns a call of a model, which costs the price of these tokens under the mandate, or under `customPricing`. */
export function createLLMAction(
  agentId: string,
  provider: string,
  model: string,
  inputTokens: number,
  outputTokens: number,
  customPricing?: ProviderPricing,
  actionId: string = randomUUID(),
): LLMCall {
  const price = priceOf(customPricing, provider, model);
  return {
    type: 'llm_call',
    ...{ id: actionId, agentId, timestamp: Date.now(), provider, model, inputTokens, outputTokens, costType: 'COGNITION' },
    ...(price && { estimatedCost: costOf(price, { inputTokens, outputTokens }) }),
  };
}

/** Returns the price of a model: of the most specific pattern that matches it. */
export function priceOf(pricing: ProviderPricing | undefined, provider: string, model: string): ModelPricing | undefined {
  const models = pricing?.[provider] ?? {};
  const best = mostSpecific(Object.keys(models), model);
  return best === undefined ? undefined : models[best];
}

/** Returns the cost of tokens in units of the currency. */
const costOf = ({ inputTokenPrice, outputTokenPrice }: ModelPricing, { inputTokens, outputTokens }: TokenUsage): number =>
  (inputTokens * inputTokenPrice + outputTokens * outputTokenPrice) / 1_000_000;

/** Returns the amount to reserve in micro-units. Throws RangeError if a model has no price and the action no estimate. */
export function estimateOf({ customPricing }: Mandate, action: Action): number {
  if (action.estimatedCost !== undefined) return microsOf(action.estimatedCost, 'estimatedCost');
  if (action.type === 'tool_call') return 0;
  const { provider, model, inputTokens = 0, outputTokens = 0 } = action;
  const price = priceOf(customPricing, provider, model);
  if (!price) throw new RangeError(noPrice(provider, model));
  return tokenMicros(price, { inputTokens, outputTokens });
}

/** Rounds up, as the service does for the charge, so that a reservation is never below it. BigInt, because the product can exceed 2^53. */
function tokenMicros({ inputTokenPrice, outputTokenPrice }: ModelPricing, { inputTokens, outputTokens }: TokenUsage): number {
  const price = (units: number, name: string) => BigInt(microsOf(units, name));
  const millionths =
    BigInt(inputTokens) * price(inputTokenPrice, 'inputTokenPrice') +
    BigInt(outputTokens) * price(outputTokenPrice, 'outputTokenPrice');
  return Number((millionths + 999_999n) / 1_000_000n);
}

export const noPrice = (provider: string, model: string): string =>
  `the mandate has no customPricing for the model ${JSON.stringify(model)} of ${JSON.stringify(provider)}, and the action no estimatedCost`;

/**
 * Returns an upper estimate of the tokens of a text: a third of its bytes. With o200k_base, English, code and JSON have about 4 bytes per
 * token, German and Chinese about 5. Texts of random characters, such as ids, have more tokens than this.
 */
export const estimateTokens = (text: string): number => Math.ceil(new TextEncoder().encode(text).length / 3);

export const estimateTokensFromMessages = (messages: readonly unknown[]): number => estimateTokens(JSON.stringify(messages));

/** Returns the output tokens that a budget pays for after the input; at most `most`. */
export function calculateMaxOutputTokens(budget: number, inputTokens: number, price: ModelPricing, most: number): number {
  const left = budget - costOf(price, { inputTokens, outputTokens: 0 });
  if (left < 0) return 0;
  return price.outputTokenPrice === 0 ? most : Math.min(most, Math.floor((left / price.outputTokenPrice) * 1_000_000));
}

/** Returns the tokens that the answer of a model reports, in the form of OpenAI or Anthropic. */
export function usageIn(result: unknown): TokenUsage | undefined {
  const usage = (result as { usage?: Record<string, unknown> } | null | undefined)?.usage;
  const inputTokens = usage?.prompt_tokens ?? usage?.input_tokens;
  const outputTokens = usage?.completion_tokens ?? usage?.output_tokens ?? 0;
  return isCount(inputTokens) && isCount(outputTokens) ? { inputTokens, outputTokens } : undefined;
}

const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;
