import { dropDatabases } from './engine.ts';
import type { TestRun } from './global-setup.ts';

export default async function tearDown(): Promise<void> {
  const { run_dir, engine, embedded, pooler } = (globalThis as unknown as { testRun: TestRun }).testRun;
  await pooler?.stop();
  await Promise.all(embedded.map((one) => one.stop()));
  if (engine.kind === 'postgres' && process.env.TEST_DATABASE_URL)
    await dropDatabases(engine.cluster, (name) => name.startsWith(engine.prefix));
  await run_dir.remove();
}
