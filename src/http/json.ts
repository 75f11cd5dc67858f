import { isUtf8 } from 'node:buffer';
import { type FieldError, Problem } from './problem.ts';

// Rejects, with a JSON pointer, what PostgreSQL would reject or silently change: NUL, lone surrogates, invalid UTF-8, numbers that a
// double cannot represent, and excessive nesting.

export interface JsonLimits {
  maxDepth: number;
  /** Also the limit for the fields of an object. */
  maxArray: number;
  maxString: number;
}

// 40 MiB of `{},{},…` or `[[[…` parse into a gigabyte of objects and block the event loop for seconds, so such a text is not parsed.
const MAX_VALUES = 100_000;
const SMALL_TEXT_CHARACTERS = 64 * 1024;
const MAX_FAULTS = 20;

export function parseJson(bytes: Buffer, limits: JsonLimits): unknown {
  const text = decode(bytes);
  const faults: FieldError[] = [];
  if (text.length > SMALL_TEXT_CHARACTERS) refuseHuge(text, limits.maxDepth);
  const value = parse(text);
  const seen: Seen = { limits, escaped: text.includes('\\u'), members: 0 };
  if (!isPlain(value, 0, seen)) inspect(value, '#', 0, limits, faults);
  if (faults.length === 0 && (maybeLossy.test(text) || seen.members < membersIn(text))) faults.push(...lostIn(text));
  const [first] = faults;
  if (first) throw new Problem('impossible-text', `${first.pointer}: ${first.detail}`, { errors: faults.slice(0, MAX_FAULTS) });
  return value;
}

function decode(bytes: Buffer): string {
  if (!isUtf8(bytes))
    throw new Problem('impossible-text', 'The body is not valid UTF-8.', {
      errors: [{ pointer: '#', detail: NOT_UTF8 }],
    });
  const text = bytes.toString();
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Problem('malformed-json', 'The body is not JSON.', {
      errors: [{ pointer: '#', detail: 'must be valid JSON' }],
      cause,
    });
  }
}

interface Seen {
  limits: JsonLimits;
  escaped: boolean;
  /** Fields of all objects. Fewer than in the text means that a field was repeated: parsing keeps the last one only. */
  members: number;
}

/**
 * Returns true if `inspect` would find nothing. It builds no pointers, which cost more than everything else here. A text without escapes
 * cannot contain NUL or a lone surrogate.
 */
function isPlain(value: unknown, depth: number, seen: Seen): boolean {
  const { limits, escaped } = seen;
  if (typeof value === 'string') return value.length <= limits.maxString && !(escaped && textFault(value));
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  if (depth >= limits.maxDepth) return false;
  if (Array.isArray(value)) return value.length <= limits.maxArray && value.every((item) => isPlain(item, depth + 1, seen));
  let keys = 0;
  for (const key in value) {
    keys += 1;
    if (keys > limits.maxArray || key === '__proto__' || !isPlain(key, depth, seen)) return false;
    if (!isPlain((value as Record<string, unknown>)[key], depth + 1, seen)) return false;
  }
  seen.members += keys;
  return true;
}

function inspect(value: unknown, pointer: string, depth: number, limits: JsonLimits, faults: FieldError[]): void {
  if (typeof value === 'string') {
    const detail = textFault(value, limits.maxString);
    if (detail) faults.push({ pointer, detail });
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) faults.push({ pointer, detail: 'must be within the range of a double' });
  } else if (typeof value === 'object' && value !== null) {
    if (depth >= limits.maxDepth) faults.push({ pointer, detail: depthLimit(limits.maxDepth) });
    else if (Array.isArray(value)) inspectArray(value, pointer, depth, limits, faults);
    else inspectObject(value as Record<string, unknown>, pointer, depth, limits, faults);
  }
}

function inspectArray(value: unknown[], pointer: string, depth: number, limits: JsonLimits, faults: FieldError[]): void {
  if (value.length > limits.maxArray) faults.push({ pointer, detail: `must have at most ${limits.maxArray} items` });
  for (let i = 0; i < value.length && faults.length < MAX_FAULTS; i += 1)
    inspect(value[i], `${pointer}/${i}`, depth + 1, limits, faults);
}

function inspectObject(
  value: Record<string, unknown>,
  pointer: string,
  depth: number,
  limits: JsonLimits,
  faults: FieldError[],
): void {
  const keys = Object.keys(value);
  if (keys.length > limits.maxArray) faults.push({ pointer, detail: `must have at most ${limits.maxArray} fields` });
  for (const key of keys) {
    if (faults.length >= MAX_FAULTS) return;
    const inner = `${pointer}/${escapePointer(key)}`;
    const detail = textFault(key, limits.maxString);
    if (detail) faults.push({ pointer: inner, detail: `field name ${detail}` });
    // zod silently drops this field
    if (key === '__proto__') faults.push({ pointer: inner, detail: 'must not be named __proto__' });
    inspect(value[key], inner, depth + 1, limits, faults);
  }
}

/** Escapes one part of a JSON pointer and bounds its length. */
export const escapePointer = (key: string): string =>
  key.replaceAll('~', '~0').replaceAll('/', '~1').slice(0, 200).toWellFormed();

export const NOT_UTF8 = 'must be valid UTF-8';

/** Returns why PostgreSQL cannot store this text unchanged; undefined if it can. Completes the sentence "*field* …". */
export function textFault(text: string, maxString = Number.MAX_SAFE_INTEGER): string | undefined {
  if (text.length > maxString) return `must have at most ${maxString} characters`;
  if (text.includes('\u0000')) return 'must not contain the character U+0000';
  if (!text.isWellFormed()) return 'must not contain half of a surrogate pair';
  return undefined;
}

function refuseHuge(text: string, maxDepth: number): void {
  let depth = 0;
  let values = 1;
  for (const { sign } of tokensOf(text)) {
    if (sign === '[' || sign === '{') depth += 1;
    if (sign === ']' || sign === '}') depth -= 1;
    if (sign === ',' || sign === '[' || sign === '{') values += 1;
    // one level more than `inspect` accepts
    if (depth > maxDepth)
      throw new Problem('impossible-text', `#: ${depthLimit(maxDepth)}`, {
        errors: [{ pointer: '#', detail: depthLimit(maxDepth) }],
      });
    if (values > MAX_VALUES) throw new Problem('too-large', `The body has more than ${MAX_VALUES} values.`);
  }
}

const depthLimit = (maxDepth: number): string => `must be nested at most ${maxDepth} levels deep`;

interface Token {
  sign: string;
  /** The quoted string, if `sign` is a quote. */
  string?: string;
}

/**
 * Yields the brackets, commas, strings and numbers of a JSON text. Strings are scanned by hand, because a regular expression over a
 * string of megabytes exhausts its stack.
 */
function* tokensOf(text: string): Generator<Token> {
  const next = /["[\]{},]|-?\d[\d.eE+-]*/g;
  for (let match = next.exec(text); match; match = next.exec(text)) {
    if (match[0] !== '"') {
      yield { sign: match[0] };
      continue;
    }
    const close = closingQuote(text, match.index);
    if (close < 0) return;
    yield { sign: '"', string: text.slice(match.index, close + 1) };
    next.lastIndex = close + 1;
  }
}

function closingQuote(text: string, open: number): number {
  let close = text.indexOf('"', open + 1);
  while (close > 0 && isEscaped(text, close)) close = text.indexOf('"', close + 1);
  return close;
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text[at - 1 - slashes] === '\\') slashes += 1;
  return slashes % 2 === 1;
}

const maybeLossy = /\d{16}|\d[eE][-+]?\d/;

/** Counts the fields of all objects in a JSON text: a string before a colon is a field name. */
function membersIn(text: string): number {
  let members = 0;
  for (let open = text.indexOf('"'); open >= 0; ) {
    let next = closingQuote(text, open) + 1;
    while (isSpace(text.charCodeAt(next))) next += 1;
    if (text[next] === ':') members += 1;
    open = text.indexOf('"', next);
  }
  return members;
}

const isSpace = (code: number): boolean => code === 32 || (code >= 9 && code <= 13);

interface Level {
  key: string | number;
  isKey: boolean;
  names: Set<string>;
}

/** Returns what would not read back as it was sent: numbers that a double cannot represent, and repeated fields. */
function lostIn(text: string): FieldError[] {
  const faults: FieldError[] = [];
  const path: Level[] = [];
  const report = (detail: string) => {
    const pointer = ['#', ...path.map(({ key }) => escapePointer(String(key)))].join('/');
    if (faults.length < MAX_FAULTS) faults.push({ pointer, detail });
  };
  for (const { sign, string } of tokensOf(text)) {
    const top = path.at(-1);
    if (sign === '[') path.push({ key: 0, isKey: false, names: new Set() });
    else if (sign === '{') path.push({ key: '', isKey: true, names: new Set() });
    else if (sign === ']' || sign === '}') path.pop();
    else if (sign === ',') {
      if (typeof top?.key === 'number') top.key += 1;
      else if (top) top.isKey = true;
    } else if (sign === '"') {
      if (!top?.isKey) continue;
      const key = JSON.parse(string!) as string;
      Object.assign(top, { key, isKey: false });
      if (top.names.has(key)) report('must not be repeated');
      top.names.add(key);
    } else if (!survives(sign)) report(`must be a number that a double can represent, not ${sign.slice(0, 40)}`);
  }
  return faults;
}

const MIN_NORMAL = 2.2250738585072014e-308;

/**
 * Returns true if a number survives parsing. Integers must keep every digit. Fractions may lose precision beyond a double's (RFC 8259,
 * section 6), unless they are subnormal.
 */
function survives(literal: string): boolean {
  const value = Number(literal);
  const written = decimalOf(literal);
  const stored = decimalOf(String(value));
  if (written.digits === stored.digits && written.exponent === stored.exponent) return true;
  return written.exponent < 0 && Math.abs(value) >= MIN_NORMAL;
}

/** Returns the significant digits of a number, and the power of ten of the last one. */
function decimalOf(literal: string): { digits: string; exponent: number } {
  const [mantissa = '', power = '0'] = literal.replace(/^-/, '').split(/[eE]/);
  const [whole = '', fraction = ''] = mantissa.split('.');
  const all = whole + fraction;
  let from = 0;
  let to = all.length;
  // by hand, because a regular expression such as /0+$/ takes quadratic time in the number of zeros
  while (from < to && all[from] === '0') from += 1;
  while (to > from && all[to - 1] === '0') to -= 1;
  if (from === to) return { digits: '0', exponent: 0 };
  return { digits: all.slice(from, to), exponent: Number(power) - fraction.length + all.length - to };
}

/** Returns the same text for equal JSON values: fields sorted as in RFC 8785, no spaces. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  let text = '';
  for (const key of Object.keys(value).sort())
    text += `${text && ','}${JSON.stringify(key)}:${canonicalJson((value as Record<string, unknown>)[key])}`;
  return `{${text}}`;
}
