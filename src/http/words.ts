import { z } from 'zod';

// What is wrong with a field, in the words of this service: the validator's own speak of its types.

type Issue = z.core.$ZodRawIssue;

const wanted: Record<string, string> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};
const units: Record<string, string> = { string: ' characters', array: ' items' };
const formats: Record<string, string> = {
  datetime: 'a time such as 2026-01-05T10:00:00Z',
  email: 'a mail address',
  url: 'a URL',
};

/** Objects of which not even the kind is known, with the fields that no kind has: one of them may be the kind, misspelt. */
const strangers = new WeakMap<object, string[]>();
export const strangersIn = (input: unknown): string[] => strangers.get(input as object) ?? [];

z.config({ customError: wordOf });

function wordOf(issue: Issue): string | undefined {
  const { code, input } = issue;
  if (code === 'invalid_type') return said(input, wanted[issue.expected] ?? issue.expected);
  if (code === 'invalid_value') return said(input, listed(issue.values));
  if (code === 'invalid_format') return issue.format in formats ? `must be ${formats[issue.format]}` : undefined;
  if (code === 'too_small') return `must ${bound(issue, issue.minimum, 'at least', 'more than')}`;
  if (code === 'too_big') return `must ${bound(issue, issue.maximum, 'at most', 'less than')}`;
  if (code !== 'invalid_union' || !issue.discriminator) return undefined;
  if (typeof input === 'object' && input !== null) strangers.set(input, strangersOf(issue, input));
  const { [issue.discriminator]: kind } = input as Record<string, unknown>;
  return said(kind, listed((issue.options ?? []) as unknown[]));
}

const said = (input: unknown, what: string) => (input === undefined ? `is needed: ${what}` : `must be ${what}`);
const listed = (values: readonly unknown[]) =>
  `${values.length > 1 ? 'one of ' : ''}${values.map((value) => JSON.stringify(value)).join(', ')}`;

function bound({ origin, inclusive }: Issue, limit: unknown, within: string, beyond: string): string {
  if (origin === 'string' && limit === 1 && within === 'at least') return 'not be empty';
  const unit = units[String(origin)];
  return `${unit ? 'have' : 'be'} ${inclusive === false ? beyond : within} ${limit}${unit ?? ''}`;
}

function strangersOf({ inst }: Issue, input: object): string[] {
  const { options = [] } = (inst as z.core.$ZodDiscriminatedUnion | undefined)?._zod.def ?? {};
  const known = options.flatMap((option) => Object.keys((option as z.core.$ZodObject)._zod.def.shape ?? input));
  return Object.keys(input).filter((key) => !known.includes(key));
}
