import { randomUUID } from 'node:crypto';
import type { Pool } from '../../src/db/pool.ts';
import { createLimits, type Limits } from '../../src/limits/index.ts';
import { openPool, settingsOf, silent } from './server.ts';

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
const unique = () => randomUUID();

describe('byte budgets', () => {
  const MIB = 1024 * 1024;
  const budgets = { RATE_LIMIT_MAX_BYTES: String(8 * MIB), RATE_LIMIT_TENANT_BYTES: String(12 * MIB) };
  const charge = async (limits: Limits, tenant: string, principal: string, bytes: number): Promise<string> => {
    try {
      await limits.admitBytes({ principal: { tenant_id: tenant, id: principal, user_id: principal } }, bytes);
      return 'admitted';
    } catch (error) {
      return /\((RATE_LIMIT_\w+)\)/.exec((error as Error).message)?.[1] ?? String(error);
    }
  };

  test.each([
    ['shared by daemons through the database', 2, {}],
    ['of one daemon', 1, { embedded: true }],
  ])('%s: a principal has its own budget, and all principals share the tenant’s', async (_, daemons, more) => {
    const all = Array.from({ length: daemons }, () => start(budgets, { ...pool, embedded: false, ...more }));
    const tenant = unique();
    const spend = async (principal: string, times: number) => {
      const answers: string[] = [];
      for (let i = 0; i < times; i += 1) answers.push(await charge(all[i % daemons]!, tenant, principal, MIB));
      return answers;
    };
    const first = await spend('usr_1', 12);
    const admitted = first.filter((answer) => answer === 'admitted').length;
    // a daemon may withhold one block of a sixteenth
    expect(admitted).toBeGreaterThanOrEqual(8 - daemons);
    expect(admitted).toBeLessThanOrEqual(8);
    expect(first.at(-1)).toBe('RATE_LIMIT_MAX_BYTES');
    const second = await spend('usr_2', 8);
    expect(second[0]).toBe('admitted');
    expect(second.at(-1)).toBe('RATE_LIMIT_TENANT_BYTES');
    expect(await charge(all[0]!, unique(), 'usr_1', MIB)).toBe('admitted');
  });

  test('a body larger than the whole budget costs all of it, once', async () => {
    const limits = start(budgets, { ...pool, embedded: true });
    const tenant = unique();
    expect(await charge(limits, tenant, 'usr_1', 20 * MIB)).toBe('admitted');
    expect(await charge(limits, tenant, 'usr_1', 1)).toBe('RATE_LIMIT_MAX_BYTES');
  });
});
