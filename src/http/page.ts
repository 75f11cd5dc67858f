import { z } from 'zod';
import { faultOf } from '../readable.ts';
import { Problem } from './problem.ts';

/** A whole number in a query. */
export const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be an integer')
    .transform(Number)
    .pipe(z.number().min(min).max(max));

/** A page of a list: `next_cursor` is null on the last one. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({
    data: z.array(item),
    next_cursor: z.string().nullable(),
    unreadable: z
      .array(z.union([z.int(), z.string()]))
      .optional()
      .describe('rows of this page that cannot be read, by seq or id; absent if there are none'),
  });

/** A list whose search is bounded: a page may be short, or empty, with a `next_cursor`. */
export const boundedPageOf = <T extends z.ZodType, U extends z.ZodType>(item: T, place: U) =>
  pageOf(item).extend({
    scanned_upto: place
      .optional()
      .describe(
        'the position at which the search stopped early; `next_cursor` continues it. Absent if the page is full or the list has ended',
      ),
  });

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

export interface Page<T> {
  data: T[];
  next_cursor: string | null;
  unreadable?: (string | number)[];
}

/** A page of a list in the order of its ids. `read`: so many rows whose ids come after one. */
export async function pageById<T>(
  { cursor, limit }: { cursor?: string | undefined; limit: number },
  read: (after: string, count: number) => Promise<T[]>,
  idOf: (row: T) => string,
): Promise<Page<T>> {
  const after = cursor ? String(decodeCursor(cursor, ['string'])[0]) : '';
  return toPage(await read(after, limit + 1), limit, (row) => [idOf(row)]);
}

/** Cuts a list that was read one row further than the page, and names the rows of it that cannot be read. */
export function toPage<T>(rows: T[], limit: number, keyOf: (row: T) => readonly (string | number)[]): Page<T> {
  const page = rows.slice(0, limit);
  const isReadable = (row: T) => faultOf(Object(row)) === undefined;
  const unreadable = page.filter((row) => !isReadable(row)).map((row) => keyOf(row).at(-1)!);
  return {
    data: unreadable.length === 0 ? page : page.filter(isReadable),
    next_cursor: rows.length > limit ? encodeCursor(keyOf(page.at(-1)!)) : null,
    ...(unreadable.length > 0 && { unreadable }),
  };
}
