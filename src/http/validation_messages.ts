import { z } from 'zod';

// Messages of validation errors. Zod's own messages refer to its types.

type Issue = z.core.$ZodRawIssue;

const types: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'an integer',
  boolean: 'a boolean',
  array: 'an array',
  object: 'an object',
  record: 'an object',
};
const units: Record<string, string> = { string: ' character', array: ' item' };
const formats: Record<string, string> = {
  datetime: 'an RFC 3339 time such as 2026-01-05T10:00:00Z',
  email: 'an e-mail address',
  url: 'a URL',
};

export const UNKNOWN_FIELD = 'unknown field';

/** The union that an object did not match, because a finished issue no longer refers to its schema. */
const unions = new WeakMap<object, z.core.$ZodUnion>();
export const unionOf = (input: unknown): z.core.$ZodUnion | undefined => unions.get(input as object);

z.config({ customError: messageOf });

function messageOf(issue: Issue): string | undefined {
  const { code, input } = issue;
  if (code === 'invalid_type') return requiredOr(input, types[issue.expected] ?? issue.expected);
  if (code === 'invalid_value') return requiredOr(input, listOf(issue.values));
  if (code === 'invalid_format') return issue.format in formats ? `must be ${formats[issue.format]}` : undefined;
  if (code === 'too_small') return `must ${bound(issue, issue.minimum, 'at least', 'more than')}`;
  if (code === 'too_big') return `must ${bound(issue, issue.maximum, 'at most', 'less than')}`;
  if (code !== 'invalid_union') return undefined;
  if (typeof input === 'object' && input !== null && issue.inst) unions.set(input, issue.inst as z.core.$ZodUnion);
  if (!issue.discriminator) return undefined;
  return requiredOr((input as Record<string, unknown>)[issue.discriminator], listOf((issue.options ?? []) as unknown[]));
}

const requiredOr = (input: unknown, expected: string) => (input === undefined ? 'required' : `must be ${expected}`);

/** Lists the allowed values. `undefined`, allowed for a discriminator with a default, is omitted. */
const listOf = (values: readonly unknown[]) => {
  const written = values.filter((value) => value !== undefined).map((value) => JSON.stringify(value));
  return `${written.length > 1 ? 'one of ' : ''}${written.join(', ')}`;
};

function bound({ origin, inclusive }: Issue, limit: unknown, within: string, beyond: string): string {
  if (origin === 'string' && limit === 1 && within === 'at least') return 'not be empty';
  const unit = units[String(origin)];
  return `${unit ? 'have' : 'be'} ${inclusive === false ? beyond : within} ${limit}${unit ? `${unit}${limit === 1 ? '' : 's'}` : ''}`;
}
