import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Config } from '../config.ts';
import type { Logger } from '../log.ts';
import { type ConnectionQueueLimits, NO_TENANT, openConnectionQueue } from './connection_queue.ts';
import { observeStatements, type PoolObserver } from './pool_observer.ts';
import { types } from './query.ts';

/** Connection parameters. The `embedded` engine has one session, which cannot be pooled. */
export interface Connection {
  host?: string;
  port?: number;
  user?: string;
  password?: string;
  database?: string;
  connectionString?: string;
  embedded: boolean;
}

/** Settings that configure connections and the pool. */
export const poolSettings = [
  'DATABASE_URL',
  'PGHOST',
  'PGPORT',
  'PGDATABASE',
  'PGUSER',
  'PGPASSWORD',
  'POSTGRES_PASSWORD',
  'PGSSLMODE',
  'PGSSLROOTCERT',
  'PGPOOL_MAX',
  'PGPOOL_MIN',
  'PGPOOL_QUEUE',
  'PGIDLE_TIMEOUT',
  'PGCONNECTION_TIMEOUT',
  'PGMAX_LIFETIME',
  'PGLOCK_TIMEOUT',
  'PGSTATEMENT_TIMEOUT',
  'PGQUERY_TIMEOUT',
  'PG_POOLER',
  'REQUEST_TIMEOUT_MS',
] as const satisfies (keyof Config)[];
export type PoolConfig = Pick<Config, (typeof poolSettings)[number]>;

export interface Pool {
  /** Runs `work` with a connection. A connection in an unknown state is destroyed afterwards. Tenants take turns. */
  using<T>(work: (client: pg.PoolClient) => Promise<T>, tenant?: string): Promise<T>;
  /** Statements of a client may be sent without waiting for the results of earlier ones. */
  pipelined: boolean;
  /** Statements may be prepared by name, which not every transaction pooler supports. */
  named: boolean;
  embedded: boolean;
  /** Returns true if the database answered any request in the last `ms`: a health check then needs no connection. */
  answeredWithin(ms: number): boolean;
  /** Calls back for each answered statement and each attempt to connect. */
  observe(observer: PoolObserver): void;
  /** Since the start, `refused` counts requests shed because the queue was full, and `lost` counts broken connections. */
  figures(): { max: number; total: number; idle: number; waiting: number; refused: number; lost: number };
  /** Runs `check` on each new connection before its first use. If it throws, the connection is closed and the caller gets the error. */
  guard(check: (client: pg.ClientBase) => Promise<void>): void;
  /** Opens a connection outside the pool, for migrations and LISTEN. The caller must end it. */
  dedicated(): Promise<DedicatedClient>;
  end(): Promise<void>;
}

/** A connection outside the pool, as the login role. */
export type DedicatedClient = pg.Client;

export const SERVING_ROLE = 'agent_memory_app';

export function connectionOf(config: PoolConfig): Omit<Connection, 'embedded'> {
  const password = config.PGPASSWORD ?? config.POSTGRES_PASSWORD;
  if (config.DATABASE_URL) return { connectionString: config.DATABASE_URL };
  return {
    host: config.PGHOST,
    port: config.PGPORT,
    user: config.PGUSER,
    database: config.PGDATABASE,
    ...(password !== undefined && { password }),
  };
}

/** Splits DATABASE_URL into its parts. */
export function partsOfUrl(text: string) {
  const { hostname, searchParams, port, username, password, pathname } = new URL(text);
  return {
    // [::1]
    host: searchParams.get('host') ?? hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 5432),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
    sslmode: searchParams.get('sslmode'),
  };
}

export function createPool(connection: Connection, config: PoolConfig, log: Logger): Pool {
  const { embedded } = connection;
  const sessionOptions = !embedded && !config.PG_POOLER;
  // A statement does not run longer than its request. The server cancels it (statement) before the client drops the connection (query).
  const query_timeout = Math.min(config.PGQUERY_TIMEOUT, config.REQUEST_TIMEOUT_MS);
  const statement_timeout = Math.min(config.PGSTATEMENT_TIMEOUT, Math.max(query_timeout - 500, 50));
  const base: pg.ClientConfig = {
    ...clientConfig(connection, config),
    types,
    query_timeout,
    keepAlive: true,
    ...(sessionOptions && {
      // jit: compilation can take seconds. role: statements outside a tenant run without privileges too.
      options: `-c role=${SERVING_ROLE} -c jit=off -c TimeZone=UTC -c DateStyle=ISO -c lock_timeout=${config.PGLOCK_TIMEOUT} -c idle_in_transaction_session_timeout=10000`,
      statement_timeout,
    }),
  };
  let check: (client: pg.ClientBase) => Promise<void> = async () => undefined;
  const pool = new pg.Pool({
    ...base,
    verify: (client: pg.PoolClient, done: (err?: Error) => void) => check(client).then(() => done(), done),
    pipeline: !embedded,
    // The embedded engine has one session: a second connection would read the results of the first one.
    max: embedded ? 1 : config.PGPOOL_MAX,
    min: embedded ? 1 : config.PGPOOL_MIN,
    // pg counts seconds where the setting counts milliseconds
    maxLifetimeSeconds: embedded ? 0 : Math.ceil(config.PGMAX_LIFETIME / 1000),
    idleTimeoutMillis: embedded ? 0 : config.PGIDLE_TIMEOUT,
    connectionTimeoutMillis: embedded ? query_timeout : config.PGCONNECTION_TIMEOUT,
  } as pg.PoolConfig);
  // Without an error listener, a broken connection would end the process. Each client has its own listener for its whole life, because it
  // has none between the pool's listener and the borrower's, and the error can arrive in the same packet that made the client ready.
  const counted = { refused: 0, lost: 0 };
  let observer: PoolObserver = { answered: () => undefined, connected: () => undefined };
  const failed = (error: unknown): never => {
    observer.connected(false);
    throw error;
  };
  pool.on('connect', (client) => {
    observer.connected(true);
    observeStatements(client, (seconds) => observer.answered(seconds));
    client.on('error', (err) => {
      counted.lost += 1;
      log.warn({ err }, 'a database connection was lost');
    });
  });
  const queue = openConnectionQueue(queueLimitsOf(pool, config));
  const acquire = (tenant: string) => {
    try {
      return queue.acquire(tenant);
    } catch (error) {
      counted.refused += 1;
      throw error;
    }
  };
  const answers = trackAnswers(pool, sessionOptions);
  pool.on('error', () => undefined);
  return {
    using: async (work, tenant = NO_TENANT) => {
      const turn = acquire(tenant);
      if (turn) await turn;
      try {
        return await borrow(pool, answers, work, failed);
      } finally {
        queue.release(tenant);
      }
    },
    pipelined: !embedded,
    named: sessionOptions,
    embedded,
    answeredWithin: answers.answeredWithin,
    figures: () => ({
      max: pool.options.max,
      total: pool.totalCount,
      idle: pool.idleCount,
      waiting: queue.waiting,
      ...counted,
    }),
    guard: (next) => {
      check = next;
    },
    observe: (next) => {
      observer = next;
    },
    dedicated: async () => {
      const client = new pg.Client({ ...clientConfig(connection, config), types, keepAlive: true });
      client.on('error', (err) => log.warn({ err }, 'a dedicated database connection was lost'));
      await client.connect().then(() => observer.connected(true), failed);
      return client;
    },
    end: () => pool.end(),
  };
}

const queueLimitsOf = ({ options }: pg.Pool, config: PoolConfig): ConnectionQueueLimits => ({
  max: options.max,
  maxWaiting: config.PGPOOL_QUEUE,
  wait_ms: options.connectionTimeoutMillis!,
});

const EMBEDDED_CONNECT_MS = 60_000;

function clientConfig({ embedded, ...connection }: Connection, config: PoolConfig): pg.ClientConfig {
  const ca = config.PGSSLROOTCERT && readFileSync(config.PGSSLROOTCERT, 'utf8');
  return {
    ...connection,
    application_name: 'agent-memory',
    // The embedded engine is local: if it is slow it is busy, not unreachable.
    connectionTimeoutMillis: embedded ? EMBEDDED_CONNECT_MS : config.PGCONNECTION_TIMEOUT,
    ...(config.PGSSLMODE !== 'disable' && { ssl: { rejectUnauthorized: config.PGSSLMODE === 'verify-full', ...(ca && { ca }) } }),
  };
}

// Connections that rolled back after an error and therefore still work. An error of the work itself (a 404, a 409) does not affect the
// connection, and a new one each time would cost more than the request.
const rolledBack = new WeakSet<pg.ClientBase>();
export const markRolledBack = (client: pg.ClientBase): void => void rolledBack.add(client);

async function borrow<T>(
  pool: pg.Pool,
  answers: AnswerTracker,
  work: (client: pg.PoolClient) => Promise<T>,
  onNoConnection: (error: unknown) => never,
): Promise<T> {
  const client = await connectTrusted(pool, answers).catch(onNoConnection);
  rolledBack.delete(client);
  let broken: Error | undefined;
  try {
    const result = await work(client);
    answers.answered(client);
    return result;
  } catch (error) {
    answers.failed(client, error as Error);
    if (!rolledBack.delete(client) && !answeredByServer(error)) broken = error as Error;
    throw error;
  } finally {
    // An open transaction would leak its tenant to the next borrower.
    const idle = (client as unknown as { getTransactionStatus?(): string | null }).getTransactionStatus?.() ?? 'I';
    client.release(broken ?? (idle === 'I' ? undefined : new Error('left inside a transaction')));
  }
}

type AnswerTracker = ReturnType<typeof trackAnswers>;

/**
 * Detects connections that are silently dead. If the server cancels statements before the client stops waiting (`serverEnds`), a missing
 * answer means that the network path is lost, for example because a firewall dropped its connection state. All connections that have been
 * idle since before then are discarded, because each would cost another request its full timeout. Losses are counted instead of timed, so
 * that a new connection is trusted whatever the clock shows.
 */
function trackAnswers(pool: pg.Pool, serverEnds: boolean) {
  const lossesAtAnswer = new WeakMap<pg.ClientBase, number>();
  let losses = 0;
  let lastAnswer = Number.NEGATIVE_INFINITY;
  const answered = (client: pg.ClientBase) => {
    lastAnswer = performance.now();
    lossesAtAnswer.set(client, losses);
  };
  pool.on('connect', answered);
  return {
    answered,
    failed: (client: pg.ClientBase, error: Error) => {
      if (serverEnds && error.message === 'Query read timeout') losses += 1;
      else if (answeredByServer(error)) answered(client);
      else lastAnswer = Number.NEGATIVE_INFINITY;
    },
    answeredWithin: (ms: number) => performance.now() - lastAnswer < ms,
    trusts: (client: pg.ClientBase) => lossesAtAnswer.get(client) === losses,
  };
}

async function connectTrusted(pool: pg.Pool, answers: AnswerTracker): Promise<pg.PoolClient> {
  for (;;) {
    const client = await connect(pool);
    if (answers.trusts(client)) return client;
    client.release(new Error('unused since another connection got no answer'));
  }
}

const RECONNECTS = 20;
const RECONNECT_MS = 50;

/** Connects. The embedded engine accepts its only client once it has noticed that the previous one has disconnected. */
async function connect(pool: pg.Pool, attempts = pool.options.max === 1 ? RECONNECTS : 0): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    if (attempts === 0 || !isRefusedByEngine(error)) throw error;
    await sleep(RECONNECT_MS);
    return connect(pool, attempts - 1);
  }
}

const isRefusedByEngine = (error: unknown): boolean =>
  ['ECONNRESET', 'EPIPE'].includes((error as { code?: string }).code ?? '') ||
  /terminated unexpectedly/.test((error as Error).message);

/** Returns true if the error came from the server over a connection that still works. A FATAL error ends the connection. */
function answeredByServer(error: unknown): boolean {
  const { severity, code } = error as { severity?: string; code?: string };
  if (severity === 'FATAL' || severity === 'PANIC') return false;
  return severity === 'ERROR' || (typeof code === 'string' && code.startsWith('AM'));
}
