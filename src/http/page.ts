import { z } from 'zod';
import { faultOf } from '../readable.ts';
import { Problem } from './problem.ts';

/** An integer in a query string. */
export const integerParameter = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be an integer')
    .transform(Number)
    .pipe(z.number().min(min).max(max));

/** A page of a list; `next_cursor` is null on the last page. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({
    data: z.array(item),
    next_cursor: z.string().nullable().describe('the `cursor` of the next page, or null on the last page'),
    unreadable: z
      .array(z.union([z.int(), z.string()]))
      .optional()
      .describe('seqs or ids of corrupt rows on this page; absent if there are none'),
  });

/** A page of a bounded search: it may be short or empty and still have a `next_cursor`. */
export const boundedPageOf = <T extends z.ZodType, U extends z.ZodType>(item: T, place: U) =>
  pageOf(item).extend({
    scanned_upto: place
      .optional()
      .describe(
        'position at which the search stopped early; `next_cursor` continues it. Absent if the page is full or the list has ended',
      ),
  });

/** Encodes a keyset cursor: the sort key of the last row, opaque to clients. It contains a position and never a permission. */
export const encodeCursor = (key: readonly (string | number)[]): string => Buffer.from(JSON.stringify(key)).toString('base64url');

/** Decodes a cursor of `encodeCursor` whose values have these types; throws `validation` for anything else. */
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
    throw new Problem('validation', 'The cursor does not belong to this list.', {
      errors: [{ parameter: 'cursor', detail: 'must be the next_cursor of an earlier page of this list' }],
    });
  return key as (string | number)[];
}

export interface Page<T> {
  data: T[];
  next_cursor: string | null;
  unreadable?: (string | number)[];
}

/** Returns a page of a list in id order. `read` returns up to `count` rows whose ids follow `after`. */
export async function pageById<T>(
  { cursor, limit }: { cursor?: string | undefined; limit: number },
  read: (after: string, count: number) => Promise<T[]>,
  idOf: (row: T) => string,
): Promise<Page<T>> {
  const after = cursor ? String(decodeCursor(cursor, ['string'])[0]) : '';
  return toPage(await read(after, limit + 1), limit, (row) => [idOf(row)]);
}

/** Makes a page of rows that were read one past the limit, and lists its corrupt rows in `unreadable`. */
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
