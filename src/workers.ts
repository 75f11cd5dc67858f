import { extname, join } from 'node:path';
import type { Config } from './config.ts';
import { workerKeysOf } from './keys.ts';
import { openWorkers, type Workers } from './work/index.ts';

/** Threads of worker.js beside this file, or of worker.ts where it runs from its source. */
export const workersOf = (config: Config): Workers =>
  openWorkers({
    entry: join(import.meta.dirname, `worker${extname(import.meta.filename)}`),
    data: workerKeysOf(config),
    size: config.WORKERS,
    maxQueued: config.WORKERS_QUEUE,
  });
