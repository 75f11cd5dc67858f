import { canonicalJson } from '../http/json.ts';
import type { FieldError } from '../http/problem.ts';
import { compareTimes } from '../time.ts';
import { matches } from './globs.ts';
import type { Definition, ToolPolicy } from './schemas.ts';
import { policiesFault } from './size.ts';

// Delegation only narrows. An absent field takes the parent's value; a wider one is an error. Authorisation also judges every mandate of the
// chain, so that a delegated mandate is never wider even if its terms looked narrower.

interface Bounds {
  definition: Definition;
  expires_at: string | null;
}

type Rate = NonNullable<Definition['rate_limit']>;

/** Returns the terms of a delegated mandate, and what is wrong with them: fields that are wider than the parent's, or too large with them. */
export function narrow(parent: Bounds, child: Bounds): Bounds & { faults: FieldError[] } {
  const definition: Definition = { ...parent.definition, ...child.definition };
  const policies = mergePolicies(parent.definition.tool_policies, child.definition.tool_policies);
  if (policies) definition.tool_policies = policies;
  if (child.definition.template === undefined) delete definition.template;
  const expires_at = child.expires_at ?? parent.expires_at;
  const tooLarge = policies && policiesFault(policies);
  if (tooLarge)
    return {
      definition,
      expires_at,
      faults: [{ pointer: '#/tool_policies', detail: `together with those of the parent: ${tooLarge.fault}` }],
    };
  const wide = widerFields(parent.definition, definition);
  if (parent.expires_at !== null && compareTimes(expires_at!, parent.expires_at) > 0) wide.push('expires_at');
  return {
    definition,
    expires_at,
    faults: wide.map((field) => ({ pointer: `#/${field}`, detail: 'must not be wider than that of the parent' })),
  };
}

/** Each entry inherits what it leaves open. */
function mergePolicies(parent: Definition['tool_policies'], child: Definition['tool_policies']) {
  if (!parent || !child) return child ?? parent;
  const inherited = Object.entries(child).map(([pattern, own]) => [pattern, { ...parent[pattern], ...own }] as const);
  return { ...parent, ...Object.fromEntries(inherited) };
}

const exceeds = (limit: number | undefined, value: number | undefined): boolean =>
  limit !== undefined && (value === undefined || value > limit);
const isLooser = (limit: Rate | undefined, value: Rate | undefined): boolean =>
  limit !== undefined && (value === undefined || value.max_calls > limit.max_calls || value.window_ms < limit.window_ms);
const differs = (one: unknown, other: unknown): boolean => canonicalJson(one ?? null) !== canonicalJson(other ?? null);

function widerFields(parent: Definition, child: Definition): string[] {
  const wide: [string, boolean][] = [
    ['max_cost_per_call_micros', exceeds(parent.max_cost_per_call_micros, child.max_cost_per_call_micros)],
    ['max_cost_total_micros', exceeds(parent.max_cost_total_micros, child.max_cost_total_micros)],
    ['approval_ttl_ms', exceeds(parent.approval_ttl_ms, child.approval_ttl_ms)],
    ['rate_limit', isLooser(parent.rate_limit, child.rate_limit)],
    ['allowed_tools', parent.allowed_tools !== undefined && !areCovered(child.allowed_tools ?? ['*'], parent.allowed_tools)],
    ['denied_tools', !areCovered(parent.denied_tools ?? [], child.denied_tools ?? [])],
    ['strict_tools', parent.strict_tools === true && child.strict_tools !== true],
    // these determine what is charged, so they must be those of the parent, whose budget is charged too
    ['charging', differs(parent.charging, child.charging)],
    ['currency', differs(parent.currency, child.currency)],
    ['pricing', differs(parent.pricing, child.pricing)],
    ['on_expiry', differs(parent.on_expiry, child.on_expiry) && child.on_expiry !== 'charge'],
  ];
  const policies = Object.entries(child.tool_policies ?? {}).filter(([pattern, own]) =>
    isWider(parent.tool_policies?.[pattern], own),
  );
  return [
    ...wide.filter(([, is]) => is).map(([field]) => field),
    ...policies.map(([pattern]) => `tool_policies/${pattern.replaceAll('~', '~0').replaceAll('/', '~1')}`),
  ];
}

const areCovered = (patterns: string[], by: string[]): boolean =>
  patterns.every((one) => by.some((other) => matches(other, one)));

function isWider(parent: ToolPolicy = {}, child: ToolPolicy): boolean {
  return (
    exceeds(parent.max_cost_per_call_micros, child.max_cost_per_call_micros) ||
    exceeds(parent.lease_ms, child.lease_ms) ||
    isLooser(parent.rate_limit, child.rate_limit) ||
    differs(parent.charging, child.charging) ||
    (parent.require_approval === true && child.require_approval !== true) ||
    (parent.verify === true && child.verify !== true)
  );
}
