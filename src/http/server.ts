import { randomUUID } from 'node:crypto';
import { createServer, type RequestListener, type Server, STATUS_CODES } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Server as TlsServer } from 'node:tls';
import { Problem, problemBody } from './problem.ts';
import type { Tls } from './tls.ts';

// The life of the HTTP server: it listens first, answers when the service is ready, and ends without cutting a request.

class PortInUse extends Error {
  constructor(port: number, options?: ErrorOptions) {
    super(`Port ${port} is in use. Stop what listens there (\`ss -ltnp | grep :${port}\`), or start with another PORT.`, options);
    this.name = 'PortInUse';
  }
}

/** Time limits for slow or silent clients; keep-alive outlasts nginx's 60 s, so that nginx never writes to a closed connection. */
const patience = {
  // an import may take hours: `readBody` minds every other body, and `send` what nobody reads
  requestTimeout: 0,
  headersTimeout: 10_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16_384,
};

/** With `tls` it serves HTTPS; with a `ca` in it, only to clients that show a certificate of that authority. */
export function createHttpServer(listener: RequestListener, tls?: Tls): Server {
  const server: Server = tls
    ? createTlsServer({ ...patience, ...tls, requestCert: tls.ca !== undefined, handshakeTimeout: 10_000 }, listener)
    : createServer(patience, listener);
  server.maxHeadersCount = 100;
  // An unknown expectation may be ignored (RFC 9110, 10.1.1). By default node responds 417 with a body that is not a problem.
  server.on('checkExpectation', (req, res) => server.emit('request', req, res));
  // whoever reads the body says that it may come: one that is refused is not even sent
  server.on('checkContinue', (req, res) => server.emit('request', req, res));
  server.on('clientError', refuseUnread);
  // before its handshake a socket takes no answer
  if (tls) server.on('tlsClientError', (_error, socket) => socket.destroy());
  const sockets = new Set<Socket>();
  connected.set(server, sockets);
  server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return server;
}

const connected = new WeakMap<Server, Set<Socket>>();

const unread: Record<string, Problem> = {
  HPE_HEADER_OVERFLOW: new Problem('headers-too-large', 'The headers have more bytes than are taken.'),
  ERR_HTTP_REQUEST_TIMEOUT: new Problem('timeout', 'The request did not arrive in time.'),
};
const malformed = new Problem('malformed-request', 'The request is not HTTP.');

/** What node cannot read as a request gets a problem document too, and the connection ends. */
function refuseUnread(error: NodeJS.ErrnoException, socket: Duplex): void {
  const answering = (socket as { _httpMessage?: { headersSent: boolean } | null })._httpMessage?.headersSent;
  if (!socket.writable || answering || error.code === 'ECONNRESET') return void socket.destroy();
  const problem = unread[error.code ?? ''] ?? malformed;
  const requestId = randomUUID();
  const body = JSON.stringify(problemBody(problem, requestId));
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nContent-Type: application/problem+json\r\nX-Request-Id: ${requestId}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

export function replaceListener(server: Server, listener: RequestListener): void {
  server.removeAllListeners('request');
  server.on('request', listener);
}

export function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? new PortInUse(port, { cause: error }) : error),
    );
    server.listen(port, host, () => resolve());
  });
}

export function urlOf(server: Server): string {
  const { port } = server.address() as AddressInfo;
  return `${server instanceof TlsServer ? 'https' : 'http'}://127.0.0.1:${port}`;
}

/** What is sent with a connection has arrived by then. */
const SILENT_MS = 1000;

/** Node takes a connection that never said anything, such as the spare one of a browser, for a busy one. */
function dropSilent(server: Server): void {
  for (const socket of connected.get(server) ?? []) if (socket.bytesRead === 0) socket.destroy();
}

/**
 * For `delayMs` every answer asks its client to close the connection, so that closing it later meets no request on its way; then
 * no new connections are taken, running requests finish, and what is left when the time is up is cut.
 */
export async function drain(server: Server, delayMs: number, timeoutMs: number): Promise<void> {
  server.prependListener('request', (_req, res) => res.setHeader('Connection', 'close'));
  await sleep(delayMs);
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const sweep = setInterval(() => server.closeIdleConnections(), 100);
  const silent = setTimeout(() => dropSilent(server), SILENT_MS);
  const cut = setTimeout(() => server.closeAllConnections(), timeoutMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(silent);
  clearTimeout(cut);
}
