import pg from 'pg';

/** Runs statements; the same functions work inside and outside a transaction. int8 is a number, timestamptz an RFC 3339 string. */
export interface Db {
  /** Every row. */
  rows<Row>(text: string, values?: unknown[], name?: string): Promise<Row[]>;
  /** The first row, if any. */
  row<Row>(text: string, values?: unknown[], name?: string): Promise<Row | undefined>;
  /** How many rows the statement touched. */
  run(text: string, values?: unknown[], name?: string): Promise<number>;
}

const parsers = new Map<number, (text: string) => unknown>([
  // Every int8 of the schema counts rows, bytes or seq, far below 2^53.
  [pg.types.builtins.INT8, Number],
  [pg.types.builtins.TIMESTAMPTZ, (text) => new Date(text).toISOString()],
]);

/** Type parsers for one pool; pg's global table stays as it is. */
export const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    (format !== 'binary' && parsers.get(oid)) || pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
};

/** The rows of a statement are asserted to be `Row` here and nowhere else; tests over every statement are its type check. */
export function dbOf(client: Pick<pg.ClientBase, 'query'>, named: boolean): Db {
  const query = (text: string, values: unknown[] = [], name?: string) =>
    client.query(named && name !== undefined ? { name, text, values } : { text, values });
  return {
    rows: async <Row>(text: string, values?: unknown[], name?: string) => (await query(text, values, name)).rows as Row[],
    row: async <Row>(text: string, values?: unknown[], name?: string) =>
      (await query(text, values, name)).rows[0] as Row | undefined,
    run: async (text, values, name) => (await query(text, values, name)).rowCount ?? 0,
  };
}
