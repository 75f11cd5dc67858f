import type { Embedded } from '../../src/db/embedded.ts';
import { chooseCluster, preparePostgres, startWorkerEngines, type TestEngine } from './engine.ts';
import { makeRunDir, type RunDir } from './run-dir.ts';

/** Kept for global-teardown.ts, which runs in the same process. */
export interface TestRun {
  run_dir: RunDir;
  engine: TestEngine;
  embedded: Embedded[];
}

export default async function setUp(options: { maxWorkers: number }): Promise<void> {
  const run_dir = makeRunDir();
  const cluster = await chooseCluster(run_dir.path);
  const embedded = cluster ? [] : await startWorkerEngines(run_dir.path, options.maxWorkers);
  const engine: TestEngine = cluster
    ? await preparePostgres(cluster, run_dir.path)
    : { kind: 'embedded', run_dir: run_dir.path, workers: embedded.map((one) => one.connection) };
  process.stderr.write(`tests run on ${cluster?.version ?? 'the embedded database'}\n`);
  process.env.AGENT_MEMORY_TEST_ENGINE = JSON.stringify(engine);
  (globalThis as { testRun?: TestRun }).testRun = { run_dir, engine, embedded };
}
