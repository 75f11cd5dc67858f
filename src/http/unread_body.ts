import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

// Requests that are answered before their body has arrived. The rest of a short body is read and discarded, so that the connection can be
// reused. A long body is not read: the connection is closed.

const SHORT_BODY_BYTES = 64 * 1024;
const SHORT_BODY_MS = 30_000;
const LINGER_MS = 1_000;

/** Deals with the unread body of a request. Must be called before the headers of the answer are sent. */
export function handleUnreadBody(res: ServerResponse): void {
  const { req } = res;
  if (req.complete || !hasBody(req)) return;
  if (announcedLength(req) <= SHORT_BODY_BYTES) {
    discardAfterAnswer(res);
    return;
  }
  res.setHeader('Connection', 'close');
  // Node reads and discards a body that nobody has begun to read, so begin and pause at once.
  req.read(0);
  req.pause();
  lingerBeforeClosing(req.socket);
}

/** Returns the announced length of the body in bytes; infinity if none is announced. */
export const announcedLength = (req: IncomingMessage): number =>
  req.headers['transfer-encoding'] === undefined ? Number(req.headers['content-length'] ?? 0) : Number.POSITIVE_INFINITY;

export const hasBody = (req: IncomingMessage): boolean => announcedLength(req) > 0;

function discardAfterAnswer(res: ServerResponse): void {
  const { req } = res;
  res.once('finish', () => {
    if (req.complete) return;
    req.resume();
    const cut = setTimeout(() => req.destroy(), SHORT_BODY_MS).unref();
    req.once('close', () => clearTimeout(cut));
  });
}

/** Delays closing: closing a socket with unread bytes resets it, and the reset may overtake the answer. */
function lingerBeforeClosing(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end();
    const cut = setTimeout(() => socket.destroy(), LINGER_MS).unref();
    socket.once('close', () => clearTimeout(cut));
  };
}
