import { randomUUID } from 'node:crypto';
import type { Pool } from '../../src/db/pool.ts';
import { tenantsOf } from '../../src/db/tenant.ts';
import { Problem } from '../../src/http/problem.ts';
import { spendToken, sweepBuckets } from '../../src/limits/index.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from './server.ts';

let pool: Pool;
beforeAll(async () => {
  pool = await openPool();
});
afterAll(() => pool.end());

const tenants = () =>
  tenantsOf(
    pool,
    () => Promise.reject(new Error('no unit')),
    () => undefined,
    () => undefined,
  );
const spend = (id: string, rate: number, tenant = 'acme') =>
  spendToken(tenants()(tenant), id, rate).then(
    () => true,
    (error: unknown) => {
      if (!(error instanceof Problem) || error.type !== 'rate-limited') throw error;
      return false;
    },
  );

test('concurrent requests get the burst of twice the rate, and no more than what was refilled meanwhile', async () => {
  const id = randomUUID();
  const began = performance.now();
  const granted = (await Promise.all(Array.from({ length: 200 }, () => spend(id, 20)))).filter(Boolean).length;
  const refilled = (20 * (performance.now() - began)) / 1000;
  expect(granted).toBeGreaterThanOrEqual(40);
  expect(granted).toBeLessThanOrEqual(40 + Math.ceil(refilled));
});

test('buckets of other ids and tenants are separate', async () => {
  const id = randomUUID();
  while (await spend(id, 1));
  expect([await spend(randomUUID(), 1), await spend(id, 1, 'other')]).toEqual([true, true]);
});

test('a refused request takes nothing and says when to retry', async () => {
  const id = randomUUID();
  while (await spend(id, 1));
  await Promise.all(Array.from({ length: 50 }, () => spend(id, 1)));
  const refusal = await spendToken(tenants()('acme'), id, 1).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ type: 'rate-limited', headers: { 'Retry-After': '1' } });
});

test('a bucket is deleted once it is full again, not before', async () => {
  const id = randomUUID();
  while (await spend(id, 1));
  await sweepBuckets(tenants()('acme'), 1000);
  expect(await spend(id, 1)).toBe(false);
  const count = () =>
    pool.using(async (client) => Number((await client.query('select count(*) from rate_windows')).rows[0].count));
  expect(await count()).toBeGreaterThan(0);
  await eventually(async () => {
    await sweepBuckets(tenants()('acme'), 1000);
    return (await count()) === 0;
  }, 'all buckets to be deleted');
});
