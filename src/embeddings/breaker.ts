import { CircuitState, circuitBreaker, handleWhen, type IBreaker, isBrokenCircuitError } from 'cockatiel';
import type { Config } from '../config.ts';
import { within } from '../within.ts';
import { EndpointError } from './endpoint.ts';

// A circuit breaker: after several failures, requests to an endpoint fail at once for a while, so that searches do not wait for an endpoint that
// does not answer. Input that the endpoint refuses is no failure.

export type BreakerConfig = Pick<
  Config,
  'BREAKER_FAILURE_THRESHOLD' | 'BREAKER_SUCCESS_THRESHOLD' | 'BREAKER_TIMEOUT_MS' | 'BREAKER_WINDOW_MS'
>;

export interface Breaker {
  /** Runs `work`, or throws BrokenCircuitError while the breaker is open. */
  run<T>(work: () => Promise<T>): Promise<T>;
  /** 0: closed, 1: open, 2: half-open. */
  state(): number;
  /** Closes the breaker and forgets earlier failures. */
  reset(): void;
}

export const isOpenError = isBrokenCircuitError;

export function openBreaker(config: BreakerConfig, onOpen: (error: Error) => void): Breaker {
  const counts = failureCounts(config);
  const policy = circuitBreaker(
    handleWhen((error) => error instanceof EndpointError && !error.refused),
    { halfOpenAfter: config.BREAKER_TIMEOUT_MS, breaker: counts },
  );
  policy.onBreak((reason) => {
    if ('error' in reason) onOpen(reason.error);
  });
  return {
    run: (work) => policy.execute(work),
    state: () => [CircuitState.Closed, CircuitState.Open, CircuitState.HalfOpen].indexOf(policy.state),
    reset: () => {
      counts.state = undefined;
      // the library's only way to close a circuit: the end of a manual isolation
      policy.isolate().dispose();
    },
  };
}

/** The library closes a half-open circuit after one success. The further successes are required afterwards: a failure among them opens it again. */
function failureCounts(config: BreakerConfig): IBreaker {
  let failures: number[] = [];
  let required = 0;
  return {
    get state() {
      return { failures, required };
    },
    set state(_) {
      failures = [];
      required = 0;
    },
    success: (state) => {
      required = state === CircuitState.HalfOpen ? config.BREAKER_SUCCESS_THRESHOLD - 1 : Math.max(0, required - 1);
    },
    failure: () => {
      const now = Date.now();
      failures = [...failures.filter((at) => now - at < config.BREAKER_WINDOW_MS), now];
      const opens = required > 0 || failures.length >= config.BREAKER_FAILURE_THRESHOLD;
      if (opens) failures = [];
      return opens;
    },
  };
}

/** Rejects after `timeout_ms`. A half-open breaker makes a call wait for the one that it lets through. */
export function withinTime<T>(work: Promise<T>, timeout_ms: number): Promise<T> {
  return within(work, timeout_ms, () => new EndpointError(`no answer within ${timeout_ms} ms`));
}
