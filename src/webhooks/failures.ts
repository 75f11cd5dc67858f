/** Turns that failed one after another. */
const STUCK_AFTER = 2;
const FORGET_MS = 600_000;

/** Webhooks whose turns fail before an attempt. */
export interface Failures {
  /** How often this one has failed in a row now, and whether it is stuck since this time. */
  failed(name: string): { failures: number; isStuckNow: boolean };
  ended(name: string): void;
  countStuck(): number;
}

export function openFailures(): Failures {
  const failing = new Map<string, { times: number; last: number }>();
  return {
    failed: (name) => {
      const times = (failing.get(name)?.times ?? 0) + 1;
      failing.set(name, { times, last: performance.now() });
      return { failures: times, isStuckNow: times === STUCK_AFTER };
    },
    ended: (name) => void failing.delete(name),
    countStuck: () => {
      // one that was deleted, or that another daemon delivers for, is tried no more
      for (const [name, { last }] of failing) if (performance.now() - last > FORGET_MS) failing.delete(name);
      return [...failing.values()].filter(({ times }) => times >= STUCK_AFTER).length;
    },
  };
}
