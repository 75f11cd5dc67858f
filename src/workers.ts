import { extname, join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { bufferOf } from './artifacts/index.ts';
import type { Caller } from './auth/index.ts';
import type { Config } from './config.ts';
import { contextSettings } from './context_settings.ts';
import { poolSettings } from './db/pool.ts';
import { remoteSettings } from './embeddings/index.ts';
import type { Gate, WorkerRead } from './http/gate.ts';
import type { JsonLimits } from './http/json.ts';
import { type WorkerKeys, workerKeysOf } from './keys.ts';
import type { SkippedRow } from './readable.ts';
import type { HeavyRead, ReadAnswer, ReadConfig, WrittenReply } from './reads.ts';
import type { Secrets } from './secrets/index.ts';
import { openWorkers, unwrapOutcome, type Workers } from './work/index.ts';

const ENTRY = join(import.meta.dirname, `worker${extname(import.meta.filename)}`);

export interface WorkerData {
  keys: WorkerKeys;
  config: ReadConfig;
}

/** The settings that a worker needs. Their only secrets are the database's and the keys for encryption and hashing. */
export const workerDataOf = (config: Config): WorkerData => ({
  keys: workerKeysOf(config),
  config: Object.fromEntries(
    [...poolSettings, ...Object.keys(contextSettings), 'LOG_LEVEL', ...remoteSettings].map((name) => [
      name,
      config[name as keyof Config],
    ]),
  ) as unknown as ReadConfig,
});

/** Starts threads of worker.js in this directory, or of worker.ts if this file runs from source. */
export const workersOf = (config: Config, entry = ENTRY): Workers =>
  openWorkers({
    entry,
    data: workerDataOf(config),
    size: config.WORKERS,
    maxQueued: config.WORKERS_QUEUE,
  });

/** Returns a function that parses, screens and hashes large JSON bodies in worker threads. */
export const parseInWorkerWith =
  (workers: Workers, secrets: Secrets, json: JsonLimits): Gate<Caller>['parseInWorker'] =>
  async ({ tenant }, bytes, how, signal) => {
    const input = { ...how, bytes, json, source: (await secrets.of(tenant)).source };
    return workers.run({ tenant: tenant.id, task: 'parse', input, transfer: [bytes.buffer as ArrayBuffer], signal });
  };

const JSON_TYPE = { 'Content-Type': 'application/json; charset=utf-8' };

type Reader = NonNullable<Gate<Caller>['readInWorker']>;

/** Reads that take less time run on the event loop, without waiting for a worker. */
const SHORT_MS = 40;
/** A short read that takes this long on the event loop, including all concurrent work, counts as heavy again. */
const LONG_MS = 200;
/** Number of remembered classifications, by tenant, principal and operation. Each is a string and a boolean. */
const MAX_KNOWN = 10_000;
/** A classification that was not used for this long is dropped, because the tenant may have grown. */
const KNOWN_FOR_MS = 600_000;

/**
 * Returns a function that runs heavy reads in worker threads. A read that may also run on the event loop (`runInline`) does so once it has
 * been measured to be short. If it has not been measured and others already wait for a worker, it runs on the event loop too: otherwise the queue
 * would overflow in a burst right after a start.
 */
export function readerOf(workers: Workers, onSkipped: (tenant: string, row: SkippedRow) => void): Reader {
  const short = new LRUCache<string, boolean>({ max: MAX_KNOWN, ttl: KNOWN_FOR_MS, updateAgeOnGet: true });

  async function runInlineTimed(kind: string, runInline: NonNullable<WorkerRead<Caller>['runInline']>) {
    const began = performance.now();
    try {
      return await runInline();
    } finally {
      short.set(kind, performance.now() - began < LONG_MS);
    }
  }

  /** Ignores times between the two bounds: the first read of a thread also opens its connection. */
  function learn(kind: string, took_ms: number): void {
    if (took_ms < SHORT_MS) short.set(kind, true);
    else if (took_ms > LONG_MS) short.set(kind, false);
  }

  return async ({ operation, caller: { principal, tenant }, input, signal, runInline }) => {
    const kind = `${tenant.id} ${principal.id} ${operation}`;
    if (runInline && (short.get(kind) ?? workers.figures().waiting > 0)) return runInlineTimed(kind, runInline);
    const read: HeavyRead = { operation, principal, input };
    const answer = await workers.run<ReadAnswer>({ tenant: tenant.id, task: 'read', input: read, signal, cancellable: true });
    for (const row of answer.skipped) onSkipped(tenant.id, row);
    if (runInline) learn(kind, answer.took_ms);
    const reply = unwrapOutcome(answer.result) as WrittenReply;
    return { ...reply, headers: { ...JSON_TYPE, ...reply.headers }, body: bufferOf(reply.body) };
  };
}
