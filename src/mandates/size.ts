import { schemasFault } from './args_schema.ts';

// Bounds the size of terms, because delegating and authorising compare their patterns and compile their schemas on the event loop.

/** Patterns of a list. */
export const MAX_PATTERNS = 64;
/** Characters of a pattern. */
export const MAX_PATTERN = 128;
/** Stars of a pattern. */
export const MAX_STARS = 8;
/** Characters of JSON of all entries together, as of a policy. */
const MAX_POLICIES = 65_536;

/** Returns why these entries are too large; undefined if they are not. `name`: the pattern of the entry, if one of them alone is. */
export function policiesFault(policies: Record<string, { args_schema?: unknown }>): { name?: string; fault: string } | undefined {
  if (Object.keys(policies).length > MAX_PATTERNS) return { fault: `must have at most ${MAX_PATTERNS} patterns` };
  if (JSON.stringify(policies).length > MAX_POLICIES) return { fault: `must have at most ${MAX_POLICIES} characters` };
  const schemas = Object.entries(policies).flatMap(([name, { args_schema }]) => (args_schema ? [[name, args_schema]] : []));
  return schemasFault(Object.fromEntries(schemas));
}
