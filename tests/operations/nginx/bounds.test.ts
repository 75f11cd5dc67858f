import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { loadConfig } from '../../../src/config.ts';
import { describeWith } from '../../support/tool.ts';
import { type Edge, requestEdge, startEdge, until } from './edge.ts';

const conf = readFileSync(join(import.meta.dirname, '../../../nginx/nginx.conf'), 'utf8');
const MIB = 1024 * 1024;

/** A plain TCP connection that the test controls. */
function open(url: string, from: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), localAddress: from });
    socket.once('connect', () => resolve(socket)).once('error', reject);
  });
}

/** Upper limit for the latency of other clients meanwhile. */
async function slowestOf(edge: Edge, requests: number): Promise<number> {
  let slowest = 0;
  for (let i = 0; i < requests; i += 1) {
    const began = Date.now();
    expect((await requestEdge(edge, '/health', { from: '127.0.0.9' })).status).toBe(200);
    slowest = Math.max(slowest, Date.now() - began);
  }
  return slowest;
}

describeWith(['nginx', 'openssl'], 'nginx: limits', () => {
  let edge: Edge;
  beforeAll(async () => {
    edge = await startEdge({ daemons: 1, settings: { RATE_LIMIT_ENABLED: 'true', RATE_LIMIT_AUTH_MAX: '30' } });
  }, 120_000);
  afterAll(() => edge?.stop());

  test('nginx limits bodies to the same sizes as the daemon', () => {
    const { MAX_BODY_BYTES, MAX_BATCH_BYTES, MAX_ARTIFACT_BYTES, MAX_IMPORT_BYTES, REQUEST_TIMEOUT_MS } = loadConfig({});
    const sizes = [...conf.matchAll(/client_max_body_size (\d+)m;/g)].map(([, mib]) => Number(mib) * MIB);
    expect(sizes).toEqual([MAX_BODY_BYTES, MAX_BATCH_BYTES, MAX_ARTIFACT_BYTES, MAX_IMPORT_BYTES, MAX_BATCH_BYTES]);
    const read = Number(/ proxy_read_timeout (\d+)s;/.exec(conf)![1]);
    expect(read * 1000).toBeGreaterThan(REQUEST_TIMEOUT_MS);
  });

  test.each([
    ['/auth/login', 16 * 1024],
    ['/v1/search', 2 * MIB],
    ['/v1/events', 40 * MIB],
    ['/v1/artifacts', 32 * MIB],
  ])('%s accepts %i bytes; one more returns 413 from nginx and from the daemon', async (path, bytes) => {
    const { status, headers, text } = await requestEdge(edge, path, {
      method: 'POST',
      body: Buffer.alloc(bytes + 1, ' '),
      from: '127.0.0.3',
    });
    expect([status, headers['content-type'], JSON.parse(text).type]).toEqual([
      413,
      'application/problem+json',
      '/docs/problems#too-large',
    ]);
    const most = await requestEdge(edge, path, { method: 'POST', body: Buffer.alloc(bytes, ' '), from: '127.0.0.3' });
    // The request reached the daemon, which checks the headers and the JSON.
    expect([401, 415]).toContain(most.status);
    await until(
      () => edge.log().filter((line) => line.path === path && line.address === '127.0.0.3').length === 2,
      'both are logged',
    );
    const seen = edge.log().filter((line) => line.path === path && line.address === '127.0.0.3');
    expect(seen.map((line) => line.upstream !== '').sort()).toEqual([false, true]);

    const direct = (size: number) =>
      fetch(edge.daemons[0]!.url + path, {
        method: 'POST',
        body: Buffer.alloc(size, ' '),
        headers: { 'x-forwarded-for': '127.0.0.4' },
      });
    if (path === '/auth/login') expect([(await direct(bytes + 1)).status, (await direct(bytes)).status]).toEqual([413, 415]);
  });

  test('slowly sent headers do not block others, and are cut off', async () => {
    const attackers = await Promise.all(Array.from({ length: 400 }, () => open(edge.operator, '127.0.0.6')));
    let closed = 0;
    for (const socket of attackers) {
      socket
        .on('error', () => undefined)
        .once('close', () => {
          closed += 1;
        });
      socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n');
    }
    const drip = setInterval(() => attackers.forEach((socket) => socket.write('X-Slow: 1\r\n')), 2000);
    expect(await slowestOf(edge, 10)).toBeLessThan(5000);
    await until(() => closed === attackers.length, 'all are cut off, though each sent something every 2 s', 40_000);
    clearInterval(drip);
    expect(await slowestOf(edge, 3)).toBeLessThan(5000);
  }, 90_000);

  test('unsent bodies occupy the 512 connections of their own address only', async () => {
    const attackers = await Promise.all(Array.from({ length: 540 }, () => open(edge.operator, '127.0.0.7')));
    let [closed, refused] = [0, 0];
    for (const socket of attackers) {
      socket.on('data', (part) => {
        if (part.toString().startsWith('HTTP/1.1 429')) refused += 1;
      });
      socket
        .on('error', () => undefined)
        .once('close', () => {
          closed += 1;
        });
      socket.write(
        'POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{',
      );
    }
    await until(() => refused >= 28, 'the address has no place for more');
    expect(await slowestOf(edge, 10)).toBeLessThan(5000);
    await until(() => closed === attackers.length, 'all are cut off', 60_000);
    // None of them reached the daemon.
    expect(edge.log().filter(({ address, upstream }) => address === '127.0.0.7' && upstream !== '')).toEqual([]);
  }, 120_000);

  test('a forged X-Forwarded-For does not count as another client', async () => {
    const login = (i: number) =>
      requestEdge(edge, '/auth/login', {
        method: 'POST',
        from: '127.0.0.8',
        headers: { 'x-forwarded-for': `10.0.0.${i}`, 'x-real-ip': `10.0.1.${i}`, forwarded: `for=10.0.2.${i}` },
        body: '{}',
      });
    const statuses: number[] = [];
    for (let i = 0; i < 35; i += 1) statuses.push((await login(i)).status);
    expect(statuses.slice(0, 30)).not.toContain(429);
    expect(statuses.slice(30)).toEqual([429, 429, 429, 429, 429]);
    // The rejection is the daemon's, with its own figures.
    expect((await login(99)).headers['ratelimit-policy']).toBe('"address";q=30;w=60');
    expect((await requestEdge(edge, '/auth/login', { method: 'POST', from: '127.0.0.10', body: '{}' })).status).not.toBe(429);
  });

  test('nginx rejects a flood from one address, on /auth at a lower rate than elsewhere', async () => {
    const logins = await Promise.all(
      Array.from({ length: 300 }, () =>
        requestEdge(edge, '/auth/login', { method: 'POST', from: '127.0.0.11', body: '{}', inClear: true }),
      ),
    );
    const byNginx = logins.filter(({ status, names }) => status === 429 && !names.includes('ratelimit-policy'));
    expect(byNginx.length).toBeGreaterThan(20);
    for (const { headers, text } of byNginx) {
      expect([headers['retry-after'], headers['content-type']]).toEqual(['1', 'application/problem+json']);
      expect(JSON.parse(text)).toMatchObject({
        type: '/docs/problems#rate-limited',
        status: 429,
        request_id: headers['x-request-id'],
      });
    }

    // Pipelined requests, as fast as possible; nginx rejects them itself.
    const asked = 900;
    const request = 'GET /.well-known/acme-challenge/none HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const flood = async () => {
      const socket = await open(edge.http, '127.0.0.12');
      const statuses: string[] = [];
      socket.on('data', (part) => void statuses.push(...(part.toString().match(/HTTP\/1\.1 \d+/g) ?? [])));
      socket.write(request.repeat(asked));
      await until(() => statuses.length >= asked - 10, 'all are answered');
      socket.destroy();
      return statuses;
    };
    const statuses = (await Promise.all(Array.from({ length: 12 }, flood))).flat();
    const refused = statuses.filter((status) => status.endsWith('429')).length;
    expect(statuses.length - refused).toBeGreaterThanOrEqual(2000);
    expect(refused).toBeGreaterThan(500);
    expect((await requestEdge(edge, '/health')).status).toBe(200);
  });
});
