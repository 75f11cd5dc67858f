import { setTimeout as sleep } from 'node:timers/promises';
import { message } from './client.ts';
import { assertConforms } from './contract.ts';

// Load at a given rate, with a record of all acknowledged writes. A writer repeats its event with the same idempotency key until it gets a 2xx, and
// sometimes reads. So the number of requests in flight never exceeds the number of writers.

export interface SentRequest {
  kind: 'write' | 'read';
  from: number;
  to: number;
  /** The status, or the error code of the connection. */
  outcome: string;
  /** The detail of the problem. */
  detail?: string;
}

export interface Writers {
  /** The seq of each acknowledged text. */
  acknowledged: Map<string, number>;
  requests: SentRequest[];
  /** Responses that violate the OpenAPI document. */
  violations: string[];
  /** Stops after the last response. Unacknowledged events may or may not be in the log. */
  stop(): Promise<void>;
}

interface LoadOptions {
  /** Returns the address for a request. Called for each, so that addresses may change. */
  url(turn: number): string;
  token: string;
  /** Requests per second of all writers together. */
  rate: number;
  writers?: number;
  /** Whether to open a connection per request. */
  fresh?: boolean;
}

const ANSWER_MS = 15_000;
/** Every n-th request of a writer is a read. */
const READ_EVERY = 5;

export function startWriters({ url, token, rate, writers = 20, fresh = false }: LoadOptions): Writers {
  const acknowledged = new Map<string, number>();
  const requests: SentRequest[] = [];
  const violations: string[] = [];
  const every = (1000 * writers) / rate;
  let done = false;
  let turn = 0;

  async function request(kind: SentRequest['kind'], method: string, path: string, body?: unknown, key?: string) {
    const from = performance.now();
    const { outcome, answer } = await fetch(url(turn++) + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key && { 'idempotency-key': key }),
        ...(fresh && { connection: 'close' }),
      },
      signal: AbortSignal.timeout(ANSWER_MS),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
      .then(async (response) => ({ outcome: String(response.status), answer: await read(method, path, response) }))
      .catch((error: Error & { cause?: { code?: string } }) => ({ outcome: error.cause?.code ?? error.name, answer: undefined }));
    const { detail } = (answer ?? {}) as { detail?: string };
    requests.push({ kind, from, to: performance.now(), outcome, ...(detail && { detail }) });
    return { outcome, answer };
  }

  async function read(method: string, path: string, response: Response): Promise<unknown> {
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    const body = /[/+]json/.test(type) ? JSON.parse(text) : text;
    try {
      assertConforms(method, path, response.status, response.headers, body);
    } catch (error) {
      violations.push((error as Error).message);
    }
    return body;
  }

  async function writer(w: number): Promise<void> {
    await sleep((every * w) / writers);
    let n = 0;
    for (let i = 1; !done; i += 1) {
      const began = performance.now();
      if (i % READ_EVERY === 0) await request('read', 'GET', `/v1/events?limit=5&order=desc`);
      else {
        const text = `writer ${w} event ${n}`;
        const { outcome, answer } = await request('write', 'POST', '/v1/events', message(text), text);
        if (outcome === '201') {
          acknowledged.set(text, (answer as { seq: number }).seq);
          n += 1;
        }
      }
      await sleep(Math.max(1, every - (performance.now() - began)));
    }
  }

  const running = Array.from({ length: writers }, (_, w) => writer(w));
  return {
    acknowledged,
    requests,
    violations,
    stop: async () => {
      done = true;
      await Promise.all(running);
    },
  };
}

export const isGood = ({ outcome }: SentRequest): boolean => outcome === '200' || outcome === '201';

/** Counts the requests by outcome. */
export function countOutcomes(requests: SentRequest[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of requests) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

/** Counts the problems by detail. */
export function countDetails(requests: SentRequest[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { detail } of requests) if (detail) counts[detail] = (counts[detail] ?? 0) + 1;
  return counts;
}

/** Returns the time in ms from `end` until both the first success and the last failure of later requests; Infinity without a success. */
export function recoveryOf(requests: SentRequest[], end: number): number {
  const after = requests.filter(({ from }) => from >= end);
  const first = Math.min(...after.filter(isGood).map(({ to }) => to));
  const last = Math.max(...after.filter((one) => !isGood(one)).map(({ to }) => to));
  return Math.max(0, first - end, last - end);
}

/** Waits until `wanted` consecutive requests have succeeded. */
export async function waitUntilSettled({ requests }: Writers, wanted = 50, within_ms = 60_000): Promise<void> {
  const begun = requests.length;
  const until = performance.now() + within_ms;
  const isSettled = () => requests.length >= begun + wanted && requests.slice(-wanted).every(isGood);
  while (!isSettled()) {
    if (performance.now() > until) throw new Error(`not settled: ${JSON.stringify(countOutcomes(requests.slice(-wanted)))}`);
    await sleep(100);
  }
}

/** Checks that the log has every acknowledged event at its seq, contains no event twice, and has no gap. Returns the number of events. */
export async function expectCompleteLog(url: string, token: string, { acknowledged }: Writers): Promise<number> {
  const stored: { seq: number; text: string }[] = [];
  for (let after = 0; ; ) {
    const response = await fetch(`${url}/v1/events?after=${after}&limit=1000`, { headers: { authorization: `Bearer ${token}` } });
    expect(response.status).toBe(200);
    const { data } = (await response.json()) as { data: { seq: number; content: { text: string } }[] };
    if (data.length === 0) break;
    stored.push(...data.map(({ seq, content }) => ({ seq, text: content.text })));
    after = data.at(-1)!.seq;
  }
  expect(stored.map(({ seq }) => seq)).toEqual(stored.map((_, i) => i + 1));
  expect(new Set(stored.map(({ text }) => text)).size).toBe(stored.length);
  const seqOf = new Map(stored.map(({ seq, text }) => [text, seq]));
  expect([...acknowledged].filter(([text, seq]) => seqOf.get(text) !== seq)).toEqual([]);
  return stored.length;
}
