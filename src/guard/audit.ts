import { appendFile } from 'node:fs/promises';
import type { Action } from './action.ts';
import type { BlockCode } from './errors.ts';

// Sinks for what the guard decided. The service keeps records of its own: actions, events and the audit stream.

export interface AuditEntry {
  id: string;
  timestamp: number;
  agentId: string;
  mandateId: string;
  actionId: string;
  traceId?: string;
  parentActionId?: string;
  action: Action['type'];
  tool?: string;
  provider?: string;
  model?: string;
  decision: 'ALLOW' | 'BLOCK';
  reason: string;
  blockCode?: BlockCode;
  /** Amounts in units of the currency. */
  estimatedCost?: number;
  actualCost?: number;
  metadata: { durationMs: number };
}

export interface AuditLogger {
  /** A failure is reported as an `error` event of the client, and does not stop the action. */
  log(entry: AuditEntry): void | Promise<void>;
  close?(): Promise<void>;
}

export type AuditOption = AuditLogger | 'console' | 'memory' | 'none' | { file: string };

export class ConsoleAuditLogger implements AuditLogger {
  log(entry: AuditEntry): void {
    console.log(JSON.stringify(entry));
  }
}

const MAX_ENTRIES = 10_000;

/** Keeps the last 10,000 entries. */
export class MemoryAuditLogger implements AuditLogger {
  #entries: AuditEntry[] = [];

  log(entry: AuditEntry): void {
    this.#entries.push(entry);
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift();
  }

  getEntries(): AuditEntry[] {
    return [...this.#entries];
  }
}

/** Appends lines of JSON to a file, one at a time. */
export class FileAuditLogger implements AuditLogger {
  #file: string;
  #last: Promise<void> = Promise.resolve();

  constructor(file: string) {
    this.#file = file;
  }

  log(entry: AuditEntry): Promise<void> {
    const append = () => appendFile(this.#file, `${JSON.stringify(entry)}\n`);
    // also after a failure, which the caller of that entry has received
    this.#last = this.#last.then(append, append);
    return this.#last;
  }

  async close(): Promise<void> {
    await this.#last.catch(() => undefined);
  }
}

export class NoOpAuditLogger implements AuditLogger {
  log(): void {
    // writes nothing
  }
}

/** Passes each entry to all loggers, also if one of them fails. */
export class MultiAuditLogger implements AuditLogger {
  #loggers: AuditLogger[];

  constructor(loggers: AuditLogger[]) {
    this.#loggers = loggers;
  }

  async log(entry: AuditEntry): Promise<void> {
    const results = await Promise.allSettled(this.#loggers.map(async (logger) => logger.log(entry)));
    const failed = results.find(({ status }) => status === 'rejected');
    if (failed) throw (failed as PromiseRejectedResult).reason;
  }

  async close(): Promise<void> {
    for (const logger of this.#loggers) await logger.close?.();
  }
}

export function auditLoggerOf(option: AuditOption = 'none'): AuditLogger {
  if (option === 'console') return new ConsoleAuditLogger();
  if (option === 'memory') return new MemoryAuditLogger();
  if (option === 'none') return new NoOpAuditLogger();
  return 'file' in option ? new FileAuditLogger(option.file) : option;
}
