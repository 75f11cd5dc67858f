import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import {
  CANCELLED,
  failureOf,
  type ServiceAnswer,
  type ServiceRequest,
  type TaskMessage,
  type TaskOutcome,
  unwrapOutcome,
} from './message.ts';

/** The result of a task. `transfer` is moved to the main thread instead of being copied. */
export interface TaskResult {
  value: unknown;
  transfer?: ArrayBuffer[];
}

/** A function that a worker runs. `signal` is aborted when a cancellable job is cancelled. */
export type Task = (input: never, signal: AbortSignal) => TaskResult | Promise<TaskResult>;

/** Runs the tasks of a worker, one at a time. */
export function serveTasks(tasks: Record<string, Task>): void {
  lowerPriority();
  let job = new AbortController();
  parentPort!.on('message', (message: TaskMessage | ServiceAnswer | typeof CANCELLED) => {
    if (message === CANCELLED) return job.abort(new Error(CANCELLED));
    if ('answered' in message) return settleRequest(message);
    job = new AbortController();
    void runTask(tasks[message.task]!, message.input, job.signal);
  });
}

const requests = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
let requestCount = 0;

/** Asks a service of the main thread. */
export const askMainThread = <T>(service: string, input: unknown): Promise<T> =>
  new Promise<T>((resolve, reject) => {
    requestCount += 1;
    requests.set(requestCount, { resolve: resolve as (value: unknown) => void, reject });
    parentPort!.postMessage({ request: requestCount, service, input } satisfies ServiceRequest);
  });

function settleRequest({ answered, outcome }: ServiceAnswer): void {
  const { resolve, reject } = requests.get(answered)!;
  requests.delete(answered);
  try {
    resolve(unwrapOutcome(outcome));
  } catch (error) {
    reject(error);
  }
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

/** Lowers the priority of the thread, so that the event loop has precedence if cores are scarce. Only Linux has thread priorities. */
function lowerPriority(): void {
  if (process.platform !== 'linux') return;
  const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  setPriority(thread, NICENESS);
}
