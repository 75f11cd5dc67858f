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

// Causes one fault under load, and checks what must hold for any fault: no acknowledged write is lost, the log contains each event once and has no
// gap in seq, failed requests get 503 with Retry-After and never 500, the process survives, and soon after the fault all requests succeed.

export interface Survived {
  requests: SentRequest[];
  outcomes: Record<string, number>;
  recovery_ms: number;
}

interface FaultOptions {
  url: string;
  /** Addresses for the requests, used round-robin; by default only `url`. */
  urls?: string[];
  rate?: number;
  writers?: number;
  /** Outcomes that are allowed in addition to 200, 201 and 503. */
  allowed?: string[];
  /** Whether some request must fail (otherwise the fault had no effect), may fail, or none may fail. */
  noticed?: 'must' | 'may' | 'never';
  /** Whether to open a connection per request. A kept connection is closed when nginx reloads, possibly while a request is on its way. */
  fresh?: boolean;
}

const BEFORE_MS = 1000;
const PROBE_MS = 250;

/** Runs `fault`, which resolves when the fault has ended, under load. */
export async function survive(name: string, options: FaultOptions, fault: () => Promise<void>): Promise<Survived> {
  const { url, urls = [url], rate = 60, writers: count = 12, allowed = [], noticed = 'must', fresh = false } = options;
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

/** Polls /health/live, which checks only the process: if it failed because of another component, an orchestrator would restart the daemon. */
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
