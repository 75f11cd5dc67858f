import type { Outcome } from '../db/unit.ts';
import { type ArgsCheck, MAX_WORK, sizeOf } from './args_size.ts';
import { matches, matchesAny, mostSpecific } from './globs.ts';
import type { ActionBody, Definition, ToolPolicy } from './schemas.ts';

// Evaluates what depends only on the terms of a mandate and on the request. The terms never change, so this is done before the transaction;
// src/mandates/functions.sql judges the rest, and applies these refusals at their place in the order.

/** A mandate of a chain as an authorisation reads it. */
export interface Link {
  mandate_id: string;
  definition: Definition;
  /** Returns the compiled `args_schema` of an entry of `tool_policies`. */
  argsCheckOf(pattern: string): ArgsCheck | undefined;
}

type Refusal = NonNullable<Outcome['refusal']>;

interface Rate {
  mandate_id: string;
  entry: string;
  max_calls: number;
  window_ms: number;
}

/** The part of the effect of an authorisation that follows from the terms. */
export interface Evaluation {
  decision: 'allow' | 'defer';
  early?: Refusal;
  per_call?: Refusal;
  tool_rates: Rate[];
  agent_rates: Rate[];
  reserve: number;
  ttl_ms: number;
  terms: {
    charging: NonNullable<Definition['charging']>;
    verify: boolean;
    lapse_micros: number;
    lease_ms: number;
    price?: NonNullable<Definition['pricing']>[string];
  };
}

const DEFAULT_LEASE_MS = 60_000;
const DEFAULT_APPROVAL_MS = 3_600_000;

const blocked = (code: string, detail: string): Refusal => ({ code: 'AM403', detail, members: { code, hard: true } });

interface Match extends ToolPolicy {
  pattern: string;
  link: Link;
}

/** `chain`: the mandate and its ancestors, root first. All of them bound the action; the mandate itself determines how it is charged. */
export function evaluate(chain: Link[], body: ActionBody): Evaluation {
  const own = chain.at(-1)!;
  const policies = body.type === 'tool_call' ? chain.flatMap((link) => policiesFor(link, body.tool!)) : [];
  const ownPolicies = policies.filter(({ link }) => link === own);
  const charging = chargingOf(own.definition, ownPolicies, body);
  const reserve = Math.max(body.estimate_micros, mostOf(charging));
  const lease_ms = leaseOf(policies, body);
  const waits = policies.some(({ require_approval }) => require_approval);
  const early = (body.type === 'tool_call' && toolRefusal(chain, policies, body)) || toolCostRefusal(policies, reserve);
  const perCall = chain.some(({ definition: { max_cost_per_call_micros: max } }) => max !== undefined && reserve > max);
  const model = body.model === undefined ? undefined : mostSpecific(Object.keys(own.definition.pricing ?? {}), body.model);
  return {
    decision: waits ? 'defer' : 'allow',
    ...(early && { early }),
    ...(perCall && { per_call: blocked('COST_LIMIT_EXCEEDED', 'the cost of the action exceeds the maximum per call') }),
    tool_rates: policies.flatMap(({ link, pattern, rate_limit }) =>
      rate_limit ? [{ mandate_id: link.mandate_id, entry: pattern, ...rate_limit }] : [],
    ),
    agent_rates: chain.flatMap(({ mandate_id, definition: { rate_limit } }) =>
      rate_limit ? [{ mandate_id, entry: '', ...rate_limit }] : [],
    ),
    reserve,
    ttl_ms: waits ? Math.min(...chain.map(({ definition }) => definition.approval_ttl_ms ?? DEFAULT_APPROVAL_MS)) : lease_ms,
    terms: {
      charging,
      verify: policies.some(({ verify }) => verify),
      lapse_micros: lapseOf(own.definition, charging, body, reserve),
      lease_ms,
      ...(model !== undefined && { price: own.definition.pricing![model]! }),
    },
  };
}

const policiesFor = (link: Link, tool: string): Match[] =>
  Object.entries(link.definition.tool_policies ?? {})
    .filter(([pattern]) => matches(pattern, tool))
    .map(([pattern, policy]) => ({ pattern, link, ...policy }));

/** The shortest of the leases that the request and the policies name, or else the default. */
function leaseOf(policies: Match[], { lease_ms }: ActionBody): number {
  const named = [lease_ms, ...policies.map((policy) => policy.lease_ms)].filter((one) => one !== undefined);
  return named.length > 0 ? Math.min(...named) : DEFAULT_LEASE_MS;
}

/** Deny beats allow; then the arguments. */
function toolRefusal(chain: Link[], policies: Match[], { tool, args }: ActionBody): Refusal | undefined {
  const name = tool!;
  if (chain.some(({ definition: { denied_tools = [] } }) => matchesAny(denied_tools, name)))
    return blocked('TOOL_DENIED', 'the mandate denies the tool');
  if (chain.some(({ definition: { allowed_tools } }) => allowed_tools !== undefined && !matchesAny(allowed_tools, name)))
    return blocked('TOOL_NOT_ALLOWED', 'the mandate does not allow the tool');
  if (chain.some((link) => link.definition.strict_tools && !policies.some((policy) => policy.link === link)))
    return blocked('UNKNOWN_TOOL', 'the mandate has no policy for the tool');
  const fault = argsFault(policies, args ?? {});
  return fault === undefined ? undefined : blocked('ARGUMENT_VALIDATION_FAILED', `the arguments are not valid: ${fault}`);
}

/** The steps of all schemas that apply are bounded together. */
function argsFault(policies: Match[], args: Record<string, unknown>): string | undefined {
  const size = sizeOf(args);
  let steps = 0;
  for (const { link, pattern } of policies) {
    const check = link.argsCheckOf(pattern);
    if (!check) continue;
    steps += check.stepsFor(size);
    if (steps > MAX_WORK) return 'the arguments are too large for their schemas';
    const fault = check.faultIn(args);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

const toolCostRefusal = (policies: Match[], reserve: number): Refusal | undefined =>
  policies.some(({ max_cost_per_call_micros: max }) => max !== undefined && reserve > max)
    ? blocked('COST_LIMIT_EXCEEDED', 'the cost of the action exceeds the maximum per call of the tool')
    : undefined;

/** That of the most specific policy that names one, or else that of the mandate. */
function chargingOf({ charging = 'SUCCESS' }: Definition, policies: Match[], { tool }: ActionBody) {
  const named = policies.filter((policy) => policy.charging !== undefined);
  const best =
    tool === undefined
      ? undefined
      : mostSpecific(
          named.map(({ pattern }) => pattern),
          tool,
        );
  return named.find(({ pattern }) => pattern === best)?.charging ?? charging;
}

/** The largest amount that fixed charges can come to: it is reserved even if the estimate is lower. */
const mostOf = (charging: Evaluation['terms']['charging']): number => {
  if (typeof charging === 'string' || !('tiered' in charging)) return 0;
  const { attempt_micros, success_micros, verification_micros = 0 } = charging.tiered;
  return attempt_micros + success_micros + verification_micros;
};

/** Returns the charge of an action that nobody settles in time. A custom charge is unknown, so its estimate is charged. */
function lapseOf(
  { on_expiry }: Definition,
  charging: Evaluation['terms']['charging'],
  { type, estimate_micros }: ActionBody,
  reserve: number,
): number {
  const rule = on_expiry ?? (type === 'llm_call' ? 'charge' : undefined);
  if (rule !== undefined) return rule === 'charge' ? reserve : 0;
  if (charging === 'SUCCESS') return 0;
  if (typeof charging === 'object' && 'tiered' in charging) return charging.tiered.attempt_micros;
  return estimate_micros;
}
