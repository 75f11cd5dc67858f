import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { CANCELLED, failureOf, type TaskMessage, type TaskOutcome } from './message.ts';

/** What a task gives back; `transfer` is moved to the main thread instead of being copied. */
export interface TaskResult {
  value: unknown;
  transfer?: ArrayBuffer[];
}

/** What a worker does with an input. Of a job that `heeds` the signal is aborted when it is given up. */
export type Task = (input: never, signal: AbortSignal) => TaskResult | Promise<TaskResult>;

/** The worker's side: one order after the other. */
export function serveTasks(tasks: Record<string, Task>): void {
  lowerPriority();
  let job = new AbortController();
  parentPort!.on('message', (message: TaskMessage | typeof CANCELLED) => {
    if (message === CANCELLED) return job.abort(new Error(CANCELLED));
    job = new AbortController();
    void runTask(tasks[message.task]!, message.input, job.signal);
  });
}

async function runTask(task: Task, input: unknown, signal: AbortSignal): Promise<void> {
  let transfer: ArrayBuffer[] = [];
  let result: TaskOutcome;
  try {
    const done = await task(input as never, signal);
    result = { value: done.value };
    transfer = done.transfer ?? [];
  } catch (error) {
    result = failureOf(error);
  }
  parentPort!.postMessage(result, transfer);
}

const NICENESS = 5;

/** Where there are fewer cores than threads, the event loop goes first. Linux alone has priorities of threads. */
function lowerPriority(): void {
  if (process.platform !== 'linux') return;
  const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  setPriority(thread, NICENESS);
}
