import { inSlices, type Steps } from '../src/slices.ts';

/** Takes longer than any slice. */
function work(): void {
  const until = performance.now() + 20;
  while (performance.now() < until);
}

function* steps(count: number, onStep: () => void): Steps<string> {
  for (let i = 0; i < count; i += 1) {
    work();
    onStep();
    yield;
  }
  return 'done';
}

const never = new AbortController().signal;

test('after the first slices, the event loop iterates between any two slices of the same or of different work', async () => {
  const seen: string[] = [];
  let over = false;
  const turn = () => {
    seen.push('turn');
    if (!over) setImmediate(turn);
  };
  turn();
  const results = await Promise.all(
    ['a', 'b', 'c'].map((name) =>
      inSlices(
        steps(4, () => seen.push(name)),
        never,
      ),
    ),
  );
  over = true;
  expect(results).toEqual(['done', 'done', 'done']);
  expect(seen.filter((name) => name === 'a')).toHaveLength(4);
  const last = seen.findLastIndex((name) => name !== 'turn');
  const first = seen.indexOf('c') + 1;
  for (const [i, name] of seen.slice(first, last).entries()) if (name !== 'turn') expect(seen[first + i + 1]).toBe('turn');
  // The works take turns; none waits until another is done.
  expect(seen.filter((name) => name !== 'turn').slice(0, 6)).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
});

test('work of an aborted request ends between two slices', async () => {
  const abort = new AbortController();
  let done = 0;
  const running = inSlices(
    steps(1_000_000, () => {
      done += 1;
      if (done === 3) abort.abort(new Error('the client is gone'));
    }),
    abort.signal,
  );
  await expect(running).rejects.toThrow('the client is gone');
  expect(done).toBe(3);
});

test('work that fails does not block other work', async () => {
  const failing = (function* (): Steps<never> {
    yield;
    throw new Error('broken');
  })();
  const [failed, other] = await Promise.allSettled([
    inSlices(failing, never),
    inSlices(
      steps(2, () => {}),
      never,
    ),
  ]);
  expect([failed.status, other]).toEqual(['rejected', { status: 'fulfilled', value: 'done' }]);
});
