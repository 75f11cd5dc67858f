import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { type Order, type Result, resultOf } from './message.ts';

/** What a worker does with an input; `transfer` is moved to the main thread instead of being copied. */
export type Task = (input: never) => { value: unknown; transfer?: ArrayBuffer[] };

/** The worker's side: one order after the other. */
export function serveTasks(tasks: Record<string, Task>): void {
  standBack();
  parentPort!.on('message', ({ task, input }: Order) => {
    let transfer: ArrayBuffer[] = [];
    let result: Result;
    try {
      const done = tasks[task]!(input as never);
      result = { value: done.value };
      transfer = done.transfer ?? [];
    } catch (error) {
      result = resultOf(error);
    }
    parentPort!.postMessage(result, transfer);
  });
}

const NICENESS = 5;

/** Where there are fewer cores than threads, the event loop goes first. Linux alone has priorities of threads. */
function standBack(): void {
  if (process.platform !== 'linux') return;
  const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  setPriority(thread, NICENESS);
}
