import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { MandateServiceError } from './errors.ts';

// Requests to the service. A write has an Idempotency-Key for all its attempts, so that a repeated request takes effect once.

export interface Answer {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

interface Attempt {
  answer?: Answer;
  error?: unknown;
}

export interface Transport {
  /** Sends a request until it is answered. Throws MandateServiceError if no attempt is. */
  send(method: 'GET' | 'POST', path: string, body: object | undefined, signal: AbortSignal): Promise<Answer>;
  /** Opens a stream of events. The caller reads or aborts it. */
  open(path: string, signal: AbortSignal): Promise<Response>;
}

interface Settings {
  url: string;
  apiKey: string;
  commandTimeout: number;
  maxRetries: number;
}

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5_000;
const MAX_RETRY_AFTER_MS = 30_000;

/** Returns the delay before an attempt: exponential, with half of it random, so that many processes do not return at once. */
export const delayBefore = (attempt: number): number =>
  Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt - 1, 10)) * (0.5 + Math.random() / 2);

export function createTransport({ url, apiKey, commandTimeout, maxRetries }: Settings): Transport {
  const base = url.replace(/\/+$/, '');
  const headers = { 'x-api-key': apiKey };
  const attempt = (method: string, path: string, body: object | undefined, key: string, signal: AbortSignal): Promise<Attempt> =>
    withDeadline(signal, commandTimeout, (deadline) =>
      fetch(base + path, {
        method,
        headers: { ...headers, ...(body && { 'content-type': 'application/json', 'idempotency-key': key }) },
        ...(body && { body: JSON.stringify(body) }),
        // a redirect could carry the key to another host
        redirect: 'error',
        signal: deadline,
      }).then(answerOf),
    ).then(
      (answer) => ({ answer }),
      (error: unknown) => ({ error }),
    );
  return {
    send: async (method, path, body, signal) => {
      const key = randomUUID();
      for (let tries = 1; ; tries += 1) {
        const { answer, error } = await attempt(method, path, body, key, signal);
        signal.throwIfAborted();
        if (answer && !isTemporary(answer)) return answer;
        if (tries > maxRetries)
          throw answer ? problemOf(answer) : new MandateServiceError(`the service at ${base} does not answer`, undefined, error);
        await sleep(retryDelay(answer, tries), undefined, { signal });
      }
    },
    open: (path, signal) =>
      fetch(base + path, { headers: { ...headers, accept: 'text/event-stream' }, redirect: 'error', signal }),
  };
}

/**
 * Calls `work` with a signal that is aborted after this time, or with the other signal. Not AbortSignal.any, which keeps 60 bytes of each call
 * while the other signal exists (Node 20).
 */
async function withDeadline<T>(signal: AbortSignal, ms: number, work: (deadline: AbortSignal) => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  const timer = setTimeout(() => controller.abort(new Error(`no answer within ${ms} ms`)), ms);
  signal.addEventListener('abort', abort);
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

/** Returns the answer with its JSON; without, if a proxy answered in another form. */
export async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '');
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : {} };
}

/** A refusal by the rate limit of a mandate has a code; the limits of the service have none. */
const isTemporary = ({ status, body }: Answer): boolean =>
  [502, 503, 504].includes(status) || (status === 429 && body.code === undefined);

function retryDelay(answer: Answer | undefined, tries: number): number {
  const seconds = Number(answer?.headers.get('retry-after') ?? 0);
  return Math.max(Math.min(MAX_RETRY_AFTER_MS, seconds * 1_000 || 0), delayBefore(tries));
}

/** Returns whether the service rejected the request, so that a repetition would not succeed. */
export const isFinal = (error: unknown): boolean =>
  error instanceof MandateServiceError && error.status !== undefined && error.status < 500 && error.status !== 429;

/** Returns the error for an answer that is a problem. */
export const problemOf = ({ status, body }: Answer): MandateServiceError =>
  new MandateServiceError(`${status} ${String(body.title ?? '')}: ${String(body.detail ?? '')}`, status);
