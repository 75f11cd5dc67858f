import pg from 'pg';
import { faultOf, markersCreated, nameOf, type Shape, type SkippedRow, Unreadable } from '../readable.ts';
import { fromDatabase } from '../time.ts';

/** Judges rows where they are read; every one that cannot be read is logged and counted. */
export interface RowChecker {
  /** Why a row cannot be read; undefined where it can. */
  faultOf(row: object, shape?: Shape): string | undefined;
}

/** Runs statements; the same functions work inside and outside a transaction. int8 is a number, timestamptz an RFC 3339 string. */
export interface Db extends RowChecker {
  /** Every row. One that holds what cannot be read has a marker there (readable.ts). */
  rows<Row>(text: string, values?: unknown[], name?: string): Promise<Row[]>;
  /** The first row, if any. */
  row<Row>(text: string, values?: unknown[], name?: string): Promise<Row | undefined>;
  /** How many rows the statement touched. */
  run(text: string, values?: unknown[], name?: string): Promise<number>;
}

const parsers = new Map<number, (text: string) => unknown>([
  // Every int8 of the schema counts rows, bytes or seq, far below 2^53.
  [pg.types.builtins.INT8, Number],
  [pg.types.builtins.TIMESTAMPTZ, (text) => fromDatabase(text) ?? new Unreadable(`${text} is not between the years 1 and 9999`)],
]);

/** Type parsers for one pool; pg's global table stays as it is. */
export const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    (format !== 'binary' && parsers.get(oid)) || pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
};

/** Is told of every row that was met and cannot be read. */
export type OnSkipped = (row: SkippedRow) => void;

export const rowCheckerOf = (onSkipped: OnSkipped): RowChecker => ({
  faultOf: (row, shape) => {
    const reason = faultOf(row, shape);
    if (reason !== undefined) onSkipped({ row: nameOf(row), reason });
    return reason;
  },
});

/** The rows of a statement are asserted to be `Row` here and nowhere else; tests over every statement are its type check. */
export function dbOf(client: Pick<pg.ClientBase, 'query'>, named: boolean, onSkipped: OnSkipped = () => undefined): Db {
  const judge = rowCheckerOf(onSkipped);
  const query = async (text: string, values: unknown[] = [], name?: string) => {
    const before = markersCreated();
    const result = await client.query(named && name !== undefined ? { name, text, values } : { text, values });
    // whoever reads them need not know of markers for these to be told of
    if (markersCreated() !== before) for (const row of result.rows as object[]) judge.faultOf(row);
    return result;
  };
  return {
    ...judge,
    rows: async <Row>(text: string, values?: unknown[], name?: string) => (await query(text, values, name)).rows as Row[],
    row: async <Row>(text: string, values?: unknown[], name?: string) =>
      (await query(text, values, name)).rows[0] as Row | undefined,
    run: async (text, values, name) => (await query(text, values, name)).rowCount ?? 0,
  };
}
