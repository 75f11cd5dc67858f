import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Config } from '../config.ts';
import type { Logger } from '../log.ts';
import { type ConnectionQueueLimits, NO_TENANT, openConnectionQueue } from './connection_queue.ts';
import { types } from './query.ts';

/** Where the database is; `embedded` says that it has one session, which cannot be pooled. */
export interface Connection {
  host?: string;
  port?: number;
  user?: string;
  password?: string;
  database?: string;
  connectionString?: string;
  embedded: boolean;
}

/** What a connection and a pool are made by. */
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
  /** Borrows a connection, works, gives it back; one that cannot be trusted any more is destroyed. Work for a tenant takes its turn. */
  using<T>(work: (client: pg.PoolClient) => Promise<T>, tenant?: string): Promise<T>;
  /** Whether statements of one client may be sent without waiting for each other's answers. */
  pipelined: boolean;
  /** Whether statements may be named, which a transaction pooler need not know. */
  named: boolean;
  embedded: boolean;
  /** Whether the database answered anything within so many ms: nobody has to wait for a connection to know that it is there. */
  answeredWithin(ms: number): boolean;
  /** `refused` and `lost` count from the start: requests shed by the full queue, connections that broke. */
  figures(): { max: number; total: number; idle: number; waiting: number; refused: number; lost: number };
  /** From now on each new connection is checked before it is lent; one that fails is closed, and the borrower gets the error. */
  guard(check: (client: pg.ClientBase) => Promise<void>): void;
  /** A connection of its own, outside the pool (migrations, LISTEN). The caller ends it. */
  dedicated(): Promise<pg.Client>;
  end(): Promise<void>;
}

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

/** The parts of DATABASE_URL, for who must say them one by one. */
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
  // A statement never outlives its request; the server gives up (statement) before we drop the connection (query).
  const query_timeout = Math.min(config.PGQUERY_TIMEOUT, config.REQUEST_TIMEOUT_MS);
  const statement_timeout = Math.min(config.PGSTATEMENT_TIMEOUT, Math.max(query_timeout - 500, 50));
  const base: pg.ClientConfig = {
    ...clientConfig(connection, config),
    types,
    query_timeout,
    keepAlive: true,
    ...(sessionOptions && {
      // jit: the planner can spend seconds compiling; role: even a statement outside any tenant runs without rights.
      options: `-c role=${SERVING_ROLE} -c jit=off -c TimeZone=UTC -c DateStyle=ISO -c lock_timeout=${config.PGLOCK_TIMEOUT} -c idle_in_transaction_session_timeout=10000`,
      statement_timeout,
    }),
  };
  let check: (client: pg.ClientBase) => Promise<void> = async () => undefined;
  const pool = new pg.Pool({
    ...base,
    verify: (client: pg.PoolClient, done: (err?: Error) => void) => check(client).then(() => done(), done),
    pipeline: !embedded,
    // The embedded engine is one session: a second connection would read the first one's answers.
    max: embedded ? 1 : config.PGPOOL_MAX,
    min: embedded ? 1 : config.PGPOOL_MIN,
    // pg counts seconds where the setting counts milliseconds
    maxLifetimeSeconds: embedded ? 0 : Math.ceil(config.PGMAX_LIFETIME / 1000),
    idleTimeoutMillis: embedded ? 0 : config.PGIDLE_TIMEOUT,
    connectionTimeoutMillis: embedded ? query_timeout : config.PGCONNECTION_TIMEOUT,
  } as pg.PoolConfig);
  // Without a listener a connection that dies would end the process. One of its own for each client, from its first moment to its last:
  // between the pool's listener and a borrower's a client has none, and the end can come in the very packet that made it ready.
  const counted = { refused: 0, lost: 0 };
  pool.on('connect', (client) =>
    client.on('error', (err) => {
      counted.lost += 1;
      log.warn({ err }, 'a database connection was lost');
    }),
  );
  const line = openConnectionQueue(boundsOf(pool, config));
  const enter = (tenant: string) => {
    try {
      return line.acquire(tenant);
    } catch (error) {
      counted.refused += 1;
      throw error;
    }
  };
  const silence = watchSilence(pool, sessionOptions);
  pool.on('error', () => undefined);
  return {
    using: async (work, tenant = NO_TENANT) => {
      const turn = enter(tenant);
      if (turn) await turn;
      try {
        return await borrow(pool, silence, work);
      } finally {
        line.release(tenant);
      }
    },
    pipelined: !embedded,
    named: sessionOptions,
    embedded,
    answeredWithin: silence.answeredWithin,
    figures: () => ({
      max: pool.options.max,
      total: pool.totalCount,
      idle: pool.idleCount,
      waiting: line.waiting,
      ...counted,
    }),
    guard: (next) => {
      check = next;
    },
    dedicated: async () => {
      const client = new pg.Client({ ...clientConfig(connection, config), types, keepAlive: true });
      client.on('error', (err) => log.warn({ err }, 'a dedicated database connection was lost'));
      await client.connect();
      return client;
    },
    end: () => pool.end(),
  };
}

const boundsOf = ({ options }: pg.Pool, config: PoolConfig): ConnectionQueueLimits => ({
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
    // the embedded engine is this machine: where it is slow it is busy, not away
    connectionTimeoutMillis: embedded ? EMBEDDED_CONNECT_MS : config.PGCONNECTION_TIMEOUT,
    ...(config.PGSSLMODE !== 'disable' && { ssl: { rejectUnauthorized: config.PGSSLMODE === 'verify-full', ...(ca && { ca }) } }),
  };
}

// Connections that rolled back after an error, so they still work, whatever the error was: a refusal by the work itself (a 404, a
// 409) says nothing about its connection, and a new one each time would cost more than the request.
const clean = new WeakSet<pg.ClientBase>();
export const markClean = (client: pg.ClientBase): void => void clean.add(client);

async function borrow<T>(pool: pg.Pool, silence: Silence, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await connectTrusted(pool, silence);
  clean.delete(client);
  let broken: Error | undefined;
  try {
    const result = await work(client);
    silence.answered(client);
    return result;
  } catch (error) {
    silence.failed(client, error as Error);
    if (!clean.delete(client) && !answeredByServer(error)) broken = error as Error;
    throw error;
  } finally {
    // A transaction left open would hand its tenant to the next borrower.
    const idle = (client as unknown as { getTransactionStatus?(): string | null }).getTransactionStatus?.() ?? 'I';
    client.release(broken ?? (idle === 'I' ? undefined : new Error('left inside a transaction')));
  }
}

type Silence = ReturnType<typeof watchSilence>;

/**
 * Where the server ends a statement before we stop waiting for its answer (`serverEnds`), no answer means that the way there is lost, as when a firewall
 * forgot its connections: then each that has been idle since would cost another request its whole time. They are not lent again.
 */
function watchSilence(pool: pg.Pool, serverEnds: boolean) {
  const heard = new WeakMap<pg.ClientBase, number>();
  let since = Number.NEGATIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  const answered = (client: pg.ClientBase) => {
    last = performance.now();
    heard.set(client, last);
  };
  pool.on('connect', answered);
  return {
    answered,
    failed: (client: pg.ClientBase, error: Error) => {
      if (serverEnds && error.message === 'Query read timeout') since = performance.now();
      else if (answeredByServer(error)) answered(client);
      else last = Number.NEGATIVE_INFINITY;
    },
    answeredWithin: (ms: number) => performance.now() - last < ms,
    trusts: (client: pg.ClientBase) => heard.get(client)! >= since,
  };
}

async function connectTrusted(pool: pg.Pool, silence: Silence): Promise<pg.PoolClient> {
  for (;;) {
    const client = await connect(pool);
    if (silence.trusts(client)) return client;
    client.release(new Error('silent since another connection got no answer'));
  }
}

const RECONNECTS = 20;
const RECONNECT_MS = 50;

/** The embedded engine takes its one client again only when it has seen the last one go. */
async function connect(pool: pg.Pool, attempts = pool.options.max === 1 ? RECONNECTS : 0): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    if (attempts === 0 || !refusedAtOnce(error)) throw error;
    await sleep(RECONNECT_MS);
    return connect(pool, attempts - 1);
  }
}

const refusedAtOnce = (error: unknown): boolean =>
  ['ECONNRESET', 'EPIPE'].includes((error as { code?: string }).code ?? '') ||
  /terminated unexpectedly/.test((error as Error).message);

/** An error with an SQLSTATE and a severity came through a working connection; FATAL ones end it. */
function answeredByServer(error: unknown): boolean {
  const { severity, code } = error as { severity?: string; code?: string };
  if (severity === 'FATAL' || severity === 'PANIC') return false;
  return severity === 'ERROR' || (typeof code === 'string' && code.startsWith('AM'));
}
