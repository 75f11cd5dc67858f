import { hash } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import { createApp } from '../../src/app.ts';
import type { Gate } from '../../src/http/gate.ts';
import { type ProblemType, problems } from '../../src/http/problem.ts';
import { declareFor } from '../../src/http/route.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';

// The request pipeline without a database.

interface Caller {
  tenant: string;
}

export const MAX = 100_000;
export const gate: Gate<Caller | null> = {
  identify: async () => ({ tenant: 'acme' }),
  capabilityOf: () => undefined,
  authorize: () => undefined,
  admit: async () => undefined,
  admitBytes: () => undefined,
  claimNonce: () => undefined,
  fence: async (caller) => caller,
  idsOf: () => ({ principal: 'usr_1', tenant: 'acme' }),
  addressOf: () => '127.0.0.1',
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
  body: { maxBytes: MAX, maxDepth: 10, maxArray: 100, maxString: MAX },
  bytesInFlight: { bytes: 0, max: 10 * MAX, byTenant: new Map() },
  inFlight: { count: 0, max: 50, byTenant: new Map() },
  timeoutMs: 60_000,
  log: createLogger('silent'),
};

const route = declareFor<Caller | null>();
const shared = { summary: 's', tag: 't', access: 'write', limit: 'v1', problems: [] as ProblemType[] } as const;
const ok = { status: 200, description: 'd', schema: z.unknown() } as const;
const routes = [
  route({
    ...shared,
    method: 'POST',
    path: '/json/{id}',
    operation: 'json',
    fastPath: true,
    params: z.strictObject({ id: z.string() }),
    body: z.looseObject({}),
    success: ok,
    handle: async ({ params, body, idempotency }) => ({ body: { params, body, idempotency } }),
    idempotent: true,
  }),
  route({
    ...shared,
    method: 'PUT',
    path: '/covered/{name}',
    operation: 'covered',
    params: z.strictObject({ name: z.string() }),
    body: z.strictObject({ to: z.string(), text: z.string().optional() }),
    success: ok,
    capability: ({ params, body, streams }) => [
      { op: streams ? 'WATCH' : 'PUT', namespace: params.name },
      { op: 'ADMIN', namespace: body.to },
    ],
    handle: async () => ({ body: { by: 'handle' } }),
    handleLarge: async () => ({ body: { by: 'handleLarge' } }),
  }),
  route({
    ...shared,
    method: 'POST',
    path: '/raw',
    operation: 'raw',
    raw: { maxBytes: 64 * MAX },
    success: ok,
    handle: async ({ body }) => ({ body: { bytes: (body as unknown as Buffer).length } }),
  }),
  route({
    ...shared,
    method: 'GET',
    path: '/slow',
    operation: 'slow',
    success: ok,
    handle: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => setTimeout(resolve, 50, {}))),
  }),
  route({
    ...shared,
    method: 'GET',
    path: '/broken',
    operation: 'broken',
    success: ok,
    handle: async () => {
      throw new TypeError('a secret of the inside');
    },
  }),
];

export interface Pipeline {
  server: Server;
  url: string;
  post(path: string, body: string | Buffer, headers?: Record<string, string>): Promise<Response>;
  close(): void;
}

export const json = { 'content-type': 'application/json' };

export async function startPipeline(by = gate, corsOrigins: string[] = []): Promise<Pipeline> {
  const server = createHttpServer(createApp(by, routes, corsOrigins)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    server,
    url,
    post: (path, body, headers = json) => fetch(url + path, { method: 'POST', body: body as string, headers }),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

export async function expectProblem(response: Response, type: ProblemType): Promise<Record<string, unknown>> {
  const body = (await response.json()) as Record<string, unknown>;
  expect(body).toMatchObject({ type: `/docs/problems#${type}`, status: problems[type][0] });
  expect(response.status).toBe(problems[type][0]);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(response.headers.get('x-request-id')).toBe(body.request_id);
  return body;
}
