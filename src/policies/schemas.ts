import { z } from 'zod';
import { label, nameOf } from '../http/name.ts';
import { pageOf } from '../http/page.ts';
import { definition, definitionFields, MAX_DEFINITION, MAX_LISTED, mandate, storedBytes } from '../mandates/index.ts';
import { type Condition, faultsIn } from './conditions.ts';

/** Validity of a composed mandate if its policies do not state one. */
export const DEFAULT_EXPIRES_MS = 300_000;
const MAX_EXPIRES_MS = 31 * 86_400_000;
/** Bytes of a rule. An issue reads all rules of a tenant, and a page up to 1,000. */
export const MAX_RULE = 16_384;
const MAX_RULE_POLICIES = 32;
const MAX_RULE_AGENTS = 256;
const MAX_CONTEXT = 16_384;

const text = label.max(1000).optional();
const expires_in_ms = z
  .int()
  .min(1_000)
  .max(MAX_EXPIRES_MS)
  .describe('Validity of a mandate that is composed from it, in ms. Default: 5 minutes.');

export const policyBody = z
  .strictObject({ name: nameOf(), description: text, expires_in_ms: expires_in_ms.optional(), ...definitionFields })
  .refine((body) => storedBytes(body) <= MAX_DEFINITION, `must have at most ${MAX_DEFINITION} bytes`)
  .meta({ id: 'NewPolicy' });
export type PolicyBody = z.output<typeof policyBody>;

export const policy = z
  .object({
    policy_id: z.string(),
    version: z.int(),
    name: z.string(),
    description: z.string().optional(),
    expires_in_ms: expires_in_ms.optional(),
    ...definition.omit({ template: true }).shape,
    created_at: z.string(),
  })
  .meta({ id: 'Policy' });
export type PolicyView = z.output<typeof policy>;

const conditions = z
  .array(z.unknown())
  .superRefine((given, context) => {
    for (const { path, message } of faultsIn(given)) context.addIssue({ code: 'custom', path, message });
  })
  .transform((given) => given as Condition[])
  .describe(
    'All must hold. A condition is `{"field": "user.role", "operator": "==", "value": "admin"}` over the context, `{"and": […]}` or `{"or": […]}`. Operators: `==`, `!=`, `in`, `contains`, `>`, `<`, `>=`, `<=`. A field that is missing fulfils no condition. An empty list always holds.',
  );

const ruleFields = {
  policy_ids: z.array(z.string()).describe('The policies that apply, in their latest version.'),
  agent_ids: z.array(z.string()).optional().describe('The agents to which the rule applies. Default: all.'),
};

export const ruleBody = z
  .strictObject({
    name: nameOf(),
    conditions,
    policy_ids: z.array(nameOf()).min(1).max(MAX_RULE_POLICIES).describe(ruleFields.policy_ids.description!),
    agent_ids: z.array(nameOf()).min(1).max(MAX_RULE_AGENTS).optional().describe(ruleFields.agent_ids.description!),
  })
  .refine((body) => storedBytes(body) <= MAX_RULE, `must have at most ${MAX_RULE} bytes`)
  .meta({ id: 'NewRule' });
export type RuleBody = z.output<typeof ruleBody>;

export const rule = z
  .object({
    rule_id: z.string(),
    version: z.int(),
    name: z.string(),
    conditions: z.array(z.unknown()),
    ...ruleFields,
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'Rule' });
export type RuleView = Omit<z.output<typeof rule>, 'conditions'> & { conditions: Condition[] };

export const issueBody = z
  .strictObject({
    agent_id: nameOf(),
    principal: nameOf().optional().describe('The user who may act under the mandate. Default: the caller’s subject.'),
    context: z
      .record(z.string(), z.unknown())
      .refine((context) => JSON.stringify(context).length <= MAX_CONTEXT, `must have at most ${MAX_CONTEXT} characters`)
      .describe('The facts that the rules judge. Not stored.'),
  })
  .meta({ id: 'IssueMandate' });

export const issued = mandate
  .extend({
    policies: z
      .array(z.object({ policy_id: z.string(), version: z.int() }))
      .describe('The policies that it was composed from. None: no rule matched, and it denies everything.'),
    rule_ids: z.array(z.string()).describe('The rules that matched.'),
  })
  .meta({ id: 'IssuedMandate' });

const listed = (max: number) =>
  z.strictObject({
    limit: z.coerce.number().int().min(1).max(max).default(50),
    cursor: z.string().max(500).optional(),
  });
export const policyPage = pageOf(policy);
export const policyParams = z.strictObject({ policy_id: nameOf() });
export const versionQuery = z.strictObject({
  version: z.coerce.number().int().min(1).max(1_000_000).optional().describe('Default: the latest.'),
});
export const rulePage = pageOf(rule);
export const ruleParams = z.strictObject({ rule_id: nameOf() });
export const policyList = listed(MAX_LISTED);
export const ruleList = listed(1000);
