import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Logger } from '../log.ts';
import { chain, EMPTY_HEAD, type Entry, type EntryInput, type Head } from './chain.ts';
import type { AuditKeys } from './keys.ts';
import { appendAudit } from './sql.ts';

// A mac needs the one before it and the key is here, not in the database, so appending is optimistic: the entries are chained after the
// head that this daemon knows and sent in one call; where another daemon was first, the call says what the head is now. Nothing is locked
// over a round trip. One call of a tenant is under way at a time, and what came meanwhile goes with the next.

const MAX_ENTRIES = 64;
/** Of a tenant, while the database is away. */
const MAX_WAITING = 2000;
const KNOWN_HEADS = 10_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5000;

interface Waiting {
  input: EntryInput;
  resolve(): void;
  reject(error: unknown): void;
}

/** Entries that were sent, once or more often. Kept as they are while no answer comes: so they are recognised if they are in. */
interface Attempt {
  count: number;
  head: Head;
  entries: Entry[];
}

interface Line {
  waiting: Waiting[];
  attempt: Attempt | undefined;
  /** Nothing could be written lately; it is tried again and again. */
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
  /** Resolves when it is written, or when the tenant is no more. */
  append(tenant: string, input: EntryInput): Promise<void>;
  isFailing(tenant: string): boolean;
  waiting(): number;
  /** Waits for what is under way, then gives up; what was not written is returned. */
  stop(wait_ms: number): Promise<{ tenant: string; input: EntryInput }[]>;
}

export function createAppender(tenants: Tenants, keys: () => AuditKeys, log: Logger): Appender {
  const heads = new LRUCache<string, Head>({ max: KNOWN_HEADS });
  const lines = new Map<string, Line>();
  const stopping = new AbortController();

  function append(tenant: string, input: EntryInput): Promise<void> {
    const line = lines.get(tenant) ?? { waiting: [], attempt: undefined, failing: false };
    if (line.waiting.length >= MAX_WAITING) return Promise.reject(new AuditQueueFull());
    const written = new Promise<void>((resolve, reject) => line.waiting.push({ input, resolve, reject }));
    if (!lines.has(tenant)) {
      lines.set(tenant, line);
      void drain(tenants(tenant), line);
    }
    return written;
  }

  async function drain(tenant: Tenant, line: Line): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (line.waiting.length > 0 && !stopping.signal.aborted) {
      const batch = line.waiting.slice(0, line.attempt?.count ?? MAX_ENTRIES);
      const inputs = batch.map(({ input }) => input);
      const error = await write(tenant, line, inputs).catch((thrown: unknown) => ({ thrown }));
      if (error && !isRefused(error.thrown)) {
        if (!line.failing) log.error({ err: error.thrown, tenant_id: tenant.id }, 'the audit cannot be written; trying on');
        line.failing = true;
        await sleep(pause * (0.5 + Math.random()), undefined, { signal: stopping.signal }).catch(() => undefined);
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
        continue;
      }
      line.failing = false;
      line.attempt = undefined;
      line.waiting.splice(0, batch.length);
      pause = FIRST_PAUSE_MS;
      for (const { resolve, reject } of batch) error ? reject(error.thrown) : resolve();
    }
    if (line.waiting.length === 0) lines.delete(tenant.id);
  }

  /** Until it is in: each time another daemon was first, after what that one wrote. */
  async function write(tenant: Tenant, line: Line, inputs: EntryInput[]): Promise<void> {
    const after = (head: Head): Attempt => ({
      count: inputs.length,
      head,
      entries: chain(keys().active, tenant.id, head, inputs, new Date()),
    });
    line.attempt ??= after(heads.get(tenant.id) ?? EMPTY_HEAD);
    for (;;) {
      const { head, entries }: Attempt = line.attempt;
      const answer = await appendAudit(tenant, head, entries);
      if (!answer) return void heads.delete(tenant.id);
      heads.set(tenant.id, answer.head);
      if (answer.appended) return;
      line.attempt = after(answer.head);
    }
  }

  return {
    append,
    isFailing: (tenant) => lines.get(tenant)?.failing === true,
    waiting: () => [...lines.values()].reduce((sum, { waiting }) => sum + waiting.length, 0),
    stop: async (wait_ms) => {
      const end = performance.now() + wait_ms;
      while (lines.size > 0 && performance.now() < end) await sleep(10);
      stopping.abort();
      return [...lines].flatMap(([tenant, { waiting }]) => waiting.map(({ input }) => ({ tenant, input })));
    },
  };
}

/** Data that cannot be kept, or a tenant that has just gone: that will not change. All else may be put right, so it is tried on. */
const isRefused = (error: unknown): boolean => /^(22|54|23503)/.test(String((error as { code?: string }).code));
