import { z } from 'zod';

/** A time in a request. */
export const time = z.iso
  .datetime({ offset: true })
  // PostgreSQL and RFC 3339 both end at the years 1 and 9999, in UTC
  .refine(
    (text) => Number.isFinite(Date.parse(text)) && /^(?!0000)\d{4}-/.test(new Date(text).toISOString()),
    'must be a time between the years 1 and 9999',
  )
  .transform((text) => new Date(text).toISOString())
  .describe('RFC 3339, kept in UTC');
