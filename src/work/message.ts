import { Problem, type ProblemType } from '../http/problem.ts';

// Messages between the main thread and a worker. A problem is a regular outcome.

export interface TaskMessage {
  task: string;
  input: unknown;
}

/** A request of a worker to a service of the main thread, and its answer. */
export interface ServiceRequest {
  request: number;
  service: string;
  input: unknown;
}
export interface ServiceAnswer {
  answered: number;
  outcome: TaskOutcome;
}

/** Sent to cancel a cancellable job. */
export const CANCELLED = 'cancelled';

export type TaskOutcome = { value: unknown } | { problem: PlainProblem } | { failure: string };

interface PlainProblem {
  type: ProblemType;
  detail: string;
  more: NonNullable<ConstructorParameters<typeof Problem>[2]>;
}

export function failureOf(error: unknown): TaskOutcome {
  if (!(error instanceof Problem)) return { failure: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  const { type, message, errors, headers, members, cause } = error;
  return { problem: { type, detail: message, more: { ...(errors && { errors }), headers, members, cause: plainCause(cause) } } };
}

/** Copies what the log needs of an error. A structured clone loses its code and fails for some causes. */
function plainCause(cause: unknown): unknown {
  if (cause === undefined) return undefined;
  if (!(cause instanceof Error)) return String(cause);
  const { name, message, stack, code, severity, constraint, table, routine } = cause as Error & Record<string, unknown>;
  return { name, message, stack, code, severity, constraint, table, routine };
}

/** Restores an Error object, so that the error serializer of the logger applies to it. */
const causeOf = (cause: unknown): unknown =>
  typeof cause === 'object' && cause !== null ? Object.assign(new Error(), cause) : cause;

export function unwrapOutcome(result: TaskOutcome): unknown {
  if ('value' in result) return result.value;
  if ('problem' in result) {
    const { type, detail, more } = result.problem;
    throw new Problem(type, detail, { ...more, cause: causeOf(more.cause) });
  }
  throw new Error(`a worker failed: ${result.failure}`);
}
