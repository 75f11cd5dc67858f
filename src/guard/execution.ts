import { setTimeout as sleep } from 'node:timers/promises';
import { type Action, estimateOf, usageIn } from './action.ts';
import { argumentFault, bodyOf, customCharge, policiesFor, verifiersFor } from './definition.ts';
import { MandateBlockedError, MandateServiceError } from './errors.ts';
import type { ChargingContext, Mandate } from './mandate.ts';
import { microsOf, unitsOf } from './money.ts';
import type { ActionRequest, Backend, Blocked, SettleRequest } from './state_manager.ts';
import { delayBefore, isFinal } from './transport.ts';

// One action from its authorisation to its settlement. Nothing runs without an authorisation. The result is settled, except
// if the function fails after its time or the process ends.

/** The argument of a guarded function. */
export interface ActionContext {
  actionId: string;
  /** Aborted when the time of the action is over, or the agent is killed. */
  signal: AbortSignal;
}

export interface ExecuteOptions<T> {
  /** Returns the actual cost of a result in units. Default: its `actualCost`, or the price of the tokens in its `usage`, or the estimate. */
  cost?: (result: T) => number | undefined;
}

export interface Guard {
  mandate: Mandate;
  backend: Backend;
  leaseMs: number;
  settleWaitMs: number;
  /** The functions that run, which a kill aborts. */
  running: Set<AbortController>;
  /** The executions and settlements that have not ended. */
  pending: Set<Promise<void>>;
  /** Aborted when the client no longer waits for settlements. */
  signal: AbortSignal;
  error(error: Error): void;
  audit(action: Action, outcome: { began: number; block?: Blocked; charged_micros?: number }): void;
  kills: Kills;
  killed(reason: string): void;
}

/** The kills of its agent that the client has noticed. */
export interface Kills {
  /** Number of notices; one kill can be noticed more than once. */
  notices: number;
  /** The reason of a kill that this client has requested. */
  requested?: string | undefined;
  /** The reason in the last notice. */
  reason: string;
  /** False again after an action that was requested after the last notice is authorised. */
  known: boolean;
}

/** Runs a function under the mandate. Throws MandateBlockedError if it is refused or its result does not count. */
export async function execute<T>(
  guard: Guard,
  action: Action,
  fn: (context: ActionContext) => T | Promise<T>,
  options: ExecuteOptions<T> = {},
): Promise<T> {
  const began = Date.now();
  const body = bodyOf(guard.mandate, action, guard.leaseMs);
  const permission = await permissionOf(guard, action, body);
  if ('code' in permission) {
    guard.audit(action, { began, block: permission });
    if (permission.code === 'AGENT_KILLED') guard.killed(permission.reason);
    throw new MandateBlockedError(action, permission);
  }
  const timeout = blocked('EXECUTION_TIMEOUT', `the action did not end within ${body.lease_ms} ms`);
  const left = permission.since + body.lease_ms - Date.now();
  // the permission may be older than the kill
  const isKilled = guard.kills.notices > permission.notices;
  const block = isKilled ? blocked('AGENT_KILLED', guard.kills.reason) : left <= 0 ? timeout : undefined;
  if (!isKilled) guard.kills.known = false;
  const outcome: Outcome = block
    ? { block, settle: { outcome: 'failure', actual_micros: 0 } }
    : await runOf(guard, action, { left, timeout }, fn, options);
  const charged_micros = outcome.settle && (await settle(guard, action, outcome.settle));
  guard.audit(action, {
    began,
    ...(outcome.block && { block: outcome.block }),
    ...(charged_micros !== undefined && { charged_micros }),
  });
  if (outcome.block) throw new MandateBlockedError(action, outcome.block);
  if ('thrown' in outcome) throw outcome.thrown;
  return outcome.result as T;
}

const blocked = (code: Blocked['code'], reason: string): Blocked => ({ code, reason, hard: true });

interface Permission {
  /** A local time before the lease began. The deadline is computed from it, because the answer may arrive late. */
  since: number;
  /** `kills.notices` before the request. */
  notices: number;
}

/** Returns why the action is refused, or since when it is permitted. */
async function permissionOf(
  { mandate, backend, kills }: Guard,
  action: Action,
  body: ActionRequest,
): Promise<Blocked | Permission> {
  if (action.type === 'tool_call')
    for (const policy of policiesFor(mandate, action)) {
      const fault = argumentFault(policy, action.tool, action.args ?? {});
      if (fault !== undefined) return blocked('ARGUMENT_VALIDATION_FAILED', fault);
    }
  await backend.prepare();
  const asked = { since: Date.now(), notices: kills.notices };
  const answer = await backend.authorise(body);
  if ('code' in answer) return answer;
  return answer.decision === 'defer' ? { ...asked, ...(await backend.decisionOn(action.id)) } : asked;
}

interface Outcome {
  result?: unknown;
  thrown?: unknown;
  block?: Blocked;
  /** Undefined: the action ends at the end of its time, and is charged as its terms state. */
  settle?: SettleRequest;
}

/** Runs the function until it ends or its time is over. */
async function runOf<T>(
  guard: Guard,
  action: Action,
  { left, timeout }: { left: number; timeout: Blocked },
  fn: (context: ActionContext) => T | Promise<T>,
  options: ExecuteOptions<T>,
): Promise<Outcome> {
  const controller = new AbortController();
  const timer = new AbortController();
  guard.running.add(controller);
  const running: Promise<Outcome> = Promise.resolve()
    .then(() => fn({ actionId: action.id, signal: controller.signal }))
    .then(
      (result) => successOf(guard.mandate, action, result, options),
      (thrown: unknown) => failureOf(guard.mandate, action, thrown),
    );
  try {
    const first = await Promise.race([running, sleep(left, { block: timeout } as Outcome, { signal: timer.signal })]);
    if (first.block === timeout) {
      controller.abort(new MandateBlockedError(action, timeout));
      settleLate(guard, action, running);
    }
    return first;
  } finally {
    timer.abort();
    guard.running.delete(controller);
  }
}

/**
 * Settles a function that succeeds after its time, so that its true cost is charged. One that fails is not settled: nobody can tell whether it
 * had an effect, so the charge for actions that are not settled remains.
 */
function settleLate(guard: Guard, action: Action, running: Promise<Outcome>): void {
  void running.then(async (outcome) => {
    if (outcome.settle && !('thrown' in outcome)) await settle(guard, action, outcome.settle);
  });
}

function failureOf(mandate: Mandate, action: Action, thrown: unknown): Outcome {
  try {
    return { thrown, settle: settlementOf(mandate, action, 'failure', { actual: actualCostIn(thrown) }) };
  } catch (error) {
    // the cost is not a valid amount
    return { thrown: new AggregateError([thrown, error], String(error)), settle: { outcome: 'failure' } };
  }
}

async function successOf<T>(mandate: Mandate, action: Action, result: T, { cost }: ExecuteOptions<T>): Promise<Outcome> {
  try {
    const actual = cost ? cost(result) : actualCostIn(result);
    const verifiers = verifiersFor(mandate, action);
    const failure = await verificationFailure(verifiers, { action, result, mandate });
    const verified = verifiers.length === 0 || failure?.code === 'VERIFICATION_TIMEOUT' ? undefined : !failure;
    const tokens = actual === undefined && action.type === 'llm_call' ? usageIn(result) : undefined;
    const settle = settlementOf(mandate, action, 'success', { actual, tokens, verified });
    return { result, settle, ...(failure && { block: failure }) };
  } catch (thrown) {
    // the function succeeded, so its estimate is due although its cost could not be determined
    return { thrown, settle: { outcome: 'success' } };
  }
}

/** Runs the checks of a result one after the other. Returns why it does not count. */
async function verificationFailure(
  verifiers: ReturnType<typeof verifiersFor>,
  context: { action: Action; result: unknown; mandate: Mandate },
): Promise<Blocked | undefined> {
  for (const { verifyResult, timeoutMs } of verifiers) {
    const timer = new AbortController();
    const late = sleep(timeoutMs, undefined, { signal: timer.signal });
    const verifying = Promise.resolve()
      .then(() => verifyResult(context))
      .catch((error: unknown) => ({ ok: false as const, reason: String(error) }));
    const verdict = await Promise.race([verifying, late]).finally(() => timer.abort());
    if (verdict === undefined) return blocked('VERIFICATION_TIMEOUT', `the result was not verified within ${timeoutMs} ms`);
    if (!verdict.ok) return blocked('VERIFICATION_FAILED', verdict.reason);
  }
  return undefined;
}

const actualCostIn = (result: unknown): number | undefined => {
  const cost = (result as { actualCost?: unknown } | null | undefined)?.actualCost;
  return typeof cost === 'number' ? cost : undefined;
};

interface Facts {
  actual?: number | undefined;
  tokens?: { inputTokens: number; outputTokens: number } | undefined;
  verified?: boolean | undefined;
}

function settlementOf(mandate: Mandate, action: Action, outcome: SettleRequest['outcome'], facts: Facts): SettleRequest {
  const { actual, tokens, verified } = facts;
  const custom = customCharge(mandate, action);
  const context: ChargingContext = {
    action,
    executed: true,
    executionSuccess: outcome === 'success',
    verificationSuccess: verified !== false,
    estimatedCost: unitsOf(estimateOf(mandate, action)),
    ...(actual !== undefined && { actualCost: actual }),
  };
  const cost = custom ? custom.compute(context) : actual;
  return {
    outcome,
    ...(cost !== undefined && { actual_micros: microsOf(cost, 'the actual cost') }),
    ...(tokens && { tokens: { input: tokens.inputTokens, output: tokens.outputTokens } }),
    ...(verified !== undefined && { verified }),
  };
}

/** Settles an action, waiting at most `settleWaitMs`; further attempts continue without the caller. Returns the charge if it is known. */
async function settle(guard: Guard, action: Action, body: SettleRequest): Promise<number | undefined> {
  let charged: number | undefined;
  const settled = settleUntilDone(guard, action, body).then((micros) => {
    charged = micros;
  });
  guard.pending.add(settled);
  void settled.finally(() => guard.pending.delete(settled));
  const timer = new AbortController();
  await Promise.race([settled, sleep(guard.settleWaitMs, undefined, { signal: timer.signal })]);
  timer.abort();
  return charged;
}

/** Repeats the settlement while the service is away: an unsettled success would be charged as its terms state, which may be nothing. */
async function settleUntilDone(
  { backend, signal, error }: Guard,
  action: Action,
  body: SettleRequest,
): Promise<number | undefined> {
  for (let failures = 1; ; failures += 1)
    try {
      return (await backend.settle(action.id, body)).charged_micros;
    } catch (thrown) {
      const isLast = signal.aborted || !(thrown instanceof MandateServiceError) || isFinal(thrown);
      error(new Error(`the action ${action.id} is not settled${isLast ? '' : ' yet'}`, { cause: thrown }));
      if (isLast) return undefined;
      await sleep(delayBefore(failures), undefined, { signal }).catch(() => undefined);
    }
}
