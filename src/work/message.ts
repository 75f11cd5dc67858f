import { Problem, type ProblemType } from '../http/problem.ts';

// What goes between the main thread and a worker. A problem is an answer like any other.

export interface Order {
  task: string;
  input: unknown;
}

/** To a job that `heeds`. */
export const GIVEN_UP = 'given up';

export type Result = { value: unknown } | { problem: PlainProblem } | { failure: string };

interface PlainProblem {
  type: ProblemType;
  detail: string;
  more: ConstructorParameters<typeof Problem>[2];
}

export function resultOf(error: unknown): Result {
  if (!(error instanceof Problem)) return { failure: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  const { type, message, errors, headers, members, cause } = error;
  return { problem: { type, detail: message, more: { ...(errors && { errors }), headers, members, cause } } };
}

export function contentOf(result: Result): unknown {
  if ('value' in result) return result.value;
  if ('problem' in result) throw new Problem(result.problem.type, result.problem.detail, result.problem.more);
  throw new Error(`a worker failed: ${result.failure}`);
}
