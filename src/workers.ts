import { extname, join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { bufferOf } from './artifacts/index.ts';
import type { Caller } from './auth/index.ts';
import type { Config } from './config.ts';
import { poolSettings } from './db/pool.ts';
import type { Gate, ReadApart } from './http/gate.ts';
import type { JsonLimits } from './http/json.ts';
import { type WorkerKeys, workerKeysOf } from './keys.ts';
import type { SkippedRow } from './readable.ts';
import type { HeavyRead, ReadAnswer, ReadConfig, WrittenReply } from './reads.ts';
import type { Secrets } from './secrets/index.ts';
import { contentOf, openWorkers, type Workers } from './work/index.ts';

const ENTRY = join(import.meta.dirname, `worker${extname(import.meta.filename)}`);

export interface WorkerData {
  keys: WorkerKeys;
  config: ReadConfig;
}

/** Of the secrets only what a worker needs: those of the database, and the keys to seal and to hash with. */
export const workerDataOf = (config: Config): WorkerData => ({
  keys: workerKeysOf(config),
  config: Object.fromEntries(
    [...poolSettings, 'TOKENIZER', 'LOG_LEVEL'].map((name) => [name, config[name as keyof Config]]),
  ) as unknown as ReadConfig,
});

/** Threads of worker.js beside this file, or of worker.ts where it runs from its source. */
export const workersOf = (config: Config, entry = ENTRY): Workers =>
  openWorkers({
    entry,
    data: workerDataOf(config),
    size: config.WORKERS,
    maxQueued: config.WORKERS_QUEUE,
  });

/** Has large JSON bodies parsed, screened and hashed by workers. */
export const understandWith =
  (workers: Workers, secrets: Secrets, json: JsonLimits): Gate<Caller>['understand'] =>
  async ({ tenant }, bytes, how, signal) => {
    const input = { ...how, bytes, json, source: (await secrets.of(tenant)).source };
    return workers.run({ tenant: tenant.id, task: 'understand', input, transfer: [bytes.buffer as ArrayBuffer], signal });
  };

const JSON_TYPE = { 'Content-Type': 'application/json; charset=utf-8' };

type Reader = NonNullable<Gate<Caller>['readApart']>;

/** A read that takes less need not wait for its tenant's turn at a worker. */
const SHORT_MS = 40;
/** One that was short and takes as long as this, beside whatever else the event loop does, is heavy again. */
const LONG_MS = 200;
/** Kinds of reads of principals of which it is known whether they are short: a name and a flag each. */
const MAX_KNOWN = 10_000;
/** Unasked for as long, a kind is looked at anew: the tenant has grown. */
const KNOWN_FOR_MS = 600_000;

/**
 * Has heavy reads answered by workers; those that may be short, until they were seen to be. One of an unknown kind runs in place where
 * others wait already, because a burst right after a start would be refused.
 */
export function readerOf(workers: Workers, told: (tenant: string, row: SkippedRow) => void): Reader {
  const short = new LRUCache<string, boolean>({ max: MAX_KNOWN, ttl: KNOWN_FOR_MS, updateAgeOnGet: true });

  async function inPlaceTimed(kind: string, inPlace: NonNullable<ReadApart<Caller>['inPlace']>) {
    const began = performance.now();
    try {
      return await inPlace();
    } finally {
      short.set(kind, performance.now() - began < LONG_MS);
    }
  }

  /** Between the two bounds it says nothing: the first read of a thread makes its connection. */
  function learn(kind: string, took_ms: number): void {
    if (took_ms < SHORT_MS) short.set(kind, true);
    else if (took_ms > LONG_MS) short.set(kind, false);
  }

  return async ({ operation, caller: { principal, tenant }, input, signal, inPlace }) => {
    const kind = `${tenant.id} ${principal.id} ${operation}`;
    if (inPlace && (short.get(kind) ?? workers.figures().waiting > 0)) return inPlaceTimed(kind, inPlace);
    const asked: HeavyRead = { operation, principal, input };
    const answer = await workers.run<ReadAnswer>({ tenant: tenant.id, task: 'read', input: asked, signal, heeds: true });
    for (const row of answer.skipped) told(tenant.id, row);
    if (inPlace) learn(kind, answer.took_ms);
    const reply = contentOf(answer.result) as WrittenReply;
    return { ...reply, headers: { ...JSON_TYPE, ...reply.headers }, body: bufferOf(reply.body) };
  };
}
