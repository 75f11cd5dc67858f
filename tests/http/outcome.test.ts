import { assertWritten, replayHeaders } from '../../src/http/outcome.ts';
import { Problem } from '../../src/http/problem.ts';

function problemOf(outcome: Parameters<typeof assertWritten>[0]) {
  try {
    assertWritten(outcome);
    return undefined;
  } catch (error) {
    return error instanceof Problem && [error.type, error.message];
  }
}

test.each([
  [{ status: 'new' }, undefined],
  [{ status: 'replay' }, undefined],
  [{ status: 'conflict' }, ['conflict', 'This Idempotency-Key was used with a different body.']],
  [{ status: 'quota' }, ['quota-exceeded', 'The storage quota of the tenant is exhausted.']],
  [
    { status: 'refused', refusal: { code: 'AM412', detail: 'the counter has version 3' } },
    ['precondition-failed', 'The counter has version 3.'],
  ],
  [{ status: 'refused', refusal: { code: 'AM409', detail: 'the lease is held' } }, ['conflict', 'The lease is held.']],
] as const)('the outcome %j becomes %j', (outcome, expected) => {
  expect(problemOf(outcome)).toEqual(expected);
});

test('an idempotent replay has a header', () => {
  expect([replayHeaders(true), replayHeaders(false)]).toEqual([{ 'Idempotent-Replay': 'true' }, {}]);
});
