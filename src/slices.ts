import { setImmediate as nextTurn } from 'node:timers/promises';

// Cooperative scheduling of work on the event loop whose duration grows with a client's input. The work is a generator that yields at each
// point where it may be interrupted. It runs in time slices, at most one slice of all such work per iteration of the event loop, so that
// other requests are served between them. Short work finishes within its first slice and never waits.

export type Steps<T> = Generator<void, T, void>;

const SLICE_MS = 8;
const FIRST_MS = 2;

let lastTurn: Promise<unknown> = Promise.resolve();

/** Runs `steps` in slices. Throws between two slices if a signal is given and aborted. */
export async function inSlices<T>(steps: Steps<T>, signal?: AbortSignal): Promise<T> {
  for (let slice_ms = FIRST_MS; ; slice_ms = SLICE_MS) {
    signal?.throwIfAborted();
    const until = performance.now() + slice_ms;
    do {
      const step = steps.next();
      if (step.done) return step.value;
    } while (performance.now() < until);
    await ownTurn();
  }
}

/** Waits for an iteration of the event loop that no other slice uses. */
function ownTurn(): Promise<unknown> {
  lastTurn = lastTurn.then(() => nextTurn());
  return lastTurn;
}
