import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { type Address, type Reach, type Resolve, resolveAllowed } from './address.ts';

/** What an attempt came to: an answer, or why there was none. */
export interface Attempt {
  status_code: number | null;
  error: string | null;
  duration_ms: number;
  /** Of a Retry-After in the answer, in ms from now. */
  retry_after_ms?: number;
}

export interface SendSettings {
  reach: Reach;
  timeoutMs: number;
  resolve: Resolve;
}

/** So much of an answer is read to be polite; nothing of it is kept. */
const MAX_ANSWER_BYTES = 65_536;

/** One POST: no redirect is followed, the answer's body is dropped. Never throws. */
export async function post(
  url: string,
  headers: Record<string, string>,
  body: string,
  { reach, timeoutMs, resolve }: SendSettings,
  stopping: AbortSignal,
): Promise<Attempt> {
  const begun = performance.now();
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([timeout, stopping]);
  const done = (status_code: number | null, error: string | null): Attempt => ({
    status_code,
    error,
    duration_ms: Math.round(performance.now() - begun),
  });
  try {
    const address = await orAborted(resolveAllowed(new URL(url).hostname, reach, resolve), signal);
    const { status, retry_after_ms } = await exchange(url, headers, body, address, signal);
    if (status >= 200 && status < 300) return done(status, null);
    return { ...done(status, `answered ${status}`), ...(retry_after_ms !== undefined && { retry_after_ms }) };
  } catch (error) {
    return done(null, timeout.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error));
  }
}

/** The text of a system error names the address that was tried: of these only the code is told. */
const reasonOf = (error: unknown): string => {
  const { code, message, syscall } = error as { code?: string; message?: string; syscall?: string };
  if (syscall !== undefined) return `the connection failed (${code})`;
  return (code === undefined || message?.includes(code) ? String(message) : `${message} (${code})`).slice(0, 200);
};

/** Date.parse alone would take `-5` for a year. */
const HTTP_DATE = /^\s*(?:Mon|Tues?|Wed|Wednes|Thu|Thurs|Fri|Sat|Satur|Sun)(?:day)?,? /;

/** Retry-After as RFC 9110, 10.2.3 has it: seconds or a date. Undefined where it is neither. */
export function retryAfterMs(header: string | undefined, now_ms = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000;
  const date_ms = HTTP_DATE.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(date_ms) ? undefined : Math.max(0, date_ms - now_ms);
}

/** A name server that does not answer is not waited for. */
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
    // a connection of its own: a kept one would have been made to the address of another time
    const sent: ClientRequest = send(url, { method: 'POST', headers, lookup, agent: false, signal }, (answer) =>
      drop(answer, () => {
        resolve({ status: answer.statusCode ?? 0, retry_after_ms: retryAfterMs(answer.headers['retry-after']) });
        sent.destroy();
      }),
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function drop(answer: IncomingMessage, done: () => void): void {
  let bytes = 0;
  answer.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes > MAX_ANSWER_BYTES) done();
  });
  answer.once('end', done).once('error', done).once('close', done);
}
