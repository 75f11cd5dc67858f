import { canonicalJson } from '../http/json.ts';
import { Problem } from '../http/problem.ts';
import { type Definition, policiesFault, type ToolPolicy } from '../mandates/index.ts';
import { type Effort, intersectLists, withoutCovered } from './intersect.ts';

// Composes the terms of a mandate from policies. The result allows only what every policy allows: each limit is the strictest, tools must be
// allowed by all and denied by none. Terms that cannot be ordered, such as prices, must be equal, or the composition is refused.

type Rate = NonNullable<Definition['rate_limit']>;

export interface Policy {
  policy_id: string;
  definition: Definition;
  expires_in_ms: number;
}

/** The terms of a mandate for a context that no rule matches. The rate also stops calls that cost nothing. */
export const DENY_ALL: Definition = {
  max_cost_per_call_micros: 0,
  max_cost_total_micros: 0,
  allowed_tools: [],
  denied_tools: ['*'],
  rate_limit: { max_calls: 0, window_ms: 1_000 },
};

/** Returns the terms that all policies permit. Throws `conflict` if two of them cannot be reconciled. */
export function compose(policies: readonly Policy[]): Definition {
  if (policies.length <= 1) return policies[0]?.definition ?? DENY_ALL;
  const effort: Effort = { steps: 0 };
  const [first, ...others] = policies.map(({ definition }) => withStrictTools(definition, effort)) as [
    Definition,
    ...Definition[],
  ];
  return others.reduce((composed, next, i) => both(composed, next, { effort, policy_id: policies[i + 1]!.policy_id }), first);
}

/** Makes `strict_tools` part of the allowed tools: another policy may have an entry for a tool that this one does not know. */
function withStrictTools(definition: Definition, effort: Effort): Definition {
  if (!definition.strict_tools) return definition;
  const known = Object.keys(definition.tool_policies ?? {});
  return { ...definition, allowed_tools: intersectLists(definition.allowed_tools ?? ['*'], known, effort) };
}

interface At {
  effort: Effort;
  policy_id: string;
}

function both(a: Definition, b: Definition, at: At): Definition {
  const { effort } = at;
  return defined<Definition>({
    max_cost_per_call_micros: least(a.max_cost_per_call_micros, b.max_cost_per_call_micros),
    max_cost_total_micros: least(a.max_cost_total_micros, b.max_cost_total_micros),
    approval_ttl_ms: least(a.approval_ttl_ms, b.approval_ttl_ms),
    allowed_tools: either(a.allowed_tools, b.allowed_tools, (one, other) => intersectLists(one, other, effort)),
    denied_tools: either(a.denied_tools, b.denied_tools, (one, other) => withoutCovered([...one, ...other], effort)),
    rate_limit: either(a.rate_limit, b.rate_limit, strictestRate),
    strict_tools: a.strict_tools || b.strict_tools || undefined,
    tool_policies: either(a.tool_policies, b.tool_policies, (one, other) => mergeEntries(one, other, at)),
    // what is charged: ATTEMPT charges all that SUCCESS charges
    charging: chargingOf(a, b, at),
    on_expiry: a.on_expiry === b.on_expiry ? a.on_expiry : [a.on_expiry, b.on_expiry].find((one) => one === 'charge'),
    currency: same('currency', a.currency ?? 'USD', b.currency ?? 'USD', at),
    pricing: either(a.pricing, b.pricing, (one, other) => same('pricing', one, other, at)),
  });
}

/** Drops absent members. */
const defined = <T extends object>(members: { [K in keyof T]: T[K] | undefined }): T =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as T;

/** Returns the only value that is present, or both of them combined. */
const either = <T>(a: T | undefined, b: T | undefined, combine: (a: T, b: T) => T): T | undefined =>
  a === undefined ? b : b === undefined ? a : combine(a, b);

const least = (a: number | undefined, b: number | undefined) => either(a, b, Math.min);

function same<T>(field: string, a: T, b: T, { policy_id }: At): T {
  if (canonicalJson(a) === canonicalJson(b)) return a;
  throw new Problem('conflict', `The policy ${policy_id} and another one that applies differ in ${field}.`);
}

/** Rules of charging are equal, or differ only in that ATTEMPT, which charges all that SUCCESS charges, replaces it. */
function chargingOf(a: Definition, b: Definition, at: At): Definition['charging'] {
  const byTool = ({ tool_policies = {} }: Definition) =>
    Object.fromEntries(
      Object.entries(tool_policies).flatMap(([pattern, { charging }]) => (charging ? [[pattern, charging]] : [])),
    );
  same('charging', byTool(a), byTool(b), at);
  const [one, other] = [a.charging ?? 'SUCCESS', b.charging ?? 'SUCCESS'];
  const isPlain = Object.keys(byTool(a)).length === 0 && [one, other].every((rule) => typeof rule === 'string');
  if (isPlain && one !== other) return 'ATTEMPT';
  same('charging', one, other, at);
  return a.charging ?? b.charging;
}

/**
 * Returns the loosest of the candidates that implies both limits. A limit of m calls in any w ms admits at most m × ⌈v ÷ w⌉ calls in any v ms,
 * because ⌈v ÷ w⌉ windows cover v. Therefore a lower rate alone does not imply the other limit: 100 a minute admits 100 in a second.
 */
export function strictestRate(a: Rate, b: Rate): Rate {
  const [few, many] = a.max_calls <= b.max_calls ? [a, b] : [b, a];
  if (few.max_calls === 0) return { max_calls: 0, window_ms: Math.max(a.window_ms, b.window_ms) };
  const split = (parts: number): Rate => ({
    max_calls: Math.min(few.max_calls, Math.floor(many.max_calls / parts)),
    window_ms: Math.max(few.window_ms, Math.ceil(many.window_ms / parts)),
  });
  const ratio = many.max_calls / few.max_calls;
  return [a, b, split(Math.floor(ratio)), split(Math.ceil(ratio))]
    .filter((one) => implies(one, a) && implies(one, b))
    .reduce((best, one) => (isLooser(one, best) ? one : best));
}

const implies = (one: Rate, other: Rate): boolean =>
  one.max_calls * Math.ceil(other.window_ms / one.window_ms) <= other.max_calls;

function isLooser(one: Rate, other: Rate): boolean {
  const difference = one.max_calls * other.window_ms - other.max_calls * one.window_ms;
  return difference > 0 || (difference === 0 && one.max_calls > other.max_calls);
}

type Entries = Record<string, ToolPolicy>;

/** All entries that match a tool apply to it, so that only entries of the same pattern have to be combined. */
function mergeEntries(a: Entries, b: Entries, at: At): Entries {
  const shared = Object.keys(b).filter((pattern) => Object.hasOwn(a, pattern));
  const merged = shared.map((pattern) => [pattern, bothEntries(pattern, a[pattern]!, b[pattern]!, at)] as const);
  const entries = { ...a, ...b, ...Object.fromEntries(merged) };
  const tooLarge = policiesFault(entries);
  if (tooLarge) throw new Problem('conflict', `The tool_policies of these policies together ${tooLarge.fault}.`);
  return entries;
}

const bothEntries = (pattern: string, a: ToolPolicy, b: ToolPolicy, at: At): ToolPolicy =>
  defined<ToolPolicy>({
    max_cost_per_call_micros: least(a.max_cost_per_call_micros, b.max_cost_per_call_micros),
    rate_limit: either(a.rate_limit, b.rate_limit, strictestRate),
    lease_ms: least(a.lease_ms, b.lease_ms),
    args_schema: either(a.args_schema, b.args_schema, (one, other) => same(`args_schema of ${pattern}`, one, other, at)),
    charging: a.charging ?? b.charging,
    require_approval: a.require_approval || b.require_approval || undefined,
    verify: a.verify || b.verify || undefined,
  });
