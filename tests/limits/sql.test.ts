import { randomUUID } from 'node:crypto';
import type { Pool } from '../../src/db/pool.ts';
import { dbOf } from '../../src/db/query.ts';
import { type Grant, share, type TokenRequest } from '../../src/limits/counter.ts';
import { sweepWindows, takeTokens } from '../../src/limits/sql.ts';
import { openPool } from './server.ts';

let pool: Pool;
beforeAll(async () => {
  pool = await openPool();
});
afterAll(() => pool.end());

const take = (asks: TokenRequest[], windowMs = 60_000): Promise<Grant[]> =>
  pool.using((client) => takeTokens(dbOf(client, pool.named), asks, windowMs));
const sweep = () => pool.using((client) => sweepWindows(dbOf(client, pool.named), 10));
const takers = Array.from({ length: 8 }, (_, i) => i);
const shuffled = <T>(items: T[]): T[] => [...items].sort(() => Math.random() - 0.5);

test('many concurrent calls with the same windows in any order cause no deadlock, and each window grants exactly its limit', async () => {
  const keys = Array.from({ length: 20 }, () => randomUUID());
  const granted = new Map(keys.map((key) => [key, 0]));
  const work = async () => {
    for (let i = 0; i < 40; i += 1) {
      const asks = shuffled(keys)
        .slice(0, 12)
        .map((key) => ({ key, max: 300, owed: 0, need: 1, spare: 5 }));
      const grants = await take(asks);
      for (const [j, { key }] of asks.entries()) granted.set(key, granted.get(key)! + grants[j]!.granted);
    }
  };
  await Promise.all(takers.map(work));
  expect([...granted.values()]).toEqual(keys.map(() => 300));
});

test('windows can end and be swept during calls, and every call is answered', async () => {
  const keys = Array.from({ length: 10 }, () => randomUUID());
  const work = async (taker: number) => {
    for (let i = 0; i < 60; i += 1) {
      if (taker === 0) await sweep();
      const grants = await take(
        shuffled(keys).map((key) => ({ key, max: 1000, owed: 0, need: 1, spare: 0 })),
        5,
      );
      expect(grants.every(({ granted, ends_in_ms }) => granted === 1 && ends_in_ms <= 5)).toBe(true);
    }
  };
  await Promise.all(takers.map(work));
});

test.each([
  [100, 0, 1, 6],
  [100, 95, 1, 6],
  [100, 99, 5, 6],
  [100, 100, 1, 6],
  [100, 250, 3, 6],
  [7, 0, 0, 1],
])(
  'of %i tokens with %i owed, %i needed and %i spare, the database grants as many as this process',
  async (max, owed, need, spare) => {
    const left = Math.max(0, max - owed);
    const [grant] = await take([{ key: randomUUID(), max, owed, need, spare }]);
    const granted = share(left, need, spare);
    expect(grant).toMatchObject({ granted, left: left - granted });
  },
);
