import type { Logger } from '../log.ts';
import type { Pool } from './pool.ts';
import { dbOf } from './query.ts';
import type { Outcome, Unit } from './unit.ts';

// Group commit. A queue per tenant; a batch leaves at once when none is in flight, and when it is worth a trip a second one while
// the first is written: it waits in PostgreSQL for the clock, so that neither side waits for the other (a timer made every median
// worse). A few batches over all tenants are in flight, ready tenants in turn, so a busy tenant does not hold up a quiet one.
// Measurements: docs/decisions/seq-allocation.md.

export interface CommitLimits {
  /** Units that may wait, over all tenants. */
  maxQueued: number;
  /** Bytes that may wait, over all tenants. */
  maxQueuedBytes: number;
  /** Batches in flight over all tenants. */
  parallel: number;
  /** Of these, batches of one unit that is large. */
  parallelLarge: number;
  /** Batches in flight for one tenant. */
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

/** What a tenant has waiting and in flight. */
interface TenantQueue {
  waiting: Waiting[];
  batches: number;
  /** Units in the batch that left last. */
  size: number;
}

// 128 units: above it latency grew and throughput did not. 256 KiB: the counter is locked while a batch is written. A larger unit
// is a batch of its own, and few of these are in flight, so that tenants with seconds of work do not hold up all others.
const MAX_UNITS = 128;
const MAX_BATCH_CHARS = 256 * 1024;

export function createWriteQueue(
  pool: Pool,
  limits: CommitLimits,
  log: Logger,
  onCommitted: (tenant: string, lastSeq: number) => void,
  onFlushed: (units: number, ms: number) => void = () => undefined,
) {
  const lines = new Map<string, TenantQueue>();
  let inFlight = 0;
  let largeInFlight = 0;
  let queued = 0;
  let queuedChars = 0;
  let leaving = false;

  function enqueue(tenant: string, unit: Unit): Promise<Outcome> {
    const json = unit.encoded ?? JSON.stringify(unit);
    if (queued >= limits.maxQueued || (queued > 0 && queuedChars + json.length > limits.maxQueuedBytes))
      return Promise.reject(new WriteQueueFull());
    queued += 1;
    queuedChars += json.length;
    const line = lines.get(tenant) ?? { waiting: [], batches: 0, size: 0 };
    lines.set(tenant, line);
    return new Promise((resolve, reject) => {
      line.waiting.push({ json, resolve, reject });
      if (leaving) return;
      leaving = true;
      // after what else this turn of the loop has read, so that requests that came together leave together
      setImmediate(leave);
    });
  }

  function leave(): void {
    leaving = false;
    for (const [tenant, line] of lines) {
      if (inFlight >= limits.parallel) return;
      if (!isDue(line) || (isLarge(line.waiting) && largeInFlight >= limits.parallelLarge)) continue;
      // to the end: tenants take turns
      lines.delete(tenant);
      lines.set(tenant, line);
      void send(tenant, line);
    }
  }

  const isDue = ({ waiting, batches, size }: TenantQueue): boolean =>
    waiting.length > 0 && (batches === 0 || (batches < limits.perTenant && waiting.length >= size / 2));

  async function send(tenant: string, line: TenantQueue): Promise<void> {
    const large = isLarge(line.waiting) ? 1 : 0;
    const batch = takeBatch(line.waiting);
    inFlight += 1;
    largeInFlight += large;
    line.batches += 1;
    line.size = batch.length;
    const began = performance.now();
    await flush(tenant, batch);
    onFlushed(batch.length, performance.now() - began);
    inFlight -= 1;
    largeInFlight -= large;
    line.batches -= 1;
    if (line.batches === 0 && line.waiting.length === 0) lines.delete(tenant);
    leave();
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
      // a turn of its own: behind the tenant's reads its writes would wait, and without one behind everybody's
      const outcomes = await pool.using(
        (client) => dbOf(client, pool.named).rows<CommitRow>(COMMIT, [tenant, listOf(batch)], 'commit_units'),
        `write ${tenant}`,
      );
      batch.forEach((unit, i) => unit.resolve(toOutcome(outcomes[i]!)));
      const last = lastWritten(outcomes);
      if (last !== undefined) onCommitted(tenant, last);
    } catch (error) {
      if (batch.length === 1 || !isPoison(error)) return batch.forEach((unit) => unit.reject(error));
      log.warn(
        { tenant, units: batch.length, code: (error as { code?: string }).code },
        'a batch held a unit the database refuses; halving it',
      );
      const middle = batch.length >> 1;
      await flush(tenant, batch.slice(0, middle));
      await flush(tenant, batch.slice(middle));
    }
  }

  return { commit: enqueue, figures: () => ({ queued, queuedChars, inFlight }) };
}

/** What is written already is a batch of its own. */
const fits = (first: Waiting, { json }: Waiting, chars: number): boolean =>
  typeof first.json === 'string' && typeof json === 'string' && chars + json.length <= MAX_BATCH_CHARS;

const listOf = (batch: Waiting[]): string | Buffer => {
  const [first] = batch;
  return typeof first!.json === 'string' ? `[${batch.map(({ json }) => json as string).join(',')}]` : first!.json;
};

const isLarge = ([first]: Waiting[]): boolean => first !== undefined && first.json.length > MAX_BATCH_CHARS;

/** A row of commit_units, and of every function that writes a unit of its own through it. */
export interface CommitRow {
  status: Outcome['status'];
  outcome: Omit<Outcome, 'status' | 'at'>;
  at: string;
}

const COMMIT = 'select status, outcome, at from commit_units($1, $2::jsonb)';
export const toOutcome = ({ status, outcome, at }: CommitRow): Outcome => ({ status, at, ...outcome });

/** The seq of the last event that these outcomes wrote. */
export function lastWritten(outcomes: CommitRow[]): number | undefined {
  const last = outcomes.findLast((row) => row.status === 'new');
  return last && last.outcome.seq + last.outcome.count - 1;
}

/** SQLSTATE classes of one bad unit (data, constraint, program limit, a refusal of ours): its neighbours deserve their own try, in order. */
function isPoison(error: unknown): boolean {
  return ['22', '23', '54', 'AM'].includes(String((error as { code?: string }).code).slice(0, 2));
}
