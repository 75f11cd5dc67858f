import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { MandateClient } from '../../src/guard/index.ts';
import { newTenant } from '../support/client.ts';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';
import { freePort } from '../support/port.ts';
import { call, registered, usageOf } from './support.ts';

// The guard in processes of its own, and a daemon that is killed while an action runs.

let database: Awaited<ReturnType<typeof daemonDatabase>>;
let daemon: SpawnedDaemon;
let port: string;
const start = async () => {
  daemon = await spawnDaemon(database.env, { PORT: port });
};
beforeAll(async () => {
  database = await daemonDatabase();
  port = String(await freePort());
  await start();
}, 300_000);
afterAll(async () => {
  await daemon.kill('SIGTERM');
  await database.release();
});

/** Runs an agent until it ends. Returns what it printed. */
async function agent(url: string, apiKey: string, id: string): Promise<{ charged: number; calls: number }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'agent-process.mjs'), url, apiKey, id], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  expect(code).toBe(0);
  return JSON.parse(output);
}

test('20 processes under one mandate spend what their settlements say, and never more than its budget', async () => {
  const alice = await newTenant(daemon.url);
  const { mandate, stateManager } = await registered(alice, { maxCostTotal: 3 });
  const reports = await Promise.all(Array.from({ length: 20 }, () => agent(stateManager.url, stateManager.apiKey, mandate.id)));
  const [charged, calls] = reports.reduce(([a, b], report) => [a + report.charged, b + report.calls], [0, 0]);
  const usage = await usageOf(alice, mandate);
  expect(usage).toMatchObject({ spent_micros: charged, reserved_micros: 0, overdrawn_micros: 0, calls });
  expect(charged).toBeLessThanOrEqual(3_000_000);
  expect(charged).toBeGreaterThan(0);
}, 600_000);

test('an action whose daemon is killed while it runs returns its result, and is settled when the daemon is back', async () => {
  const alice = await newTenant(daemon.url);
  const { mandate, stateManager } = await registered(alice, { maxCostTotal: 1 });
  const client = new MandateClient({ mandate, stateManager: { ...stateManager, maxRetries: 0 }, settleWaitMs: 1 });
  const errors: string[] = [];
  client.on('error', ({ message }) => errors.push(message));
  const result = await client.executeTool(call(0.5, 'work', 'one'), async () => {
    await daemon.kill('SIGKILL');
    return { actualCost: 0.25 };
  });
  expect(result).toEqual({ actualCost: 0.25 });
  await expect(client.executeTool(call(0.5), () => 'never')).rejects.toThrow('does not answer');
  await start();
  let settled = await usageOf(alice, mandate);
  for (; settled.spent_micros === 0; settled = await usageOf(alice, mandate))
    await new Promise((resolve) => setTimeout(resolve, 50));
  expect(settled).toMatchObject({ spent_micros: 250_000, reserved_micros: 0, calls: 1 });
  expect(errors).toContain('the action one is not settled yet');
  await client.close();
}, 300_000);
