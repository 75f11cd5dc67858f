import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BytesInFlight, openCountedBuffer } from '../http/body_buffer.ts';
import { Problem } from '../http/problem.ts';

// A body of lines, as it comes: nothing of it is held but the line that is being read.

const NEWLINE = 0x0a;

export interface LineLimits {
  /** Of one line. */
  maxLine: number;
  /** Of the whole. */
  maxBytes: number;
  /** So long nothing may come, and so long may be waited for the first line in all. */
  idle_ms: number;
  /** Who is waited for so long in all sends so much meanwhile. */
  slowest: { bytes: number; ms: number };
  /** What the daemon holds of bodies: a line that comes in parts is counted while it does. */
  bytesInFlight: BytesInFlight;
}

export interface Line {
  /** From 1. */
  number: number;
  bytes: Buffer;
  /** Hex SHA-256 of all lines before this one. */
  before: string | undefined;
}

/** `wantsDigest` says of which lines the hash of what came before is asked. The last line needs its end like every other. */
export async function* linesOf(
  req: IncomingMessage,
  limits: LineLimits,
  wantsDigest: (bytes: Buffer) => boolean,
): AsyncGenerator<Line> {
  const hash = createHash('sha256');
  let number = 0;
  let total = 0;
  const rest = openCountedBuffer(limits.bytesInFlight);
  try {
    for await (const part of partsOf(req, limits, () => number > 0)) {
      total += part.length;
      if (total > limits.maxBytes) throw new Problem('too-large', `The body is larger than ${limits.maxBytes} bytes.`);
      let from = 0;
      for (let at = part.indexOf(NEWLINE); at >= 0; at = part.indexOf(NEWLINE, from)) {
        const tail = part.subarray(from, at);
        if (rest.size > 0) rest.add(tail);
        const bytes = rest.size > 0 ? rest.join() : tail;
        if (bytes.length > limits.maxLine) throw tooLong(number + 1, limits.maxLine);
        number += 1;
        yield { number, bytes, before: wantsDigest(bytes) ? hash.copy().digest('hex') : undefined };
        hash.update(bytes).update('\n');
        rest.clear();
        from = at + 1;
      }
      if (from === part.length) continue;
      rest.add(part.subarray(from));
      if (rest.size > limits.maxLine) throw tooLong(number + 1, limits.maxLine);
    }
    if (rest.size > 0) throw lineProblem(number + 1, 'the line has no end: the file is cut off');
  } finally {
    rest.clear();
  }
}

/** Only the time in which the client is waited for counts: a slow database is not its fault. */
async function* partsOf(req: IncomingMessage, { idle_ms, slowest }: LineLimits, hasBegun: () => boolean): AsyncGenerator<Buffer> {
  const parts = req.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  let waited = 0;
  let came = 0;
  try {
    for (;;) {
      const before = performance.now();
      const next = await nextWithin(parts, idle_ms);
      waited += performance.now() - before;
      if (next === 'idle') throw tooSlow(`Nothing came for ${idle_ms} ms.`);
      if (next.done) return;
      came += next.value.length;
      if (waited > idle_ms && !hasBegun()) throw tooSlow(`The first line took longer than ${idle_ms} ms.`);
      if (waited >= slowest.ms) {
        if (came < slowest.bytes) throw tooSlow(`Only ${came} bytes came in ${Math.round(waited)} ms.`);
        waited = 0;
        came = 0;
      }
      yield next.value;
    }
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw new Problem('malformed-request', 'The body is incomplete.', { cause });
  } finally {
    // lets go of the body, so that what is left of it can be dropped
    void parts.return?.().then(undefined, () => undefined);
  }
}

async function nextWithin(parts: AsyncIterator<Buffer>, ms: number): Promise<IteratorResult<Buffer> | 'idle'> {
  const waiting = new AbortController();
  const idle = sleep(ms, 'idle' as const, { ref: false, signal: waiting.signal }).catch(() => 'idle' as const);
  try {
    return await Promise.race([parts.next(), idle]);
  } finally {
    waiting.abort();
  }
}

const tooSlow = (detail: string): Problem => new Problem('timeout', detail, { headers: { Connection: 'close' } });

const tooLong = (number: number, max: number) =>
  new Problem('too-large', `Line ${number} is longer than ${max} bytes.`, {
    errors: [{ pointer: `#/${number - 1}`, detail: `longer than ${max} bytes` }],
  });

/** What is wrong with a line; pointers see the file as an array of its lines. */
export const lineProblem = (number: number, detail: string, inside = ''): Problem =>
  new Problem('validation', `Line ${number}: ${detail}`, { errors: [{ pointer: `#/${number - 1}${inside}`, detail }] });
