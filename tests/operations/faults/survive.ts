import { setTimeout as sleep } from 'node:timers/promises';
import { newTenant } from '../../support/client.ts';
import { printFigures, RECOVERY_MS, rounds } from '../../support/fault-mode.ts';
import {
  countDetails,
  countOutcomes,
  expectCompleteLog,
  isGood,
  recoveryOf,
  type SentRequest,
  startWriters,
  waitUntilSettled,
} from '../../support/writers.ts';

// One fault under load, and what must hold whatever the fault is: nothing acknowledged is lost, everything in the log stands there once,
// seq has no gap; who is not served is told so (503 with Retry-After) and never reads 500; the process lives; soon after the end of the
// cause all is well.

export interface Survived {
  requests: SentRequest[];
  outcomes: Record<string, number>;
  recovery_ms: number;
}

interface Wish {
  url: string;
  /** Where requests go in turn, by default to `url`. */
  urls?: string[];
  rate?: number;
  writers?: number;
  /** Outcomes beside 200, 201 and 503. */
  allowed?: string[];
  /** Whether some request must fail (or the fault was none), may, or none may. */
  noticed?: 'must' | 'may' | 'never';
  /** A connection for each request: one that is kept is closed whenever nginx is reloaded, and a request may be on its way. */
  fresh?: boolean;
}

const BEFORE_MS = 1000;
const PROBE_MS = 250;

/** `fault` returns when its cause has ended. */
export async function survive(name: string, wish: Wish, fault: () => Promise<void>): Promise<Survived> {
  const { url, urls = [url], rate = 60, writers: count = 12, allowed = [], noticed = 'must', fresh = false } = wish;
  const { token } = await newTenant(url);
  const writers = startWriters({ url: (turn) => urls[turn % urls.length]!, token, rate, writers: count, fresh });
  const probe = watchLiveness(url);
  let recovery_ms = 0;
  try {
    for (let round = 0; round < rounds; round += 1) {
      await sleep(BEFORE_MS);
      await fault();
      const end = performance.now();
      await waitUntilSettled(writers);
      recovery_ms = Math.max(recovery_ms, recoveryOf(writers.requests, end));
    }
  } finally {
    await writers.stop();
    await probe.stop();
  }
  const outcomes = countOutcomes(writers.requests);
  const slowest_ms = Math.max(...writers.requests.map(({ from, to }) => to - from));
  printFigures(name, { outcomes, recovery_ms, slowest_ms, said: countDetails(writers.requests) });
  expect(writers.violations).toEqual([]);
  expect(Object.keys(outcomes).filter((one) => !['200', '201', '503', ...allowed].includes(one))).toEqual([]);
  if (noticed !== 'may') expect(writers.requests.every(isGood)).toBe(noticed === 'never');
  expect(probe.failures()).toEqual([]);
  expect(await expectCompleteLog(url, token, writers)).toBeGreaterThanOrEqual(writers.acknowledged.size);
  expect(recovery_ms).toBeLessThan(RECOVERY_MS);
  return { requests: writers.requests, outcomes, recovery_ms };
}

/** /health/live asks nobody but the process: it is 200 all the time, or the daemon would be restarted for a fault of something else. */
function watchLiveness(url: string) {
  const failures: string[] = [];
  let done = false;
  const loop = async () => {
    while (!done) {
      const answer = await fetch(`${url}/health/live`, {
        headers: { connection: 'close' },
        signal: AbortSignal.timeout(10_000),
      }).catch((error: Error) => error);
      if (!(answer instanceof Response)) failures.push(String(answer.cause ?? answer));
      else if (!answer.ok) failures.push(String(answer.status));
      await sleep(PROBE_MS);
    }
  };
  const running = loop();
  return {
    failures: () => failures,
    stop: async () => {
      done = true;
      await running;
    },
  };
}
