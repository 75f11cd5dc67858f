/** Number of consecutive failed turns after which a webhook is stuck. */
const STUCK_AFTER = 2;
const FORGET_MS = 600_000;

/** Tracks webhooks whose turns fail before an attempt. */
export interface Failures {
  /** Counts a failed turn. Returns the number of consecutive failures, and whether the webhook became stuck with this one. */
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
      // deleted webhooks, and those that another daemon delivers, fail here no more
      for (const [name, { last }] of failing) if (performance.now() - last > FORGET_MS) failing.delete(name);
      return [...failing.values()].filter(({ times }) => times >= STUCK_AFTER).length;
    },
  };
}
