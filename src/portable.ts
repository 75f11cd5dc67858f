import { z } from 'zod';

// The rows of an export, as an import takes them. Each feature says what its own may be, column by column. A file is trusted as little as any
// other request: what is not said there is refused.

/** One type of row, of the table that `portable` registered under this type. */
export interface Portable {
  row: z.ZodType<{ type: string }>;
  /** Columns that clients write freely. Every other text names something, and is screened for secrets as names are. */
  free?: string[];
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

/** What is private is somebody's: without a name nobody would see it. */
export const isOwned = ({ channel, user_id }: { channel: string; user_id: string | null }): boolean =>
  channel !== 'private' || user_id !== null;
export const unowned = { path: ['user_id'], message: 'required in the channel private' };
