import { extname, join } from 'node:path';
import { bufferOf } from './artifacts/index.ts';
import type { Caller } from './auth/index.ts';
import type { Config } from './config.ts';
import type { JsonLimits } from './http/json.ts';
import type { Gate } from './http/serve.ts';
import { type WorkerKeys, workerKeysOf } from './keys.ts';
import type { SkippedRow } from './readable.ts';
import type { HeavyRead, ReadAnswer } from './reads.ts';
import type { Secrets } from './secrets/index.ts';
import { openWorkers, type Workers } from './work/index.ts';

const ENTRY = join(import.meta.dirname, `worker${extname(import.meta.filename)}`);

export interface WorkerData {
  keys: WorkerKeys;
  config: Config;
}

export const workerDataOf = (config: Config): WorkerData => ({ keys: workerKeysOf(config), config });

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

/** Has reads answered by workers. */
export const readerOf =
  (workers: Workers, told: (tenant: string, row: SkippedRow) => void): Reader =>
  async (operation, { principal, tenant }, given, signal) => {
    const input: HeavyRead = { operation, principal, input: given };
    const { reply, skipped } = await workers.run<ReadAnswer>({ tenant: tenant.id, task: 'read', input, signal, heeds: true });
    for (const row of skipped) told(tenant.id, row);
    return { ...reply, headers: { ...JSON_TYPE, ...reply.headers }, body: bufferOf(reply.body) };
  };
