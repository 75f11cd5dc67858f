import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Logger } from '../log.ts';
import { chain, EMPTY_HEAD, type Entry, type EntryInput, type Head } from './chain.ts';
import type { AuditKeys } from './keys.ts';
import { appendAudit } from './sql.ts';

// The MAC of an entry covers the previous MAC, and the key is in this process, not in the database. Appending is therefore optimistic: the
// entries are chained after the head that this daemon knows and sent in one call. If another daemon appended first, the call returns the new
// head and the entries are chained again. No lock is held over a round trip. Each tenant has at most one call in flight; entries that
// arrive meanwhile join the next one.

const MAX_ENTRIES = 64;
/** Entries per tenant that wait while the database is unavailable. */
const MAX_WAITING = 2000;
const MAX_CACHED_HEADS = 10_000;
const MIN_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 5000;

interface PendingEntry {
  input: EntryInput;
  resolve(): void;
  reject(error: unknown): void;
}

/** Chained entries that were sent at least once. They stay unchanged until an answer arrives, so that the database recognizes a repetition. */
interface Attempt {
  count: number;
  head: Head;
  entries: Entry[];
}

interface TenantQueue {
  waiting: PendingEntry[];
  attempt: Attempt | undefined;
  /** The last write failed and is being retried. */
  failing: boolean;
}

class AuditQueueFull extends Error {
  readonly code = 'write_queue_full';
  constructor() {
    super('too many audit entries are waiting');
    this.name = 'AuditQueueFull';
  }
}

export interface Appender {
  /** Resolves when the entry is written, or when the tenant no longer exists. */
  append(tenant: string, input: EntryInput): Promise<void>;
  isFailing(tenant: string): boolean;
  waiting(): number;
  /** Waits at most `wait_ms` for pending entries. Returns those that were not written. */
  stop(wait_ms: number): Promise<{ tenant: string; input: EntryInput }[]>;
}

export function createAppender(tenants: Tenants, keys: () => AuditKeys, log: Logger): Appender {
  const heads = new LRUCache<string, Head>({ max: MAX_CACHED_HEADS });
  const queues = new Map<string, TenantQueue>();
  const stopping = new AbortController();

  function append(tenant: string, input: EntryInput): Promise<void> {
    const queue = queues.get(tenant) ?? { waiting: [], attempt: undefined, failing: false };
    if (queue.waiting.length >= MAX_WAITING) return Promise.reject(new AuditQueueFull());
    const written = new Promise<void>((resolve, reject) => queue.waiting.push({ input, resolve, reject }));
    if (!queues.has(tenant)) {
      queues.set(tenant, queue);
      void drain(tenants(tenant), queue);
    }
    return written;
  }

  async function drain(tenant: Tenant, queue: TenantQueue): Promise<void> {
    let backoff_ms = MIN_BACKOFF_MS;
    while (queue.waiting.length > 0 && !stopping.signal.aborted) {
      const batch = queue.waiting.slice(0, queue.attempt?.count ?? MAX_ENTRIES);
      const inputs = batch.map(({ input }) => input);
      const error = await write(tenant, queue, inputs).catch((thrown: unknown) => ({ thrown }));
      if (error && !isPermanent(error.thrown)) {
        if (!queue.failing) log.error({ err: error.thrown, tenant_id: tenant.id }, 'audit entries cannot be written; retrying');
        queue.failing = true;
        await sleep(backoff_ms * (0.5 + Math.random()), undefined, { signal: stopping.signal }).catch(() => undefined);
        backoff_ms = Math.min(backoff_ms * 2, MAX_BACKOFF_MS);
        continue;
      }
      queue.failing = false;
      queue.attempt = undefined;
      queue.waiting.splice(0, batch.length);
      backoff_ms = MIN_BACKOFF_MS;
      for (const { resolve, reject } of batch) error ? reject(error.thrown) : resolve();
    }
    if (queue.waiting.length === 0) queues.delete(tenant.id);
  }

  /** Repeats until the entries are written: each time another daemon was first, they are chained after its entries. */
  async function write(tenant: Tenant, queue: TenantQueue, inputs: EntryInput[]): Promise<void> {
    const after = (head: Head): Attempt => ({
      count: inputs.length,
      head,
      entries: chain(keys().active, tenant.id, head, inputs, new Date()),
    });
    queue.attempt ??= after(heads.get(tenant.id) ?? EMPTY_HEAD);
    for (;;) {
      const { head, entries }: Attempt = queue.attempt;
      const answer = await appendAudit(tenant, head, entries);
      if (!answer) return void heads.delete(tenant.id);
      heads.set(tenant.id, answer.head);
      if (answer.appended) return;
      queue.attempt = after(answer.head);
    }
  }

  return {
    append,
    isFailing: (tenant) => queues.get(tenant)?.failing === true,
    waiting: () => [...queues.values()].reduce((sum, { waiting }) => sum + waiting.length, 0),
    stop: async (wait_ms) => {
      const end = performance.now() + wait_ms;
      while (queues.size > 0 && performance.now() < end) await sleep(10);
      stopping.abort();
      return [...queues].flatMap(([tenant, { waiting }]) => waiting.map(({ input }) => ({ tenant, input })));
    },
  };
}

/** Returns whether a retry is pointless: the data cannot be stored, or the tenant was just deleted. All other errors may be transient. */
const isPermanent = (error: unknown): boolean => /^(22|54|23503)/.test(String((error as { code?: string }).code));
