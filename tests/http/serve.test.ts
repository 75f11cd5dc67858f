import { hash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { z } from 'zod';
import { createApp } from '../../src/app.ts';
import { type Problem, type ProblemType, problems } from '../../src/http/problem.ts';
import { declareFor } from '../../src/http/route.ts';
import type { Gate } from '../../src/http/serve.ts';
import { matchPath, urlOf } from '../../src/http/url.ts';
import { createLogger } from '../../src/log.ts';

// The pipeline around a handler, without a database.

interface Caller {
  tenant: string;
}

const MAX = 100_000;
const gate: Gate<Caller | null> = {
  identify: async () => ({ tenant: 'acme' }),
  authorize: () => undefined,
  admit: async () => undefined,
  scopeOf: () => ({ principal: 'usr_1', tenant: 'acme' }),
  addressOf: () => '127.0.0.1',
  finished: () => undefined,
  refused: () => undefined,
  screen: async (_caller, body) => body,
  mac: (data) => hash('sha256', data),
  trail: { assertOpen: () => undefined, record: async () => undefined, refused: () => undefined },
  body: { maxBytes: MAX, maxDepth: 10, maxArray: 100, maxString: MAX },
  held: { bytes: 0, max: 10 * MAX },
  inFlight: { count: 0, max: 50, byTenant: new Map() },
  timeoutMs: 300,
  log: createLogger('silent'),
};

const route = declareFor<Caller | null>();
const shared = { summary: 's', tag: 't', access: 'write', limit: 'none', problems: [] as ProblemType[] } as const;
const ok = { status: 200, description: 'd', schema: z.unknown() } as const;
const routes = [
  route({
    ...shared,
    method: 'POST',
    path: '/json/{id}',
    operation: 'json',
    hot: true,
    params: z.strictObject({ id: z.string() }),
    body: z.looseObject({}),
    success: ok,
    handle: async ({ params, body, idempotency }) => ({ body: { params, body, idempotency } }),
    idempotent: true,
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

let server: Server;
let url: string;
beforeAll(async () => {
  server = createServer(createApp(gate, routes, [])).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
afterEach(() => expect([gate.held.bytes, gate.inFlight.count]).toEqual([0, 0]));

const json = { 'content-type': 'application/json' };
const post = (path: string, body: string | Buffer, headers: Record<string, string> = json) =>
  fetch(url + path, { method: 'POST', body: body as string, headers });

async function expectProblem(response: Response, type: ProblemType): Promise<Record<string, unknown>> {
  const body = (await response.json()) as Record<string, unknown>;
  expect(body).toMatchObject({ type: `/docs/problems#${type}`, status: problems[type][0] });
  expect(response.status).toBe(problems[type][0]);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(response.headers.get('x-request-id')).toBe(body.request_id);
  return body;
}

test('a body that is announced too large is refused, and the connection serves on', async () => {
  await expectProblem(await post('/json/1', Buffer.alloc(MAX + 1, 0x20)), 'too-large');
  expect((await post('/json/1', '{}')).status).toBe(200);
});

test('a body that turns out too large is refused with an answer, not a cut connection', async () => {
  const sent = request(`${url}/json/1`, { method: 'POST', headers: { ...json, 'transfer-encoding': 'chunked' } });
  sent.on('error', () => undefined);
  for (let i = 0; i < 40; i += 1) sent.write(Buffer.alloc(MAX, 0x20));
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  expect(answer.statusCode).toBe(413);
  answer.resume();
  sent.end();
  await once(sent, 'close');
  expect((await post('/json/1', '{}')).status).toBe(200);
});

test('bodies that are too many bytes together are shed', async () => {
  const sends = Array.from({ length: 4 }, () => post('/raw', Buffer.alloc(9 * MAX), { 'content-type': 'a/b' }));
  const statuses = (await Promise.all(sends)).map((response) => response.status);
  expect(statuses.every((status) => status === 200 || status === 503)).toBe(true);
});

test.each([
  ['no JSON type', '{}', { 'content-type': 'text/plain' }, 'unsupported-media-type'],
  ['a form', 'a=1', { 'content-type': 'application/x-www-form-urlencoded' }, 'unsupported-media-type'],
  ['a compressed body', '{}', { ...json, 'content-encoding': 'gzip' }, 'unsupported-media-type'],
  ['no JSON', '{', json, 'malformed-json'],
  ['nothing', '', json, 'malformed-json'],
  ['NUL', '{"a":"\\u0000"}', json, 'impossible-text'],
  ['another tenant', '{"tenant_id":"other"}', json, 'forbidden'],
  ['another tenant in an item', '{"events":[{"tenant_id":"other"}]}', json, 'forbidden'],
  ['another tenant in a header', '{}', { ...json, 'x-tenant-id': 'other' }, 'forbidden'],
  ['an endless Idempotency-Key', '{}', { ...json, 'idempotency-key': 'x'.repeat(256) }, 'validation'],
  ['an Idempotency-Key of other characters', '{}', { ...json, 'idempotency-key': 'é' }, 'validation'],
] as [string, string, Record<string, string>, ProblemType][])('%s is refused', async (_, body, headers, type) => {
  await expectProblem(await post('/json/1', body, headers), type);
});

test('another tenant in the query is refused, the own one is taken and not passed on', async () => {
  await expectProblem(await post('/json/1?tenant_id=other', '{}'), 'forbidden');
  await expectProblem(await post('/json/1?tenant_id=acme&tenant_id=other', '{}'), 'forbidden');
  const answer = (await (
    await post('/json/1?tenant_id=acme', '{"tenant_id":"acme","events":[{"tenant_id":"acme"}]}')
  ).json()) as object;
  expect(answer).toMatchObject({ body: { events: [{}] } });
});

test.each([
  ['/json/%ff', 'malformed-request'],
  ['/json/%', 'malformed-request'],
  ['/json/%00', 'impossible-text'],
  ['/json/1?a=%00', 'impossible-text'],
  ['/json/1?a=%ff', 'impossible-text'],
  ['/json/1?%ed%a0%80=1', 'impossible-text'],
  ['/json/1?b=1', 'validation'],
  ['/json/1/2', 'not-found'],
  ['//json/1', 'not-found'],
  ['/', 'not-found'],
] as [string, ProblemType][])('POST %s is %s', async (path, type) => {
  await expectProblem(await post(path, '{}'), type);
});

test('a method that the path lacks is told with those it has', async () => {
  const response = await fetch(`${url}/json/1`, { method: 'DELETE' });
  await expectProblem(response, 'method-not-allowed');
  expect(response.headers.get('allow')).toBe('POST');
});

test('a path parameter is decoded once', async () => {
  const answer = (await (await post('/json/a%2Fb%252F', '{}')).json()) as { params: unknown };
  expect(answer.params).toEqual({ id: 'a/b%2F' });
});

test('a request id is taken if it is sane and made otherwise', async () => {
  const of = async (given: string) =>
    (await post('/json/1', '{}', { ...json, 'x-request-id': given })).headers.get('x-request-id');
  expect(await of('trace-1:a.b')).toBe('trace-1:a.b');
  expect(await of('<script>')).toMatch(/^[0-9a-f-]{36}$/);
  expect(await of('x'.repeat(129))).toMatch(/^[0-9a-f-]{36}$/);
});

test('the same key is another one for another body, and the same for the same value in another order', async () => {
  const of = async (body: string) => {
    const answer = (await (await post('/json/1', body, { ...json, 'idempotency-key': 'k' })).json()) as {
      idempotency: { key: string; body: string };
    };
    return answer.idempotency;
  };
  const [one, same, other] = [
    await of('{"a":1,"b":[1,2]}'),
    await of('{ "b":[1, 2.0], "a":1e0 }'),
    await of('{"a":1,"b":[2,1]}'),
  ];
  expect(same).toEqual(one);
  expect(other.key).toBe(one.key);
  expect(other.body).not.toBe(one.body);
});

test('what takes too long is answered 503, and its handler told', async () => {
  const response = await fetch(`${url}/slow`);
  await expectProblem(response, 'unavailable');
  expect(response.headers.get('retry-after')).toBe('1');
});

test('an error of ours is a 500 that says nothing of the inside', async () => {
  const body = await expectProblem(await fetch(`${url}/broken`), 'internal');
  expect(JSON.stringify(body)).not.toContain('secret');
});

test('megabytes of raw bytes take no more than their time', async () => {
  const response = await post('/raw', Buffer.alloc(9 * MAX, 1), { 'content-type': 'a/b' });
  expect(await response.json()).toEqual({ bytes: 9 * MAX });
});

test('a client that leaves in the middle of its body frees what it held', async () => {
  const socket = connect(new URL(url).port as unknown as number, '127.0.0.1');
  socket.write(
    `POST /json/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50000\r\n\r\n${' '.repeat(10_000)}`,
  );
  await new Promise((resolve) => setTimeout(resolve, 100));
  socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 100));
});

describe('matchPath', () => {
  test.each([
    ['/v1/events/{event_id}', '/v1/events/evt_1', { event_id: 'evt_1' }],
    ['/v1/events/{event_id}', '/v1/events/', undefined],
    ['/v1/events/{event_id}', '/v1/events', undefined],
    ['/v1/events/{event_id}', '/v1/events/a/b', undefined],
    ['/v1/{a}/{b}', '/v1/x%20y/%E2%82%AC', { a: 'x y', b: '€' }],
    ['/health', '/health', {}],
    ['/health', '/healthy', undefined],
  ])('%s on %s', (template, path, params) => {
    expect(matchPath(template, path)).toEqual(params);
  });

  test('a path that is no text is a problem', () => {
    expect(() => matchPath('/{a}', '/%c3%28')).toThrow(expect.objectContaining<Partial<Problem>>({ type: 'malformed-request' }));
  });
});

test('a parameter named __proto__ is a parameter', () => {
  const { query } = urlOf({ url: '/x?__proto__=1&a=1&a=2' } as IncomingMessage);
  expect(Object.entries(query)).toEqual([
    ['__proto__', '1'],
    ['a', ['1', '2']],
  ]);
});
