import pg from 'pg';
import { faultOf, markersCreated, nameOf, type Shape, type SkippedRow, Unreadable } from '../readable.ts';
import { fromDatabase } from '../time.ts';

/** Checks rows when they are read. Every corrupt row is logged and counted. */
export interface RowChecker {
  /** Returns why a row is corrupt; undefined if it is valid. */
  faultOf(row: object, shape?: Shape): string | undefined;
}

/** Runs statements inside or outside a transaction. int8 is returned as a number, timestamptz as an RFC 3339 string. */
export interface Db extends RowChecker {
  /** Returns all rows. A value that cannot be read is replaced by a marker (readable.ts). */
  rows<Row>(text: string, values?: unknown[], name?: string): Promise<Row[]>;
  /** Returns the first row, if any. */
  row<Row>(text: string, values?: unknown[], name?: string): Promise<Row | undefined>;
  /** Returns the number of rows affected. */
  run(text: string, values?: unknown[], name?: string): Promise<number>;
}

const parsers = new Map<number, (text: string) => unknown>([
  // All int8 columns are counts of rows or bytes or a seq, far below 2^53.
  [pg.types.builtins.INT8, Number],
  [pg.types.builtins.TIMESTAMPTZ, (text) => fromDatabase(text) ?? new Unreadable(`${text} is not between the years 1 and 9999`)],
]);

/** Type parsers of the pool; those of pg itself are not changed. */
export const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    (format !== 'binary' && parsers.get(oid)) || pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
};

/** Called for each corrupt row. */
export type OnSkipped = (row: SkippedRow) => void;

export const rowCheckerOf = (onSkipped: OnSkipped): RowChecker => ({
  faultOf: (row, shape) => {
    const reason = faultOf(row, shape);
    if (reason !== undefined) onSkipped({ row: nameOf(row), reason });
    return reason;
  },
});

/** The only place that asserts rows to be of type `Row`. Tests run every statement, which checks the assertion. */
export function dbOf(client: Pick<pg.ClientBase, 'query'>, named: boolean, onSkipped: OnSkipped = () => undefined): Db {
  const checker = rowCheckerOf(onSkipped);
  const query = async (text: string, values: unknown[] = [], name?: string) => {
    const before = markersCreated();
    const result = await client.query(named && name !== undefined ? { name, text, values } : { text, values });
    // Report markers here, so that callers need not know about them.
    if (markersCreated() !== before) for (const row of result.rows as object[]) checker.faultOf(row);
    return result;
  };
  return {
    ...checker,
    rows: async <Row>(text: string, values?: unknown[], name?: string) => (await query(text, values, name)).rows as Row[],
    row: async <Row>(text: string, values?: unknown[], name?: string) =>
      (await query(text, values, name)).rows[0] as Row | undefined,
    run: async (text, values, name) => (await query(text, values, name)).rowCount ?? 0,
  };
}
