import { openStateCache } from '../../src/auth/state_cache.ts';

const state = (n: number) => ({ n });
const later = <T>() => {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
};

test('concurrent requests for one credential share one query', async () => {
  const cache = openStateCache<{ n: number }>(1000);
  const load = jest.fn(async () => state(1));
  const answers = await Promise.all(Array.from({ length: 50 }, () => cache.get('t.a', load)));
  expect(answers).toEqual(Array(50).fill(state(1)));
  expect(load).toHaveBeenCalledTimes(1);
});

test('an unknown credential is cached as unknown for a short time', async () => {
  const now = performance.now();
  const clock = jest.spyOn(performance, 'now').mockReturnValue(now);
  const cache = openStateCache<{ n: number }>(100);
  const load = jest.fn(async () => undefined);
  await cache.get('t.a', load);
  expect(await cache.get('t.a', load)).toBeUndefined();
  expect(load).toHaveBeenCalledTimes(1);
  clock.mockReturnValue(now + 101);
  // lru-cache reads the time once per millisecond
  await new Promise((resolve) => setTimeout(resolve, 10));
  await cache.get('t.a', load);
  expect(load).toHaveBeenCalledTimes(2);
  clock.mockRestore();
});

test('a result that was queried before an invalidation is not cached', async () => {
  const cache = openStateCache<{ n: number }>(10_000);
  const old = later<{ n: number }>();
  const reading = cache.get('t.a', () => old.promise);
  cache.invalidate('t.');
  const fresh = cache.get('t.a', async () => state(2));
  old.resolve(state(1));
  await reading;
  expect(await fresh).toEqual(state(2));
  expect(await cache.get('t.a', async () => state(3))).toEqual(state(2));
});

test('invalidating a tenant keeps others, including one whose name has it as a prefix', async () => {
  const cache = openStateCache<{ n: number }>(10_000);
  for (const key of ['t.a', 'tt.a']) await cache.get(key, async () => state(1));
  cache.invalidate('t.');
  expect(await cache.get('t.a', async () => state(2))).toEqual(state(2));
  expect(await cache.get('tt.a', async () => state(2))).toEqual(state(1));
});

test('a failure is not cached', async () => {
  const cache = openStateCache<{ n: number }>(10_000);
  await expect(cache.get('t.a', () => Promise.reject(new Error('away')))).rejects.toThrow('away');
  expect(await cache.get('t.a', async () => state(1))).toEqual(state(1));
});
