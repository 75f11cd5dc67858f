import { z } from 'zod';

// Ids and names in requests. Wherever one is shown it stands within a line: a control character or a separator in it could end that
// line and begin another that reads like the service's own. Imports take what older releases accepted.

/** An id or name without a bound of its own. */
export const oneLine = z
  .string()
  .min(1)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it refuses; \p{Cc} is not known to every reader of the OpenAPI document
  .regex(/^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$/, 'must not contain control characters or line or paragraph separators');

/** Free words by which something is filed. They are shown as values of JSON alone, so they may hold any character. */
export const label = z.string().min(1).max(255);

// The braille blank is the one of these that no property of Unicode names.
const visible = /[^\s\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u;

/** Words of which something can be seen: not blanks, format characters, fillers and variation selectors alone. */
export const words = z.string().refine((text) => visible.test(text), 'must not be blank');

/** An id or name of at most `longest` characters. */
export const nameOf = (longest = 255) => oneLine.max(longest);

/** When a refinement of an object is asked: beside what else is wrong, so that all of it is told at once. */
export const always = ({ value }: { value: unknown }): boolean => typeof value === 'object' && value !== null;
