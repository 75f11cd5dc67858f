import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { openFairQueue } from '../fair_queue.ts';
import { Problem } from '../http/problem.ts';
import {
  CANCELLED,
  failureOf,
  type ServiceAnswer,
  type ServiceRequest,
  type TaskMessage,
  type TaskOutcome,
  unwrapOutcome,
} from './message.ts';

// Worker threads for tasks whose duration grows with the input of a client. Tenants take turns, and one tenant leaves at least one thread to
// the others. An aborted job is terminated with its thread. A `cancellable` job is sent a message instead and keeps its tenant's turn until
// it has ended, because its database statements continue until then.

/** Functions of the main thread that workers may call. */
type Services = Record<string, (input: never) => Promise<unknown>>;

export interface Workers {
  run<T>(job: WorkerJob): Promise<T>;
  /** Sets the services of the main thread. */
  answer(services: Services): void;
  figures(): { waiting: number; running: number };
  stop(): Promise<void>;
}

interface WorkerJob extends TaskMessage {
  tenant: string;
  transfer?: ArrayBuffer[];
  /** Cancels the job, whether it is queued or running. */
  signal: AbortSignal;
  /** Whether the job ends soon after a request to cancel it (reads). */
  cancellable?: boolean;
}

export interface WorkerSettings {
  /** Entry file of a worker: `.js`, or `.ts` with tsx. */
  entry: string;
  data?: unknown;
  /** Maximum number of threads. They are started on demand. */
  size: number;
  /** Maximum number of queued jobs. One tenant may have half of them. */
  maxQueued: number;
  /** Maximum heap size of a thread, in MiB. */
  heap_mib?: number;
}

interface QueuedJob {
  job: WorkerJob;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** Set while it is running. */
  thread?: Thread;
}

interface Thread {
  worker: Worker;
  ticket: QueuedJob | undefined;
  idle?: NodeJS.Timeout;
}

/** An idle thread uses about 40 MB. */
const IDLE_MS = 60_000;
const HEAP_MIB = 1024;
/** Young generation of the heap. Without this limit each thread inherits the daemon's --max-semi-space-size. */
const YOUNG_MIB = 24;

export function openWorkers({ entry, data, size, maxQueued, heap_mib = HEAP_MIB }: WorkerSettings): Workers {
  const threads = new Set<Thread>();
  const queue = openFairQueue<QueuedJob>();
  const running = new Map<string, number>();
  const maxPerTenant = Math.max(1, size - 1);
  let services: Services = {};
  let stopped = false;

  function start(): Thread {
    const worker = startThread(entry, data, heap_mib);
    const thread: Thread = { worker, ticket: undefined };
    threads.add(thread);
    worker.on('message', (message: TaskOutcome | ServiceRequest) => {
      if ('request' in message) void serve(worker, message);
      else settle(thread, () => unwrapOutcome(message));
    });
    worker.on('error', (error) => end(thread, error));
    worker.on('exit', (code) => end(thread, new Error(`a worker ended with code ${code}`)));
    return thread;
  }

  async function serve(worker: Worker, { request, service, input }: ServiceRequest): Promise<void> {
    const outcome: TaskOutcome = await services[service]!(input as never).then((value) => ({ value }), failureOf);
    worker.postMessage({ answered: request, outcome } satisfies ServiceAnswer);
  }

  /** Handles the end of a thread and fails its job. */
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
    // an idle thread must not keep the process alive
    thread.worker.unref();
    thread.idle = setTimeout(() => {
      // removed first, so that it gets no task while it terminates
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
    // A tenant without a queued job is always admitted, because two other tenants could fill the whole queue.
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
    answer: (given) => {
      services = given;
    },
    figures: () => ({ waiting: queue.waiting, running: [...threads].filter(({ ticket }) => ticket).length }),
    stop: async () => {
      stopped = true;
      for (let ticket = queue.take(none, 1); ticket; ticket = queue.take(none, 1)) ticket.reject(stopping());
      await Promise.all([...threads].map(({ worker }) => worker.terminate()));
    },
  };
}

/** Starts a thread. To run TypeScript it registers tsx explicitly, because `--import` does not apply to threads. */
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

/** For a read the answer was too large, otherwise the request. */
const outOfMemory = (reads: boolean | undefined) =>
  reads
    ? new Problem('unavailable', 'The answer needs more memory than one request may use.', retryLater)
    : new Problem('too-large', 'The request needs more memory than one request may use.');

const retryLater = { headers: { 'Retry-After': '1' } };

const stopping = () => new Problem('unavailable', 'The service is stopping.', retryLater);

const queueFull = () => new Problem('unavailable', 'Too many large requests are in progress.', retryLater);

const tenantQueueFull = () =>
  new Problem('rate-limited', 'Too many large requests of this tenant are waiting (WORKERS_QUEUE).', retryLater);
