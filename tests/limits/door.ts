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

// The door of a daemon with nothing behind it but the limits, and ways to knock.

export const silent = createLogger('silent');

export const settingsOf = (env: Record<string, string> = {}): Config => loadConfig({ NODE_ENV: 'test', ...env });

export async function openPool(): Promise<Pool> {
  const { connection, embedded } = await workerDatabase();
  return createPool({ ...connection, embedded }, settingsOf(), silent);
}

/** A logger that keeps what it was told. */
export function listeningLog(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const keep = (_: unknown, text?: string) => lines.push(text ?? String(_));
  return { log: { ...silent, warn: keep, info: keep, debug: () => undefined, error: keep } as unknown as Logger, lines };
}

/**
 * From here on time passes only where a test turns the clock (`jest.advanceTimersByTime`): on a slow machine no window ends and no
 * store is late by itself.
 */
export const holdClock = () =>
  jest.useFakeTimers({ doNotFake: ['Date', 'hrtime', 'nextTick', 'setImmediate', 'clearImmediate', 'queueMicrotask'] });

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

interface Knock {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

export interface Door {
  knock(route: keyof typeof routes, headers?: Record<string, string>): Promise<Knock>;
  close(): void;
}

/** Callers name themselves: `X-Caller: tenant/principal`. */
export async function openDoor(limits: Limits, hops = 0): Promise<Door> {
  const gate = {
    identify: async (req) => {
      const [tenant_id = '', id = ''] = String(req.headers['x-caller']).split('/');
      return { principal: { tenant_id, id, user_id: id } };
    },
    authorize: () => undefined,
    admit: limits.admit,
    admitBytes: limits.admitBytes,
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
    const wanted = Object.values(routes).find(({ path }) => path === req.url)!;
    void serve<Caller>(gate, wanted, req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    async knock(name, headers = {}) {
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

/** Whether the limits admit one request, without HTTP around it. */
export async function isAdmitted(limits: Limits, tenant: string, principal: string): Promise<boolean> {
  return judged(() =>
    limits.admit(routes.v1, { principal: { tenant_id: tenant, id: principal, user_id: principal } }, '127.0.0.1', nowhere),
  );
}

export const isAddressAdmitted = (limits: Limits, address: string): Promise<boolean> =>
  judged(() => limits.admit(routes.auth, null, address, nowhere));

async function judged(admit: () => Promise<void>): Promise<boolean> {
  try {
    await admit();
    return true;
  } catch (error) {
    if (error instanceof Problem && error.type === 'rate-limited') return false;
    throw error;
  }
}

/** How many of `n` requests are admitted, sent `at_once` at a time to the daemons in turn. */
export async function countAdmitted(n: number, at_once: number, ask: (i: number) => Promise<boolean>): Promise<number> {
  let admitted = 0;
  for (let i = 0; i < n; i += at_once) {
    const answers = await Promise.all(Array.from({ length: Math.min(at_once, n - i) }, (_, j) => ask(i + j)));
    admitted += answers.filter(Boolean).length;
    // Requests come from outside, so between them other answers come in too.
    await nextTurn();
  }
  return admitted;
}
