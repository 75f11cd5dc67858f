import type { Principal } from './auth/index.ts';
import type { Config } from './config.ts';
import { contextRoutes } from './context/index.ts';
import type { ContextConfig } from './context_settings.ts';
import { connectionOf, createPool, type Pool, type PoolConfig } from './db/pool.ts';
import { assertConfirmed } from './db/restore.ts';
import { type Tenant, tenantsOf } from './db/tenant.ts';
import { type Models, type RemoteConfig, remoteModels } from './embeddings/index.ts';
import { eventReads } from './events/index.ts';
import type { Registry } from './feature.ts';
import { toProblem } from './http/problem.ts';
import type { RawInput, Reply } from './http/route.ts';
import { createLogger } from './log.ts';
import { feature as memories, memoryReads } from './memories/index.ts';
import type { SkippedRow } from './readable.ts';
import { searchRoutes } from './search/index.ts';
import { askMainThread, failureOf, type TaskOutcome, type TaskResult } from './work/index.ts';

// Heavy reads in a worker thread: it decodes, ranks and counts the rows and serialises the response, over its own database connection.

/** A read, as it is sent to a worker. */
export interface HeavyRead {
  operation: string;
  principal: Principal;
  input: RawInput;
}

export interface ReadAnswer {
  /** A `WrittenReply`, or a problem. */
  result: TaskOutcome;
  /** Rows that could not be read. */
  skipped: SkippedRow[];
  /** Time from the first statement to the serialised response. */
  took_ms: number;
}

export type WrittenReply = Omit<Reply, 'body'> & { body: Uint8Array };

/** The routes of the features that have heavy reads. A worker creates them itself, because functions cannot be sent to a thread. */
export const readRoutes = (config: ContextConfig, models: Models) => [
  ...eventReads,
  ...memoryReads,
  ...searchRoutes(models),
  ...contextRoutes({ ...config, models }),
];

/** The effects that a worker derives from the events of a large request. Equal to `registry.effects`, without importing all features. */
export const effects: Registry['effects'] = Object.entries({ ...memories.effects });

export type ReadConfig = PoolConfig & ContextConfig & RemoteConfig & Pick<Config, 'LOG_LEVEL'>;

export function openReads(config: ReadConfig) {
  const heavy = new Map(
    readRoutes(config, remoteModels(config, askMainThread)).flatMap((route) =>
      route.heavy ? [[route.operation, route] as const] : [],
    ),
  );
  let pool: Pool | undefined;
  return async ({ operation, principal, input }: HeavyRead, signal: AbortSignal): Promise<TaskResult> => {
    pool ??= poolOf(config);
    const skipped: SkippedRow[] = [];
    // Aborted at the end, so that statements of a failed read do not occupy the connection that the next read needs.
    const finished = new AbortController();
    const reading = abortable(pool, AbortSignal.any([signal, finished.signal]));
    const caller = { principal, tenant: tenantIn(reading, principal.tenant_id, skipped) };
    const began = performance.now();
    const answerOf = (result: TaskOutcome): ReadAnswer => ({ result, skipped, took_ms: performance.now() - began });
    try {
      const { body, ...reply } = (await heavy.get(operation)!.handle({ ...input, caller, signal } as never)) as Reply;
      // An array with its own buffer, which can be transferred to the main thread.
      const bytes = new TextEncoder().encode(JSON.stringify(body));
      return { value: answerOf({ value: { ...reply, body: bytes } satisfies WrittenReply }), transfer: [bytes.buffer] };
    } catch (error) {
      return { value: answerOf(failureOf(toProblem(error))) };
    } finally {
      finished.abort();
    }
  };
}

/** Waits for the one connection as long as a query may run, because the last statement of an abandoned read may still use it. */
function poolOf(config: ReadConfig): Pool {
  const timeout_ms = Math.max(config.PGCONNECTION_TIMEOUT, config.PGQUERY_TIMEOUT);
  const one = { ...config, PGPOOL_MAX: 1, PGPOOL_MIN: 0, PGCONNECTION_TIMEOUT: timeout_ms };
  const pool = createPool({ ...connectionOf(config), embedded: false }, one, createLogger(config.LOG_LEVEL));
  pool.guard(assertConfirmed);
  return pool;
}

/** Wraps a pool so that no statement starts after the signal was aborted. */
const abortable = (pool: Pool, signal: AbortSignal): Pool => ({
  ...pool,
  using: async (work, tenant) => {
    signal.throwIfAborted();
    return pool.using((client) => {
      // It may have been aborted while it waited for the connection.
      signal.throwIfAborted();
      return work(client);
    }, tenant);
  },
});

function tenantIn(pool: Pool, id: string, skipped: SkippedRow[]): Tenant {
  const noWrite = () => Promise.reject(new Error('a read writes nothing'));
  return tenantsOf(pool, noWrite, noWrite, (_, row) => skipped.push(row))(id);
}
