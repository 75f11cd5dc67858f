import type { Logger } from '../log.ts';
import type { Pool } from './pool.ts';

// What autovacuum does on a server and nobody does on the embedded engine: dead rows become room again, and the planner learns what the
// tables hold. One table at a time, so that requests go on between them.

const EVERY_MS = 600_000;
/** Smaller ones are read whole whatever the planner knows. */
const LEAST_PAGES = 8;

/** Tidies each table of some size; returns their names. */
export async function vacuumTables(pool: Pool): Promise<string[]> {
  const tables = await ask<{ name: string }>(
    pool,
    `select c.oid::regclass::text as name from pg_class c
     where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
     and pg_relation_size(c.oid) >= ${LEAST_PAGES} * current_setting('block_size')::int
     order by c.relname`,
  );
  for (const { name } of tables) await ask(pool, `vacuum (analyze) ${name}`);
  return tables.map(({ name }) => name);
}

export function startMaintenance(pool: Pool, log: Logger): { stop(): Promise<void> } {
  let written: string | undefined;
  let round: Promise<void> = Promise.resolve();
  const vacuumIfWritten = async () => {
    if ((await position(pool)) === written) return;
    await vacuumTables(pool);
    written = await position(pool);
  };
  const tick = setInterval(() => {
    round = vacuumIfWritten().catch((err) => log.warn({ err }, 'tidying the database was interrupted; it is tried again'));
  }, EVERY_MS);
  tick.unref();
  return {
    stop: () => {
      clearInterval(tick);
      return round;
    },
  };
}

/** Moves with every write. */
const position = async (pool: Pool) =>
  (await ask<{ lsn: string }>(pool, 'select pg_current_wal_insert_lsn()::text as lsn'))[0]!.lsn;

const ask = <T extends object>(pool: Pool, statement: string): Promise<T[]> =>
  pool.using(async (client) => (await client.query(statement)).rows as T[]);
