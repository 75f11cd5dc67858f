import { randomUUID } from 'node:crypto';
import { createServer, type RequestListener, type Server, STATUS_CODES } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Server as TlsServer } from 'node:tls';
import { Problem, problemBody } from './problem.ts';
import type { Tls } from './tls.ts';

// The lifecycle of the HTTP server: it listens at once, answers when the service is ready, and drains before it closes.

/** A port to listen on, with the settings that the operator corrects if that fails. */
export interface Port {
  port: number;
  host: string;
  setting: 'PORT' | 'ADMIN_PORT';
}

class PortUnavailable extends Error {
  constructor({ port, host, setting }: Port, cause: NodeJS.ErrnoException) {
    super(
      cause.code === 'EADDRINUSE'
        ? `Port ${port} is in use. Stop the process that listens on it (\`ss -ltnp | grep :${port}\`), or set another ${setting}.`
        : `The daemon cannot listen on port ${port} of ${host} (${cause.code}). Correct ${setting} or ${setting === 'PORT' ? 'HOST' : 'ADMIN_HOST'}.`,
      { cause },
    );
    this.name = 'PortUnavailable';
  }
}

/** Timeouts for slow or silent clients. Keep-alive is longer than nginx's 60 s, so that nginx never writes to a closed connection. */
const timeouts = {
  // None, because an import may take hours: `readBody` limits other bodies, and `send` detects clients that stop reading.
  requestTimeout: 0,
  headersTimeout: 10_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16_384,
};

/** Creates the server: HTTPS with `tls`, and with `tls.ca` only for clients that present a certificate of that authority. */
export function createHttpServer(listener: RequestListener, tls?: Tls): Server {
  const server: Server = tls
    ? createTlsServer({ ...timeouts, ...tls, requestCert: tls.ca !== undefined, handshakeTimeout: 10_000 }, listener)
    : createServer(timeouts, listener);
  server.maxHeadersCount = 100;
  // RFC 9110, section 10.1.1 allows a server to ignore an unknown expectation; node would answer 417 without a problem document.
  server.on('checkExpectation', (req, res) => server.emit('request', req, res));
  // The reader of the body sends 100 Continue, so that a client does not send a body that is rejected.
  server.on('checkContinue', (req, res) => server.emit('request', req, res));
  server.on('clientError', answerUnparsable);
  // before the handshake no answer can be sent
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

const parserProblems: Record<string, Problem> = {
  HPE_HEADER_OVERFLOW: new Problem('headers-too-large', 'The headers are larger than 16 KiB.'),
  ERR_HTTP_REQUEST_TIMEOUT: new Problem('timeout', 'The request did not arrive in time.'),
};
const malformed = new Problem('malformed-request', 'The request is not valid HTTP.');

/** Answers a request that node cannot parse with a problem document, and closes the connection. */
function answerUnparsable(error: NodeJS.ErrnoException, socket: Duplex): void {
  const answering = (socket as { _httpMessage?: { headersSent: boolean } | null })._httpMessage?.headersSent;
  if (!socket.writable || answering || error.code === 'ECONNRESET') return void socket.destroy();
  const problem = parserProblems[error.code ?? ''] ?? malformed;
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

/** Resolves when the server accepts connections. Rejects with a message for the operator. */
export function listen(server: Server, at: Port): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new PortUnavailable(at, error)));
    server.listen(at.port, at.host, () => resolve());
  });
}

export function urlOf(server: Server): string {
  const { port } = server.address() as AddressInfo;
  return `${server instanceof TlsServer ? 'https' : 'http'}://127.0.0.1:${port}`;
}

/** Time for data sent right after connecting to arrive, in ms. */
const SILENT_MS = 1000;

/** Closes connections that never sent a byte, such as a browser's spare connection; node counts them as busy. */
function dropSilent(server: Server): void {
  for (const socket of connected.get(server) ?? []) if (socket.bytesRead === 0) socket.destroy();
}

/**
 * Closes the server. For `delayMs` every answer carries `Connection: close`, so that few requests race with the closing of their
 * connection. Then no new connections are accepted, running requests finish, and after `timeoutMs` the remaining connections are destroyed.
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
