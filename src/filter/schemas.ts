import { z } from 'zod';
import { compileFilter, type Filter } from './compile.ts';

// In a body a filter is an object, in a URL the same as JSON text. Parsed it is ready for the database.

const about =
  'fields with operators, `and`, `or`, `not`: {"kind": "decision", "metadata.team": {"in": ["a", "b"]}, "not": {"tags": {"contains": "old"}}}';

export const filter = z
  .record(z.string(), z.unknown())
  .transform((value, context): Filter => {
    const { faults, ...compiled } = compileFilter(value);
    for (const { path, message } of faults) context.issues.push({ code: 'custom', input: value, path, message });
    return compiled;
  })
  .describe(about);

export const filterParameter = z
  .string()
  .max(16_384)
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.issues.push({ code: 'custom', input: text, message: 'must be a filter as JSON' });
      return z.NEVER;
    }
  })
  .pipe(filter as z.ZodType<Filter, unknown>)
  .describe(`A filter as JSON text. ${about}`);
