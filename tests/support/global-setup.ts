import { join } from 'node:path';
import type { Embedded } from '../../src/db/embedded.ts';
import { chooseCluster, preparePostgres, startWorkerEngines, type TestEngine } from './engine.ts';
import { POOLER_PASSWORD, type Pooler, startPooler } from './pooler.ts';
import { makeRunDir, type RunDir } from './run-dir.ts';

/** State for global-teardown.ts, which runs in the same process. */
export interface TestRun {
  run_dir: RunDir;
  engine: TestEngine;
  embedded: Embedded[];
  pooler: Pooler | undefined;
}

export default async function setUp(options: { maxWorkers: number }): Promise<void> {
  const run_dir = makeRunDir();
  const cluster = await chooseCluster(run_dir.path);
  const embedded = cluster ? [] : await startWorkerEngines(run_dir.path, options.maxWorkers);
  const engine: TestEngine = cluster
    ? await preparePostgres(cluster, run_dir.path)
    : { kind: 'embedded', run_dir: run_dir.path, workers: embedded.map((one) => one.connection) };
  // With TEST_POOLER, the daemons of all tests connect through pgbouncer.
  const pooler =
    cluster && process.env.TEST_POOLER
      ? await startPooler(join(run_dir.path, 'pooler'), cluster.admin, { server_idle_timeout: '3' })
      : undefined;
  if (engine.kind === 'postgres' && pooler) engine.pooler = { host: pooler.host, port: pooler.port, password: POOLER_PASSWORD };
  process.stderr.write(`tests run on ${cluster?.version ?? 'the embedded database'}${pooler ? ' behind pgbouncer' : ''}\n`);
  process.env.AGENT_MEMORY_TEST_ENGINE = JSON.stringify(engine);
  (globalThis as { testRun?: TestRun }).testRun = { run_dir, engine, embedded, pooler };
}
