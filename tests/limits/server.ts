import { hash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Config, loadConfig } from '../../src/config.ts';
import { createPool, type Pool } from '../../src/db/pool.ts';
import { addressOf } from '../../src/http/address.ts';
import type { Gate } from '../../src/http/gate.ts';
import { Problem } from '../../src/http/problem.ts';
import { declareFor } from '../../src/http/route.ts';
import { serve } from '../../src/http/serve.ts';
import type { Limits } from '../../src/limits/index.ts';
import { createLogger, type Logger } from '../../src/log.ts';
import { workerDatabase } from '../support/database.ts';

// A server with only the rate limits, and helpers to send requests.

export const silent = createLogger('silent');

export const settingsOf = (env: Record<string, string> = {}): Config => loadConfig({ NODE_ENV: 'test', ...env });

export async function openPool(): Promise<Pool> {
  const { connection, embedded } = await workerDatabase();
  return createPool({ ...connection, embedded }, settingsOf(), silent);
}

/** Returns a logger that records its messages. */
export function recordingLog(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const keep = (_: unknown, text?: string) => lines.push(text ?? String(_));
  return { log: { ...silent, warn: keep, info: keep, debug: () => undefined, error: keep } as unknown as Logger, lines };
}

/**
 * Stops the clock, which then only advances with `advanceClock`, so that no window ends and no store times out on a slow machine.
 */
export const stopClock = () =>
  jest.useFakeTimers({ doNotFake: ['Date', 'hrtime', 'nextTick', 'setImmediate', 'clearImmediate', 'queueMicrotask'] });

/** Waits until no refill is in flight. pg uses the stopped clock too: advanced during a statement, it would time out the statement. */
export async function untilIdle(pool: Pool): Promise<void> {
  for (let { total, idle, waiting } = pool.figures(); total > idle || waiting > 0; { total, idle, waiting } = pool.figures())
    await nextTurn();
}

export async function advanceClock(pool: Pool, ms: number): Promise<void> {
  await untilIdle(pool);
  await jest.advanceTimersByTimeAsync(ms);
}

interface Caller {
  principal: { tenant_id: string; id: string };
}

const route = declareFor<Caller>();
const answer = { success: { status: 200 as const, description: 'yes' }, problems: [], handle: async () => ({ body: {} }) };
const described = { method: 'GET' as const, operation: 'try', summary: '', tag: 't' };
const routes = {
  v1: route({ ...described, ...answer, path: '/v1/try', access: 'read', limit: 'v1' }),
  auth: route({ ...described, ...answer, path: '/auth/try', access: 'none', limit: 'auth' }),
  free: route({ ...described, ...answer, path: '/health', access: 'none', limit: 'none' }),
};

interface Reply {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

export interface LimitServer {
  send(route: keyof typeof routes, headers?: Record<string, string>): Promise<Reply>;
  close(): void;
}

/** Starts a server. Callers identify themselves by `X-Caller: tenant/principal`. */
export async function startServer(limits: Limits, hops = 0): Promise<LimitServer> {
  const gate = {
    identify: async (req) => {
      const [tenant_id = '', id = ''] = String(req.headers['x-caller']).split('/');
      return { principal: { tenant_id, id, user_id: id } };
    },
    capabilityOf: () => undefined,
    authorize: () => undefined,
    admit: limits.admit,
    admitBytes: limits.admitBytes,
    claimNonce: () => undefined,
    fence: async (caller) => caller,
    idsOf: ({ principal }) => ({ principal: principal.id, tenant: principal.tenant_id }),
    addressOf: (req) => addressOf(req, hops),
    observeRequest: () => undefined,
    countProblem: () => undefined,
    screen: async (_caller, body) => body,
    conflicts: {},
    holdsSecret: () => false,
    parseInWorker: async (_caller, bytes) => ({ body: JSON.parse(bytes.toString()), idempotency: null }),
    mac: (data) => hash('sha256', data),
    audit: {
      assertWritable: () => undefined,
      record: async () => undefined,
      readAction: () => undefined,
      countRefusal: () => undefined,
    },
    body: { maxBytes: 1000, maxDepth: 5, maxArray: 10, maxString: 100 },
    bytesInFlight: { bytes: 0, max: 1e6, byTenant: new Map() },
    inFlight: { count: 0, max: 10_000, byTenant: new Map() },
    timeoutMs: 10_000,
    log: silent,
  } satisfies Gate<Caller>;
  const server = createServer((req, res) => {
    const route = Object.values(routes).find(({ path }) => path === req.url)!;
    void serve<Caller>(gate, route, req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    async send(name, headers = {}) {
      const res = await fetch(`http://127.0.0.1:${port}${routes[name].path}`, { headers });
      return { status: res.status, headers: res.headers, body: (await res.json()) as Record<string, unknown> };
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const nowhere = { setHeader: () => undefined } as unknown as ServerResponse;

/** Returns true if the limits admit a request, without HTTP. */
export async function isAdmitted(limits: Limits, tenant: string, principal: string): Promise<boolean> {
  return isAccepted(() =>
    limits.admit(routes.v1, { principal: { tenant_id: tenant, id: principal, user_id: principal } }, '127.0.0.1', nowhere),
  );
}

export const isAddressAdmitted = (limits: Limits, address: string): Promise<boolean> =>
  isAccepted(() => limits.admit(routes.auth, null, address, nowhere));

async function isAccepted(admit: () => Promise<void>): Promise<boolean> {
  try {
    await admit();
    return true;
  } catch (error) {
    if (error instanceof Problem && error.type === 'rate-limited') return false;
    throw error;
  }
}

/** Sends `n` requests to the daemons in turn, `at_once` at a time; returns how many are admitted. */
export async function countAdmitted(n: number, at_once: number, request: (i: number) => Promise<boolean>): Promise<number> {
  let admitted = 0;
  for (let i = 0; i < n; i += at_once) {
    const answers = await Promise.all(Array.from({ length: Math.min(at_once, n - i) }, (_, j) => request(i + j)));
    admitted += answers.filter(Boolean).length;
    // as with real requests, other events are processed in between
    await nextTurn();
  }
  return admitted;
}
