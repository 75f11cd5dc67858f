import type { Tenant } from '../db/tenant.ts';
import { faulty } from './lines.ts';
import { beatImport, insertRows, type Part } from './sql.ts';

const MAX_ROWS = 1_000;
const MAX_BYTES = 1024 * 1024;
/** An import that was not heard of for longer is given up by others. */
const BEAT_MS = 10_000;

/** Rows on their way to the database, many at once. */
export interface Batch {
  add(part: Part, number: number, bytes: Buffer): Promise<void>;
  flush(): Promise<void>;
  /** Says now and then that the import goes on, where no rows do. */
  beat(): Promise<void>;
  /** What the database refuses is told with the line. */
  guard(number: number, work: () => Promise<void>): Promise<void>;
}

interface Waiting {
  number: number;
  text: string;
}

export function openBatch(tenant: Tenant, import_id: string): Batch {
  let part: Part | undefined;
  let waiting: Waiting[] = [];
  let held = 0;
  let heard = Date.now();

  async function flush(): Promise<void> {
    if (!part || waiting.length === 0) return;
    const rows = waiting;
    waiting = [];
    held = 0;
    await insert(part, rows);
    heard = Date.now();
  }

  /** A batch that is refused is halved until the row is found. */
  async function insert(of: Part, rows: Waiting[]): Promise<void> {
    try {
      await insertRows(tenant, import_id, of, `[${rows.map(({ text }) => text).join(',')}]`);
    } catch (error) {
      if (rows.length === 1 || !isRefusal(error)) throw refusal(rows[0]!.number, error);
      const middle = rows.length >> 1;
      await insert(of, rows.slice(0, middle));
      await insert(of, rows.slice(middle));
    }
  }

  return {
    add: async (of, number, bytes) => {
      if (of !== part || waiting.length >= MAX_ROWS || held + bytes.length > MAX_BYTES || Date.now() - heard > BEAT_MS)
        await flush();
      part = of;
      waiting.push({ number, text: bytes.toString() });
      held += bytes.length;
    },
    flush,
    beat: async () => {
      if (Date.now() - heard < BEAT_MS) return;
      await beatImport(tenant, import_id);
      heard = Date.now();
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
  return faulty(number, codeOf(error) === '23505' ? 'it is there already, in an earlier line' : 'a value that cannot be stored');
}
