import { z } from 'zod';
import { parseTime } from '../time.ts';

/** A time in a request. Digits beyond microseconds are dropped, because PostgreSQL stores none. */
export const time = z
  .string()
  .transform((text, context) => {
    const parsed = parseTime(text);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom', message: 'must be an RFC 3339 time between the years 1 and 9999 in UTC' });
    return z.NEVER;
  })
  .meta({ format: 'date-time', description: 'RFC 3339; stored in UTC, to the microsecond' });
