import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Action,
  calculateMaxOutputTokens,
  createLLMAction,
  createToolAction,
  estimateTokensFromMessages,
  noPrice,
  priceOf,
} from './action.ts';
import { type AuditLogger, type AuditOption, auditLoggerOf, MemoryAuditLogger } from './audit.ts';
import { type ActionContext, type ExecuteOptions, execute, type Guard, type Kills } from './execution.ts';
import { createStateManager, type StateManagerOption } from './factory.ts';
import type { Mandate } from './mandate.ts';
import { unitsOf } from './money.ts';
import type { Backend, Usage } from './state_manager.ts';

export interface MandateClientOptions<S extends StateManagerOption | undefined = undefined> {
  mandate: Mandate;
  /** Without it, the budget is that of this process. */
  stateManager?: S;
  auditLogger?: AuditOption;
  /** Time in which a function must end, in ms; at most 24 hours. Default: 60,000. */
  leaseMs?: number;
  /** Time that a call waits for its settlement, in ms. Later attempts continue in the background. Default: 5,000. */
  settleWaitMs?: number;
}

type IsLocal<S> = [S] extends [undefined | { type: 'memory' }] ? true : false;
/** A value in embedded mode, and a promise with the service. */
export type Answer<S, T> = IsLocal<S> extends true ? T : Promise<T>;

type Fn<T> = (context: ActionContext) => T | Promise<T>;
type ErrorListener = (error: Error) => void;
type KillListener = (reason: string) => void;

const DEFAULT_LEASE_MS = 60_000;
const DEFAULT_SETTLE_WAIT_MS = 5_000;
/** The longest answer for which `executeLLMWithBudget` reserves the price, so that one call does not reserve the whole budget. */
const DEFAULT_MAX_OUTPUT_TOKENS = 4_096;

/** Runs functions of an agent under a mandate: authorised before they begin, and settled after they end. */
export class MandateClient<S extends StateManagerOption | undefined = undefined> {
  readonly #mandate: Mandate & { id: string };
  readonly #backend: Backend;
  readonly #ownManager: { close(): Promise<void> } | undefined;
  readonly #logger: AuditLogger;
  readonly #guard: Guard;
  readonly #closing = new AbortController();
  readonly #errorListeners = new Set<ErrorListener>();
  readonly #killListeners = new Set<KillListener>();
  #following: Promise<void> | undefined;
  readonly #kills: Kills = { notices: 0, reason: '', known: false };
  #closed = false;

  constructor({ mandate, stateManager, auditLogger, leaseMs, settleWaitMs }: MandateClientOptions<S>) {
    const manager = createStateManager(stateManager);
    if (manager.type === 'service' && mandate.id === undefined)
      throw new TypeError('the mandate needs an `id`: the processes that use the same id share a budget of the service');
    this.#mandate = { id: randomUUID(), ...mandate };
    this.#ownManager = manager === (stateManager as unknown) ? undefined : manager;
    this.#logger = auditLoggerOf(auditLogger);
    this.#backend = manager.backendFor(this.#mandate, { error: (error) => this.#report(error) });
    this.#guard = {
      mandate: this.#mandate,
      backend: this.#backend,
      leaseMs: leaseMs ?? DEFAULT_LEASE_MS,
      settleWaitMs: settleWaitMs ?? DEFAULT_SETTLE_WAIT_MS,
      running: new Set(),
      pending: new Set(),
      signal: this.#closing.signal,
      error: (error) => this.#report(error),
      audit: (action, outcome) => this.#audit(action, outcome),
      kills: this.#kills,
      killed: (reason) => this.#onKilled(reason),
    };
  }

  /** Runs a function as this action. Throws MandateBlockedError if it is refused or its result does not count. */
  async execute<T>(action: Action, fn: Fn<T>, options?: ExecuteOptions<T>): Promise<T> {
    if (this.#closed) throw new Error('the client is closed');
    if (action.agentId !== this.#mandate.agentId)
      throw new TypeError(`the action belongs to the agent ${action.agentId}, and the mandate to ${this.#mandate.agentId}`);
    const executing = execute(this.#guard, action, fn, options);
    const ended = executing.then(
      () => undefined,
      () => undefined,
    );
    this.#guard.pending.add(ended);
    void ended.then(() => this.#guard.pending.delete(ended));
    return executing;
  }

  executeTool<T>(action: Action, fn: Fn<T>, options?: ExecuteOptions<T>): Promise<T> {
    return this.execute(action, fn, options);
  }

  /** Runs a call of a model. Its cost is the price of the tokens that its answer reports. */
  executeLLM<T>(action: Action, fn: Fn<T>, options?: ExecuteOptions<T>): Promise<T> {
    return this.execute(action, fn, options);
  }

  /**
   * Runs a call of a model with the longest answer that the remaining budget pays for, at most `maxOutputTokens` (4,096). Needs a price in
   * `customPricing`. The estimate of the input is a third of its bytes; the reported tokens are charged.
   */
  async executeLLMWithBudget<T>(
    provider: string,
    model: string,
    messages: readonly unknown[],
    fn: (maxTokens: number, context: ActionContext) => T | Promise<T>,
    { maxOutputTokens = DEFAULT_MAX_OUTPUT_TOKENS, ...options }: ExecuteOptions<T> & { maxOutputTokens?: number } = {},
  ): Promise<T> {
    const price = priceOf(this.#mandate.customPricing, provider, model);
    if (!price) throw new RangeError(noPrice(provider, model));
    const inputTokens = estimateTokensFromMessages(messages);
    const { remaining_micros } = await this.#backend.usage();
    const left = remaining_micros === null ? Number.POSITIVE_INFINITY : unitsOf(remaining_micros);
    const budget = Math.min(left, this.#mandate.maxCostPerCall ?? Number.POSITIVE_INFINITY);
    const most = calculateMaxOutputTokens(budget, inputTokens, price, maxOutputTokens);
    // one token, so that the service refuses what the budget does not pay for
    const outputTokens = Math.max(1, most);
    const action = createLLMAction(this.#mandate.agentId, provider, model, inputTokens, outputTokens);
    return this.execute(action, (context) => fn(outputTokens, context), options);
  }

  /** Returns the function, guarded: each call is an action of this tool. `args`: what the mandate checks; default: the first argument. */
  wrap<A extends unknown[], T>(
    tool: string,
    fn: (...args: A) => T | Promise<T>,
    { estimatedCost, args, ...options }: WrapOptions<A, T> = {},
  ): (...args: A) => Promise<T> {
    return (...given) => {
      const cost = typeof estimatedCost === 'function' ? estimatedCost(...given) : estimatedCost;
      const checked = args ? args(...given) : isRecord(given[0]) ? given[0] : {};
      return this.execute(createToolAction(this.#mandate.agentId, tool, checked, cost), () => fn(...given), options);
    };
  }

  /** Returns what the mandate has spent, in units of its currency. */
  async getCurrentCost(): Promise<number> {
    return unitsOf((await this.#backend.usage()).spent_micros);
  }

  /** Returns what the mandate has spent, in units of its currency. Embedded mode only: see `getCurrentCost`. */
  getCost(this: IsLocal<S> extends true ? MandateClient<S> : never): number {
    return unitsOf((this as MandateClient<S>).#localUsage().spent_micros);
  }

  /** Returns the cost of model calls and of tools. Embedded mode only. */
  getCostByType(this: IsLocal<S> extends true ? MandateClient<S> : never): { cognition: number; execution: number } {
    const { cognition_micros = 0, execution_micros = 0 } = (this as MandateClient<S>).#localUsage();
    return { cognition: unitsOf(cognition_micros), execution: unitsOf(execution_micros) };
  }

  /** Returns what remains, in units; undefined without a limit. */
  getRemainingBudget(): Answer<S, number | undefined> {
    return mapped(this.#backend.usage(), ({ remaining_micros: left }) => (left === null ? undefined : unitsOf(left))) as never;
  }

  /** Returns the number of authorised actions. */
  getCallCount(): Answer<S, number> {
    return mapped(this.#backend.usage(), ({ calls }) => calls) as never;
  }

  isKilled(): Answer<S, boolean> {
    return this.#backend.isKilled() as never;
  }

  /** Stops the agent: no action of it is authorised any more, in any process (embedded mode: in this process). */
  kill(reason?: string): Answer<S, void> {
    // a refusal of another request, which has no reason, can arrive before the answer
    this.#kills.requested = reason ?? 'killed';
    return mapped(this.#backend.kill(reason), () => this.#onKilled(reason ?? 'killed')) as never;
  }

  /** Lets the agent continue. With the service, only an admin who is logged in can do this. */
  resurrect(): void {
    this.#backend.resurrect();
    this.#kills.known = false;
  }

  /** Calls the listener when the agent is killed, also if it is already. Resolves when no later kill can be missed. */
  async onKill(listener: KillListener): Promise<void> {
    const earlier = { ...this.#kills };
    this.#killListeners.add(listener);
    this.#following ??= this.#backend.onKill((reason) => this.#onKilled(reason));
    await this.#following.catch((error: unknown) => {
      // so that a later call tries again
      this.#following = undefined;
      throw error;
    });
    if (earlier.known) listener(earlier.reason);
  }

  /** Listens to failures in the background: lost streams, settlements that wait for the service, audit entries that were not written. */
  on(event: 'error', listener: ErrorListener): this {
    if (event === 'error') this.#errorListeners.add(listener);
    return this;
  }

  off(event: 'error', listener: ErrorListener): this {
    if (event === 'error') this.#errorListeners.delete(listener);
    return this;
  }

  getMandate(): Mandate {
    return this.#mandate;
  }

  /** Returns the entries of the `memory` logger. Throws if the client has another one. */
  getAuditEntries() {
    if (!(this.#logger instanceof MemoryAuditLogger)) throw new Error('the audit logger of this client is not "memory"');
    return this.#logger.getEntries();
  }

  /**
   * Waits for functions and settlements for at most `settleWaitMs`, then ends all requests, streams and timers. Actions that are
   * not settled then end as the mandate states. A state manager that was passed stays open.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const timer = new AbortController();
    const drained = async () => {
      while (this.#guard.pending.size > 0) await Promise.all(this.#guard.pending);
    };
    await Promise.race([drained(), sleep(this.#guard.settleWaitMs, undefined, { signal: timer.signal })]);
    timer.abort();
    this.#closing.abort();
    for (const controller of this.#guard.running) controller.abort(new Error('the client is closed'));
    this.#backend.close();
    await this.#ownManager?.close();
    await this.#logger.close?.();
  }

  #localUsage(): Usage {
    const usage = this.#backend.usage();
    if (usage instanceof Promise) {
      usage.catch(() => undefined);
      throw new TypeError('with the service, use `await client.getCurrentCost()`');
    }
    return usage;
  }

  #onKilled(reason: string): void {
    const { known, requested, notices } = this.#kills;
    reason = requested ?? reason;
    Object.assign(this.#kills, { notices: notices + 1, reason, known: true, requested: undefined });
    if (known) return;
    for (const controller of this.#guard.running) controller.abort(new Error(`AGENT_KILLED: ${reason}`));
    for (const listener of this.#killListeners)
      try {
        listener(reason);
      } catch (error) {
        this.#report(error as Error);
      }
  }

  /** Without a listener, a failure is a warning of the process. */
  #report(error: Error): void {
    if (this.#errorListeners.size === 0)
      process.emitWarning(error.message, { type: 'MandateWarning', detail: String(error.cause ?? '') });
    for (const listener of this.#errorListeners) listener(error);
  }

  #audit(action: Action, { began, block, charged_micros }: Parameters<Guard['audit']>[1]): void {
    const { id: actionId, agentId, traceId, parentActionId, estimatedCost } = action;
    const entry = {
      ...{ id: randomUUID(), timestamp: began, agentId, mandateId: this.#mandate.id, actionId, action: action.type },
      ...(action.type === 'tool_call' ? { tool: action.tool } : { provider: action.provider, model: action.model }),
      ...(traceId !== undefined && { traceId }),
      ...(parentActionId !== undefined && { parentActionId }),
      decision: block ? ('BLOCK' as const) : ('ALLOW' as const),
      reason: block?.reason ?? 'the mandate permits the action',
      ...(block && { blockCode: block.code }),
      ...(estimatedCost !== undefined && { estimatedCost }),
      ...(charged_micros !== undefined && { actualCost: unitsOf(charged_micros) }),
      metadata: { durationMs: Date.now() - began },
    };
    void (async () => this.#logger.log(entry))().catch((error: Error) => this.#report(error));
  }
}

export interface WrapOptions<A extends unknown[], T> extends ExecuteOptions<T> {
  /** In units of the currency, or computed from the arguments. */
  estimatedCost?: number | ((...args: A) => number);
  args?: (...args: A) => Record<string, unknown>;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const mapped = <T, R>(value: T | Promise<T>, change: (value: T) => R): R | Promise<R> =>
  value instanceof Promise ? value.then(change) : change(value);
