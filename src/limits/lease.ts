import type { Logger } from '../log.ts';
import {
  applyGrant,
  type Counter,
  type Grant,
  grantLocally,
  isSettled,
  spendTokens,
  type TokenRequest,
  takeRequest,
  undoRequest,
} from './counter.ts';

// Tokens come from the shared store in blocks. One call is in flight at a time, for all counters that ran low meanwhile. While the
// store is away or slow every daemon counts for itself, and charges that later.

/** Takes from the shared windows: one grant for each ask, in order. */
export type TakeTokens = (asks: TokenRequest[], windowMs: number) => Promise<Grant[]>;

export interface Leases {
  /** Starts to ask for more, without waiting. */
  refill(counter: Counter): void;
  /** Spends `n` tokens, by default one; false: so many are not left in this window. After `waitMs` this process decides by what it knows. */
  spend(counter: Counter, waitMs: number, n?: number): Promise<boolean>;
  /** The shared store answered when it was asked last. */
  storeAnswers(): boolean;
}

const MAX_ASKS = 500;
const RETRY_MS = 1000;
const QUIET_MS = 60_000;

interface Queued {
  counter: Counter;
  resolve(): void;
}

/** `take` undefined: this process is the only one, and counts in its memory. */
export function createLeases(take: TakeTokens | undefined, log: Logger): Leases {
  const store = take && trackStore(log);
  let queue: Queued[] = [];
  let sending = false;

  function refill(counter: Counter): void {
    if (store?.isUp()) void request(counter);
    else grantLocally(counter, performance.now());
  }

  function request(counter: Counter): Promise<void> {
    counter.lease ??= new Promise((resolve) => {
      queue.push({ counter, resolve });
      // Later in this tick, so that a principal and its tenant, and requests that came together, ask in one call.
      if (queue.length === 1 && !sending) queueMicrotask(() => void sendBatch());
    });
    return counter.lease;
  }

  async function sendBatch(): Promise<void> {
    sending = true;
    const batch = takeBatch();
    const asked = batch.map(({ counter }) => ({ counter, endsThen: counter.ends, ask: takeRequest(counter) }));
    const askedAt = performance.now();
    try {
      const grants = await take!(
        asked.map(({ ask }) => ask),
        batch[0]!.counter.policy.windowMs,
      );
      const now = performance.now();
      for (const [i, { counter }] of asked.entries()) applyGrant(counter, grants[i]!, askedAt, now);
      store!.worked();
    } catch (error) {
      for (const { counter, ask, endsThen } of asked) undoRequest(counter, ask, endsThen);
      store!.failed(error);
    }
    for (const { counter, resolve } of batch) {
      counter.lease = undefined;
      resolve();
    }
    sending = false;
    if (queue.length > 0) void sendBatch();
  }

  /** Of one length of window. A key once in each call: a counter that was evicted and opened again may stand in the queue beside its former self. */
  function takeBatch(): Queued[] {
    const batch = new Map<string, Queued>();
    const rest: Queued[] = [];
    for (const one of queue) {
      const sameWindow = one.counter.policy.windowMs === queue[0]!.counter.policy.windowMs;
      if (sameWindow && batch.size < MAX_ASKS && !batch.has(one.counter.key)) batch.set(one.counter.key, one);
      else rest.push(one);
    }
    queue = rest;
    return [...batch.values()];
  }

  async function spend(counter: Counter, waitMs: number, n = 1): Promise<boolean> {
    const deadline = performance.now() + waitMs;
    counter.waiting += n;
    try {
      for (;;) {
        const now = performance.now();
        // At once: behind an `await` all who wait would see the same token.
        if (isSettled(counter, now, n)) return spendTokens(counter, n);
        if (!store?.isUp()) grantLocally(counter, now);
        else if (!(await completesWithin(request(counter), deadline - now)))
          store.failed(new Error(`no answer within ${waitMs} ms`));
      }
    } finally {
      counter.waiting -= n;
    }
  }

  return { refill, spend, storeAnswers: () => store?.answers() ?? true };
}

async function completesWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), Math.max(0, ms));
  });
  const done = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return done;
}

/** After a failure nobody asks for a while, and the log hears of it once. */
function trackStore(log: Logger) {
  let retryAt = 0;
  let quietUntil = 0;
  let warned = false;
  let failing = false;
  return {
    answers: () => !failing,
    isUp: () => performance.now() >= retryAt,
    worked() {
      if (warned) log.info('rate limits: the shared store is back');
      warned = false;
      failing = false;
      retryAt = 0;
    },
    failed(err: unknown) {
      const now = performance.now();
      failing = true;
      retryAt = now + RETRY_MS;
      if (now < quietUntil) return;
      quietUntil = now + QUIET_MS;
      warned = true;
      log.warn({ err }, 'rate limits: the shared store is away, this daemon counts for itself');
    },
  };
}
