import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { GIVEN_UP, type Order, type Result, resultOf } from './message.ts';

/** What a task gives back; `transfer` is moved to the main thread instead of being copied. */
export interface Done {
  value: unknown;
  transfer?: ArrayBuffer[];
}

/** What a worker does with an input. Of a job that `heeds` the signal is aborted when it is given up. */
export type Task = (input: never, signal: AbortSignal) => Done | Promise<Done>;

/** The worker's side: one order after the other. */
export function serveTasks(tasks: Record<string, Task>): void {
  standBack();
  let job = new AbortController();
  parentPort!.on('message', (message: Order | typeof GIVEN_UP) => {
    if (message === GIVEN_UP) return job.abort(new Error(GIVEN_UP));
    job = new AbortController();
    void carryOut(tasks[message.task]!, message.input, job.signal);
  });
}

async function carryOut(task: Task, input: unknown, signal: AbortSignal): Promise<void> {
  let transfer: ArrayBuffer[] = [];
  let result: Result;
  try {
    const done = await task(input as never, signal);
    result = { value: done.value };
    transfer = done.transfer ?? [];
  } catch (error) {
    result = resultOf(error);
  }
  parentPort!.postMessage(result, transfer);
}

const NICENESS = 5;

/** Where there are fewer cores than threads, the event loop goes first. Linux alone has priorities of threads. */
function standBack(): void {
  if (process.platform !== 'linux') return;
  const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  setPriority(thread, NICENESS);
}
