import type { Logger } from '../log.ts';
import type { Pool } from './pool.ts';

// Vacuums and analyzes the embedded engine, which has no autovacuum. One table at a time, so that requests are served in between.

const EVERY_MS = 600_000;
/** Smaller tables are read sequentially regardless of their statistics. */
const MIN_PAGES = 8;

/** Vacuums and analyzes all tables of at least MIN_PAGES; returns their names. */
export async function vacuumTables(pool: Pool): Promise<string[]> {
  const tables = await query<{ name: string }>(
    pool,
    `select c.oid::regclass::text as name from pg_class c
     where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
     and pg_relation_size(c.oid) >= ${MIN_PAGES} * current_setting('block_size')::int
     order by c.relname`,
  );
  for (const { name } of tables) await query(pool, `vacuum (analyze) ${name}`);
  return tables.map(({ name }) => name);
}

export function startMaintenance(pool: Pool, log: Logger): { stop(): Promise<void> } {
  let written: string | undefined;
  let running: Promise<void> = Promise.resolve();
  const vacuumIfWritten = async () => {
    if ((await position(pool)) === written) return;
    await vacuumTables(pool);
    written = await position(pool);
  };
  const tick = setInterval(() => {
    running = vacuumIfWritten().catch((err) => log.warn({ err }, 'vacuuming the embedded database failed; it will be retried'));
  }, EVERY_MS);
  tick.unref();
  return {
    stop: () => {
      clearInterval(tick);
      return running;
    },
  };
}

/** Returns the WAL position, which advances with every write. */
const position = async (pool: Pool) =>
  (await query<{ lsn: string }>(pool, 'select pg_current_wal_insert_lsn()::text as lsn'))[0]!.lsn;

const query = <T extends object>(pool: Pool, statement: string): Promise<T[]> =>
  pool.using(async (client) => (await client.query(statement)).rows as T[]);
