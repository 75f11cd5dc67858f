import fc from 'fast-check';
import {
  applyGrant,
  blockOf,
  type Counter,
  grantLocally,
  isSettled,
  openCounter,
  remaining,
  share,
  takeRequest,
} from '../../src/limits/counter.ts';

const policy = { name: 'principal', max: 100, windowMs: 60_000, block: blockOf(100) };

test('a share covers waiting requests, adds at most a quarter of the rest, and never exceeds what is left', () => {
  fc.assert(
    fc.property(fc.nat(1000), fc.nat(1000), fc.nat(100), (left, need, spare) => {
      const granted = share(left, need, spare);
      expect(granted).toBeLessThanOrEqual(left);
      expect(granted).toBeGreaterThanOrEqual(Math.min(need, left));
      expect(granted).toBeLessThanOrEqual(need + spare);
    }),
  );
});

test('without a store each window grants exactly its limit', () => {
  const counter = openCounter(policy, 'acme');
  for (const start of [1000, 61_000]) expect(spendAll(counter, start)).toBe(100);
});

test('tokens granted without the store are charged by the next request, once', () => {
  const counter = openCounter(policy, 'acme');
  counter.waiting = 10;
  grantLocally(counter, 0);
  const handedOut = counter.tokens;
  expect(handedOut).toBe(10 + policy.block);
  expect(takeRequest(counter).owed).toBe(handedOut);
  expect(takeRequest(counter).owed).toBe(0);
});

test('a window starts at the time of the request, so that it never ends later than in the store', () => {
  const counter = openCounter(policy, 'acme');
  applyGrant(counter, { granted: 7, left: 93, ends_in_ms: 60_000 }, 1000, 1300);
  expect(isSettled(counter, 60_999)).toBe(true);
  expect(isSettled(counter, 61_000)).toBe(false);
  expect(remaining(counter)).toBe(100);
});

test('a late answer does not undo tokens granted meanwhile', () => {
  const counter = openCounter(policy, 'acme');
  counter.waiting = 1;
  takeRequest(counter);
  grantLocally(counter, 0);
  const owed = counter.owed;
  applyGrant(counter, { granted: 1, left: 99, ends_in_ms: 60_000 }, 0, 10);
  expect(counter.left).toBe(99 - owed);
});

test('the shared store gets a digest, not the tenant', () => {
  expect(openCounter(policy, 'acme').key).toMatch(/^[\w-]{22}$/);
  expect(openCounter(policy, 'acme').key).not.toBe(openCounter({ ...policy, name: 'tenant' }, 'acme').key);
});

function spendAll(counter: Counter, now: number): number {
  let spent = 0;
  for (;;) {
    if (!isSettled(counter, now)) grantLocally(counter, now);
    if (counter.tokens <= 0) return spent;
    counter.tokens -= 1;
    spent += 1;
  }
}
