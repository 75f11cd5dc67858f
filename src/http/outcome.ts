import { Problem, toProblem } from './problem.ts';

// Answers to writes of the log.

interface Outcome {
  status: 'new' | 'replay' | 'conflict' | 'quota' | 'refused';
  refusal?: { code: string; detail: string; members?: Record<string, unknown> };
}

/** Throws the problem for a unit that was not written. */
export function assertWritten({ status, refusal }: Outcome): void {
  if (status === 'conflict') throw new Problem('conflict', 'This Idempotency-Key was used with a different body.');
  if (status === 'quota') throw new Problem('quota-exceeded', 'The storage quota of the tenant is exhausted.');
  if (status === 'refused')
    throw toProblem({ code: refusal?.code, message: refusal?.detail, detail: JSON.stringify(refusal?.members ?? {}) });
}

/** Returns the header that marks an idempotent replay. */
export const replayHeaders = (replay: boolean): Record<string, string> => (replay ? { 'Idempotent-Replay': 'true' } : {});
