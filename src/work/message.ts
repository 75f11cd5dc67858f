import { Problem, type ProblemType } from '../http/problem.ts';

// What goes between the main thread and a worker. A problem is an answer like any other.

export interface TaskMessage {
  task: string;
  input: unknown;
}

/** Sent to cancel a cancellable job. */
export const CANCELLED = 'given up';

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

/** What the log needs of an error. A structured clone would lose its code, and refuses some causes. */
function plainCause(cause: unknown): unknown {
  if (cause === undefined) return undefined;
  if (!(cause instanceof Error)) return String(cause);
  const { name, message, stack, code, severity, constraint, table, routine } = cause as Error & Record<string, unknown>;
  return { name, message, stack, code, severity, constraint, table, routine };
}

/** The error again, so that the log knows what may be said of it. */
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
