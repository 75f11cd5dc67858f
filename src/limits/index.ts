import type { ServerResponse } from 'node:http';
import type { Config } from '../config.ts';
import type { Pool } from '../db/pool.ts';
import { type Db, dbOf } from '../db/query.ts';
import type { Logger } from '../log.ts';
import type { RedisLink } from '../redis/index.ts';
import { createAddressLimit } from './address_limit.ts';
import { createByteLimit } from './byte_limit.ts';
import { blockOf, type Policy } from './counter.ts';
import { createLeases, type TakeTokens } from './lease.ts';
import { createPrincipalLimit, type LimitedPrincipal, payerOf } from './principal_limit.ts';
import { takeFromRedis } from './redis.ts';
import { sweepWindows, takeTokens } from './sql.ts';

// Rate limits by address, principal and tenant: docs/decisions/rate-limits.md.

export { spendToken, sweepBuckets } from './bucket.ts';
export { testRedis } from './redis.ts';

type LimitSettings = Pick<
  Config,
  | 'RATE_LIMIT_ENABLED'
  | 'RATE_LIMIT_WINDOW_MS'
  | 'RATE_LIMIT_MAX_REQUESTS'
  | 'RATE_LIMIT_TENANT_MAX'
  | 'RATE_LIMIT_AUTH_MAX'
  | 'RATE_LIMIT_MAX_BYTES'
  | 'RATE_LIMIT_TENANT_BYTES'
>;

interface Counted {
  principal: LimitedPrincipal;
}

export interface Limits {
  /** Counts the request; sets RateLimit headers; throws `rate-limited`. */
  admit(route: { limit: 'auth' | 'v1' | 'none' }, caller: Counted | null, address: string, res: ServerResponse): Promise<void>;
  /** Charges the bytes of a body; throws `rate-limited`. Returns undefined if it was charged synchronously. */
  admitBytes(caller: Counted, bytes: number): Promise<void> | undefined;
  /** The shared store, and whether it answered the last request. */
  store(): { kind: 'none' | 'memory' | 'database' | 'redis'; answers: boolean };
  stop(): Promise<void>;
}

/** Maximum time that a request waits for its first tokens. Then the daemon counts locally. */
const REDIS_WAIT_MS = 50;
/** A counted request needs the database anyway, so waiting for it costs nothing and keeps the count exact. */
const DATABASE_WAIT_MS = 1000;
const SWEEP_MS = 60_000;
const SWEEP_ROWS = 1000;
const ADMITTED = Promise.resolve();

/** Creates the limits, shared through Redis if there is one. */
export function createLimits(config: LimitSettings, pool: Pool, log: Logger, redis?: RedisLink): Limits {
  if (!config.RATE_LIMIT_ENABLED)
    return {
      admit: () => ADMITTED,
      admitBytes: () => undefined,
      store: () => ({ kind: 'none', answers: true }),
      stop: async () => undefined,
    };
  const windowMs = config.RATE_LIMIT_WINDOW_MS;
  const policyOf = (name: string, setting: keyof LimitSettings & `RATE_LIMIT_${string}_${string}`, block: number): Policy => ({
    name,
    max: config[setting] as number,
    windowMs,
    block,
    setting,
  });
  const { take, stop } = sharedStore(pool, log, redis);
  const waitMs = redis ? REDIS_WAIT_MS : DATABASE_WAIT_MS;
  const leases = createLeases(take, log);
  const admitAddress = createAddressLimit(policyOf('address', 'RATE_LIMIT_AUTH_MAX', 0), leases, waitMs, log);
  const admitPrincipal = createPrincipalLimit(
    policyOf('principal', 'RATE_LIMIT_MAX_REQUESTS', blockOf(config.RATE_LIMIT_MAX_REQUESTS)),
    policyOf('tenant', 'RATE_LIMIT_TENANT_MAX', blockOf(config.RATE_LIMIT_TENANT_MAX)),
    leases,
    waitMs,
  );
  const budgets = { principal: config.RATE_LIMIT_MAX_BYTES, tenant: config.RATE_LIMIT_TENANT_BYTES };
  const chargeBytes = createByteLimit(budgets, windowMs, leases, waitMs);
  return {
    admitBytes: ({ principal }, bytes) => chargeBytes(principal.tenant_id, payerOf(principal), bytes),
    admit(route, caller, address, res) {
      if (route.limit === 'none') return ADMITTED;
      if (route.limit === 'auth' || caller === null) return admitAddress(address, res);
      return admitPrincipal(caller.principal, res);
    },
    store: () => ({
      kind: redis ? 'redis' : pool.embedded ? 'memory' : 'database',
      answers: leases.storeAnswers(),
    }),
    stop: async () => stop(),
  };
}

function sharedStore(pool: Pool, log: Logger, redis: RedisLink | undefined): { take: TakeTokens | undefined; stop(): void } {
  if (redis) return { take: takeFromRedis(redis), stop: () => undefined };
  // The embedded database has only one daemon, which counts in memory.
  if (pool.embedded) return { take: undefined, stop: () => undefined };
  const timer = setInterval(() => void sweep(pool, log), SWEEP_MS).unref();
  return {
    take: (requests, windowMs) => withDb(pool, (db) => takeTokens(db, requests, windowMs)),
    stop: () => clearInterval(timer),
  };
}

const withDb = <T>(pool: Pool, work: (db: Db) => Promise<T>): Promise<T> =>
  pool.using((client) => work(dbOf(client, pool.named)));

async function sweep(pool: Pool, log: Logger): Promise<void> {
  try {
    while ((await withDb(pool, (db) => sweepWindows(db, SWEEP_ROWS))) === SWEEP_ROWS);
  } catch (err) {
    log.debug({ err }, 'rate limits: expired windows could not be removed');
  }
}
