import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { readersOf, usesEmbedded } from '../config.ts';
import type { Logger } from '../log.ts';
import type { SkippedRow } from '../readable.ts';
import { createWriteQueue } from './commit.ts';
import { connectWithRetry } from './connect_retry.ts';
import { type Embedded, startEmbedded } from './embedded.ts';
import { startMaintenance } from './maintenance.ts';
import { assertSchema, migrateUp } from './migrate.ts';
import { connectionOf, createPool, type Pool, SERVING_ROLE } from './pool.ts';
import { dbOf } from './query.ts';
import { assertConfirmed } from './restore.ts';
import { type Tenants, tenantsOf } from './tenant.ts';
import { createWatch, type Watch } from './watch.ts';

// Opens the database: connects, checks its schema, and creates the pool, the tenants, the write queue and the watch.

export interface Database {
  pool: Pool;
  tenants: Tenants;
  watch: Watch;
  writes(): { queued: number; queuedChars: number; inFlight: number };
  /** Calls back after each batch of writes. */
  onFlushed(callback: (units: number, ms: number) => void): void;
  /** Calls back for each corrupt row. */
  onSkipped(callback: (tenant: string, row: SkippedRow) => void): void;
  ping(): Promise<unknown>;
  /** Description for the start-up message. */
  description: string;
  onFailure(callback: (error: Error) => void): void;
  close(): Promise<void>;
}

const ANSWERED_MS = 1000;
// Batches in flight over all tenants use half of the connections and leave the other half to reads. The embedded engine has one session.
const MIN_PARALLEL_BATCHES = 4;
const PARALLEL_LARGE_BATCHES = 2;
const BATCHES_PER_TENANT = 2;
const CLOSE_TIMEOUT_MS = 2000;

/**
 * Opens the database. `existing` is for commands, which must not create a database if DATA_DIR is wrong. `serving` rejects a restored database
 * that has not been confirmed.
 */
export async function openDatabase(config: Config, log: Logger, { existing = false, serving = false } = {}): Promise<Database> {
  const engine = usesEmbedded(config) ? await startEmbedded({ data_dir: config.DATA_DIR, existing }) : undefined;
  const connection = engine ? { ...engine.connection, embedded: true } : { ...connectionOf(config), embedded: false };
  const pool = createPool(connection, { ...config, PGPOOL_MAX: config.PGPOOL_MAX - readersOf(config) }, log);
  try {
    await prepareSchema(pool, config, log, existing);
    if (serving) pool.guard(assertConfirmed);
    await assertServingRole(pool);
  } catch (error) {
    await pool.end();
    await engine?.stop();
    throw error;
  }
  return assemble(pool, engine, config, log);
}

function assemble(pool: Pool, engine: Embedded | undefined, config: Config, log: Logger): Database {
  const watch = createWatch(pool, log, !pool.embedded && !config.PG_POOLER);
  const limits = {
    maxQueued: config.MAX_IN_FLIGHT_REQUESTS,
    maxQueuedBytes: config.MAX_IN_FLIGHT_BYTES,
    parallel: pool.embedded ? 1 : Math.max(MIN_PARALLEL_BATCHES, Math.floor(pool.figures().max / 2)),
    parallelLarge: PARALLEL_LARGE_BATCHES,
    perTenant: BATCHES_PER_TENANT,
  };
  let flushed: (units: number, ms: number) => void = () => undefined;
  let skipped: (tenant: string, row: SkippedRow) => void = () => undefined;
  const queue = createWriteQueue(pool, limits, log, watch.committed, (units, ms) => flushed(units, ms));
  watch.start();
  const maintenance = engine && startMaintenance(pool, log);
  return {
    pool,
    tenants: tenantsOf(pool, queue.commit, watch.committed, (tenant, row) => skipped(tenant, row)),
    watch,
    writes: queue.figures,
    onFlushed: (callback) => {
      flushed = callback;
    },
    onSkipped: (callback) => {
      skipped = callback;
    },
    // No ping if the database has just answered another request: under overload the ping would wait in the queue.
    ping: async () => pool.answeredWithin(ANSWERED_MS) || pool.using((client) => client.query('select 1')),
    description: engine ? `embedded database in ${config.DATA_DIR} (survives a kill, not a power cut)` : 'PostgreSQL',
    onFailure: (callback) => engine?.onExit(callback),
    close: async () => {
      const ended = Promise.all([maintenance?.stop(), watch.stop()]).then(() => pool.end());
      // a stopped server does not answer the Terminate message
      await Promise.race([ended, sleep(CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
      await engine?.stop();
    },
  };
}

/** Migrates the schema, or checks it if MIGRATE_ON_START is false. Nothing else may use the only session of the embedded engine meanwhile. */
async function prepareSchema(pool: Pool, config: Config, log: Logger, once: boolean): Promise<void> {
  const migrationLog = { info: (message: string) => log.info(message), warn: (message: string) => log.warn(message) };
  // In production the service waits for a database that restarts. In development it fails at once.
  const retry_ms = config.NODE_ENV === 'production' && !pool.embedded && !once ? Number.POSITIVE_INFINITY : 0;
  const client = await connectWithRetry(() => pool.dedicated(), retry_ms, migrationLog.warn);
  try {
    if (config.MIGRATE_ON_START) await migrateUp(client, undefined, migrationLog);
    else await assertSchema(client, undefined, migrationLog);
  } finally {
    await client.end();
  }
}

/** Throws if the role that serves requests owns tables or is not subject to row-level security. */
async function assertServingRole(pool: Pool): Promise<void> {
  const fault = await pool.using((client) =>
    dbOf(client, false).row<{ fault: string }>(
      `select case
        when r.rolsuper then 'is a superuser'
        when r.rolbypassrls then 'bypasses row-level security'
        else 'owns tables'
      end as fault
      from pg_roles r
      where r.rolname = $1
      and (r.rolsuper or r.rolbypassrls or exists (select from pg_class c where c.relowner = r.oid))`,
      [SERVING_ROLE],
    ),
  );
  if (fault)
    throw new Error(
      `The role ${SERVING_ROLE} ${fault.fault}, so row-level security would not separate tenants. Remove this privilege and start again.`,
    );
}
