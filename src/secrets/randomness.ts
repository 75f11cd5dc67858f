import { algorithm, isCode, isFile, isIdentifier, isJumbled, isPlaceholder, isReference, isVersion } from './shapes.ts';

// Decides whether a value looks generated, by a machine or by a careful person. Values that are near the name of a secret but not directly after it
// are judged by this alone.

const symbols = /[\p{L}\d][!@#$%^&*?+~=-]*[!@#$%^&*?+~][\p{L}\d!@#$%^&*?+~=-]*$/u;
const isHex = /^(?:0x)?[\da-f]+$/i;
const isUuid = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;
const isEmail = /^[\w.+-]+@[\w-]+(?:\.[\w-]+)+$|^[\w/-]+@v?\d{1,3}(?:\.|$)|^@/;
/** Matches the ids of most services: `toolu_01…`, `css-1kq9xa7`. */
const isId = /^[a-z]{2,12}[_-]/;
const isPattern = /[^\p{L}\d!-~]|[()[\]{}<>=|;,\\`"']|^[$%@#&-]|^[^\d]*\*[^\d]*$|:\/\//u;

const isHarmless = (value: string): boolean =>
  isPlaceholder(value) ||
  isHex.test(value) ||
  isUuid.test(value) ||
  isEmail.test(value) ||
  isVersion.test(value) ||
  isReference.test(value) ||
  isFile.test(value) ||
  algorithm.test(value) ||
  isIdentifier(value);

/** Returns true for a password: it has a letter, a digit and a symbol between them, or its character classes alternate. */
export function looksRandom(value: string): boolean {
  if (value.length < 8 || value.length > 256 || /\s/.test(value) || isPattern.test(value) || isHarmless(value)) return false;
  if (/\d/.test(value) && /\p{L}/u.test(value) && symbols.test(value)) return true;
  return isJumbled(value) && !isId.test(value) && !(isCode.test(value) && !isJumbled(value.split('.').at(-1)!));
}

/** Returns true for a token: it looks random and is as long as the tokens of issuers. */
export const looksRandomToken = (value: string): boolean =>
  value.length >= 16 && ((looksRandom(value) && isJumbled(value)) || (/^[\da-f]{32,}$/.test(value) && /\d/.test(value)));
