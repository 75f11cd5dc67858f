import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { type Address, type Reach, type Resolve, resolveAllowed } from './address.ts';

/** The result of an attempt: a response, or the reason why there was none. */
export interface Attempt {
  status_code: number | null;
  error: string | null;
  duration_ms: number;
  /** Milliseconds until the time that the response requested with Retry-After. */
  retry_after_ms?: number;
}

export interface SendSettings {
  reach: Reach;
  timeoutMs: number;
  resolve: Resolve;
}

/** Bytes of a response that are read and discarded before the connection is closed. */
const MAX_ANSWER_BYTES = 65_536;

/** Sends one POST. Follows no redirects and discards the response body. Never throws. */
export async function post(
  url: string,
  headers: Record<string, string>,
  body: string,
  { reach, timeoutMs, resolve }: SendSettings,
  stopping: AbortSignal,
): Promise<Attempt> {
  const started = performance.now();
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([timeout, stopping]);
  const resultOf = (status_code: number | null, error: string | null): Attempt => ({
    status_code,
    error,
    duration_ms: Math.round(performance.now() - started),
  });
  try {
    const address = await orAborted(resolveAllowed(new URL(url).hostname, reach, resolve), signal);
    const { status, retry_after_ms } = await exchange(url, headers, body, address, signal);
    if (status >= 200 && status < 300) return resultOf(status, null);
    return { ...resultOf(status, `answered ${status}`), ...(retry_after_ms !== undefined && { retry_after_ms }) };
  } catch (error) {
    return resultOf(null, timeout.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error));
  }
}

/** Returns the error message. For a system error, whose message contains the resolved address, only the code. */
const reasonOf = (error: unknown): string => {
  const { code, message, syscall } = error as { code?: string; message?: string; syscall?: string };
  if (syscall !== undefined) return `the connection failed (${code})`;
  return (code === undefined || message?.includes(code) ? String(message) : `${message} (${code})`).slice(0, 200);
};

/** Needed because Date.parse accepts `-5` as a year. */
const HTTP_DATE = /^\s*(?:Mon|Tues?|Wed|Wednes|Thu|Thurs|Fri|Sat|Satur|Sun)(?:day)?,? /;

/** Parses Retry-After (RFC 9110, section 10.2.3), which is in seconds or a date. Returns undefined if it is neither. */
export function retryAfterMs(header: string | undefined, now_ms = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000;
  const date_ms = HTTP_DATE.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(date_ms) ? undefined : Math.max(0, date_ms - now_ms);
}

/** Rejects when the signal aborts, so that an unresponsive name server is not waited for. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

interface Answered {
  status: number;
  retry_after_ms: number | undefined;
}

function exchange(
  url: string,
  headers: Record<string, string>,
  body: string,
  to: Address,
  signal: AbortSignal,
): Promise<Answered> {
  const lookup: LookupFunction = (_hostname, options, callback) => {
    if (options.all) callback(null, [to]);
    else callback(null, to.address, to.family);
  };
  const send = url.startsWith('https:') ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    // a new connection each time: a reused one could lead to an address that was resolved earlier
    const request: ClientRequest = send(url, { method: 'POST', headers, lookup, agent: false, signal }, (answer) =>
      discard(answer, () => {
        resolve({ status: answer.statusCode ?? 0, retry_after_ms: retryAfterMs(answer.headers['retry-after']) });
        request.destroy();
      }),
    );
    request.on('error', reject);
    request.end(body);
  });
}

function discard(answer: IncomingMessage, done: () => void): void {
  let bytes = 0;
  answer.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes > MAX_ANSWER_BYTES) done();
  });
  answer.once('end', done).once('error', done).once('close', done);
}
