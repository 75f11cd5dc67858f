// A step locks the tenant's clock: it stays short whatever the rows are like and however busy the server is.

/** A step that takes longer is followed by a smaller one. */
const LONG_STEP_MS = 120;
const [MIN_LIMIT, FIRST, MOST] = [20, 200, 1000];

/** Gives each step a limit that fits how long the last one took. */
export function adaptiveStepLimit(long_ms = LONG_STEP_MS): <T>(step: (limit: number) => Promise<T>) => Promise<T> {
  let limit = FIRST;
  return async (step) => {
    const before = performance.now();
    const result = await step(limit);
    const took = performance.now() - before;
    if (took > long_ms) limit = Math.max(MIN_LIMIT, limit >> 1);
    else if (took < long_ms / 3) limit = Math.min(MOST, limit * 2);
    return result;
  };
}
