import { z } from 'zod';

// Schemas of the rows of an export, as an import accepts them. Each feature declares its own, column by column. An import trusts a file
// no more than any other request: it rejects everything that is not declared.

/** The schema of one type of row. */
export interface Portable {
  row: z.ZodType<{ type: string }>;
  /** Columns with free text of clients. All other texts are names, and are screened for secrets by the stricter rules for names. */
  freeText?: string[];
  /** An import stores the row as the schema transforms it. Otherwise it stores the line, which is faster. */
  transforms?: boolean;
}

export const name = z.string().min(1).max(255);
export const names = z.array(name).max(256);
export const idOf = (prefix: string) =>
  z.string().regex(new RegExp(`^${prefix}_[0-9a-zA-Z]{1,64}$`), `an id of this kind: ${prefix}_…`);
export const seq = z.int().min(1).max(1e15);
export const count = z.int().min(0).max(1e15);
export const version = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);
export const sensitivity = z.enum(['none', 'low', 'high', 'secret']);
export const bytea = z.string().regex(/^\\x(?:[0-9a-f]{2})*$/, 'bytes as PostgreSQL writes them');
export const object = z.record(z.string(), z.unknown());

/** A row of the private channel needs an owner: without one, no user could read it. */
export const isOwned = ({ channel, user_id }: { channel: string; user_id: string | null }): boolean =>
  channel !== 'private' || user_id !== null;
export const unowned = { path: ['user_id'], message: 'required in the private channel' };
