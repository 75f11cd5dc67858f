import type { IncomingMessage } from 'node:http';
import { Problem } from './problem.ts';

/** A count of bytes held for running requests, so that many large bodies cannot exhaust the memory together. */
export interface Held {
  bytes: number;
  readonly max: number;
}

/** The whole body, or `too-large` as soon as that is known. The caller gives `bytes.length` back to `held` when it is done. */
export async function readBody(req: IncomingMessage, maxBytes: number, held: Held): Promise<Buffer> {
  const announced = Number(req.headers['content-length'] ?? 0);
  if (announced > maxBytes) throw new Problem('too-large', `The body has ${announced} bytes; at most ${maxBytes} are taken.`);
  const encoding = req.headers['content-encoding'];
  if (encoding && encoding !== 'identity') throw new Problem('unsupported-media-type', 'Compressed bodies are not taken.');
  const parts: Buffer[] = [];
  let size = 0;
  try {
    // A destroyed request takes its connection along, and the refusal would never arrive.
    for await (const part of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += part.length;
      held.bytes += part.length;
      if (size > maxBytes) throw new Problem('too-large', `The body is larger than ${maxBytes} bytes.`);
      if (held.bytes > held.max)
        throw new Problem('unavailable', 'Too many bytes are being received.', { headers: { 'Retry-After': '1' } });
      parts.push(part);
    }
  } catch (error) {
    held.bytes -= size;
    // The rest is read and dropped: unread, it would stand in the way of the connection's next request.
    req.resume();
    throw error instanceof Problem ? error : new Problem('malformed-request', 'The body ended too early.', { cause: error });
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

const jsonType = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;

export const isJson = (req: IncomingMessage): boolean => jsonType.test(req.headers['content-type'] ?? '');
