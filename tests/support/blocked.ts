import type { Client } from 'pg';

/** Returns how many sessions of the database wait for a lock. Inside a transaction, PostgreSQL would answer from the statistics of the first call. */
export async function countBlocked(client: Client, query = '%'): Promise<number> {
  await client.query('select pg_stat_clear_snapshot()');
  const { rowCount } = await client.query(
    `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database() and query like $1`,
    [query],
  );
  return rowCount!;
}
