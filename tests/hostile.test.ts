import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { canonicalJson } from '../src/http/json.ts';
import { type Client, message, newTenant } from './support/client.ts';
import { assertConforms, document, operationAt } from './support/contract.ts';
import { startTestDaemon, type TestDaemon } from './support/daemon.ts';
import { contentType, corrupted, headers, pathOf, queryOf, textOf, valuesOf } from './support/hostile.ts';

// Hostile input never causes a 5xx or a hang. Every response conforms to the OpenAPI document, and everything accepted reads back unchanged.

const SEED = Number(process.env.HOSTILE_SEED ?? 20_261_121);
const RUNS = Number(process.env.HOSTILE_RUNS ?? 40);
const TIMEOUT_MS = 12_000;

let daemon: TestDaemon;
let client: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  client = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
);

interface Sent {
  path: string;
  query: string;
  body: string | undefined;
  headers: Record<string, string>;
}

async function ask(method: string, { path, query, body, headers: more }: Sent): Promise<number> {
  const response = await fetch(daemon.url + path + query, {
    method,
    headers: { authorization: `Bearer ${client.token}`, ...more },
    body: method === 'GET' ? undefined : body,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    redirect: 'manual',
  });
  const text = await response.text();
  const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '');
  if (response.status >= 500) throw new Error(`${response.status} ${text.slice(0, 500)}`);
  assertConforms(
    method,
    new URL(daemon.url + path).pathname,
    response.status,
    response.headers,
    isJson ? JSON.parse(text) : text,
  );
  return response.status;
}

test.each(operations.map((one) => [`${one.method} ${one.path}`, one] as const))(
  '%s withstands hostile input',
  async (_, { method, path, operation }) => {
    const schema = (operation.requestBody as { content: Record<string, { schema?: Record<string, unknown> }> } | undefined)
      ?.content['application/json']?.schema;
    const values = schema ? valuesOf(schema) : fc.constant(undefined);
    const body = fc
      .oneof(values, corrupted(values), corrupted(corrupted(values)))
      .map((value) => (value === undefined ? undefined : textOf(value)));
    const request = fc.tuple(pathOf(path), queryOf(operation), body, headers, contentType);
    await fc.assert(
      fc.asyncProperty(request, async ([where, query, text, more, type]) => {
        const status = await ask(method, { path: where, query, body: text, headers: { 'content-type': type, ...more } });
        // If a request revoked the token, all further requests would only get 401.
        if (status === 401 || operation.operationId === 'deleteTenant') client = await newTenant(daemon.url);
      }),
      { seed: SEED, numRuns: RUNS, interruptAfterTimeLimit: 60_000 },
    );
  },
  90_000,
);

test('every forged credential returns 401', async () => {
  const forged = [
    'Bearer',
    'Bearer x',
    'Bearer a.b.c',
    `Bearer ${client.token}x`,
    `bearer  ${client.token} y`,
    'Basic YTpi',
    'Bearer eyJhbGciOiJub25lIn0.e30.',
    `Bearer ${'x'.repeat(9000)}`,
  ];
  for (const authorization of forged) {
    const status = await ask('GET', { path: '/v1/events', query: '', body: undefined, headers: { authorization } });
    expect([authorization.slice(0, 40), status]).toEqual([authorization.slice(0, 40), 401]);
  }
});

const text = fc.string({ unit: 'grapheme', maxLength: 60 });
const anyEvent = fc.record(
  {
    session_id: fc.string({ minLength: 1, maxLength: 50 }),
    channel: fc.constantFrom('private', 'public', 'team', 'agent'),
    actor: fc.record({ type: fc.constantFrom('human', 'agent', 'tool'), id: fc.string({ minLength: 1, maxLength: 20 }) }),
    kind: fc.constant('message'),
    content: fc
      .tuple(text, fc.dictionary(text, fc.jsonValue({ maxDepth: 4, stringUnit: 'grapheme' } as never)))
      .map(([said, more]) => ({ ...more, text: said })),
    metadata: fc.dictionary(text, fc.jsonValue({ maxDepth: 4, stringUnit: 'grapheme' } as never)),
    tags: fc.array(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 5 }),
    sensitivity: fc.constantFrom('none', 'low', 'high'),
    project_id: fc.string({ minLength: 1, maxLength: 20 }),
  },
  { requiredKeys: ['session_id', 'channel', 'actor', 'kind', 'content'] },
);

test('an accepted event reads back unchanged', async () => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(anyEvent, async (given) => {
      const { status, body } = await client.request('POST', '/v1/events', { body: given });
      if (status !== 201) return expect([status, body.type]).toEqual([400, '/docs/problems#impossible-text']);
      accepted += 1;
      const { body: stored } = await client.request<Record<string, unknown>>('GET', `/v1/events/${body.event_id}`);
      const same = Object.keys(given).map((key) => [key, canonicalJson(stored[key])]);
      expect(same).toEqual(Object.entries(given).map(([key, value]) => [key, canonicalJson(value)]));
    }),
    { seed: SEED, numRuns: RUNS * 5 },
  );
  expect(accepted).toBeGreaterThan(RUNS);
}, 90_000);

test('text that looks like an attack is stored unchanged', async () => {
  for (const sentence of [
    'Array<string>',
    'x < 5 && y > 3',
    'javascript:alert(1)',
    "'; DROP TABLE events; --",
    '{{constructor}}',
    '%00',
    '\\u0000',
    '$1 $2',
    '\r\n\t',
  ]) {
    const { body } = await client.request('POST', '/v1/events', { body: message(sentence) });
    expect((await client.request('GET', `/v1/events/${body.event_id}`)).body.content).toEqual({ text: sentence });
  }
});

/** Sends raw bytes. Resolves with the response when the daemon closes the connection, or after 1.5 s. */
async function raw(bytes: string): Promise<string> {
  const socket = connect(Number(new URL(daemon.url).port), '127.0.0.1');
  let answer = '';
  socket.on('data', (part) => {
    answer += part;
  });
  socket.on('error', () => undefined);
  socket.write(bytes);
  await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, 1500))]);
  socket.destroy();
  return answer;
}

const auth = () => `Host: x\r\nAuthorization: Bearer ${client.token}\r\n`;

test.each([
  ['text that is not HTTP', () => 'hello\r\n\r\n', 400],
  [
    'two Content-Length headers',
    () => `POST /v1/events HTTP/1.1\r\n${auth()}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
    400,
  ],
  [
    'both Content-Length and chunks',
    () => `POST /v1/events HTTP/1.1\r\n${auth()}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['a negative length', () => `POST /v1/events HTTP/1.1\r\n${auth()}Content-Length: -1\r\n\r\n`, 400],
  ['oversized headers', () => `GET /health HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ['an unknown method', () => 'BREW /health HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a method that the path does not have', () => 'TRACE /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 405],
  ['an absolute URL', () => `GET http://other/v1/events/evt_1 HTTP/1.1\r\n${auth()}Connection: close\r\n\r\n`, 404],
  ['an unknown expectation', () => 'GET /nowhere HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nConnection: close\r\n\r\n', 404],
] as [string, () => string, number][])('%s on the wire gets a problem document', async (_, bytes, status) => {
  const answer = await raw(bytes());
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  expect(head.split('\r\n')[0]).toContain(`HTTP/1.1 ${status}`);
  expect(head).toMatch(/content-type: application\/problem\+json/i);
  expect(JSON.parse(body.slice(body.indexOf('{'), body.lastIndexOf('}') + 1))).toMatchObject({
    status,
    request_id: expect.any(String),
  });
});

test('afterwards the daemon is healthy and holds no requests', async () => {
  expect(operationAt('GET', '/health')).toBeDefined();
  const { body } = await client.request<Record<string, { values: { value: number }[] }>>('GET', '/metrics/json');
  expect([body.agent_memory_requests_in_flight!.values[0]!.value, body.agent_memory_body_bytes_held!.values[0]!.value]).toEqual([
    0, 0,
  ]);
  expect((await client.request('GET', '/health')).body.status).toBe('healthy');
});
