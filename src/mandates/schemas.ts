import { z } from 'zod';
import { nameOf } from '../http/name.ts';
import { integerParameter, pageOf } from '../http/page.ts';
import { time } from '../http/time.ts';
import { schemaFault } from './args_schema.ts';
import { MAX_PATTERN, MAX_PATTERNS, MAX_STARS, policiesFault } from './size.ts';

// Amounts are integers of micro-units: a millionth of the currency's unit.

/** Largest amount in a request: a billion units. */
const MAX_MICROS = 1e15;
/** Windows of rate limits; the sweep deletes older calls. */
const MAX_WINDOW_MS = 31 * 86_400_000;
const MAX_LEASE_MS = 86_400_000;
const MAX_APPROVAL_MS = 7 * 86_400_000;
const MAX_TOKENS = 1e9;
const MAX_PRICE = 1e12;

export const templateNames = ['restricted', 'development', 'production', 'temporary'] as const;

const micros = (about: string) => z.int().min(0).max(MAX_MICROS).describe(`${about}, in micro-units`);
const pattern = nameOf(MAX_PATTERN).refine(
  (text) => text.split('*').length <= MAX_STARS + 1,
  `must have at most ${MAX_STARS} stars`,
);
const patterns = (about: string) => z.array(pattern).max(MAX_PATTERNS).describe(about);
const milliseconds = (max: number, about: string) => z.int().min(100).max(max).describe(`${about}, in ms`);

const rateLimit = z
  .strictObject({
    max_calls: z.int().min(0).max(1e9).describe('Maximum number of calls in any window.'),
    window_ms: z.int().min(1).max(MAX_WINDOW_MS).describe('Length of the sliding window in ms.'),
  })
  .meta({ id: 'CallLimit' });

const charging = z
  .union([
    z.enum(['SUCCESS', 'ATTEMPT']),
    z.strictObject({
      tiered: z.strictObject({
        attempt_micros: micros('Charged for every attempt'),
        success_micros: micros('Charged in addition for a success'),
        verification_micros: micros('Charged in addition for a verified result').optional(),
      }),
    }),
    z.strictObject({ custom: nameOf(64).describe('Name of the rule of the client, which reports `actual_micros`.') }),
  ])
  .describe(
    '`SUCCESS` charges actions that succeed and, if required, are verified; `ATTEMPT` charges every action; `tiered` charges fixed amounts; `custom` charges `actual_micros`.',
  );

const argsSchema = z
  .record(z.string(), z.unknown())
  .describe('JSON schema of the arguments. References are local and not recursive; patterns have the syntax of RE2.');

const toolPolicy = z
  .strictObject({
    max_cost_per_call_micros: micros('Maximum cost of a call').optional(),
    rate_limit: rateLimit.optional(),
    args_schema: argsSchema.optional(),
    lease_ms: milliseconds(MAX_LEASE_MS, 'Maximum time in which a call must be settled').optional(),
    charging: charging.optional(),
    require_approval: z.boolean().optional().describe('Calls wait until an admin decides.'),
    verify: z.boolean().optional().describe('A result counts as a success only if it is verified.'),
  })
  .meta({ id: 'ToolPolicy' });
export type ToolPolicy = z.output<typeof toolPolicy>;

const prices = z
  .strictObject({
    input_micros_per_million: z.int().min(0).max(MAX_PRICE),
    output_micros_per_million: z.int().min(0).max(MAX_PRICE),
  })
  .describe('Prices of a million tokens, in micro-units.');

const byPattern = <T extends z.ZodType>(value: T, about: string) =>
  z
    .record(pattern, value)
    .refine((entries) => Object.keys(entries).length <= MAX_PATTERNS, `must have at most ${MAX_PATTERNS} patterns`)
    .describe(about);

/** Compiles the schemas of arguments only if all of them together are small enough. */
function checkPolicies(policies: Record<string, ToolPolicy>, context: z.RefinementCtx): void {
  const found = policiesFault(policies);
  if (found) {
    context.addIssue({ code: 'custom', message: found.fault, path: found.name === undefined ? [] : [found.name, 'args_schema'] });
    return;
  }
  for (const [name, { args_schema }] of Object.entries(policies)) {
    const fault = args_schema && schemaFault(args_schema);
    if (fault !== undefined) context.addIssue({ code: 'custom', message: fault, path: [name, 'args_schema'] });
  }
}

/** The terms of a mandate. They never change. An absent limit is unlimited; a limit of 0 refuses each estimate above 0. */
export const definitionFields = {
  max_cost_per_call_micros: micros('Maximum cost of an action').optional(),
  max_cost_total_micros: micros('Maximum cost of all actions together, with those under delegated mandates').optional(),
  currency: z
    .string()
    .regex(/^[A-Za-z]{3,12}$/, 'must be 3 to 12 letters')
    .optional()
    .describe('Default: `USD`.'),
  allowed_tools: patterns(
    'Patterns of the tools that may be called. An empty list allows none; without a list, all are allowed.',
  ).optional(),
  denied_tools: patterns('Patterns of tools that may not be called, even if they are allowed.').optional(),
  tool_policies: byPattern(toolPolicy, 'Further conditions, by pattern. All patterns that match a tool apply to it.')
    .superRefine(checkPolicies)
    .optional(),
  strict_tools: z.boolean().optional().describe('Tools without an entry in `tool_policies` are refused.'),
  rate_limit: rateLimit.optional(),
  charging: charging.optional(),
  on_expiry: z
    .enum(['charge', 'return'])
    .optional()
    .describe(
      'Whether an action that is not settled in time is charged its reservation, or nothing. Default: by `charging`; `charge` for `llm_call`.',
    ),
  pricing: byPattern(prices, 'Prices by pattern of the model. The most specific pattern applies.').optional(),
  approval_ttl_ms: milliseconds(MAX_APPROVAL_MS, 'Time in which a deferred action must be decided').optional(),
};
export const definition = z.strictObject({ ...definitionFields, template: z.enum(templateNames).optional() });
/** Maximum size of the terms of a mandate or policy in bytes. A page of MAX_LISTED has at most 16 MiB of them. */
export const MAX_DEFINITION = 65_536;
export const MAX_LISTED = 250;

/** Returns the bytes of a value as the database writes it as JSON: numbers without exponents, so that `1e300` has 301. */
export function storedBytes(value: unknown): number {
  let zeros = 0;
  const text = JSON.stringify(value, (_, each) => {
    if (typeof each === 'number') zeros += Number(/e[+-](\d+)$/.exec(String(each))?.[1] ?? 0);
    return each;
  });
  return Buffer.byteLength(text) + zeros;
}
export type Definition = z.output<typeof definition>;

const mandateId = nameOf(128)
  .refine((id) => !/^(?:man_|erased_|\.{1,2}$)/.test(id), 'must not begin with "man_" or "erased_", and must not be "." or ".."')
  .describe('Chosen by the client, so that several processes share a budget. Default: a generated id.');

const identityFields = {
  mandate_id: mandateId.optional(),
  principal: nameOf().optional().describe('The user who may act under the mandate. Default: the caller’s subject.'),
  expires_at: time.optional(),
  template: z.enum(templateNames).optional().describe('Supplies the fields that are absent.'),
};
export const mandateBody = z
  .strictObject({ ...identityFields, agent_id: nameOf(), ...definitionFields })
  .meta({ id: 'NewMandate' });
export const delegateBody = z
  .strictObject({ ...identityFields, agent_id: nameOf().optional(), ...definitionFields })
  .meta({ id: 'DelegatedMandate' });
export type MandateBody = z.output<typeof mandateBody>;
export type DelegateBody = z.output<typeof delegateBody>;

const usage = z
  .object({
    spent_micros: z.int(),
    reserved_micros: z.int().describe('Reserved by actions that are not settled.'),
    remaining_micros: z
      .int()
      .nullable()
      .describe('Smallest remainder of it and the mandates that it was delegated from. Null: unlimited.'),
    calls: z.int().describe('Number of actions that were authorised.'),
    overdrawn_micros: z
      .int()
      .describe('By how much late or excessive settlements exceed a limit. The next action is refused until it is 0.'),
  })
  .meta({ id: 'MandateUsage' });

export const mandate = z
  .object({
    mandate_id: z.string(),
    seq: z.int().describe('Position of the event that created or revoked it.'),
    parent_id: z.string().optional().describe('The mandate from which it was delegated.'),
    agent_id: z.string(),
    principal: z.string().nullable(),
    status: z.enum(['active', 'revoked', 'expired', 'suspended']),
    created_at: z.string(),
    expires_at: z.string().nullable(),
    revoked_at: z.string().optional(),
    ...definition.shape,
    usage,
  })
  .meta({ id: 'Mandate' });
export type MandateView = z.output<typeof mandate>;

export const mandateParams = z.strictObject({ mandate_id: nameOf() });
export const mandateList = z.strictObject({
  agent_id: nameOf().optional(),
  status: z.enum(['active', 'revoked', 'expired', 'suspended']).optional(),
  limit: z.coerce.number().int().min(1).max(MAX_LISTED).default(50),
  cursor: z.string().max(500).optional(),
});
export const mandatePage = pageOf(mandate);
export const revokeBody = z.strictObject({ reason: nameOf(1000).optional() }).prefault({});

const args = z.record(z.string(), z.unknown());
const actionFields = {
  action_id: nameOf().describe('Chosen by the client. The same id with the same body returns the same answer.'),
  estimate_micros: micros('The expected cost, which is reserved'),
  lease_ms: milliseconds(MAX_LEASE_MS, 'Time in which the action must be settled').optional().describe('Default: 60,000 ms.'),
};
export const actionBody = z
  .strictObject({
    ...actionFields,
    type: z.enum(['tool_call', 'llm_call']),
    tool: nameOf().optional().describe('Required for a `tool_call`.'),
    model: nameOf().optional().describe('Required for an `llm_call`. Determines the price of tokens.'),
    args: args.optional(),
  })
  .superRefine(({ type, tool, model }, context) => {
    const fault = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (type === 'tool_call' && tool === undefined) fault('tool', 'required for a tool_call');
    if (type === 'llm_call' && model === undefined) fault('model', 'required for an llm_call');
    if (type === 'llm_call' && tool !== undefined) fault('tool', 'must be absent for an llm_call');
  })
  .meta({ id: 'NewAction' });
export type ActionBody = z.output<typeof actionBody>;

export const authorisation = z
  .object({
    action_id: z.string(),
    decision: z.enum(['allow', 'defer', 'deny']),
    reserved_micros: z.int(),
    remaining_micros: z.int().nullable().describe('Null: unlimited.'),
    remaining_calls: z.int().optional().describe('Calls left in the current window of `rate_limit`.'),
    expires_at: z.string().describe('When the action must be settled or, if it is deferred, decided.'),
  })
  .meta({ id: 'Authorisation' });
export type Authorisation = z.output<typeof authorisation>;

export const settleBody = z
  .strictObject({
    outcome: z.enum(['success', 'failure']),
    actual_micros: micros('The actual cost. Default: the cost of the tokens, or else the estimate').optional(),
    tokens: z
      .strictObject({ input: z.int().min(0).max(MAX_TOKENS), output: z.int().min(0).max(MAX_TOKENS) })
      .optional()
      .describe('Charged at the prices of the mandate, rounded up.'),
    verified: z.boolean().optional().describe('Whether the result was verified.'),
  })
  .meta({ id: 'Settle' });
export type SettleBody = z.output<typeof settleBody>;

export const settlement = z
  .object({
    action_id: z.string(),
    charged_micros: z.int(),
    remaining_micros: z.int().nullable(),
    late: z.literal(true).optional().describe('The action had expired, and its reservation had ended.'),
    overdrawn_micros: z.int().optional().describe('By how much a limit is exceeded now.'),
    code: z.enum(['EXECUTION_TIMEOUT', 'VERIFICATION_FAILED', 'VERIFICATION_TIMEOUT']).optional(),
  })
  .meta({ id: 'Settlement' });

export const decideBody = z.strictObject({
  decision: z.enum(['allow', 'deny']),
  note: nameOf(1000).optional().describe('Recorded in the event of the decision.'),
});

export const action = z
  .object({
    mandate_id: z.string(),
    action_id: z.string(),
    type: z.enum(['tool_call', 'llm_call']),
    tool: z.string().nullable(),
    model: z.string().nullable(),
    decision: z.enum(['allow', 'defer', 'deny']),
    state: z.enum(['open', 'settled', 'expired', 'denied']),
    args: z
      .record(z.string(), z.unknown())
      .optional()
      .describe('The arguments without secrets, while the action waits for a decision.'),
    args_hash: z.string().nullable().describe('Keyed hash of the arguments.'),
    estimate_micros: z.int(),
    reserved_micros: z.int(),
    charged_micros: z.int().nullable().describe('Null while the action is open.'),
    outcome: z.enum(['success', 'failure']).optional(),
    code: z.enum(['EXECUTION_TIMEOUT', 'VERIFICATION_FAILED', 'VERIFICATION_TIMEOUT']).optional(),
    created_at: z.string(),
    expires_at: z.string(),
    ended_at: z.string().nullable(),
  })
  .meta({ id: 'Action' });
export const actionPage = pageOf(action);
export const deferredQuery = z.strictObject({
  decision: z.literal('defer').describe('The actions that wait for a decision.'),
  mandate_id: nameOf().optional(),
  limit: integerParameter(1, 1000).default(50),
  cursor: z.string().max(2000).optional(),
});
export const actionParams = z.strictObject({ mandate_id: nameOf(), action_id: nameOf() });
