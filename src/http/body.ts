import type { IncomingMessage } from 'node:http';
import { type Fault, Problem } from './problem.ts';

// What PostgreSQL would refuse or silently change is refused here, with the pointer to it: NUL, lone surrogates, bytes that
// are no UTF-8, numbers that do not survive, bottomless nesting.

export interface BodyLimits {
  maxBytes: number;
  maxDepth: number;
  maxArray: number;
  maxString: number;
}

/** A count of bytes held for running requests, so that many large bodies cannot exhaust the memory together. */
export interface Held {
  bytes: number;
  readonly max: number;
}

const drained = { headers: { Connection: 'close' } };

/** The whole body, or `too-large` as soon as that is known. The caller gives `bytes.length` back to `held` when it is done. */
export async function readBody(req: IncomingMessage, maxBytes: number, held: Held): Promise<Buffer> {
  const announced = Number(req.headers['content-length'] ?? 0);
  if (announced > maxBytes)
    throw new Problem('too-large', `The body has ${announced} bytes; at most ${maxBytes} are taken.`, drained);
  const encoding = req.headers['content-encoding'];
  if (encoding && encoding !== 'identity')
    throw new Problem('unsupported-media-type', 'Compressed bodies are not taken.', drained);
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of req as AsyncIterable<Buffer>) {
      size += part.length;
      held.bytes += part.length;
      if (size > maxBytes) throw new Problem('too-large', `The body is larger than ${maxBytes} bytes.`, drained);
      if (held.bytes > held.max)
        throw new Problem('unavailable', 'Too many bytes are being received.', {
          headers: { 'Retry-After': '1', ...drained.headers },
        });
      parts.push(part);
    }
  } catch (error) {
    held.bytes -= size;
    throw error instanceof Problem ? error : new Problem('malformed-request', 'The body ended too early.', { cause: error });
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
const jsonType = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;

export function isJson(req: IncomingMessage): boolean {
  return jsonType.test(req.headers['content-type'] ?? '');
}

export function parseJson(bytes: Buffer, limits: BodyLimits): unknown {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (cause) {
    throw new Problem('impossible-text', 'The body is not valid UTF-8.', {
      errors: [{ pointer: '#', detail: 'bytes that are not UTF-8' }],
      cause,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Problem('malformed-json', 'The body is not JSON.', { cause });
  }
  const faults: Fault[] = [];
  inspect(value, '#', 0, limits, faults);
  if (faults.length === 0 && maybeLossy.test(text)) faults.push(...lossyNumbers(text));
  if (faults.length > 0) throw new Problem('impossible-text', faults[0]!.detail, { errors: faults.slice(0, 20) });
  return value;
}

const escapePointer = (key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1').slice(0, 200).toWellFormed();

function inspect(value: unknown, pointer: string, depth: number, limits: BodyLimits, faults: Fault[]): void {
  if (typeof value === 'string') {
    const detail = textFault(value, limits.maxString);
    if (detail) faults.push({ pointer, detail });
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) faults.push({ pointer, detail: 'a number beyond the range of a double' });
  } else if (typeof value === 'object' && value !== null) {
    if (depth >= limits.maxDepth) {
      faults.push({ pointer, detail: `nested deeper than ${limits.maxDepth}` });
    } else if (Array.isArray(value)) {
      if (value.length > limits.maxArray) faults.push({ pointer, detail: `an array of more than ${limits.maxArray}` });
      for (let i = 0; i < value.length && faults.length < 20; i += 1)
        inspect(value[i], `${pointer}/${i}`, depth + 1, limits, faults);
    } else {
      for (const key of Object.keys(value)) {
        if (faults.length >= 20) return;
        const detail = textFault(key, limits.maxString);
        if (detail) faults.push({ pointer: `${pointer}/${escapePointer(key)}`, detail: `a key with ${detail}` });
        inspect((value as Record<string, unknown>)[key], `${pointer}/${escapePointer(key)}`, depth + 1, limits, faults);
      }
    }
  }
}

/** Why PostgreSQL could not keep this text as it is, if so. */
export function textFault(text: string, maxString = Number.MAX_SAFE_INTEGER): string | undefined {
  if (text.length > maxString) return `a string of more than ${maxString} characters`;
  if (text.includes('\u0000')) return 'the character U+0000';
  if (!text.isWellFormed()) return 'half of a surrogate pair';
  return undefined;
}

const maybeLossy = /\d{16}|\d[eE][-+]?\d/;
const numbers = /-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

/** Integers that a double rounds, and numbers that vanish or overflow in it. Fractions keep the precision of a double (RFC 8259, 6). */
function lossyNumbers(text: string): Fault[] {
  const faults: Fault[] = [];
  for (const between of outsideStrings(text))
    for (const [literal] of between.matchAll(numbers)) {
      const value = Number(literal);
      const rounded = /^-?\d+$/.test(literal) && !Number.isSafeInteger(value);
      const vanished = value === 0 && /[1-9]/.test(literal.split(/[eE]/)[0]!);
      if (rounded || vanished)
        faults.push({ pointer: '#', detail: `the number ${literal.slice(0, 40)} does not survive as a double` });
    }
  return faults;
}

/** The parts of a JSON text between its strings. A regular expression over a string of megabytes would exhaust its stack. */
function* outsideStrings(text: string): Generator<string> {
  let from = 0;
  for (;;) {
    const open = text.indexOf('"', from);
    if (open < 0) return yield text.slice(from);
    yield text.slice(from, open);
    let close = open;
    do close = text.indexOf('"', close + 1);
    while (isEscaped(text, close));
    from = close + 1;
  }
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text[at - 1 - slashes] === '\\') slashes += 1;
  return slashes % 2 === 1;
}

/** The same text for JSON values that are equal: keys sorted, no space (as RFC 8785 orders them). */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson((value as Record<string, unknown>)[key])}`);
  return `{${entries.join(',')}}`;
}
