import { createHash } from 'node:crypto';

// What one daemon knows of one limit of one subject: the tokens it holds, and what was left of the shared window when it last
// asked. Pure but for the counter itself; times are milliseconds of the monotonic clock.

export interface Policy {
  readonly name: string;
  readonly max: number;
  readonly windowMs: number;
  /** Tokens that a daemon may hold beyond what waiting requests need; 0: each request asks, and the limit is exact. */
  readonly block: number;
  /** The setting that says `max`; undefined: it is a key's own. */
  readonly setting?: string;
}

export interface Counter {
  readonly policy: Policy;
  /** A digest: the shared store learns neither tenants nor addresses. */
  readonly key: string;
  /** 0: none has begun. */
  ends: number;
  tokens: number;
  /** What may still be taken from the window, by any daemon. */
  left: number;
  /** Handed out here without the store; charged when it is next reached. */
  owed: number;
  /** Tokens that requests wait for. */
  waiting: number;
  /** The asking that is under way. */
  lease: Promise<void> | undefined;
}

/** What a daemon asks of the shared window. */
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

/** A sixteenth of the limit is what an idle daemon can withhold from the others. */
export const blockOf = (max: number): number => Math.ceil(max / 16);

export function openCounter(policy: Policy, subject: string): Counter {
  const text = JSON.stringify([policy.name, policy.windowMs, subject]);
  const key = createHash('sha256').update(text).digest('base64url').slice(0, 22);
  return { policy, key, ends: 0, tokens: 0, left: policy.max, owed: 0, waiting: 0, lease: undefined };
}

/** Whether a request for `n` tokens can be judged now: they are in hand, or will not come before the window ends. */
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

/** Time to ask ahead of need: three quarters of the block are spent and the window has more. */
export const isLow = ({ tokens, left, lease, policy }: Counter): boolean =>
  tokens <= policy.block >> 2 && left > 0 && lease === undefined && policy.block > 0;

export const remaining = (counter: Counter): number => counter.tokens + counter.left;

export const secondsLeft = (counter: Counter, now: number): number => Math.max(1, Math.ceil((counter.ends - now) / 1000));

/**
 * Asking hands the debt over: it is charged, or given back by `takeBack`. A window begins with a quarter of a block: twenty
 * daemons that see a principal once each would otherwise leave nothing of a limit of 100.
 */
export function takeRequest(counter: Counter): TokenRequest {
  const { key, policy, owed, tokens, waiting } = counter;
  counter.owed = 0;
  const need = Math.max(0, waiting - tokens);
  const block = counter.ends === 0 ? Math.ceil(policy.block / 4) : policy.block;
  return { key, max: policy.max, owed, need, spare: Math.max(0, block - Math.max(0, tokens - waiting)) };
}

export function undoRequest(counter: Counter, ask: TokenRequest, endsThen: number): void {
  if (counter.ends === endsThen) counter.owed += ask.owed;
}

/** The window is counted from when we asked, so it never ends later here than in the store. */
export function applyGrant(counter: Counter, grant: Grant, askedAt: number, now: number): void {
  if (now >= counter.ends) counter.tokens = 0;
  counter.ends = askedAt + grant.ends_in_ms;
  counter.tokens += grant.granted;
  // What was handed out here while the answer was on its way is not charged yet.
  counter.left = Math.max(0, grant.left - counter.owed);
}

/** Without the store: a daemon goes on with what it last knew to be left, or with a window of its own. */
export function grantLocally(counter: Counter, now: number): void {
  if (now >= counter.ends) startWindow(counter, now + counter.policy.windowMs);
  const { owed, ...ask } = takeRequest(counter);
  const granted = share(counter.left, Math.max(1, ask.need), ask.spare);
  counter.tokens += granted;
  counter.left -= granted;
  counter.owed = owed + granted;
}

/** The rule of take_tokens() in functions.sql and of the script in redis.ts. */
export function share(left: number, need: number, spare: number): number {
  const due = Math.min(need, left);
  return due + Math.min(spare, Math.ceil((left - due) / 4));
}
