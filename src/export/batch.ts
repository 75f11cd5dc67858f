import type { Tenant } from '../db/tenant.ts';
import { lineProblem } from './lines.ts';
import { type Import, insertRows } from './sql.ts';

const MAX_ROWS = 2_000;
const MAX_BYTES = 2 * 1024 * 1024;
/** A batch is sent after this time even if it is small, so that the progress of the job stays current. */
const MAX_WAIT_MS = 10_000;

/** Collects imported rows and inserts them in batches. One batch is collected while the previous one is inserted. */
export interface Batch {
  add(part: string, number: number, bytes: Buffer): Promise<void>;
  /** Resolves when all rows are inserted. */
  flush(): Promise<void>;
  /** Runs `work` and attributes a database error to the line. */
  guard(number: number, work: () => Promise<void>): Promise<void>;
}

interface Waiting {
  number: number;
  text: string;
}

export function openBatch(tenant: Tenant, importJob: Import): Batch {
  let part: string | undefined;
  let waiting: Waiting[] = [];
  let bytes = 0;
  let sentAt = performance.now();
  let inFlight: Promise<void> = Promise.resolve();

  async function send(): Promise<void> {
    await inFlight;
    if (!part || waiting.length === 0) return;
    inFlight = insert(part, waiting);
    // the error surfaces when the next batch awaits this one
    inFlight.catch(() => undefined);
    waiting = [];
    bytes = 0;
    sentAt = performance.now();
  }

  /** Halves a rejected batch until the faulty row is found. */
  async function insert(rowsPart: string, rows: Waiting[]): Promise<void> {
    try {
      await insertRows(tenant, importJob, rowsPart, `[${rows.map(({ text }) => text).join(',')}]`);
    } catch (error) {
      if (rows.length === 1 || !isRefusal(error)) throw refusal(rows[0]!.number, error);
      const middle = rows.length >> 1;
      await insert(rowsPart, rows.slice(0, middle));
      await insert(rowsPart, rows.slice(middle));
    }
  }

  return {
    add: async (rowsPart, number, line) => {
      if (
        rowsPart !== part ||
        waiting.length >= MAX_ROWS ||
        bytes + line.length > MAX_BYTES ||
        performance.now() - sentAt > MAX_WAIT_MS
      )
        await send();
      part = rowsPart;
      waiting.push({ number, text: line.toString() });
      bytes += line.length;
    },
    flush: async () => {
      await send();
      await inFlight;
    },
    guard: (number, work) =>
      work().catch((error: unknown) => {
        throw refusal(number, error);
      }),
  };
}

const codeOf = (error: unknown) => String((error as { code?: unknown }).code);
const isRefusal = (error: unknown): boolean => ['22', '23', '54'].includes(codeOf(error).slice(0, 2));

function refusal(number: number, error: unknown): unknown {
  if (!isRefusal(error)) return error;
  return lineProblem(number, codeOf(error) === '23505' ? 'duplicates an earlier line' : 'contains a value that cannot be stored');
}
