import type { Tenant } from '../db/tenant.ts';
import { lineProblem } from './lines.ts';
import { type Import, insertRows } from './sql.ts';

const MAX_ROWS = 2_000;
const MAX_BYTES = 2 * 1024 * 1024;
/** However slowly they come: what a reader of the tenant's job sees is not older. */
const MAX_WAIT_MS = 10_000;

/** Rows on their way to the database, many at once; the next ones are collected meanwhile. */
export interface Batch {
  add(part: string, number: number, bytes: Buffer): Promise<void>;
  /** Until all is there. */
  flush(): Promise<void>;
  /** What the database refuses is told with the line. */
  guard(number: number, work: () => Promise<void>): Promise<void>;
}

interface Waiting {
  number: number;
  text: string;
}

export function openBatch(tenant: Tenant, held: Import): Batch {
  let part: string | undefined;
  let waiting: Waiting[] = [];
  let bytes = 0;
  let sent = performance.now();
  let going: Promise<void> = Promise.resolve();

  async function send(): Promise<void> {
    await going;
    if (!part || waiting.length === 0) return;
    going = insert(part, waiting);
    // awaited with the next ones
    going.catch(() => undefined);
    waiting = [];
    bytes = 0;
    sent = performance.now();
  }

  /** A batch that is refused is halved until the row is found. */
  async function insert(of: string, rows: Waiting[]): Promise<void> {
    try {
      await insertRows(tenant, held, of, `[${rows.map(({ text }) => text).join(',')}]`);
    } catch (error) {
      if (rows.length === 1 || !isRefusal(error)) throw refusal(rows[0]!.number, error);
      const middle = rows.length >> 1;
      await insert(of, rows.slice(0, middle));
      await insert(of, rows.slice(middle));
    }
  }

  return {
    add: async (of, number, line) => {
      if (of !== part || waiting.length >= MAX_ROWS || bytes + line.length > MAX_BYTES || performance.now() - sent > MAX_WAIT_MS)
        await send();
      part = of;
      waiting.push({ number, text: line.toString() });
      bytes += line.length;
    },
    flush: async () => {
      await send();
      await going;
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
  return lineProblem(
    number,
    codeOf(error) === '23505' ? 'it is there already, in an earlier line' : 'a value that cannot be stored',
  );
}
