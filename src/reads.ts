import type { Principal } from './auth/index.ts';
import type { Config } from './config.ts';
import { contextRoutes } from './context/index.ts';
import { connectionOf, createPool, type Pool, type PoolConfig } from './db/pool.ts';
import { assertConfirmed } from './db/restored.ts';
import { type Tenant, tenantsOf } from './db/tenant.ts';
import { eventReads } from './events/index.ts';
import type { Known } from './feature.ts';
import { toProblem } from './http/problem.ts';
import type { Reply, Unparsed } from './http/route.ts';
import { createLogger } from './log.ts';
import { feature as memories, memoryReads } from './memories/index.ts';
import type { SkippedRow } from './readable.ts';
import { searchRoutes } from './search/index.ts';
import { type Done, type Result, resultOf } from './work/index.ts';

// Heavy reads, as a worker answers them: rows are decoded, ranked, counted and written as JSON in its thread, over a connection of its own.

/** What a worker is asked. */
export interface HeavyRead {
  operation: string;
  principal: Principal;
  input: Unparsed;
}

export interface ReadAnswer {
  /** A `WrittenReply`, or the refusal. */
  result: Result;
  /** Rows that were met and cannot be read. */
  skipped: SkippedRow[];
  /** From the first statement to the written answer. */
  took_ms: number;
}

export type WrittenReply = Omit<Reply, 'body'> & { body: Uint8Array };

/** The routes among which there are heavy reads; what they need beside their input is here. */
export const readRoutes = (config: Pick<Config, 'TOKENIZER'>) => [
  ...eventReads,
  ...memoryReads,
  ...searchRoutes,
  ...contextRoutes(config.TOKENIZER),
];

/** What features make of the events of a large request: `known.effects`, without the rest of the features. */
export const effects: Known['effects'] = Object.entries({ ...memories.effects });

export type ReadConfig = PoolConfig & Pick<Config, 'TOKENIZER' | 'LOG_LEVEL'>;

export function openReads(config: ReadConfig) {
  const heavy = new Map(readRoutes(config).flatMap((route) => (route.heavy ? [[route.operation, route] as const] : [])));
  let pool: Pool | undefined;
  return async ({ operation, principal, input }: HeavyRead, signal: AbortSignal): Promise<Done> => {
    pool ??= poolOf(config);
    const skipped: SkippedRow[] = [];
    // statements of a read that failed do not outlive it: the next one needs the connection
    const over = new AbortController();
    const reading = heeding(pool, AbortSignal.any([signal, over.signal]));
    const caller = { principal, tenant: tenantIn(reading, principal.tenant_id, skipped) };
    const began = performance.now();
    const answerOf = (result: Result): ReadAnswer => ({ result, skipped, took_ms: performance.now() - began });
    try {
      const { body, ...reply } = (await heavy.get(operation)!.handle({ ...input, caller, signal } as never)) as Reply;
      // of its own memory, which can be handed over
      const bytes = new TextEncoder().encode(JSON.stringify(body));
      return { value: answerOf({ value: { ...reply, body: bytes } satisfies WrittenReply }), transfer: [bytes.buffer] };
    } catch (error) {
      return { value: answerOf(resultOf(toProblem(error))) };
    } finally {
      over.abort();
    }
  };
}

/** Its one connection may be busy with the last statement of a read that was given up. */
function poolOf(config: ReadConfig): Pool {
  const patience_ms = Math.max(config.PGCONNECTION_TIMEOUT, config.PGQUERY_TIMEOUT);
  const one = { ...config, PGPOOL_MAX: 1, PGPOOL_MIN: 0, PGCONNECTION_TIMEOUT: patience_ms };
  const pool = createPool({ ...connectionOf(config), embedded: false }, one, createLogger(config.LOG_LEVEL));
  pool.guard(assertConfirmed);
  return pool;
}

/** No statement begins after the job was given up. */
const heeding = (pool: Pool, signal: AbortSignal): Pool => ({
  ...pool,
  using: async (work, tenant) => {
    signal.throwIfAborted();
    return pool.using((client) => {
      // meanwhile it waited for the connection
      signal.throwIfAborted();
      return work(client);
    }, tenant);
  },
});

function tenantIn(pool: Pool, id: string, skipped: SkippedRow[]): Tenant {
  const noWrite = () => Promise.reject(new Error('a read writes nothing'));
  return tenantsOf(pool, noWrite, noWrite, (_, row) => skipped.push(row))(id);
}
