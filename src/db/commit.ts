import type { Logger } from '../log.ts';
import { retryDeadlocks } from './deadlock.ts';
import type { Pool } from './pool.ts';
import { dbOf } from './query.ts';
import type { Outcome, Unit } from './unit.ts';

// Group commit with one queue per tenant. A batch is sent at once if none of the tenant is in flight. If enough units wait, a second batch
// follows while the first is being written: it waits in PostgreSQL for the tenant's clock row, so that neither side is idle. A timer
// instead made every median worse. The number of batches in flight over all tenants is bounded, and tenants take turns, so that a busy
// tenant does not delay a quiet one. Measurements: docs/decisions/seq-allocation.md.

export interface CommitLimits {
  /** Maximum number of queued units, over all tenants. */
  maxQueued: number;
  /** Maximum size of the queued units, over all tenants. */
  maxQueuedBytes: number;
  /** Maximum number of batches in flight, over all tenants. */
  parallel: number;
  /** Maximum number of those that consist of one large unit. */
  parallelLarge: number;
  /** Maximum number of batches in flight per tenant. */
  perTenant: number;
}

export class WriteQueueFull extends Error {
  readonly code = 'write_queue_full';
  constructor() {
    super('too many writes are waiting');
    this.name = 'WriteQueueFull';
  }
}

interface Waiting {
  json: string | Buffer;
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

interface TenantQueue {
  waiting: Waiting[];
  batches: number;
  /** Number of units in the last batch that was sent. */
  size: number;
}

// More than 128 units increased latency but not throughput. 256 KiB, because the clock row is locked while a batch is written. A larger
// unit is a batch of its own, and few of these are in flight, so that tenants with seconds of work do not delay all others.
const MAX_UNITS = 128;
const MAX_BATCH_CHARS = 256 * 1024;

export function createWriteQueue(
  pool: Pool,
  limits: CommitLimits,
  log: Logger,
  onCommitted: (tenant: string, lastSeq: number) => void,
  onFlushed: (units: number, ms: number) => void = () => undefined,
) {
  const queues = new Map<string, TenantQueue>();
  let inFlight = 0;
  let largeInFlight = 0;
  let queued = 0;
  let queuedChars = 0;
  let scheduled = false;

  function enqueue(tenant: string, unit: Unit): Promise<Outcome> {
    const json = unit.encoded ?? JSON.stringify(unit);
    if (queued >= limits.maxQueued || (queued > 0 && queuedChars + json.length > limits.maxQueuedBytes))
      return Promise.reject(new WriteQueueFull());
    queued += 1;
    queuedChars += json.length;
    const queue = queues.get(tenant) ?? { waiting: [], batches: 0, size: 0 };
    queues.set(tenant, queue);
    return new Promise((resolve, reject) => {
      queue.waiting.push({ json, resolve, reject });
      if (scheduled) return;
      scheduled = true;
      // after the other requests of this turn of the event loop, so that they share a batch
      setImmediate(sendDue);
    });
  }

  function sendDue(): void {
    scheduled = false;
    for (const [tenant, queue] of queues) {
      if (inFlight >= limits.parallel) return;
      if (!isDue(queue) || (isLarge(queue.waiting) && largeInFlight >= limits.parallelLarge)) continue;
      // Move the tenant to the end: tenants take turns.
      queues.delete(tenant);
      queues.set(tenant, queue);
      void send(tenant, queue);
    }
  }

  const isDue = ({ waiting, batches, size }: TenantQueue): boolean =>
    waiting.length > 0 && (batches === 0 || (batches < limits.perTenant && waiting.length >= size / 2));

  async function send(tenant: string, queue: TenantQueue): Promise<void> {
    const large = isLarge(queue.waiting) ? 1 : 0;
    const batch = takeBatch(queue.waiting);
    inFlight += 1;
    largeInFlight += large;
    queue.batches += 1;
    queue.size = batch.length;
    const began = performance.now();
    await flush(tenant, batch);
    onFlushed(batch.length, performance.now() - began);
    inFlight -= 1;
    largeInFlight -= large;
    queue.batches -= 1;
    if (queue.batches === 0 && queue.waiting.length === 0) queues.delete(tenant);
    sendDue();
  }

  function takeBatch(queue: Waiting[]): Waiting[] {
    let chars = 0;
    let n = 0;
    while (n < queue.length && n < MAX_UNITS && (n === 0 || fits(queue[0]!, queue[n]!, chars))) chars += queue[n++]!.json.length;
    queued -= n;
    queuedChars -= chars;
    return queue.splice(0, n);
  }

  async function flush(tenant: string, batch: Waiting[]): Promise<void> {
    try {
      // Writes take turns separately from the tenant's reads, or they would wait behind them. Without turns they would wait behind all requests.
      const outcomes = await retryDeadlocks(() =>
        pool.using(
          (client) => dbOf(client, pool.named).rows<CommitRow>(COMMIT, [tenant, listOf(batch)], 'commit_units'),
          `write ${tenant}`,
        ),
      );
      batch.forEach((unit, i) => unit.resolve(toOutcome(outcomes[i]!)));
      const last = lastWritten(outcomes);
      if (last !== undefined) onCommitted(tenant, last);
    } catch (error) {
      if (batch.length === 1 || !isPoison(error)) return batch.forEach((unit) => unit.reject(error));
      log.warn(
        { tenant, units: batch.length, code: (error as { code?: string }).code },
        'the database rejected a unit of a batch; the batch is bisected',
      );
      const middle = batch.length >> 1;
      await flush(tenant, batch.slice(0, middle));
      await flush(tenant, batch.slice(middle));
    }
  }

  return { commit: enqueue, figures: () => ({ queued, queuedChars, inFlight }) };
}

/** Returns true if the unit fits into the batch. A unit that a worker has encoded is a batch of its own. */
const fits = (first: Waiting, { json }: Waiting, chars: number): boolean =>
  typeof first.json === 'string' && typeof json === 'string' && chars + json.length <= MAX_BATCH_CHARS;

const listOf = (batch: Waiting[]): string | Buffer => {
  const [first] = batch;
  return typeof first!.json === 'string' ? `[${batch.map(({ json }) => json as string).join(',')}]` : first!.json;
};

const isLarge = ([first]: Waiting[]): boolean => first !== undefined && first.json.length > MAX_BATCH_CHARS;

/** A row of commit_units, and of the functions that call it to write a single unit. */
export interface CommitRow {
  status: Outcome['status'];
  outcome: Omit<Outcome, 'status' | 'at'>;
  at: string;
}

const COMMIT = 'select status, outcome, at from commit_units($1, $2::jsonb)';
export const toOutcome = ({ status, outcome, at }: CommitRow): Outcome => ({ status, at, ...outcome });

/** Returns the seq of the last event written; undefined if nothing was written. */
export function lastWritten(outcomes: CommitRow[]): number | undefined {
  const last = outcomes.findLast((row) => row.status === 'new');
  return last && last.outcome.seq + last.outcome.count - 1;
}

/** Returns true if the error was caused by a single unit (data, constraint, limit, own refusal): the other units are retried, in order. */
function isPoison(error: unknown): boolean {
  return ['22', '23', '54', 'AM'].includes(String((error as { code?: string }).code).slice(0, 2));
}
