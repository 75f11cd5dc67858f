import type { IncomingMessage } from 'node:http';
import { type Held, openGather, tooManyBytes } from './gather.ts';
import { Problem } from './problem.ts';

/** The whole body, or `too-large` as soon as that is known. The caller gives `bytes.length` back to `held` when it is done. */
export async function readBody(req: IncomingMessage, maxBytes: number, held: Held, timeoutMs: number): Promise<Buffer> {
  const announced = Number(req.headers['content-length'] ?? 0);
  if (announced > maxBytes) throw new Problem('too-large', `The body has ${announced} bytes; at most ${maxBytes} are taken.`);
  const encoding = req.headers['content-encoding'];
  if (encoding && encoding !== 'identity') throw new Problem('unsupported-media-type', 'Compressed bodies are not taken.');
  return new Promise((resolve, reject) => {
    const parts = openGather();
    let size = 0;
    const give = () => {
      clearTimeout(deadline);
      resolve(parts.join());
    };
    const refuse = (problem: Problem) => {
      clearTimeout(deadline);
      held.bytes -= size;
      // a connection that breaks after its refusal is refused again
      size = 0;
      // The rest is read and dropped: unread, it would stand in the way of the connection's next request.
      req.off('data', take).off('end', give).resume();
      parts.clear();
      reject(problem);
    };
    const take = (part: Buffer) => {
      size += part.length;
      held.bytes += part.length;
      if (size > maxBytes) refuse(new Problem('too-large', `The body is larger than ${maxBytes} bytes.`));
      else if (held.bytes > held.max) refuse(tooManyBytes());
      else parts.add(part);
    };
    const breakOff = (cause: Error) => refuse(new Problem('malformed-request', 'The body ended too early.', { cause }));
    // A body that trickles in holds a place among the requests that are served.
    const deadline = setTimeout(
      () => refuse(new Problem('timeout', `The body took longer than ${timeoutMs} ms.`, { headers: { Connection: 'close' } })),
      timeoutMs,
    );
    // By events: iterating over the request cost 30 µs more.
    req.on('data', take).once('end', give).once('error', breakOff);
  });
}

const jsonType = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;

export const isJson = (req: IncomingMessage): boolean => jsonType.test(req.headers['content-type'] ?? '');
