import { setImmediate as nextTurn } from 'node:timers/promises';

// Work on the event loop whose time grows with a client's input: a generator that yields wherever it may be interrupted. It runs in
// slices, at most one slice of all such work in a turn of the loop, so that other requests are answered in between. What is short
// is done before it has to wait for a turn.

export type Steps<T> = Generator<void, T, void>;

const SLICE_MS = 8;
const FIRST_MS = 2;

let lastTurn: Promise<unknown> = Promise.resolve();

/** Ends between two slices when the signal is aborted. */
export async function inSlices<T>(steps: Steps<T>, signal: AbortSignal): Promise<T> {
  for (let slice_ms = FIRST_MS; ; slice_ms = SLICE_MS) {
    signal.throwIfAborted();
    const until = performance.now() + slice_ms;
    do {
      const step = steps.next();
      if (step.done) return step.value;
    } while (performance.now() < until);
    await ownTurn();
  }
}

/** A turn of the event loop that no other slice has. */
function ownTurn(): Promise<unknown> {
  lastTurn = lastTurn.then(() => nextTurn());
  return lastTurn;
}
