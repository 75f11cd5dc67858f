import type { Steps } from '../../src/slices.ts';

/** Runs the steps without a pause, and returns the result. */
export function runToEnd<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
