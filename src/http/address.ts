import type { IncomingMessage } from 'node:http';

/** Until the limits land: the peer's address. */
export const addressOf = (req: IncomingMessage, _hops: number): string => req.socket.remoteAddress ?? '';
