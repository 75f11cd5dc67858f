import { z } from 'zod';
import { compileFilter, type Filter, type Language } from './compile.ts';

// A filter is an object in a body and JSON text in a URL. Parsing compiles it for the database.

const about = (form: string) =>
  `selects items by their fields, ${form}: \`{"kind": "decision", "metadata.team": {"in": ["a", "b"]}, "not": {"tags": {"contains": "old"}}}\`. \`and\`, \`or\` and \`not\` combine conditions.`;

/** Returns the schema of a filter in a language, by default that of events and memories. */
export const filterIn = (language?: Language) =>
  z.record(z.string(), z.unknown()).transform((value, context): Filter => {
    const { errors, ...compiled } = compileFilter(value, language);
    for (const { path, message } of errors) context.issues.push({ code: 'custom', input: value, path, message });
    return compiled;
  });

export const filter = filterIn().describe(about('as an object'));

export const filterParameter = z
  .string()
  .max(16_384)
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.issues.push({ code: 'custom', input: text, message: 'must be a filter in JSON' });
      return z.NEVER;
    }
  })
  .pipe(filter as z.ZodType<Filter, unknown>)
  .describe(about('as URL-encoded JSON'));
