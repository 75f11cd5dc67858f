import { matches } from '../mandates/globs.ts';
import type { Definition } from '../mandates/schemas.ts';
import { type Action, estimateOf } from './action.ts';
import type { ChargingPolicy, Mandate, ToolPolicy } from './mandate.ts';
import { microsOf } from './money.ts';
import type { ActionRequest } from './state_manager.ts';

// Converts mandates and actions of the guard to those of the service.

const DEFAULT_VERIFICATION_MS = 5_000;

/** Returns the terms of the mandate. Throws RangeError for an impossible amount. */
export function definitionOf(mandate: Mandate): Definition {
  const { currency, allowedTools, deniedTools, toolPolicies, strictTools, rateLimit, defaultChargingPolicy, customPricing } =
    mandate;
  const amount = (field: 'maxCostPerCall' | 'maxCostTotal') => microsOf(mandate[field]!, field);
  return {
    ...(mandate.maxCostPerCall !== undefined && { max_cost_per_call_micros: amount('maxCostPerCall') }),
    ...(mandate.maxCostTotal !== undefined && { max_cost_total_micros: amount('maxCostTotal') }),
    ...(currency !== undefined && { currency }),
    ...(allowedTools && { allowed_tools: allowedTools }),
    ...(deniedTools && { denied_tools: deniedTools }),
    ...(toolPolicies && { tool_policies: mapValues(toolPolicies, policyOf) }),
    ...(strictTools !== undefined && { strict_tools: strictTools }),
    ...(rateLimit && { rate_limit: { max_calls: rateLimit.maxCalls, window_ms: rateLimit.windowMs } }),
    ...(defaultChargingPolicy && { charging: chargingOf(defaultChargingPolicy) }),
    ...(customPricing && { pricing: pricesOf(customPricing) }),
  };
}

const mapValues = <T, R>(record: Record<string, T>, change: (value: T) => R): Record<string, R> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));

function policyOf(policy: ToolPolicy): NonNullable<Definition['tool_policies']>[string] {
  const { maxCostPerCall, rateLimit, chargingPolicy, argsSchema, verifyResult, executionLeaseMs, requireApproval } = policy;
  return {
    ...(maxCostPerCall !== undefined && { max_cost_per_call_micros: microsOf(maxCostPerCall, 'maxCostPerCall') }),
    ...(rateLimit && { rate_limit: { max_calls: rateLimit.maxCalls, window_ms: rateLimit.windowMs } }),
    ...(chargingPolicy && { charging: chargingOf(chargingPolicy) }),
    ...(argsSchema && { args_schema: argsSchema }),
    ...(executionLeaseMs !== undefined && { lease_ms: executionLeaseMs }),
    ...(requireApproval !== undefined && { require_approval: requireApproval }),
    ...(verifyResult && { verify: true }),
  };
}

function chargingOf(policy: ChargingPolicy): NonNullable<Definition['charging']> {
  if (policy.type === 'SUCCESS_BASED') return 'SUCCESS';
  if (policy.type === 'ATTEMPT_BASED') return 'ATTEMPT';
  if (policy.type === 'CUSTOM') return { custom: 'compute' };
  const { attemptCost, successCost, verificationCost } = policy;
  return {
    tiered: {
      attempt_micros: microsOf(attemptCost, 'attemptCost'),
      success_micros: microsOf(successCost, 'successCost'),
      ...(verificationCost !== undefined && { verification_micros: microsOf(verificationCost, 'verificationCost') }),
    },
  };
}

const pricesOf = (pricing: NonNullable<Mandate['customPricing']>): NonNullable<Definition['pricing']> =>
  Object.fromEntries(
    Object.entries(pricing).flatMap(([provider, models]) =>
      Object.entries(models).map(([model, { inputTokenPrice, outputTokenPrice }]) => [
        modelName(provider, model),
        {
          input_micros_per_million: microsOf(inputTokenPrice, 'inputTokenPrice'),
          output_micros_per_million: microsOf(outputTokenPrice, 'outputTokenPrice'),
        },
      ]),
    ),
  );

/** Returns the name of a model at the service, such as `openai/gpt-large`. */
const modelName = (provider: string, model: string): string => (provider === '' ? model : `${provider}/${model}`);

/** Returns the policies that apply to a tool. */
export const policiesFor = ({ toolPolicies = {} }: Mandate, action: Action): ToolPolicy[] =>
  action.type === 'llm_call'
    ? []
    : Object.entries(toolPolicies).flatMap(([pattern, policy]) => (matches(pattern, action.tool) ? [policy] : []));

/** Returns the request for an action. `leaseMs`: the time in which its function must end, unless a policy has a shorter one. */
export function bodyOf(mandate: Mandate, action: Action, leaseMs: number): ActionRequest {
  const leases = policiesFor(mandate, action).flatMap(({ executionLeaseMs }) => executionLeaseMs ?? []);
  const shared = {
    action_id: action.id,
    estimate_micros: estimateOf(mandate, action),
    lease_ms: Math.min(leaseMs, ...leases),
  };
  if (action.type === 'llm_call') return { ...shared, type: 'llm_call', model: modelName(action.provider, action.model) };
  return { ...shared, type: 'tool_call', tool: action.tool, ...(action.args && { args: action.args }) };
}

/** Returns why the checks of this process do not accept the arguments; undefined if they do. */
export function argumentFault(policy: ToolPolicy, tool: string, args: Record<string, unknown>): string | undefined {
  const { schema, validate } = policy.argumentValidation ?? {};
  const parsed = schema?.safeParse(args);
  if (parsed && !parsed.success) return parsed.error?.message ?? 'they do not match the schema';
  const verdict = validate?.({ tool, args });
  return verdict && !verdict.allowed ? verdict.reason : undefined;
}

/** Returns the policy by which CUSTOM charges are computed; undefined if the charge does not come from this process. */
export function customCharge(mandate: Mandate, action: Action): Extract<ChargingPolicy, { type: 'CUSTOM' }> | undefined {
  const named = policiesFor(mandate, action).flatMap(({ chargingPolicy }) => chargingPolicy ?? []);
  const policy = [...named, mandate.defaultChargingPolicy].find((one) => one !== undefined);
  return policy?.type === 'CUSTOM' ? policy : undefined;
}

/** Returns the checks of the result, and the time that each has in ms. */
export const verifiersFor = (mandate: Mandate, action: Action) =>
  policiesFor(mandate, action).flatMap(({ verifyResult, verificationTimeoutMs = DEFAULT_VERIFICATION_MS }) =>
    verifyResult ? [{ verifyResult, timeoutMs: verificationTimeoutMs }] : [],
  );
