import { algorithm, isCode, isFile, isIdentifier, isJumbled, isPlaceholder, isReference, isVersion } from './shapes.ts';

// Whether a value shows by itself that a machine or a careful person made it up: what stands near the name of a secret, and not
// directly behind it, is judged by this alone.

const symbols = /[\p{L}\d][!@#$%^&*?+~=-]*[!@#$%^&*?+~][\p{L}\d!@#$%^&*?+~=-]*$/u;
const isHex = /^(?:0x)?[\da-f]+$/i;
const isUuid = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;
const isEmail = /^[\w.+-]+@[\w-]+(?:\.[\w-]+)+$|^[\w/-]+@v?\d{1,3}(?:\.|$)|^@/;
/** Ids of most services: `toolu_01…`, `css-1kq9xa7`. */
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

/** A password: a digit and a letter with a symbol between, or jumbled. */
export function looksRandom(value: string): boolean {
  if (value.length < 8 || value.length > 256 || /\s/.test(value) || isPattern.test(value) || isHarmless(value)) return false;
  if (/\d/.test(value) && /\p{L}/u.test(value) && symbols.test(value)) return true;
  return isJumbled(value) && !isId.test(value) && !(isCode.test(value) && !isJumbled(value.split('.').at(-1)!));
}

/** A token: as long as issuers make them. */
export const looksRandomToken = (value: string): boolean =>
  value.length >= 16 && ((looksRandom(value) && isJumbled(value)) || (/^[\da-f]{32,}$/.test(value) && /\d/.test(value)));
