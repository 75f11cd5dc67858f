import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Problem, type ProblemType } from '../../src/http/problem.ts';
import { expectProblem, gate, json, MAX, type Pipeline, startPipeline } from './pipeline.ts';

// Requests that are rejected before their body has arrived.

let pipeline: Pipeline;
let url: string;
beforeAll(async () => {
  pipeline = await startPipeline();
  url = pipeline.url;
});
afterAll(() => pipeline.close());
afterEach(() => expect([gate.bytesInFlight.bytes, gate.inFlight.count]).toEqual([0, 0]));

const post = (...args: Parameters<Pipeline['post']>) => pipeline.post(...args);

test('a body announced as too large is rejected, and the connection can be reused', async () => {
  await expectProblem(await post('/json/1', Buffer.alloc(MAX + 1, 0x20)), 'too-large');
  expect((await post('/json/1', '{}')).status).toBe(200);
});

test('a body that turns out too large is answered before the connection closes', async () => {
  const sent = request(`${url}/json/1`, { method: 'POST', headers: { ...json, 'transfer-encoding': 'chunked' } });
  sent.on('error', () => undefined);
  for (let i = 0; i < 40; i += 1) sent.write(Buffer.alloc(MAX, 0x20));
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  expect(answer.statusCode).toBe(413);
  answer.resume();
  // sending after the answer may fail because the connection is closed
  await new Promise((resolve) => sent.once('close', resolve));
  expect((await post('/json/1', '{}')).status).toBe(200);
});

test('bodies that exceed the byte limit together are rejected', async () => {
  const sends = Array.from({ length: 4 }, () => post('/raw', Buffer.alloc(9 * MAX), { 'content-type': 'a/b' }));
  const statuses = (await Promise.all(sends)).map((response) => response.status);
  expect(statuses.every((status) => [200, 429, 503].includes(status))).toBe(true);
});

/** Announces a body and sends only its beginning. Returns the answer and the number of bytes that the server read. */
async function announce(path: string, headers: string, bytes: number) {
  const accepted = new Promise<Socket>((resolve) => pipeline.server.once('connection', resolve));
  const socket = connect(new URL(url).port as unknown as number, '127.0.0.1');
  let answer = '';
  socket.on('data', (part) => {
    answer += part.toString();
  });
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${bytes}\r\n\r\n`);
  await once(socket, 'data');
  socket.write(Buffer.alloc(bytes, 0x20));
  const remote = await accepted;
  await closed;
  return { answer, read: remote.bytesRead };
}

describe('a long body of a rejected request is not read, and its connection is closed', () => {
  const refused = (type: ProblemType) => () => {
    throw new Problem(type, 'no');
  };
  test.each<[string, Partial<typeof gate>, string, string, number]>([
    ['without a credential', { identify: refused('unauthenticated') }, '/raw', '', 401],
    ['beyond its request budget', { admit: refused('rate-limited') }, '/raw', '', 429],
    ['beyond its byte budget', { admitBytes: refused('rate-limited') }, '/raw', '', 429],
    ['beyond the byte limit', { bytesInFlight: { bytes: 200 * MAX, max: 200 * MAX, byTenant: new Map() } }, '/raw', '', 503],
    [
      'where its tenant holds too much',
      { bytesInFlight: { bytes: 0, max: 200 * MAX, byTenant: new Map([['acme', 99 * MAX]]) } },
      '/raw',
      '',
      429,
    ],
    ['longer than the limit', {}, '/json/1', 'Content-Type: application/json\r\n', 413],
    ['of another media type', {}, '/json/1', 'Content-Type: text/plain\r\n', 415],
    ['compressed', {}, '/raw', 'Content-Encoding: gzip\r\n', 415],
  ])('%s', async (_, changed, path, headers, status) => {
    const before = { ...gate };
    Object.assign(gate, { bytesInFlight: { bytes: 0, max: 200 * MAX, byTenant: new Map() } }, changed);
    try {
      const bytes = path === '/raw' || status === 413 ? 50 * MAX : MAX - 1;
      const { answer, read } = await announce(path, headers, bytes);
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(answer).toMatch(/^Connection: close\r$/im);
      // at most what one read of the socket returns
      expect(read).toBeLessThan(0.2 * bytes + 128 * 1024);
    } finally {
      Object.assign(gate, before);
    }
  });
});

test('with Expect: 100-continue the request is checked before the body is sent', async () => {
  const ask = async (bytes: number) => {
    const sent = request(`${url}/raw`, { method: 'POST', headers: { expect: '100-continue', 'content-length': bytes } });
    sent.on('error', () => undefined);
    let continued = false;
    sent.once('continue', () => {
      continued = true;
      sent.end(Buffer.alloc(bytes));
    });
    sent.flushHeaders();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    answer.resume();
    sent.destroy();
    return [continued, answer.statusCode];
  };
  expect(await ask(1000)).toEqual([true, 200]);
  expect(await ask(65 * MAX)).toEqual([false, 413]);
});
