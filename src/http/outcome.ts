import { Problem, toProblem } from './problem.ts';

// What a client is told of a write of the log.

interface Outcome {
  status: 'new' | 'replay' | 'conflict' | 'quota' | 'refused';
  refusal?: { code: string; detail: string };
}

/** Refuses what was not written. */
export function assertWritten({ status, refusal }: Outcome): void {
  if (status === 'conflict') throw new Problem('conflict', 'This Idempotency-Key was used with another body.');
  if (status === 'quota') throw new Problem('quota-exceeded', 'The tenant has used all of its storage.');
  if (status === 'refused') throw toProblem({ code: refusal?.code, message: refusal?.detail });
}

/** The header of an answer to a retry. */
export const replayed = (replay: boolean): Record<string, string> => (replay ? { 'Idempotent-Replay': 'true' } : {});
