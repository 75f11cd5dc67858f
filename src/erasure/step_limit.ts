// Adapts the size of the steps of an erasure or a trim. A step locks the tenant's clock, so it must stay short regardless of the size of the rows
// and the load of the server.

/** After a longer step the limit is halved. */
const LONG_STEP_MS = 120;
const [MIN_LIMIT, INITIAL_LIMIT, MAX_LIMIT] = [20, 200, 1000];

/** Returns a function that runs a step with a limit adapted to the duration of the previous step. */
export function adaptiveStepLimit(long_ms = LONG_STEP_MS): <T>(step: (limit: number) => Promise<T>) => Promise<T> {
  let limit = INITIAL_LIMIT;
  return async (step) => {
    const before = performance.now();
    const result = await step(limit);
    const took = performance.now() - before;
    if (took > long_ms) limit = Math.max(MIN_LIMIT, limit >> 1);
    else if (took < long_ms / 3) limit = Math.min(MAX_LIMIT, limit * 2);
    return result;
  };
}
