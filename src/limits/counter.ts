import { createHash } from 'node:crypto';

// The local state of a limit for one subject: the tokens that this daemon has, and what was left of the shared window at its last
// request. The functions only change the counter. Times are milliseconds of the monotonic clock.

export interface Policy {
  readonly name: string;
  readonly max: number;
  readonly windowMs: number;
  /** Number of tokens that a daemon may have in reserve. With 0, every request calls the shared store, and the limit is exact. */
  readonly block: number;
  /** The setting that defines `max`; undefined for a limit of an API key. */
  readonly setting?: string;
}

export interface Counter {
  readonly policy: Policy;
  /** A digest, so that the shared store contains neither tenants nor addresses. */
  readonly key: string;
  /** End of the current window; 0 if none has begun. */
  ends: number;
  tokens: number;
  /** Number of tokens left in the shared window. */
  left: number;
  /** Number of tokens granted locally without the store; charged at the next request. */
  owed: number;
  /** Number of tokens that requests are waiting for. */
  waiting: number;
  /** The request to the shared store in progress. */
  lease: Promise<void> | undefined;
}

/** A request of a daemon to the shared window. */
export interface TokenRequest {
  key: string;
  max: number;
  owed: number;
  need: number;
  spare: number;
}

export interface Grant {
  granted: number;
  left: number;
  ends_in_ms: number;
}

/** Returns the reserve of a daemon. An idle daemon can withhold a sixteenth of the limit from the others. */
export const blockOf = (max: number): number => Math.ceil(max / 16);

export function openCounter(policy: Policy, subject: string): Counter {
  const text = JSON.stringify([policy.name, policy.windowMs, subject]);
  const key = createHash('sha256').update(text).digest('base64url').slice(0, 22);
  return { policy, key, ends: 0, tokens: 0, left: policy.max, owed: 0, waiting: 0, lease: undefined };
}

/** Returns true if a request for `n` tokens can be decided locally: there are enough, or no more in this window. */
export function isSettled(counter: Counter, now: number, n = 1): boolean {
  if (now >= counter.ends) startWindow(counter, 0);
  return counter.tokens >= n || (counter.tokens + counter.left < n && counter.ends > 0);
}

function startWindow(counter: Counter, ends: number): void {
  counter.ends = ends;
  counter.tokens = 0;
  counter.left = counter.policy.max;
  counter.owed = 0;
}

export function spendTokens(counter: Counter, n = 1): boolean {
  if (counter.tokens < n) return false;
  counter.tokens -= n;
  return true;
}

/** Returns true if tokens should be requested in advance: three quarters of the block are spent and the window has more. */
export const isLow = ({ tokens, left, lease, policy }: Counter): boolean =>
  tokens <= policy.block >> 2 && left > 0 && lease === undefined && policy.block > 0;

export const remaining = (counter: Counter): number => counter.tokens + counter.left;

export const secondsLeft = (counter: Counter, now: number): number => Math.max(1, Math.ceil((counter.ends - now) / 1000));

/**
 * Makes a request to the shared window. The debt moves into the request, where it is charged, or restored by `undoRequest`. The first
 * request of a window requests a quarter of a block only: otherwise twenty daemons that see a principal once would exhaust a limit of 100.
 */
export function takeRequest(counter: Counter): TokenRequest {
  const { key, policy, owed, tokens, waiting } = counter;
  counter.owed = 0;
  const need = Math.max(0, waiting - tokens);
  const block = counter.ends === 0 ? Math.ceil(policy.block / 4) : policy.block;
  return { key, max: policy.max, owed, need, spare: Math.max(0, block - Math.max(0, tokens - waiting)) };
}

export function undoRequest(counter: Counter, request: TokenRequest, endsThen: number): void {
  if (counter.ends === endsThen) counter.owed += request.owed;
}

/** Applies a grant. The end of the window is computed from the time of the request, so that it is never later than in the store. */
export function applyGrant(counter: Counter, grant: Grant, requestedAt: number, now: number): void {
  if (now >= counter.ends) counter.tokens = 0;
  counter.ends = requestedAt + grant.ends_in_ms;
  counter.tokens += grant.granted;
  // Tokens that were granted locally while the request was in flight have not been charged.
  counter.left = Math.max(0, grant.left - counter.owed);
}

/** Grants tokens without the store, from the last known rest of the window or from a local window. */
export function grantLocally(counter: Counter, now: number): void {
  if (now >= counter.ends) startWindow(counter, now + counter.policy.windowMs);
  const { owed, ...request } = takeRequest(counter);
  const granted = share(counter.left, Math.max(1, request.need), request.spare);
  counter.tokens += granted;
  counter.left -= granted;
  counter.owed = owed + granted;
}

/** Applies the same rule as take_tokens() in functions.sql and the script in redis.ts. */
export function share(left: number, need: number, spare: number): number {
  const due = Math.min(need, left);
  return due + Math.min(spare, Math.ceil((left - due) / 4));
}
