import { readFileSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Config } from '../config.ts';

// One POST of JSON to an endpoint of the operator. Redirects are not followed, because they would send the key and the texts elsewhere. The key is
// in no error, and so in no log.

/** The endpoint did not give a usable answer. */
export class EndpointError extends Error {
  /** True if it refused this input (400, 413, 422): the same input would be refused again, other inputs may not be. */
  readonly refused: boolean;
  /** True if this input may be the cause: it was refused, or the status is 5xx without Retry-After. */
  readonly suspect: boolean;
  /** The time that it asked to wait, with Retry-After. */
  readonly retry_after_ms: number | undefined;
  constructor(
    message: string,
    {
      refused = false,
      suspect = refused,
      retry_after_ms,
    }: { refused?: boolean; suspect?: boolean; retry_after_ms?: number } = {},
  ) {
    super(message);
    this.name = 'EndpointError';
    this.refused = refused;
    this.suspect = suspect;
    this.retry_after_ms = retry_after_ms;
  }
}

export interface Endpoint {
  /** Returns the parsed answer. Throws EndpointError, also if the answer has more than `maxBytes`. */
  post(body: object, maxBytes: number, timeout_ms: number, signal?: AbortSignal): Promise<unknown>;
  /** Closes idle connections. */
  close(): void;
}

/** Connections that are kept open between requests. */
const MAX_IDLE = 8;
const REFUSALS = [400, 413, 422];

type TlsConfig = Pick<Config, 'MODEL_TLS_VERIFY' | 'MODEL_CA_FILE'>;

/** Opens an endpoint. `path` is added to a URL that does not end in it; `root` replaces the path of a URL that has none. */
export function openEndpoint(base: string, [path, root]: [string, string], key: string | undefined, tls: TlsConfig): Endpoint {
  const url = urlOf(base, path, root);
  const ca = tls.MODEL_CA_FILE === undefined ? undefined : readFileSync(tls.MODEL_CA_FILE);
  const kept = { keepAlive: true, maxFreeSockets: MAX_IDLE };
  const isHttps = url.protocol === 'https:';
  const agent = isHttps ? new HttpsAgent({ ...kept, ca, rejectUnauthorized: tls.MODEL_TLS_VERIFY }) : new HttpAgent(kept);
  const headers = {
    'Content-Type': 'application/json',
    Accept: 'application/json',
    ...(key && { Authorization: `Bearer ${key}` }),
  };
  return {
    post: async (body, maxBytes, timeout_ms, signal) => {
      const timeout = AbortSignal.timeout(timeout_ms);
      const options = { method: 'POST', agent, headers, signal: signal ? AbortSignal.any([timeout, signal]) : timeout };
      try {
        return await exchange(isHttps ? httpsRequest : httpRequest, url, options, JSON.stringify(body), maxBytes);
      } catch (error) {
        if (error instanceof EndpointError) throw error;
        if (signal?.aborted) throw signal.reason;
        throw new EndpointError(timeout.aborted ? `no answer within ${timeout_ms} ms` : reasonOf(error));
      }
    },
    close: () => agent.destroy(),
  };
}

function urlOf(base: string, path: string, root: string): URL {
  const url = new URL(base);
  const given = url.pathname.replace(/\/+$/, '');
  if (given === '') url.pathname = root;
  else if (!given.endsWith(path)) url.pathname = given + path;
  return url;
}

function exchange(
  request: typeof httpRequest,
  url: URL,
  options: RequestOptions,
  body: string,
  maxBytes: number,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { ...options, headers: { ...options.headers, 'Content-Length': Buffer.byteLength(body) } });
    sent.once('error', reject);
    sent.once('response', (answer) => {
      const { statusCode: status = 0, headers } = answer;
      if (status < 200 || status >= 300) {
        reject(statusError(status, headers['retry-after']));
        // its body is of no use, and may be endless
        sent.destroy();
        return;
      }
      readAll(answer, maxBytes).then(
        (bytes) => resolve(parse(bytes)),
        (error) => {
          reject(error);
          sent.destroy();
        },
      );
    });
    sent.end(body);
  }).then((value) => {
    if (value === undefined) throw new EndpointError('the answer is not JSON');
    return value;
  });
}

async function readAll(answer: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > maxBytes) throw new EndpointError(`the answer has more than ${maxBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** Returns undefined if the bytes are not JSON. */
function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function statusError(status: number, retryAfter: string | undefined): EndpointError {
  const redirect = status >= 300 && status < 400 ? ' (redirects are not followed)' : '';
  const retry_after_ms = retryAfterMs(retryAfter);
  const refused = REFUSALS.includes(status);
  return new EndpointError(`answered ${status}${redirect}`, {
    refused,
    suspect: refused || (status >= 500 && retry_after_ms === undefined),
    ...(retry_after_ms !== undefined && { retry_after_ms }),
  });
}

/** Parses Retry-After (RFC 9110, section 10.2.3): seconds or a date. Returns undefined if it is neither. */
function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000;
  const at = /[a-z]{3}/i.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

/** Names the cause of a failed connection without its address. */
function reasonOf(error: unknown): string {
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  return syscall === undefined ? `the connection failed (${code ?? message})` : `the connection failed (${code})`;
}
