import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { openFairQueue } from '../fair_queue.ts';
import { Problem } from '../http/problem.ts';
import { CANCELLED, type TaskMessage, type TaskOutcome, unwrapOutcome } from './message.ts';

// Threads for work whose time grows with a client's input. Tenants take turns, and one tenant leaves at least one thread to the others.
// A job that is given up ends with its thread where nothing else stops it. One that `heeds` is told, and keeps its tenant's turn until it
// has ended: what it began in the database goes on until then.

export interface Workers {
  run<T>(job: WorkerJob): Promise<T>;
  figures(): { waiting: number; running: number };
  stop(): Promise<void>;
}

interface WorkerJob extends TaskMessage {
  tenant: string;
  transfer?: ArrayBuffer[];
  /** Given up when it is aborted, wherever it is. */
  signal: AbortSignal;
  /** A read: it ends soon after it is told that it was given up. */
  cancellable?: boolean;
}

export interface WorkerSettings {
  /** The file that a worker runs: `.js`, or `.ts` through tsx. */
  entry: string;
  data?: unknown;
  /** Threads; they start when there is work. */
  size: number;
  /** Jobs that may wait, half of them of one tenant. */
  maxQueued: number;
  /** Most MiB of a thread's heap. */
  heap_mib?: number;
}

interface QueuedJob {
  job: WorkerJob;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** Where it is running. */
  thread?: Thread;
}

interface Thread {
  worker: Worker;
  ticket: QueuedJob | undefined;
  idle?: NodeJS.Timeout;
}

/** An idle thread holds some 40 MB. */
const IDLE_MS = 60_000;
const HEAP_MIB = 1024;
/** Of it the young objects: without a bound of its own each thread takes what --max-semi-space-size gives the daemon. */
const YOUNG_MIB = 24;

export function openWorkers({ entry, data, size, maxQueued, heap_mib = HEAP_MIB }: WorkerSettings): Workers {
  const threads = new Set<Thread>();
  const queue = openFairQueue<QueuedJob>();
  const running = new Map<string, number>();
  const maxPerTenant = Math.max(1, size - 1);
  let stopped = false;

  function start(): Thread {
    const worker = startThread(entry, data, heap_mib);
    const thread: Thread = { worker, ticket: undefined };
    threads.add(thread);
    worker.on('message', (result: TaskOutcome) => settle(thread, () => unwrapOutcome(result)));
    worker.on('error', (error) => end(thread, error));
    worker.on('exit', (code) => end(thread, new Error(`a worker ended with code ${code}`)));
    return thread;
  }

  /** The thread is gone; its job ends with it. */
  function end(thread: Thread, error: unknown): void {
    clearTimeout(thread.idle);
    threads.delete(thread);
    const cancellable = thread.ticket?.job.cancellable;
    settle(thread, () => {
      if (stopped) throw stopping();
      throw isOutOfMemory(error) ? outOfMemory(cancellable) : error;
    });
  }

  function settle(thread: Thread, outcome: () => unknown): void {
    const { ticket } = thread;
    thread.ticket = undefined;
    if (!ticket) return;
    releaseTurn(ticket.job.tenant);
    try {
      ticket.resolve(outcome());
    } catch (error) {
      ticket.reject(error);
    }
    if (threads.has(thread)) markIdle(thread);
    next();
  }

  function markIdle(thread: Thread): void {
    // nothing that waits keeps the process alive
    thread.worker.unref();
    thread.idle = setTimeout(() => {
      // it is given no order while it ends
      threads.delete(thread);
      void thread.worker.terminate();
    }, IDLE_MS).unref();
  }

  const releaseTurn = (tenant: string) => {
    const left = running.get(tenant)! - 1;
    if (left > 0) running.set(tenant, left);
    else running.delete(tenant);
  };

  function next(): void {
    for (;;) {
      const idle = [...threads].find(({ ticket }) => !ticket);
      if (!idle && threads.size >= size) return;
      const ticket = queue.take((tenant) => running.get(tenant) ?? 0, maxPerTenant);
      if (!ticket) return;
      begin(idle ?? start(), ticket);
    }
  }

  function begin(thread: Thread, ticket: QueuedJob): void {
    const { tenant, task, input, transfer } = ticket.job;
    clearTimeout(thread.idle);
    running.set(tenant, (running.get(tenant) ?? 0) + 1);
    thread.ticket = ticket;
    ticket.thread = thread;
    thread.worker.ref();
    try {
      thread.worker.postMessage({ task, input } satisfies TaskMessage, transfer ?? []);
    } catch (error) {
      settle(thread, () => {
        throw error;
      });
    }
  }

  function cancel(ticket: QueuedJob): void {
    const { job, thread } = ticket;
    if (!thread) queue.remove(job.tenant, ticket);
    else if (job.cancellable) thread.worker.postMessage(CANCELLED);
    else if (thread.ticket === ticket) {
      end(thread, job.signal.reason);
      void thread.worker.terminate();
    }
    ticket.reject(job.signal.reason);
  }

  function run<T>(job: WorkerJob): Promise<T> {
    if (job.signal.aborted) return Promise.reject(job.signal.reason as Error);
    if (stopped) return Promise.reject(stopping());
    const own = queue.waitingOf(job.tenant);
    // a tenant with nothing waiting is let in: two others could fill the whole queue
    if (own > 0 && queue.waiting >= maxQueued) return Promise.reject(queueFull());
    if (own >= maxQueued / 2) return Promise.reject(tenantQueueFull());
    return new Promise<T>((resolve, reject) => {
      const onAbort = () => cancel(ticket);
      const done = () => job.signal.removeEventListener('abort', onAbort);
      const ticket: QueuedJob = {
        job,
        resolve: (value) => {
          done();
          resolve(value as T);
        },
        reject: (error) => {
          done();
          reject(error as Error);
        },
      };
      job.signal.addEventListener('abort', onAbort);
      queue.add(job.tenant, ticket);
      next();
    });
  }

  return {
    run,
    figures: () => ({ waiting: queue.waiting, running: [...threads].filter(({ ticket }) => ticket).length }),
    stop: async () => {
      stopped = true;
      for (let ticket = queue.take(none, 1); ticket; ticket = queue.take(none, 1)) ticket.reject(stopping());
      await Promise.all([...threads].map(({ worker }) => worker.terminate()));
    },
  };
}

/** From its source a thread needs tsx, which `--import` does not give to threads. */
function startThread(entry: string, workerData: unknown, maxOldGenerationSizeMb: number): Worker {
  const options = { workerData, execArgv: [], resourceLimits: { maxOldGenerationSizeMb, maxYoungGenerationSizeMb: YOUNG_MIB } };
  if (extname(entry) !== '.ts') return new Worker(entry, options);
  const tsx = createRequire(import.meta.filename)
    .resolve('tsx/esm/api')
    .replace(/cjs$/, 'mjs');
  const code = `import(${urlOf(tsx)}).then(({ register }) => { register(); return import(${urlOf(entry)}); })`;
  return new Worker(code, { ...options, eval: true });
}

const urlOf = (path: string): string => JSON.stringify(pathToFileURL(path).href);

const isOutOfMemory = (error: unknown): boolean => (error as { code?: unknown }).code === 'ERR_WORKER_OUT_OF_MEMORY';

const none = () => 0;

/** Of a read the answer was too large, not what was sent. */
const outOfMemory = (reads: boolean | undefined) =>
  reads
    ? new Problem('unavailable', 'The answer needs more memory than one request may use.', retryLater)
    : new Problem('too-large', 'The request needs more memory than one request may use.');

const retryLater = { headers: { 'Retry-After': '1' } };

const stopping = () => new Problem('unavailable', 'The service is stopping.', retryLater);

const queueFull = () => new Problem('unavailable', 'Too many large requests are being served.', retryLater);

const tenantQueueFull = () =>
  new Problem('rate-limited', 'Too many large requests of this tenant are waiting (WORKERS_QUEUE).', retryLater);
