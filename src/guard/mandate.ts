import { randomUUID } from 'node:crypto';
import { withTemplate } from '../mandates/templates.ts';
import type { Action } from './action.ts';
import { unitsOf } from './money.ts';

// A mandate as the code of an agent writes it. Amounts are units of the currency, such as dollars; the service counts micro-units.

export interface RateLimit {
  maxCalls: number;
  /** Length of the sliding window in ms. */
  windowMs: number;
}

export interface ChargingContext {
  action: Action;
  /** Whether the function has ended. */
  executed: boolean;
  /** Whether it ended without an error. */
  executionSuccess: boolean;
  verificationSuccess: boolean;
  estimatedCost: number;
  actualCost?: number;
}

export type ChargingPolicy =
  | { type: 'SUCCESS_BASED' }
  | { type: 'ATTEMPT_BASED' }
  | { type: 'TIERED'; attemptCost: number; successCost: number; verificationCost?: number }
  | { type: 'CUSTOM'; compute: (context: ChargingContext) => number };

export type Verification = { ok: true } | { ok: false; reason: string };

export interface ArgumentValidation {
  /** A schema of zod, or of another library with the same method. */
  schema?: { safeParse(value: unknown): { success: boolean; error?: { message: string } } };
  validate?: (context: { tool: string; args: Record<string, unknown> }) => { allowed: true } | { allowed: false; reason: string };
}

export interface ToolPolicy {
  maxCostPerCall?: number;
  rateLimit?: RateLimit;
  chargingPolicy?: ChargingPolicy;
  /** JSON schema of the arguments. */
  argsSchema?: Record<string, unknown>;
  /** Checks of the arguments in this process, before the action is authorised. */
  argumentValidation?: ArgumentValidation;
  /** Checks the result in this process. A result that fails is not a success. */
  verifyResult?: (context: { action: Action; result: unknown; mandate: Mandate }) => Verification | Promise<Verification>;
  /** Time for `verifyResult` in ms. Default: 5,000. */
  verificationTimeoutMs?: number;
  /** Time in which the function must end, in ms. Default: that of the client. */
  executionLeaseMs?: number;
  /** Calls wait until an admin decides. Needs the service. */
  requireApproval?: boolean;
}

export interface ModelPricing {
  /** Price of a million input tokens. */
  inputTokenPrice: number;
  /** Price of a million output tokens. */
  outputTokenPrice: number;
}

/** Prices by provider and pattern of the model. */
export type ProviderPricing = Record<string, Record<string, ModelPricing>>;

export interface Mandate {
  /** Processes that use the same id share a budget. Embedded mode generates one if it is absent; the service requires it. */
  id?: string;
  agentId: string;
  /** The user who may act under the mandate. */
  principal?: string;
  /** Three to twelve letters. Default: `USD`. */
  currency?: string;
  /** Time in ms since 1970. */
  expiresAt?: number;
  maxCostPerCall?: number;
  maxCostTotal?: number;
  /** An empty list allows nothing; without a list, all tools are allowed. */
  allowedTools?: string[];
  deniedTools?: string[];
  toolPolicies?: Record<string, ToolPolicy>;
  /** Refuses tools without an entry in `toolPolicies`. */
  strictTools?: boolean;
  rateLimit?: RateLimit;
  defaultChargingPolicy?: ChargingPolicy;
  customPricing?: ProviderPricing;
  /** Descriptive fields of the other system, which nothing evaluates. */
  version?: number;
  issuedAt?: number;
  issuer?: { type: 'human' | 'service' | 'system'; id: string };
  scope?: Record<string, string>;
  identity?: Record<string, unknown>;
}

export interface MandateOptions extends Partial<Mandate> {
  /** Time until the mandate ends, in ms. */
  expiresInMs?: number;
  description?: string;
}

/** Returns a mandate with a generated id, and an `agentId` if none is given. */
export function createMandate({ expiresInMs, description, ...given }: MandateOptions): Mandate {
  const now = Date.now();
  const agentId = given.agentId ?? `agent-${randomUUID()}`;
  return {
    id: `mandate-${randomUUID()}`,
    issuedAt: now,
    ...(expiresInMs !== undefined && { expiresAt: now + expiresInMs }),
    ...(description !== undefined && { identity: { agentId, principal: given.principal, description } }),
    ...given,
    agentId,
  };
}

const template =
  (name: 'restricted' | 'development' | 'production' | 'temporary') =>
  (principal: string, options: MandateOptions = {}): Mandate => {
    const { definition, expires_at } = withTemplate({ template: name }, Date.now());
    return createMandate({
      principal,
      maxCostPerCall: unitsOf(definition.max_cost_per_call_micros!),
      maxCostTotal: unitsOf(definition.max_cost_total_micros!),
      allowedTools: definition.allowed_tools!,
      deniedTools: definition.denied_tools!,
      rateLimit: { maxCalls: definition.rate_limit!.max_calls, windowMs: definition.rate_limit!.window_ms },
      ...(expires_at !== null && options.expiresInMs === undefined && { expiresAt: Date.parse(expires_at) }),
      ...options,
    });
  };

/** The templates of the service, as mandates of the guard. */
export const MandateTemplates = {
  restricted: template('restricted'),
  development: template('development'),
  production: template('production'),
  temporary: template('temporary'),
};
