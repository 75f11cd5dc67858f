import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Pool } from '../../src/db/pool.ts';
import { dbOf } from '../../src/db/query.ts';
import { createLimits, type Limits } from '../../src/limits/index.ts';
import { sweepWindows } from '../../src/limits/sql.ts';
import { isAddressAdmitted, isAdmitted, openPool, settingsOf, silent } from './server.ts';

// Memory and rows that the limits use.

let pool: Pool;
const started: Limits[] = [];
beforeAll(async () => {
  pool = await openPool();
});
afterEach(async () => {
  for (const limits of started.splice(0)) await limits.stop();
});
afterAll(() => pool.end());

const start = (env: Record<string, string>, through: Pool): Limits => {
  const limits = createLimits(settingsOf(env), through, silent);
  started.push(limits);
  return limits;
};
const inMemory = () => ({ ...pool, embedded: true });
const inDatabase = () => ({ ...pool, embedded: false });

/** Collects garbage, because the amount of unreachable memory depends on the version of V8. */
const collectGarbage = (() => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
})();

test('memory does not grow with a hundred thousand addresses and principals', async () => {
  const limits = start({}, inMemory());
  const round = async (n: number) => {
    for (let i = 0; i < 25_000; i += 1) {
      await isAdmitted(limits, `tenant_${n}_${i}`, 'usr_1');
      await isAddressAdmitted(limits, `address_${n}_${i}`);
    }
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  await round(0);
  const full = await round(1);
  // a round creates 75,000 counters of some hundred bytes each
  expect((await round(2)) - full).toBeLessThan(2e6);
}, 60_000);

test('only expired windows are swept, in bounded batches', async () => {
  const limits = start({ RATE_LIMIT_WINDOW_MS: '1000' }, inDatabase());
  for (let i = 0; i < 10; i += 1) await isAddressAdmitted(limits, randomUUID());
  await sleep(1050);
  const active = randomUUID();
  const long = start({ RATE_LIMIT_AUTH_MAX: '1' }, inDatabase());
  expect(await isAddressAdmitted(long, active)).toBe(true);
  const swept = await pool.using(async (client) => {
    const db = dbOf(client, pool.named);
    const batches = [];
    do batches.push(await sweepWindows(db, 4));
    while (batches.at(-1) === 4);
    return batches;
  });
  expect(Math.max(...swept)).toBe(4);
  expect(swept.reduce((a, b) => a + b)).toBeGreaterThanOrEqual(10);
  expect(await isAddressAdmitted(start({ RATE_LIMIT_AUTH_MAX: '1' }, inDatabase()), active)).toBe(false);
});
