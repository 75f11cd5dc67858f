import type { Db } from '../db/query.ts';
import type { Grant, TokenRequest } from './counter.ts';

interface Row extends Omit<Grant, 'left'> {
  key: string;
  left_over: number;
}

const TAKE = 'select key, granted, left_over, ends_in_ms from take_tokens($1, $2, $3, $4, $5, $6)';

export async function takeTokens(db: Db, requests: TokenRequest[], windowMs: number): Promise<Grant[]> {
  const columns = (['key', 'max', 'owed', 'need', 'spare'] as const).map((name) => requests.map((request) => request[name]));
  const rows = new Map((await db.rows<Row>(TAKE, [...columns, windowMs], 'take_tokens')).map((row) => [row.key, row]));
  return requests.map(({ key }) => {
    const { granted, left_over, ends_in_ms } = rows.get(key)!;
    return { granted, left: left_over, ends_in_ms };
  });
}

const SWEEP = `
  delete from rate_windows
  where key in (select key from rate_windows where ends_at < now() limit $1 for update skip locked)`;

/** Deletes a batch of expired windows; returns how many. */
export const sweepWindows = (db: Db, limit: number): Promise<number> => db.run(SWEEP, [limit], 'sweep_windows');
