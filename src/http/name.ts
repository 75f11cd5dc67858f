import { z } from 'zod';

// Ids and names in requests. They are shown inside a line of text: a control character or line separator could end that line and begin
// a forged one. Imports accept whatever older releases accepted.

/** An id or name of any length. */
export const oneLine = z
  .string()
  .min(1)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern rejects them; not every consumer of the OpenAPI document supports \p{Cc}
  .regex(/^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$/, 'must not contain control characters or line or paragraph separators');

/** Free text that categorizes something, such as a tag. It is only shown as a JSON value, so it may contain any character. */
export const label = z.string().min(1).max(255);

// The braille blank (U+2800) is the only invisible character without a Unicode property.
const visible = /[^\s\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u;

/** Text with at least one visible character: not only blanks, format characters, fillers and variation selectors. */
export const nonBlank = z.string().refine((text) => visible.test(text), 'must not be blank');

/** An id or name of at most `max` characters. */
export const nameOf = (max = 255) => oneLine.max(max);

/** `when` of an object's refinement: it also runs if other fields are invalid, so that all errors are reported at once. */
export const onAnyObject = ({ value }: { value: unknown }): boolean => typeof value === 'object' && value !== null;
