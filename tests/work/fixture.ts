import { Problem, toProblem } from '../../src/http/problem.ts';
import { serveTasks } from '../../src/work/index.ts';

// A worker with tasks for tests.

const whole = (memory: SharedArrayBuffer) => new Int32Array(memory);

serveTasks({
  echo: (input: unknown) => ({ value: input }),
  /** Reports that it has started, then waits until it is released. */
  held: (memory: SharedArrayBuffer) => {
    Atomics.add(whole(memory), 1, 1);
    Atomics.notify(whole(memory), 1);
    Atomics.wait(whole(memory), 0, 0);
    return { value: 'released' };
  },
  /** Reports that it has started and that it was aborted, then waits until it is released. */
  heeding: async (memory: SharedArrayBuffer, signal: AbortSignal) => {
    Atomics.add(whole(memory), 1, 1);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    Atomics.add(whole(memory), 1, 1);
    Atomics.wait(whole(memory), 0, 0);
    return { value: 'released' };
  },
  endless: () => {
    for (;;);
  },
  refused: () => {
    throw new Problem('validation', 'no', { errors: [{ pointer: '#/a', detail: 'b' }], headers: { 'Retry-After': '7' } });
  },
  broken: () => {
    throw new TypeError('internal detail');
  },
  /** Throws a database error whose text quotes the request. */
  database: () => {
    const fields = { severity: 'ERROR', code: '22P02', table: 'events', detail: 'the walnut cake' };
    throw toProblem(Object.assign(new Error('invalid input: "the walnut\ncake"'), fields));
  },
  causedByCode: () => {
    throw new Problem('internal', 'no', { cause: () => 'cannot be cloned' });
  },
  gone: () => process.exit(3),
  hungry: () => {
    const held: unknown[] = [];
    for (;;) held.push(new Array(100_000).fill(held.length));
  },
});
