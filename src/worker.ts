import { workerData } from 'node:worker_threads';
import { screenLarge } from './artifacts/index.ts';
import { draftLarge, type LargeRequest } from './events/index.ts';
import type { Understanding } from './http/gate.ts';
import { idempotencyOf } from './http/idempotent.ts';
import { keepInside } from './http/inside.ts';
import { type JsonLimits, parseJson } from './http/json.ts';
import { readWorkerKeys } from './keys.ts';
import { effects, openReads } from './reads.ts';
import { type Screener, type ScreenerSource, screenerOf, screenFields } from './secrets/index.ts';
import { serveTasks, type Task } from './work/index.ts';
import type { WorkerData } from './workers.ts';

// The entry point of a worker thread. src/workers.ts starts it, and src/work sends it tasks.

const { keys, config } = workerData as WorkerData;
const { mac, seal } = readWorkerKeys(keys);

interface LargeJson extends Understanding {
  bytes: Uint8Array;
  json: JsonLimits;
  source: ScreenerSource;
}

function understand({ bytes, json, source, free, fixed, asked }: LargeJson) {
  const given = parseJson(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), json);
  keepInside(source.tenant_id, {}, given);
  const body = screenFields(screenerOf(source, seal), given, { free, fixed });
  return { value: { body, idempotency: idempotencyOf(asked, body, mac) } };
}

interface Screening<K extends 'screen' | 'find'> {
  source: ScreenerSource;
  asked: Parameters<Screener[K]>;
}

serveTasks({
  events: ((request: LargeRequest) => draftLarge(request, screenerOf(request.source, seal), mac, effects)) satisfies Task,
  artifact: ((upload: Parameters<typeof screenLarge>[0]) =>
    screenLarge(upload, screenerOf(upload.source, seal), mac)) satisfies Task,
  read: openReads(config) satisfies Task,
  understand: understand satisfies Task,
  screen: (({ source, asked }: Screening<'screen'>) => ({ value: screenerOf(source, seal).screen(...asked) })) satisfies Task,
  find: (({ source, asked }: Screening<'find'>) => ({ value: screenerOf(source, seal).find(...asked) })) satisfies Task,
});
