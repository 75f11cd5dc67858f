import { setTimeout as sleep } from 'node:timers/promises';
import { message } from './client.ts';
import { assertConforms } from './contract.ts';

// Load at a pace, with a book of what was acknowledged. A writer sends its event under one key until it is answered 2xx; now and
// then it reads. So what is in flight is bounded by the number of writers, whatever the service does.

export interface Asked {
  kind: 'write' | 'read';
  from: number;
  to: number;
  /** A status, or the code of what happened to the connection. */
  outcome: string;
  /** What a refusal says of itself. */
  detail?: string;
}

export interface Writers {
  /** text → seq, written down only after a 2xx. */
  acknowledged: Map<string, number>;
  asked: Asked[];
  /** Answers that the document does not allow. */
  unlawful: string[];
  /** After its last answer; what is not acknowledged then may stand in the log, or not. */
  stop(): Promise<void>;
}

interface Pace {
  /** Asked for each request, so that the addresses may change. */
  url(turn: number): string;
  token: string;
  /** Requests a second, by all writers together. */
  rate: number;
  writers?: number;
  /** A connection for each request. */
  fresh?: boolean;
}

const ANSWER_MS = 15_000;
/** Every so many requests of a writer, one reads. */
const READ_EVERY = 5;

export function startWriters({ url, token, rate, writers = 20, fresh = false }: Pace): Writers {
  const acknowledged = new Map<string, number>();
  const asked: Asked[] = [];
  const unlawful: string[] = [];
  const every = (1000 * writers) / rate;
  let done = false;
  let turn = 0;

  async function ask(kind: Asked['kind'], method: string, path: string, body?: unknown, key?: string) {
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
    asked.push({ kind, from, to: performance.now(), outcome, ...(detail && { detail }) });
    return { outcome, answer };
  }

  async function read(method: string, path: string, response: Response): Promise<unknown> {
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    const body = /[/+]json/.test(type) ? JSON.parse(text) : text;
    try {
      assertConforms(method, path, response.status, response.headers, body);
    } catch (error) {
      unlawful.push((error as Error).message);
    }
    return body;
  }

  async function writer(w: number): Promise<void> {
    await sleep((every * w) / writers);
    let n = 0;
    for (let i = 1; !done; i += 1) {
      const began = performance.now();
      if (i % READ_EVERY === 0) await ask('read', 'GET', `/v1/events?limit=5&order=desc`);
      else {
        const text = `writer ${w} event ${n}`;
        const { outcome, answer } = await ask('write', 'POST', '/v1/events', message(text), text);
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
    asked,
    unlawful,
    stop: async () => {
      done = true;
      await Promise.all(running);
    },
  };
}

export const isGood = ({ outcome }: Asked): boolean => outcome === '200' || outcome === '201';

/** How often each outcome was had. */
export function countOutcomes(asked: Asked[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of asked) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

/** How often each refusal was given. */
export function countDetails(asked: Asked[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { detail } of asked) if (detail) counts[detail] = (counts[detail] ?? 0) + 1;
  return counts;
}

/** ms from `end` until the last failure of what was asked after it, and until the first success; Infinity without one. */
export function recoveryOf(asked: Asked[], end: number): number {
  const after = asked.filter(({ from }) => from >= end);
  const first = Math.min(...after.filter(isGood).map(({ to }) => to));
  const last = Math.max(...after.filter((one) => !isGood(one)).map(({ to }) => to));
  return Math.max(0, first - end, last - end);
}

/** Waits until so many requests in a row have gone through. */
export async function settled({ asked }: Writers, wanted = 50, within_ms = 60_000): Promise<void> {
  const begun = asked.length;
  const until = performance.now() + within_ms;
  const isSettled = () => asked.length >= begun + wanted && asked.slice(-wanted).every(isGood);
  while (!isSettled()) {
    if (performance.now() > until) throw new Error(`not settled: ${JSON.stringify(countOutcomes(asked.slice(-wanted)))}`);
    await sleep(100);
  }
}

/** What was acknowledged stands in the log where it was said to stand, everything in it once, and seq has no gap. */
export async function expectWhole(url: string, token: string, { acknowledged }: Writers): Promise<number> {
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
