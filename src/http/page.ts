import { z } from 'zod';
import { Problem } from './problem.ts';

/** A page of a list: `next_cursor` is null on the last one. */
export const pageOf = <T extends z.ZodType>(item: T) => z.object({ data: z.array(item), next_cursor: z.string().nullable() });

/** A keyset cursor: the values of the last row's sort key, opaque to clients. It says where, never what may be seen. */
export const encodeCursor = (key: readonly (string | number)[]): string => Buffer.from(JSON.stringify(key)).toString('base64url');

/** The sort key in a cursor that `encodeCursor` made with keys of these kinds; anything else is the client's fault. */
export function decodeCursor(cursor: string, kinds: readonly ('string' | 'number')[]): (string | number)[] {
  let key: unknown;
  try {
    key = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    key = undefined;
  }
  const fits =
    Array.isArray(key) &&
    key.length === kinds.length &&
    key.every(
      (part, i) =>
        typeof part === kinds[i] &&
        (typeof part !== 'number' || Number.isSafeInteger(part)) &&
        (typeof part !== 'string' || (part.isWellFormed() && !part.includes('\u0000'))),
    );
  if (!fits)
    throw new Problem('validation', 'The cursor is not one of this list.', {
      errors: [{ parameter: 'cursor', detail: 'must be a cursor of this list' }],
    });
  return key as (string | number)[];
}

/** Cuts a list that was read one row further than the page. */
export function toPage<T>(
  rows: T[],
  limit: number,
  keyOf: (row: T) => readonly (string | number)[],
): { data: T[]; next_cursor: string | null } {
  const data = rows.slice(0, limit);
  return { data, next_cursor: rows.length > limit ? encodeCursor(keyOf(data.at(-1)!)) : null };
}
