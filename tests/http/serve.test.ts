import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Problem, ProblemType } from '../../src/http/problem.ts';
import { matchPath, urlOf } from '../../src/http/url.ts';
import { eventually } from '../support/eventually.ts';
import { expectProblem, gate, json, MAX, type Pipeline, startPipeline } from './pipeline.ts';

// The request pipeline without a database.

let pipeline: Pipeline;
let url: string;
beforeAll(async () => {
  pipeline = await startPipeline();
  url = pipeline.url;
});
afterAll(() => pipeline.close());
afterEach(() => expect([gate.bytesInFlight.bytes, gate.inFlight.count]).toEqual([0, 0]));

const post = (...args: Parameters<Pipeline['post']>) => pipeline.post(...args);

test.each([
  ['no JSON type', '{}', { 'content-type': 'text/plain' }, 'unsupported-media-type'],
  ['a form', 'a=1', { 'content-type': 'application/x-www-form-urlencoded' }, 'unsupported-media-type'],
  ['a compressed body', '{}', { ...json, 'content-encoding': 'gzip' }, 'unsupported-media-type'],
  ['no JSON', '{', json, 'malformed-json'],
  ['nothing', '', json, 'malformed-json'],
  ['NUL', '{"a":"\\u0000"}', json, 'impossible-text'],
  ['another charset', '{}', { 'content-type': 'application/json; charset=iso-8859-1' }, 'unsupported-media-type'],
  ['a second charset', '{}', { 'content-type': 'application/json; charset=utf-8; charset="utf-16"' }, 'unsupported-media-type'],
  ['a repeated name', '{"a":1,"a":1}', json, 'impossible-text'],
  ['a repeated name, deep and escaped', '{"x":[{"b":{"a":1, "\\u0061" :2}}]}', json, 'impossible-text'],
  ['another tenant', '{"tenant_id":"other"}', json, 'forbidden'],
  ['another tenant in an item', '{"events":[{"tenant_id":"other"}]}', json, 'forbidden'],
  ['another tenant in a header', '{}', { ...json, 'x-tenant-id': 'other' }, 'forbidden'],
  ['an endless Idempotency-Key', '{}', { ...json, 'idempotency-key': 'x'.repeat(256) }, 'validation'],
  ['an Idempotency-Key of other characters', '{}', { ...json, 'idempotency-key': 'é' }, 'validation'],
] as [string, string, Record<string, string>, ProblemType][])('%s is rejected', async (_, body, headers, type) => {
  await expectProblem(await post('/json/1', body, headers), type);
});

test.each(['UTF-8', 'utf8', '"utf-8"'])('the charset %s is accepted', async (charset) => {
  expect((await post('/json/1', '{"a":"ü"}', { 'content-type': `application/json; charset=${charset}` })).status).toBe(200);
});

test('a repeated field is reported by its pointer; the same name in another object or in a string is allowed', async () => {
  const { errors } = await expectProblem(
    await post('/json/1', '{"l":[{"a":1},{"b":"\\"a\\":1","c":1,"c":2}]}'),
    'impossible-text',
  );
  expect(errors).toEqual([{ pointer: '#/l/1/c', detail: 'must not be repeated' }]);
  const fine = '{"a":{"a":[{"a":1},{"a":2}]},"b":"{\\"a\\":1,\\"a\\":1}","c":"\\\\","d":"a:"}';
  expect((await post('/json/1', fine)).status).toBe(200);
});

test.each(['Content-Type: application/json', 'Idempotency-Key: k', 'Authorization: Bearer x', 'X-API-Key: x'])(
  'a repeated header %s is rejected, even with equal values',
  async (line) => {
    const socket = connect(new URL(url).port as unknown as number, '127.0.0.1');
    const type = line.startsWith('Content-Type') ? '' : 'Content-Type: application/json\r\n';
    socket.write(
      `POST /json/1 HTTP/1.1\r\nHost: x\r\n${type}${line}\r\n${line.toLowerCase()}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
    );
    let answer = '';
    for await (const part of socket) answer += part;
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(answer).toContain('/docs/problems#malformed-request');
  },
);

test('another tenant in the query is rejected; the caller’s own is removed', async () => {
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

test('an unsupported method returns 405 with the supported ones', async () => {
  const response = await fetch(`${url}/json/1`, { method: 'DELETE' });
  await expectProblem(response, 'method-not-allowed');
  expect(response.headers.get('allow')).toBe('POST');
});

test('a path parameter is decoded once', async () => {
  const answer = (await (await post('/json/a%2Fb%252F', '{}')).json()) as { params: unknown };
  expect(answer.params).toEqual({ id: 'a/b%2F' });
});

test('a valid request id is kept, an invalid one is replaced', async () => {
  const of = async (id: string) => (await post('/json/1', '{}', { ...json, 'x-request-id': id })).headers.get('x-request-id');
  expect(await of('trace-1:a.b')).toBe('trace-1:a.b');
  expect(await of('<script>')).toMatch(/^[0-9a-f-]{36}$/);
  expect(await of('x'.repeat(129))).toMatch(/^[0-9a-f-]{36}$/);
});

test('the idempotency hashes depend on the value of the body but not on the order of its fields', async () => {
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

test('a request that takes too long returns 503 and aborts its handler', async () => {
  const impatient = await startPipeline({ ...gate, timeoutMs: 100 });
  const response = await fetch(`${impatient.url}/slow`);
  await expectProblem(response, 'unavailable');
  expect(response.headers.get('retry-after')).toBe('1');
  impatient.close();
});

test('an internal error is a 500 without details', async () => {
  const body = await expectProblem(await fetch(`${url}/broken`), 'internal');
  expect(JSON.stringify(body)).not.toContain('secret');
});

test('a raw body of several megabytes is read quickly', async () => {
  const response = await post('/raw', Buffer.alloc(9 * MAX, 1), { 'content-type': 'a/b' });
  expect(await response.json()).toEqual({ bytes: 9 * MAX });
});

test('a client that disconnects while it sends its body releases its slot and bytes', async () => {
  const socket = connect(new URL(url).port as unknown as number, '127.0.0.1');
  socket.write(
    `POST /json/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50000\r\n\r\n${' '.repeat(10_000)}`,
  );
  await eventually(() => gate.bytesInFlight.bytes >= 10_000, 'the sent bytes are reserved');
  socket.destroy();
  await eventually(() => gate.bytesInFlight.bytes === 0, 'it is let go');
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

  test('a path that is not valid UTF-8 is a problem', () => {
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
