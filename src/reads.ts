import type { Principal } from './auth/index.ts';
import type { Config } from './config.ts';
import { contextRoutes } from './context/index.ts';
import { connectionOf, createPool, type Pool } from './db/pool.ts';
import { assertConfirmed } from './db/restored.ts';
import { type Tenant, tenantsOf } from './db/tenant.ts';
import { eventReads } from './events/index.ts';
import { toProblem } from './http/problem.ts';
import type { Reply, Unparsed } from './http/route.ts';
import { createLogger } from './log.ts';
import { memoryReads } from './memories/index.ts';
import type { SkippedRow } from './readable.ts';
import { searchRoutes } from './search/index.ts';
import type { Done } from './work/index.ts';

// Heavy reads, as a worker answers them: rows are decoded, ranked, counted and written as JSON in its thread, over a connection of its own.

/** What a worker is asked. */
export interface HeavyRead {
  operation: string;
  principal: Principal;
  input: Unparsed;
}

export interface ReadAnswer {
  reply: Omit<Reply, 'body'> & { body: Uint8Array };
  /** Rows that were met and cannot be read. */
  skipped: SkippedRow[];
  /** From the first statement to the written answer. */
  took_ms: number;
}

/** The routes among which there are heavy reads; what they need beside their input is here. */
export const readRoutes = (config: Pick<Config, 'TOKENIZER'>) => [
  ...eventReads,
  ...memoryReads,
  ...searchRoutes,
  ...contextRoutes(config.TOKENIZER),
];

export function openReads(config: Config) {
  const heavy = new Map(readRoutes(config).flatMap((route) => (route.heavy ? [[route.operation, route] as const] : [])));
  let pool: Pool | undefined;
  return async ({ operation, principal, input }: HeavyRead, signal: AbortSignal): Promise<Done> => {
    pool ??= poolOf(config);
    const skipped: SkippedRow[] = [];
    const caller = { principal, tenant: tenantIn(heeding(pool, signal), principal.tenant_id, skipped) };
    try {
      const began = performance.now();
      const { body, ...reply } = (await heavy.get(operation)!.handle({ ...input, caller, signal } as never)) as Reply;
      // of its own memory, which can be handed over
      const bytes = new TextEncoder().encode(JSON.stringify(body));
      const answer: ReadAnswer = { reply: { ...reply, body: bytes }, skipped, took_ms: performance.now() - began };
      return { value: answer, transfer: [bytes.buffer] };
    } catch (error) {
      throw toProblem(error);
    }
  };
}

function poolOf(config: Config): Pool {
  const one = { ...config, PGPOOL_MAX: 1, PGPOOL_MIN: 0 };
  const pool = createPool({ ...connectionOf(config), embedded: false }, one, createLogger(config.LOG_LEVEL));
  pool.guard(assertConfirmed);
  return pool;
}

/** No statement begins after the job was given up. */
const heeding = (pool: Pool, signal: AbortSignal): Pool => ({
  ...pool,
  using: async (work, tenant) => {
    signal.throwIfAborted();
    return pool.using(work, tenant);
  },
});

function tenantIn(pool: Pool, id: string, skipped: SkippedRow[]): Tenant {
  const noWrite = () => Promise.reject(new Error('a read writes nothing'));
  return tenantsOf(pool, noWrite, noWrite, (_, row) => skipped.push(row))(id);
}
