import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { type Address, admittedAddress, type Resolve } from './address.ts';

/** What an attempt came to: an answer, or why there was none. */
export interface Attempt {
  status_code: number | null;
  error: string | null;
  duration_ms: number;
}

export interface SendSettings {
  allowPrivate: boolean;
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
  { allowPrivate, timeoutMs, resolve }: SendSettings,
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
    const address = await orAborted(admittedAddress(new URL(url).hostname, allowPrivate, resolve), signal);
    const status = await exchange(url, headers, body, address, signal);
    return done(status, status >= 200 && status < 300 ? null : `answered ${status}`);
  } catch (error) {
    return done(null, timeout.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error));
  }
}

const reasonOf = (error: unknown): string => {
  const { code, message } = error as { code?: string; message?: string };
  return (code === undefined || message?.includes(code) ? String(message) : `${message} (${code})`).slice(0, 200);
};

/** A name server that does not answer is not waited for. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function exchange(url: string, headers: Record<string, string>, body: string, to: Address, signal: AbortSignal): Promise<number> {
  const lookup: LookupFunction = (_hostname, options, callback) => {
    if (options.all) callback(null, [to]);
    else callback(null, to.address, to.family);
  };
  const send = url.startsWith('https:') ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    // a connection of its own: a kept one would have been made to the address of another time
    const sent: ClientRequest = send(url, { method: 'POST', headers, lookup, agent: false, signal }, (answer) =>
      drop(answer, () => {
        resolve(answer.statusCode ?? 0);
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
