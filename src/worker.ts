import { workerData } from 'node:worker_threads';
import { screenLarge } from './artifacts/index.ts';
import { draftLarge, type LargeRequest } from './events/index.ts';
import type { ParseTask } from './http/gate.ts';
import { idempotencyOf } from './http/idempotency.ts';
import { type JsonLimits, parseJson } from './http/json.ts';
import { assertOwnTenant } from './http/own_tenant.ts';
import { readWorkerKeys } from './keys.ts';
import { effects, openReads } from './reads.ts';
import { type Screener, type ScreenerSource, screenerOf, screenFields } from './secrets/index.ts';
import { serveTasks, type Task } from './work/index.ts';
import type { WorkerData } from './workers.ts';

// The entry point of a worker thread. src/workers.ts starts it, and src/work sends it tasks.

const { keys, config } = workerData as WorkerData;
const { mac, seal } = readWorkerKeys(keys);

interface LargeJson extends ParseTask {
  bytes: Uint8Array;
  json: JsonLimits;
  source: ScreenerSource;
}

function parseInWorker({ bytes, json, source, freeText, unredactable, idempotencyRequest }: LargeJson) {
  const parsed = parseJson(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), json);
  assertOwnTenant(source.tenant_id, {}, parsed);
  const body = screenFields(screenerOf(source, seal), parsed, { freeText, unredactable });
  return { value: { body, idempotency: idempotencyOf(idempotencyRequest, body, mac) } };
}

interface Screening<K extends 'screen' | 'find'> {
  source: ScreenerSource;
  args: Parameters<Screener[K]>;
}

serveTasks({
  events: ((request: LargeRequest) => draftLarge(request, screenerOf(request.source, seal), mac, effects)) satisfies Task,
  artifact: ((upload: Parameters<typeof screenLarge>[0]) =>
    screenLarge(upload, screenerOf(upload.source, seal), mac)) satisfies Task,
  read: openReads(config) satisfies Task,
  parse: parseInWorker satisfies Task,
  screen: (({ source, args }: Screening<'screen'>) => ({ value: screenerOf(source, seal).screen(...args) })) satisfies Task,
  find: (({ source, args }: Screening<'find'>) => ({ value: screenerOf(source, seal).find(...args) })) satisfies Task,
});
