import type { BlockDecision } from './errors.ts';
import type { Mandate } from './mandate.ts';

// The place where budgets and kills are stored: the memory of this process, or the service.

/** The request for an action, as the service takes it. The types of `src/mandates` would bring their library into those of the guard. */
export interface ActionRequest {
  action_id: string;
  type: 'tool_call' | 'llm_call';
  tool?: string;
  model?: string;
  args?: Record<string, unknown>;
  estimate_micros: number;
  lease_ms: number;
}

export interface SettleRequest {
  outcome: 'success' | 'failure';
  actual_micros?: number;
  tokens?: { input: number; output: number };
  verified?: boolean;
}

export type Blocked = Omit<BlockDecision, 'type'>;

export interface Authorised {
  decision: 'allow' | 'defer';
  remaining_micros: number | null;
}

export interface Settlement {
  charged_micros: number;
  remaining_micros: number | null;
  /** By how much a limit is exceeded now. */
  overdrawn_micros?: number;
  /** The action had expired. */
  late?: true;
}

export interface Usage {
  spent_micros: number;
  /** Null: unlimited. */
  remaining_micros: number | null;
  calls: number;
  /** Sums by type of action, which only embedded mode keeps. */
  cognition_micros?: number;
  execution_micros?: number;
}

type Awaitable<T> = T | Promise<T>;

export interface Backend {
  /** Completes what needs time before the first action. */
  prepare(): Promise<void>;
  authorise(body: ActionRequest): Awaitable<Authorised | Blocked>;
  /** Waits until an admin decides a deferred action. Returns a local time before the lease began: the last at which it was not decided. */
  decisionOn(action_id: string): Promise<{ since: number } | Blocked>;
  settle(action_id: string, body: SettleRequest): Awaitable<Settlement>;
  usage(): Awaitable<Usage>;
  isKilled(): Awaitable<boolean>;
  kill(reason: string | undefined): Awaitable<void>;
  resurrect(): void;
  /** Calls the listener at each kill of the agent. Resolves when no later kill can be missed. */
  onKill(listener: (reason: string) => void): Promise<void>;
  close(): void;
}

export interface BackendEvents {
  error(error: Error): void;
}

export interface MemoryStateManager {
  readonly type: 'memory';
  backendFor(mandate: Mandate & { id: string }, events: BackendEvents): Backend;
  close(): Promise<void>;
}

export interface ServiceStateManager {
  readonly type: 'service';
  backendFor(mandate: Mandate & { id: string }, events: BackendEvents): Backend;
  close(): Promise<void>;
}

export interface MemoryConfig {
  type: 'memory';
}

export interface ServiceConfig {
  /** Both mean the service. `redis` is the word of the other system, whose state is in Redis. */
  type: 'redis' | 'service';
  /** Address of the service, such as `https://memory.example.com`. */
  url?: string;
  /** An API key with the scope `write`. */
  apiKey?: string;
  /** Time for one attempt of a request in ms. Default: 5,000. */
  commandTimeout?: number;
  /** Attempts after the first. Default: 5. */
  maxRetries?: number;
  /** Time between two looks at the state of the agent in ms, if the key may not follow events. Default: 1,000. */
  killPollMs?: number;
  /** `commandTimeout` and `maxRetries` may be here too. The Redis server is a setting of the service, so nothing else has an effect. */
  redis?: { commandTimeout?: number; maxRetries?: number; [setting: string]: unknown };
}
