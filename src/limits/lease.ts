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

// Requests tokens from the shared store in blocks. One call is in flight at a time, for all counters that have run low meanwhile. While the
// store is unavailable or slow, every daemon counts locally and charges the tokens later.

/** Takes tokens from the shared windows; returns one grant per request, in order, or why there is none. */
export type TakeTokens = (requests: TokenRequest[], windowMs: number) => Promise<(Grant | Error)[]>;

export interface Leases {
  /** Requests more tokens without waiting. */
  refill(counter: Counter): void;
  /** Spends `n` tokens, by default one. Returns false if the window does not have them. After `waitMs` it decides locally. */
  spend(counter: Counter, waitMs: number, n?: number): Promise<boolean>;
  /** Returns true if the shared store answered the last request. */
  storeAnswers(): boolean;
}

const MAX_ASKS = 500;
const RETRY_MS = 1000;
const QUIET_MS = 60_000;

interface Queued {
  counter: Counter;
  resolve(): void;
}

/** Creates the leases. If `take` is undefined, this process is the only one and counts in memory. */
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
      // Deferred, so that a principal and its tenant, and concurrent requests, share a call.
      if (queue.length === 1 && !sending) queueMicrotask(() => void sendBatch());
    });
    return counter.lease;
  }

  async function sendBatch(): Promise<void> {
    sending = true;
    const batch = takeBatch();
    const sent = batch.map(({ counter }) => ({ counter, endsThen: counter.ends, tokens: takeRequest(counter) }));
    const requestedAt = performance.now();
    const requests = sent.map(({ tokens }) => tokens);
    const grants = await take!(requests, batch[0]!.counter.policy.windowMs).catch((error: Error) => requests.map(() => error));
    const now = performance.now();
    for (const [i, { counter, tokens, endsThen }] of sent.entries()) {
      const grant = grants[i]!;
      if (grant instanceof Error) undoRequest(counter, tokens, endsThen);
      else applyGrant(counter, grant, requestedAt, now);
    }
    const failure = grants.find((grant) => grant instanceof Error);
    if (failure) store!.failed(failure);
    else store!.worked();
    for (const { counter, resolve } of batch) {
      counter.lease = undefined;
      resolve();
    }
    sending = false;
    if (queue.length > 0) void sendBatch();
  }

  /**
   * Removes a batch from the queue. All requests of a batch have the same window length, and each key occurs once: a counter that was evicted
   * and reopened may be queued twice.
   */
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
        // No `await` between the check and spending, or several requests would spend the same token.
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

/** Tracks the availability of the store. After a failure it is not called for a while, and the failure is logged once. */
function trackStore(log: Logger) {
  let retryAt = 0;
  let quietUntil = 0;
  let warned = false;
  let failing = false;
  return {
    answers: () => !failing,
    isUp: () => performance.now() >= retryAt,
    worked() {
      if (warned) log.info('rate limits: the shared store is available again');
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
      log.warn({ err }, 'rate limits: the shared store is unavailable, this daemon counts locally');
    },
  };
}
