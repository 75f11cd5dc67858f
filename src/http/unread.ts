import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

// A request that is answered before its body has come. The rest of a short body is read and dropped, so that the connection serves
// on. A long one is not read at all: the connection ends.

const SHORT_BODY_BYTES = 64 * 1024;
const SHORT_BODY_MS = 30_000;
const LINGER_MS = 1_000;

/** Call it before the headers of the answer are sent. */
export function leaveUnread(res: ServerResponse): void {
  const { req } = res;
  if (req.complete || !bringsBody(req)) return;
  if (announcedOf(req) <= SHORT_BODY_BYTES) {
    dropLater(res);
    return;
  }
  res.setHeader('Connection', 'close');
  // Node reads and drops what nobody has begun to read: so it begins, and stops at once.
  req.read(0);
  req.pause();
  lingerBeforeClosing(req.socket);
}

/** Infinite where the length is not announced. */
export const announcedOf = (req: IncomingMessage): number =>
  req.headers['transfer-encoding'] === undefined ? Number(req.headers['content-length'] ?? 0) : Number.POSITIVE_INFINITY;

export const bringsBody = (req: IncomingMessage): boolean => announcedOf(req) > 0;

function dropLater(res: ServerResponse): void {
  const { req } = res;
  res.once('finish', () => {
    if (req.complete) return;
    req.resume();
    const cut = setTimeout(() => req.destroy(), SHORT_BODY_MS).unref();
    req.once('close', () => clearTimeout(cut));
  });
}

/** Closing a socket with unread bytes resets it, and a reset may overtake the answer: the client gets a moment to read it. */
function lingerBeforeClosing(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end();
    const cut = setTimeout(() => socket.destroy(), LINGER_MS).unref();
    socket.once('close', () => clearTimeout(cut));
  };
}
