import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BytesInFlight, openCountedBuffer } from '../http/body_buffer.ts';
import { checkedParts } from '../http/digest.ts';
import { Problem } from '../http/problem.ts';

// Reads a request body as lines. Only the current line is held in memory.

const NEWLINE = 0x0a;

export interface LineLimits {
  /** Bytes of one line. */
  maxLine: number;
  /** Bytes of the whole body. */
  maxBytes: number;
  /** Longest wait for the next bytes, and for the whole first line. */
  idle_ms: number;
  /** Minimum throughput: a client that is waited for `ms` in total must have sent `bytes` in that time. */
  slowest: { bytes: number; ms: number };
  /** Memory reserved for bodies: a line that arrives in parts is counted until it is complete. */
  bytesInFlight: BytesInFlight;
}

export interface Line {
  /** Starts at 1. */
  number: number;
  bytes: Buffer;
  /** SHA-256 of all previous lines, in hex. */
  before: string | undefined;
}

/** Yields the lines of a body, which must have this SHA-256 if the request is signed. `wantsDigest` selects the lines for which `before` is computed. The last line must end with a newline, too. */
export async function* linesOf(
  req: IncomingMessage,
  digest: Buffer | undefined,
  limits: LineLimits,
  wantsDigest: (bytes: Buffer) => boolean,
): AsyncGenerator<Line> {
  const hash = createHash('sha256');
  let number = 0;
  let total = 0;
  const rest = openCountedBuffer(limits.bytesInFlight);
  try {
    for await (const part of checkedParts(
      partsOf(req, limits, () => number > 0),
      digest,
    )) {
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
    if (rest.size > 0) throw lineProblem(number + 1, 'the line is incomplete: the file was truncated');
  } finally {
    rest.clear();
  }
}

/** Yields the parts of a body. Only the time of waiting for the client counts, not the time in which the database is busy. */
async function* partsOf(
  req: IncomingMessage,
  { idle_ms, slowest }: LineLimits,
  hasFirstLine: () => boolean,
): AsyncGenerator<Buffer> {
  const parts = req.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  let waited = 0;
  let received = 0;
  try {
    for (;;) {
      const before = performance.now();
      const next = await nextWithin(parts, idle_ms);
      waited += performance.now() - before;
      if (next === 'idle') throw tooSlow(`No bytes arrived for ${idle_ms} ms.`);
      if (next.done) return;
      received += next.value.length;
      if (waited > idle_ms && !hasFirstLine()) throw tooSlow(`The first line took longer than ${idle_ms} ms.`);
      if (waited >= slowest.ms) {
        if (received < slowest.bytes) throw tooSlow(`Only ${received} bytes arrived in ${Math.round(waited)} ms.`);
        waited = 0;
        received = 0;
      }
      yield next.value;
    }
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw new Problem('malformed-request', 'The body is incomplete.', { cause });
  } finally {
    // releases the body, so that the rest of it can be discarded
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
    errors: [{ pointer: `#/${number - 1}`, detail: `must have at most ${max} bytes` }],
  });

/** Returns the problem of a line. Pointers treat the file as an array of lines. */
export const lineProblem = (number: number, detail: string, inside = ''): Problem =>
  new Problem('validation', `Line ${number}: ${detail}`, { errors: [{ pointer: `#/${number - 1}${inside}`, detail }] });
