import type { IncomingMessage, ServerResponse } from 'node:http';
import { openBuffer, openFixedBuffer } from './body_buffer.ts';
import type { ByteReservation } from './byte_reservation.ts';
import type { BodyCheck } from './digest.ts';
import { Problem } from './problem.ts';
import { announcedLength } from './unread_body.ts';

/** Rejects a body by its headers, before any of it is read. */
export function assertBodyAcceptable(req: IncomingMessage, maxBytes: number, type: 'json' | 'raw'): void {
  const announced = announcedLength(req);
  if (Number.isFinite(announced) && announced > maxBytes)
    throw new Problem('too-large', `The body has ${announced} bytes; at most ${maxBytes} are allowed.`);
  const encoding = req.headers['content-encoding'];
  if (encoding && encoding !== 'identity') throw new Problem('unsupported-media-type', 'Compressed bodies are not supported.');
  if (type === 'raw' || announced === 0) return;
  if (!jsonType.test(req.headers['content-type'] ?? ''))
    throw new Problem('unsupported-media-type', 'The body must be application/json.');
  assertUtf8(req);
}

/** Answers `Expect: 100-continue`: the client may send its body now. */
export function sendContinue(req: IncomingMessage, res: ServerResponse): void {
  if (/^100-continue$/i.test(req.headers.expect ?? '')) res.writeContinue();
}

interface ReadOptions {
  maxBytes: number;
  reservation: ByteReservation;
  timeoutMs: number;
  check: BodyCheck;
}

/** Reads the whole body. Throws `too-large` as soon as the limit is exceeded, and what `check` throws at the end. The bytes stay reserved until the caller releases them. */
export async function readBody(req: IncomingMessage, res: ServerResponse, reading: ReadOptions): Promise<Buffer> {
  const { maxBytes, reservation, timeoutMs, check } = reading;
  const announced = announcedLength(req);
  if (Number.isFinite(announced)) reservation.grow(announced);
  sendContinue(req, res);
  return new Promise((resolve, reject) => {
    const parts = Number.isFinite(announced) ? openFixedBuffer(announced) : openBuffer();
    const refuse = (problem: unknown) => {
      clearTimeout(deadline);
      req.off('data', take).off('end', finish).pause();
      parts.clear();
      reject(problem);
    };
    const finish = () => {
      try {
        check.finish();
      } catch (problem) {
        return refuse(problem);
      }
      clearTimeout(deadline);
      resolve(parts.join());
    };
    const take = (part: Buffer) => {
      const size = parts.size + part.length;
      if (size > maxBytes) return refuse(new Problem('too-large', `The body is larger than ${maxBytes} bytes.`));
      try {
        reservation.grow(size);
        parts.add(part);
        check.add(part);
      } catch (problem) {
        refuse(problem);
      }
    };
    const breakOff = (cause: Error) => refuse(new Problem('malformed-request', 'The body ended early.', { cause }));
    // A body that trickles in occupies a request slot.
    const deadline = setTimeout(
      () => refuse(new Problem('timeout', `The body took longer than ${timeoutMs} ms.`, { headers: { Connection: 'close' } })),
      timeoutMs,
    );
    // Event listeners, because async iteration over the request cost 30 µs more.
    req.on('data', take).once('end', finish).once('error', breakOff);
  });
}

const jsonType = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;
const charset = /;\s*charset\s*=\s*("?)([^";\s]*)\1/gi;

/** Rejects any charset but UTF-8. */
export function assertUtf8(req: IncomingMessage): void {
  for (const [, , name] of (req.headers['content-type'] ?? '').matchAll(charset))
    if (!/^utf-?8$/i.test(name!))
      throw new Problem('unsupported-media-type', `The body must be in UTF-8, not in ${name!.slice(0, 40)}.`);
}

/** Headers that may appear only once: proxies and servers disagree on which of two values counts. */
const single = new Set([
  'authorization',
  'content-digest',
  'content-type',
  'idempotency-key',
  'lease',
  'x-api-key',
  'x-signature',
]);
const lengths = new Set([...single].map((name) => name.length));

export function assertSingleHeaders({ rawHeaders }: IncomingMessage): void {
  const seen: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (!lengths.has(rawHeaders[i]!.length)) continue;
    const name = rawHeaders[i]!.toLowerCase();
    if (!single.has(name)) continue;
    if (seen.includes(name)) throw new Problem('malformed-request', `The header ${rawHeaders[i]} appears more than once.`);
    seen.push(name);
  }
}
